"""Bundles that were altered, by accident or on purpose, are refused in one line."""

from __future__ import annotations

import json
import os
import pickle
import shutil
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from edge_stickers.bundle.golden import Golden
from edge_stickers.bundle.manifest import Manifest, Scheduler, parse_json, read_json, to_json
from edge_stickers.bundle.reader import Bundle, file_entry
from edge_stickers.errors import BundleError, InputError

MODEL = "onnx/unet/model.ts"


@pytest.fixture
def copy(tiny_bundle, tmp_path) -> Path:
    return Path(shutil.copytree(tiny_bundle, tmp_path / "bundle"))


def edit(folder: Path, change) -> None:
    """Changes the manifest's JSON in place."""
    path = folder / "manifest.json"
    value = json.loads(path.read_text())
    change(value)
    path.write_text(json.dumps(value))


def accept(folder: Path, name: str) -> None:
    """Makes the manifest agree with what the file now holds: an attacker can do so too."""
    entry = file_entry(folder, folder / name).model_dump()

    def change(manifest):
        for files in [
            manifest["files"],
            *(c["files"] for t in manifest["targets"].values() for c in t["components"].values()),
        ]:
            files[:] = [entry if file["path"] == name else file for file in files]

    edit(folder, change)


def refused(folder: Path, match: str) -> None:
    with pytest.raises(BundleError, match=match) as caught:
        Bundle.open(folder)
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 600


def test_a_copy_opens(copy):
    assert Bundle.open(copy).manifest.targets.keys() == {"onnx"}


@pytest.mark.parametrize("name", [MODEL, "golden.safetensors", "tokenizer.json", "NOTICE", "report.html"])
def test_a_changed_byte(copy, name):
    data = bytearray((copy / name).read_bytes())
    data[len(data) // 2] ^= 1
    (copy / name).write_bytes(data)
    refused(copy, "was altered")


@pytest.mark.parametrize("name", [MODEL, "golden.safetensors", "scheduler.json"])
def test_a_file_cut_short(copy, name):
    data = (copy / name).read_bytes()
    (copy / name).write_bytes(data[:-1])
    refused(copy, f"has {len(data) - 1} bytes, the manifest says {len(data)}")


def test_a_missing_file(copy):
    (copy / MODEL).unlink()
    refused(copy, "cannot be read")


def test_a_missing_manifest(copy, tmp_path):
    (copy / "manifest.json").unlink()
    refused(copy, "cannot be read")
    refused(tmp_path / "nowhere", "is no folder")


def test_a_pickle_under_the_name_of_safetensors(copy):
    (copy / "golden.safetensors").write_bytes(pickle.dumps({"evil": print}))
    accept(copy, "golden.safetensors")
    refused(copy, "is no safetensors file")


def test_truncated_safetensors_with_a_matching_hash(copy):
    data = (copy / "golden.safetensors").read_bytes()
    (copy / "golden.safetensors").write_bytes(data[: len(data) // 2])
    accept(copy, "golden.safetensors")
    refused(copy, "is no safetensors file")


def test_a_damaged_tokenizer_with_a_matching_hash(copy):
    (copy / "tokenizer.json").write_text('{"model": 3}')
    accept(copy, "tokenizer.json")
    with pytest.raises(BundleError, match="is no tokenizer"):
        Bundle.open(copy).tokenizer()


@pytest.mark.parametrize(
    "path", ["../secret", "/etc/passwd", "a/../../secret", "a\\..\\b", "C:/x", "", "a//b", "./x", "a\0b"]
)
def test_paths_that_leave_the_folder(copy, path):
    (copy.parent / "secret").write_text("x")
    edit(copy, lambda m: m["files"][0].update(path=path))
    refused(copy, "is damaged")


def test_a_link_out_of_the_folder(copy, tmp_path):
    outside = tmp_path / "outside"
    shutil.move(copy / MODEL, outside)
    (copy / MODEL).symlink_to(outside)
    refused(copy, "is a link out of the bundle")


def test_a_folder_that_is_a_link_out(copy, tmp_path):
    shutil.move(copy / "onnx", tmp_path / "elsewhere")
    (copy / "onnx").symlink_to(tmp_path / "elsewhere")
    refused(copy, "is a link out of the bundle")


def test_a_link_that_stays_inside_is_fine(copy):
    (copy / MODEL).rename(copy / "real")
    (copy / MODEL).symlink_to(copy / "real")
    Bundle.open(copy)


def test_a_pipe_does_not_hang(copy):
    (copy / "NOTICE").unlink()
    os.mkfifo(copy / "NOTICE")
    refused(copy, "is no plain file")


def test_a_newer_version_asks_for_an_upgrade(copy):
    edit(copy, lambda m: m.update(schema_version=2, new_field={}))
    refused(copy, "schema version 2.*reads up to 1; upgrade")


def test_what_is_required_is_listed(copy):
    edit(copy, lambda m: m.update(files=[f for f in m["files"] if f["path"] != "NOTICE"]))
    refused(copy, "lists no NOTICE")


def test_names_that_are_not_there(copy):
    bundle = Bundle.open(copy)
    with pytest.raises(BundleError, match="no target 'coreml', only onnx"):
        bundle.program("coreml", "unet")
    with pytest.raises(BundleError, match="has no vae for onnx"):
        bundle.program("onnx", "vae")
    with pytest.raises(InputError, match="no table for 3 steps; choose one of 1, 2, 4, 8"):
        bundle.rows(3)


def test_a_package_folder_is_opened_whole(tiny_bundle):
    entry = Bundle.open(tiny_bundle).manifest.targets["onnx"].components["unet"]
    files = tuple(
        entry.files[0].model_copy(update={"path": f"coreml/Unet.mlpackage/{name}"})
        for name in ("Data/weights/weight.bin", "Manifest.json")
    )
    assert entry.model_copy(update={"files": files}).entry_path == "coreml/Unet.mlpackage"


def test_json_there_and_back(tiny_bundle):
    for name, kind in (("manifest.json", Manifest), ("scheduler.json", Scheduler)):
        document = read_json(tiny_bundle / name, kind)
        assert parse_json(to_json(document).encode(), kind, name=name) == document


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=6,
)


def places(value, path=()):
    """The path of every value inside a JSON value."""
    yield path
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, inner in items:
        yield from places(inner, (*path, key))


@pytest.mark.parametrize(("name", "kind"), [("manifest.json", Manifest), ("scheduler.json", Scheduler)])
@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_any_change_of_the_json_is_refused_or_valid(tiny_bundle, name, kind, data):
    whole = json.loads((tiny_bundle / name).read_text())
    *parents, last = data.draw(st.sampled_from([p for p in places(whole) if p]))
    spot = whole
    for key in parents:
        spot = spot[key]
    if data.draw(st.booleans()):
        del spot[last]
    else:
        spot[last] = data.draw(VALUES)
    try:
        parse_json(json.dumps(whole).encode(), kind, name=name)
    except BundleError as error:
        assert "\n" not in str(error)


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_any_bytes_of_the_manifest_are_refused_or_valid(tiny_bundle, data):
    original = (tiny_bundle / "manifest.json").read_bytes()
    at = data.draw(st.integers(0, len(original) - 1))
    length = data.draw(st.integers(0, 20))
    changed = original[:at] + data.draw(st.binary(max_size=20)) + original[at + length :]
    try:
        parse_json(changed, Manifest, name="manifest.json")
    except BundleError as error:
        assert "\n" not in str(error)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"[" * 100_000,
        b'{"schema_version": 1e400}',
        b'"\xff"',
        b"NaN",
        b'{"schema_version": 1' + b"0" * 5000 + b"}",
    ],
)
def test_hostile_json(data):
    with pytest.raises(BundleError):
        parse_json(data, Manifest, name="manifest.json")


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_any_bytes_of_the_golden_tensors_are_refused_or_valid(tiny_bundle, tmp_path_factory, data):
    original = (tiny_bundle / "golden.safetensors").read_bytes()
    at = data.draw(st.integers(0, min(8000, len(original) - 1)))  # the header is at the front
    changed = (
        original[:at] + data.draw(st.binary(min_size=1, max_size=12)) + original[at + data.draw(st.integers(0, 12)) :]
    )
    path = tmp_path_factory.getbasetemp() / "golden.safetensors"
    path.write_bytes(changed)
    rows = Bundle.open(tiny_bundle).scheduler.steps
    try:
        Golden.open(path, rows)
    except BundleError as error:
        assert "\n" not in str(error)
