"""`convert` and `inspect` on the folders of diffusers' video UNets."""

from __future__ import annotations

import json
import shutil

import pytest

from tests.video_unets import video_unet

ASKED = ("--target", "onnx", "--precision", "fp32")


@pytest.fixture(scope="module")
def unet(tmp_path_factory):
    folder = tmp_path_factory.mktemp("animatediff") / "unet"
    video_unet("UNetMotionModel", widths=(16,)).save_pretrained(folder)
    return folder


@pytest.mark.slow
def test_a_unet_becomes_a_verified_program(call, unet, tmp_path):
    shape = ("--frames", 3, "--size", "8x12", "--tokens", 4)
    asked = ("--target", "coreml", "--precision", "fp32")  # that executor needs no runtime that other tests replace
    result = call("convert", "--model", unet.parent, *asked, *shape, "--no-cache", "-o", tmp_path / "o", "--json")
    report = json.loads(result.out)
    assert result.code == 0 and report["passed"]
    assert [row["status"] for row in report["verified"]["components"]] == ["passed", "passed"]
    context, step = json.loads((tmp_path / "o" / "report.json").read_text())["programs"]
    assert [entry["shape"] for entry in context["inputs"]] == [[1, 4, 12]]
    assert step["inputs"][0]["shape"] == [3, 4, 8, 12]
    assert [entry["name"] for entry in step["inputs"][2:]] == [entry["name"] for entry in context["outputs"]]


def test_what_a_unet_cannot_be_asked(refused, unet, tiny_model, tmp_path):
    convert = ("convert", "--model", unet, *ASKED)
    for shape, message in (
        (("--size", "axb"), "expected a size such as 64 or 40x64"),
        (("--size", "8x8x8"), "expected a size such as 64 or 40x64"),
        (("--size", "0"), "the latent is 0x0, expected multiples of 1"),
        (("--frames", "9"), "frames is 9, expected 1 to 8"),
        (("--components", "decoder"), "is a denoiser alone"),
        (("--backend", "vulkan"), "onnx has no backends, ETRecord or picture"),
    ):
        assert message in refused(*convert, *shape, "-o", tmp_path / "o")
    assert "a student has its own" in refused(
        "convert", "--model", tiny_model, *ASKED, "--size", 8, "-o", tmp_path / "o"
    )
    assert not list(tmp_path.iterdir())


def test_a_unet_that_is_not_whole(refused, unet, tmp_path):
    copy = shutil.copytree(unet, tmp_path / "unet")
    next(copy.glob("*.safetensors")).unlink()
    assert "cannot be loaded" in refused("convert", "--model", copy, *ASKED, "-o", tmp_path / "o")
    (copy / "config.json").write_text("{")
    assert "is no JSON" in refused("convert", "--model", copy, *ASKED, "-o", tmp_path / "o")
    (copy / "config.json").write_text('{"_class_name": "UNet2DConditionModel"}')
    assert "is no model folder" in refused("convert", "--model", copy, *ASKED, "-o", tmp_path / "o")
    assert [path.name for path in tmp_path.iterdir()] == ["unet"]


def test_inspect_names_what_a_target_would_not_take(call, unet, tiny_model):
    listed = json.loads(call("inspect", unet, "--target", "executorch", "--json").out)
    assert listed["components"] == {"unet": []}
    assert "takes every operator of unet" in call("inspect", "--model", unet, "--target", "coreml").out
    found = json.loads(call("inspect", tiny_model, "--target", "executorch", "--json").out)["components"]
    assert {finding["operator"] for finding in found["text_encoder"]} >= {"aten.embedding.default"}
    assert all(finding["mend"] and finding["count"] > 0 for finding in found["text_encoder"])
    shown = call("inspect", tiny_model, "--target", "executorch").out
    assert "what would mend it" in shown and "image_encoder" in shown


def test_inspect_shows_a_unet(call, unet):
    report = json.loads(call("inspect", unet, "--json").out)
    assert report["components"]["unet"]["class"] == "UNetMotionModel"
    assert report["parameters"] > 10_000


def test_what_inspect_cannot_be_asked(refused, unet):
    assert "expected one of PATH and --model" in refused("inspect")
    assert "expected one of PATH and --model" in refused("inspect", unet, "--model", unet)
    assert "go with --target" in refused("inspect", unet, "--frames", 4)
    assert "lint knows executorch, coreml" in refused("inspect", unet, "--target", "onnx")
