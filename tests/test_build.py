"""A build is whole, or it was never there."""

from __future__ import annotations

import errno
import json
import xml.etree.ElementTree as ElementTree

import pytest

import edge_stickers.convert as converter
from edge_stickers.build import build
from edge_stickers.bundle.reader import Bundle, folder_sha256
from edge_stickers.errors import BundleError, ConversionError, InputError
from edge_stickers.runtimes.verify import Floors


def test_the_bundle_says_what_it_holds(tiny_bundle, tiny_model):
    bundle = Bundle.open(tiny_bundle)
    manifest = bundle.manifest
    assert (manifest.frames, manifest.size, manifest.sampling.default_steps) == (8, 32, 4)
    assert manifest.model_sha256 == folder_sha256(tiny_model)
    target = manifest.targets["onnx"]
    assert list(target.components) == ["text_encoder", "image_encoder", "unet", "decoder"]
    for entry in target.components.values():
        assert entry.status == "verified"
        assert entry.parity is not None
        assert entry.parity.snr_db >= 60
    assert target.clip is not None
    assert [e.name for e in target.components["unet"].inputs] == [
        "sample", "timestep", "context_kv", "image_latents", "motion_strength",
    ]  # fmt: skip
    assert sorted(map(int, bundle.scheduler.steps)) == [1, 2, 4, 8]
    assert "Twemoji" in (tiny_bundle / "NOTICE").read_text()


def test_the_reports_agree_with_the_manifest(tiny_bundle):
    report = json.loads((tiny_bundle / "report.json").read_text())
    assert report["passed"] is True
    assert [row["status"] for row in report["verified"]["components"]] == ["passed"] * 4
    assert report["verified"]["bundle"] == str(tiny_bundle)
    page = (tiny_bundle / "report.html").read_text()
    assert "Everything that ran here passed" in page
    assert "<script" not in page
    ElementTree.fromstring(page.replace("<!doctype html>", "").replace('<meta charset="utf-8">', "").replace(
        '<meta name="viewport" content="width=device-width, initial-scale=1">', ""))  # fmt: skip


def test_a_fall_below_the_floor_is_told_and_still_written(torchscript_runtime, tiny_model, tiny_cases, tmp_path):
    floors = Floors(snr={"fp32": 1e6}, frame_mean=1e6)
    report = build(tiny_model, ["onnx"], tmp_path / "b", cases=tiny_cases, threads=1, floors=floors)
    assert not report.passed
    assert Bundle.open(tmp_path / "b").manifest.targets["onnx"].components["unet"].status == "below floor"
    assert "Something fell short" in (tmp_path / "b" / "report.html").read_text()


def test_a_dry_run_writes_nothing(tiny_model, tmp_path):
    report = build(tiny_model, ["executorch", "coreml"], tmp_path / "b", dry_run=True, recipe="int8")
    assert [(row.target, row.component) for row in report.components][3:5] == [
        ("executorch", "decoder"), ("coreml", "text_encoder"),
    ]  # fmt: skip
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("targets", "components", "message"),
    [
        (["torch"], None, "no target named 'torch'; known: executorch, onnx, coreml"),
        ([], None, "no target was named"),
        (["onnx"], ["vae"], "no component named 'vae'; known: text_encoder"),
    ],
)
def test_unknown_names_list_the_known_ones(tiny_model, tmp_path, targets, components, message):
    with pytest.raises(InputError, match=message):
        build(tiny_model, targets, tmp_path / "b", components=components)


def test_a_model_folder_that_is_none(tmp_path):
    with pytest.raises(BundleError, match="no model folder"):
        build(tmp_path, ["onnx"], tmp_path / "b")


@pytest.mark.parametrize(
    ("error", "expected", "message"),
    [
        (OSError(errno.ENOSPC, "No space left on device"), InputError, "the disk is full"),
        (ConversionError("unet cannot be lowered"), ConversionError, "unet cannot be lowered"),
        (KeyboardInterrupt(), KeyboardInterrupt, ""),
    ],
)
def test_a_build_that_fails_leaves_nothing_and_keeps_the_old_bundle(
    torchscript_runtime, tiny_bundle, tiny_model, tmp_path, monkeypatch, error, expected, message
):
    import shutil

    out = tmp_path / "b"
    shutil.copytree(tiny_bundle, out)
    before = folder_sha256(out)

    def fails(pipeline, *, folder, **_):
        (folder / "half").write_text("written")
        raise error

    monkeypatch.setattr(converter, "convert", fails)
    with pytest.raises(expected, match=message):
        build(tiny_model, ["onnx"], out)
    assert folder_sha256(out) == before
    assert [path.name for path in tmp_path.iterdir()] == ["b"]


def test_part_of_the_components_is_a_bundle_that_makes_no_clips(torchscript_runtime, tiny_model, tiny_cases, tmp_path):
    import edge_stickers

    report = build(
        tiny_model, ["onnx"], tmp_path / "b", cases=tiny_cases, threads=1, components=["decoder", "image_encoder"]
    )
    assert report.passed
    assert report.verified is not None
    assert [row.status for row in report.verified.clips] == ["not run"]
    with pytest.raises(BundleError, match="has no text_encoder for onnx, only decoder, image_encoder"):
        edge_stickers.load(tmp_path / "b")
