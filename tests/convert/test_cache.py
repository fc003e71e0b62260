"""What was lowered once is not lowered again, and nothing else is taken for it."""

from __future__ import annotations

import copy
import os
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest
import torch

from edge_stickers.convert import convert
from edge_stickers.convert.cache import ConversionCache, conversion_key
from edge_stickers.convert.targets import TARGETS
from edge_stickers.models.components import component_modules, component_specs
from edge_stickers.quantize.recipe import RECIPES

PART = "image_encoder"


@pytest.fixture
def lower(tiny_pipeline, tmp_path):
    """Converts the image encoder into a folder of that name, with or without the cache below `tmp_path`."""

    def run(name, cache):
        (tmp_path / name).mkdir()
        (artifact,) = convert(tiny_pipeline, targets=["onnx"], components=[PART], folder=tmp_path / name, cache=cache)
        return artifact, (tmp_path / name / artifact.entry).read_bytes()

    return run


def test_the_second_time_is_a_copy(lower, tmp_path):
    cache = ConversionCache(tmp_path / "cache")
    (first, made), (second, copied) = lower("a", cache), lower("b", cache)
    assert (first.reused, second.reused) == (False, True)
    assert made == copied
    assert replace(second, reused=False, seconds=first.seconds) == first


def test_an_entry_that_was_altered_or_cut_is_made_anew(lower, tmp_path):
    cache = ConversionCache(tmp_path / "cache")
    _, made = lower("a", cache)
    (entry,) = cache.folder.iterdir()
    for harm in ("artifact.json", "onnx/image_encoder/model.onnx"):
        (entry / harm).write_bytes((entry / harm).read_bytes()[:-3])
        artifact, again = lower(harm.replace("/", "-"), cache)
        assert not artifact.reused and again == made
    assert lower("b", cache)[0].reused


def test_a_cache_that_cannot_be_written_is_no_error(lower, tmp_path):
    (tmp_path / "file").write_text("no folder")
    artifact, _ = lower("a", ConversionCache(tmp_path / "file"))
    assert not artifact.reused


def test_two_runs_at_once_leave_one_whole_entry(lower, tmp_path):
    """Many writers of one entry, and readers between them, that see all of it or nothing."""
    cache = ConversionCache(tmp_path / "cache")
    artifact, made = lower("a", cache)
    (entry,) = cache.folder.iterdir()

    def write(_):
        cache.keep(entry.name, artifact, tmp_path / "a")

    def read(number):
        found = cache.take(entry.name, tmp_path / str(number))
        return None if found is None else (tmp_path / str(number) / found.entry).read_bytes()

    with ThreadPoolExecutor(8) as pool:
        writers, readers = pool.map(write, range(40)), pool.map(read, range(40))
        list(writers)
        assert set(readers) <= {None, made}
    assert [path.name for path in cache.folder.iterdir()] == [entry.name]
    assert lower("c", cache)[0].reused


def test_the_oldest_entries_go_first(tmp_path):
    cache = ConversionCache(tmp_path, limit_bytes=25)
    for name in ("a", "b", "c"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "x").write_bytes(bytes(10))
        os.utime(tmp_path / name, (ord(name), ord(name)))
    cache._prune()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["b", "c"]


def test_the_key_follows_all_that_matters(tiny_pipeline):
    module, spec = component_modules(tiny_pipeline)["unet"], component_specs(tiny_pipeline)["unet"]
    key = conversion_key(TARGETS["onnx"], module, spec, RECIPES["fp32"])
    assert key == conversion_key(TARGETS["onnx"], copy.deepcopy(module), spec, RECIPES["fp32"])
    others = [
        conversion_key(TARGETS["coreml"], module, spec, RECIPES["fp32"]),
        conversion_key(TARGETS["coreml"], module, spec, RECIPES["fp16"]),
        conversion_key(TARGETS["onnx"], module, replace(spec, inputs=spec.inputs[1:]), RECIPES["fp32"]),
    ]
    for change in (_weight, _buffer, _attribute):
        changed = copy.deepcopy(module)
        change(changed)
        others.append(conversion_key(TARGETS["onnx"], changed, spec, RECIPES["fp32"]))
    assert len({key, *others}) == 7


def test_the_key_does_not_follow_where_a_model_lies(tiny_pipeline):
    module, spec = component_modules(tiny_pipeline)["text_encoder"], component_specs(tiny_pipeline)["text_encoder"]
    moved = copy.deepcopy(module)
    places = [part for part in moved.modules() if hasattr(part, "name_or_path")]
    assert places
    for part in places:
        part.name_or_path = "/elsewhere"
    first, second = (conversion_key(TARGETS["onnx"], each, spec, RECIPES["fp32"]) for each in (module, moved))
    assert first == second


def _weight(module):
    with torch.no_grad():
        next(module.parameters()).flatten()[0] += 1e-6


def _buffer(module):
    next(module.buffers()).flatten()[0] += 1e-6


def _attribute(module):
    next(part for part in module.modules() if isinstance(part, torch.nn.GroupNorm)).eps *= 2
