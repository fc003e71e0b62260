"""Folders of diffusers' video UNets: which are found, what they take, and what is refused."""

from __future__ import annotations

import json
import shutil

import pytest
import torch
from safetensors.torch import load_file, save_file

from edge_stickers.errors import BundleError, InputError
from edge_stickers.models.video_unets import (
    ClipShape,
    VideoUNet,
    example_inputs,
    find_video_unet,
    load_video_unet,
    video_unet_spec,
)
from tests.video_unets import KINDS, video_unet

SHAPE = ClipShape(frames=3, height=8, width=12, tokens=5)


@pytest.fixture(scope="module", params=KINDS)
def folder(request, tmp_path_factory):
    path = tmp_path_factory.mktemp(request.param)
    video_unet(request.param).save_pretrained(path / "unet")
    return path


def test_a_clip_goes_in_and_the_same_shape_comes_out(folder):
    model = load_video_unet(find_video_unet(folder))
    spec = video_unet_spec(model, SHAPE)
    with torch.inference_mode():
        out = model(*example_inputs(spec, 501.0, 0))
    assert tuple(out.shape) == spec.outputs[0].shape == (3, 4, 8, 12)
    assert torch.isfinite(out).all()


def test_every_input_matters(folder):
    """Frames, prompt, timestep and micro-conditions all reach the output of the folder's own class."""
    model = load_video_unet(find_video_unet(folder))
    spec = video_unet_spec(model, SHAPE)
    inputs = example_inputs(spec, 501.0, 0)
    with torch.inference_mode():
        before = model(*inputs)
        for index, entry in enumerate(spec.inputs):
            changed = list(inputs)
            changed[index] = inputs[index] + 0.5 * (1 + inputs[index].abs())
            assert (model(*changed) - before).abs().max() > 1e-5, entry.name


def test_the_default_shape_is_the_configurations(folder):
    spec = video_unet_spec(load_video_unet(find_video_unet(folder)), ClipShape())
    assert spec.inputs[0].shape == (8, 4, 8, 8)


def test_what_cannot_be_loaded_says_why(folder, tmp_path):
    copy = tmp_path / "unet"
    shutil.copytree(folder / "unet", copy)
    config = json.loads((copy / "config.json").read_text())
    whole = load_file(next(copy.glob("*.safetensors")))
    for changed, message in (({"extra": torch.ones(1)}, "1 unexpected"), ({"conv_in.bias": None}, "1 missing")):
        weights = {name: value for name, value in (whole | changed).items() if value is not None}
        save_file(weights, next(copy.glob("*.safetensors")), metadata={"format": "pt"})
        with pytest.raises(BundleError, match=f"has {message} weights, {next(iter(changed))} first; expected those"):
            load_video_unet(copy)
    save_file(whole, next(copy.glob("*.safetensors")), metadata={"format": "pt"})
    wider = [2 * width for width in config["block_out_channels"]]
    (copy / "config.json").write_text(json.dumps(config | {"block_out_channels": wider}))
    with pytest.raises(BundleError, match="size mismatch"):
        load_video_unet(copy)
    (copy / "config.json").write_text(json.dumps(config))
    weights = next(copy.glob("*.safetensors"))
    weights.write_bytes(weights.read_bytes()[:-100])
    with pytest.raises(BundleError, match="cannot be loaded"):
        load_video_unet(copy)
    weights.unlink()
    with pytest.raises(BundleError, match="expected an intact folder"):
        load_video_unet(copy)


def test_what_is_no_video_unet_is_not_found(tmp_path):
    assert find_video_unet(tmp_path) is None
    (tmp_path / "config.json").write_text('{"_class_name": "UNet2DModel"}')
    assert find_video_unet(tmp_path) is None
    (tmp_path / "config.json").write_text("[]")
    assert find_video_unet(tmp_path) is None
    (tmp_path / "config.json").write_text("{")
    with pytest.raises(BundleError, match="is no JSON"):
        find_video_unet(tmp_path)


@pytest.mark.parametrize(
    ("shape", "message"),
    [
        ({"height": 7}, "latent is 7x8, expected multiples of 2"),
        ({"width": 0}, "expected multiples of 2"),
        ({"frames": 9}, "frames is 9, expected 1 to 8"),
        ({"tokens": 0}, "tokens is 0"),
    ],
)
def test_shapes_that_a_unet_cannot_take_are_refused(shape, message):
    model = VideoUNet(video_unet("UNetMotionModel"))
    with pytest.raises(InputError, match=message):
        video_unet_spec(model, ClipShape(**{"height": 8, "width": 8, **shape}))
