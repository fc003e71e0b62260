"""Diffusers' video UNets through the passes: nothing that XNNPACK leaves, at most four dimensions, the same numbers."""

from __future__ import annotations

import json

import pytest
import torch

from edge_stickers.build_video_unet import build_video_unet
from edge_stickers.convert.export import export_component
from edge_stickers.convert.lint import lint
from edge_stickers.convert.parity import snr_db
from edge_stickers.convert.passes import prepare
from edge_stickers.errors import InputError
from edge_stickers.models.video_unets import ClipShape, VideoUNet, example_inputs, video_unet_spec
from tests.video_unets import KINDS, video_unet

aten = torch.ops.aten
SHAPE = ClipShape(frames=5, height=6, width=10, tokens=7)


@pytest.fixture(scope="module", params=KINDS)
def case(request):
    """A model, its inputs, and its program before and after the passes."""
    model = VideoUNet(video_unet(request.param))
    spec = video_unet_spec(model, SHAPE)
    program = export_component(model, spec)
    return model, example_inputs(spec, 321.0, 4), program, prepare(program)


@pytest.mark.slow
def test_the_passes_change_no_number(case):
    model, inputs, _, prepared = case
    with torch.no_grad():
        assert snr_db(model(*inputs), prepared.module()(*inputs)) > 90


@pytest.mark.slow
def test_nothing_is_left_that_xnnpack_does_not_take(case):
    _, _, program, prepared = case
    assert lint(program, "executorch") == []
    assert lint(prepared, "executorch") == []
    assert max(node.meta["val"].dim() for node in prepared.graph.nodes if node.op == "call_function") <= 4


@pytest.mark.slow
def test_the_prompt_and_the_time_are_projected_once(case):
    """No frame, and no place, projects the same features again."""
    model, inputs, _, prepared = case
    width = inputs[2].shape[-1]
    read = [node.args[0].meta["val"] for node in prepared.graph.nodes if node.target is aten.linear.default]
    rows = {x.numel() // width for x in read if x.shape[-1] == width}
    # I2VGen-XL joins the 7 tokens with 64 of the still's latent and 4 of its embedding.
    expected = {"I2VGenXLUNet": {1, 75}, "UNetSpatioTemporalConditionModel": {1}}
    assert rows == expected.get(model.kind, {7})


@pytest.mark.slow
def test_a_folder_becomes_a_verified_program_and_a_report(tmp_path):
    video_unet("UNet3DConditionModel", widths=(16,)).save_pretrained(tmp_path / "unet")
    shape = ClipShape(frames=2, tokens=3)
    report = build_video_unet(tmp_path / "unet", ["executorch"], tmp_path / "out", shape=shape)
    assert [built.component for built in report.components] == ["context", "unet"]
    for row, built in zip(report.verified.components, report.components, strict=True):
        assert (row.status, built.delegate_calls, built.undelegated) == ("passed", 1, {})
        assert row.snr_db > 60
    written = json.loads((tmp_path / "out" / "report.json").read_text())
    assert written["class"] == "UNet3DConditionModel"
    for program in written["programs"]:
        assert (tmp_path / "out" / program["entry"]).stat().st_size == program["files"][0]["bytes"]
    again = build_video_unet(tmp_path / "unet", ["coreml"], tmp_path / "out", recipe="fp32", shape=shape, whole=True)
    assert again.passed and [built.component for built in again.components] == ["unet"]
    assert not (tmp_path / "out" / "executorch").exists()


@pytest.mark.slow
def test_core_ml_takes_it_and_gives_the_same_numbers(tmp_path):
    video_unet("UNetMotionModel", widths=(16,)).save_pretrained(tmp_path / "unet")
    report = build_video_unet(
        tmp_path / "unet", ["coreml"], tmp_path / "out", recipe="fp32", shape=ClipShape(frames=2, tokens=3)
    )
    assert len(report.verified.components) == 2
    for row in report.verified.components:
        assert row.status == "passed" and row.snr_db > 60 and "not run on a device" in row.reason


def test_other_folders_and_other_outputs_are_refused(tmp_path):
    with pytest.raises(InputError, match="holds no video UNet of diffusers"):
        build_video_unet(tmp_path, ["onnx"], tmp_path / "out")
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "report.json").write_text("{}")
    with pytest.raises(InputError, match="holds other files"):
        build_video_unet(tmp_path, ["onnx"], tmp_path / "mine")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["mine"]
