"""A denoiser in two parts gives what it gave whole, and the first part holds all that the steps share."""

from __future__ import annotations

import pytest
import torch

from edge_stickers.convert.parity import snr_db
from edge_stickers.convert.split import split_conditions
from edge_stickers.errors import InputError
from edge_stickers.models.video_unets import ClipShape, VideoUNet, example_inputs, video_unet_spec
from tests.video_unets import KINDS, video_unet

aten = torch.ops.aten


@pytest.fixture(scope="module", params=KINDS)
def split(request):
    model = VideoUNet(video_unet(request.param, widths=(16,)))
    spec = video_unet_spec(model, ClipShape(frames=3, height=6, width=10, tokens=7))
    steady = [entry.name for entry in spec.inputs if entry.name not in ("sample", "timestep")]
    return model, spec, split_conditions(model, spec, steady)


def test_both_parts_together_are_the_whole(split):
    model, spec, ((context, first), (step, second)) = split
    assert first.component == "context" and second.component == "unet"
    with torch.no_grad():
        for seed, timestep in ((0, 900.0), (1, 20.0)):
            inputs = dict(zip((e.name for e in spec.inputs), example_inputs(spec, timestep, seed), strict=True))
            made = context(*(inputs[entry.name] for entry in first.inputs))
            made = made if isinstance(made, tuple) else (made,)
            inputs |= dict(zip((entry.name for entry in first.outputs), made, strict=True))
            assert [tuple(value.shape) for value in made] == [entry.shape for entry in first.outputs]
            got = step(*(inputs[entry.name] for entry in second.inputs))
            assert snr_db(model(*(inputs[entry.name] for entry in spec.inputs)), got) > 90


def test_no_step_projects_the_prompt(split):
    _, spec, (_, (step, second)) = split
    width = next(entry.shape[-1] for entry in spec.inputs if entry.name == "encoder_hidden_states")
    linear = [node for node in step.graph.nodes if node.target is aten.linear.default]
    assert linear and not [node for node in linear if node.args[0].meta["val"].shape[-1] == width]
    assert "encoder_hidden_states" not in [entry.name for entry in second.inputs]


def test_the_context_is_not_repeated_for_frames(split):
    _, _, ((_, first), _) = split
    assert all(entry.shape[0] == 1 for entry in first.outputs if len(entry.shape) > 2)


@pytest.mark.parametrize("steady", [[], ["prompt"], ["x", "y"]])
def test_what_cannot_be_steady(steady):
    from edge_stickers.spec import ComponentSpec, TensorSpec

    spec = ComponentSpec("unet", (TensorSpec("x", (1,)), TensorSpec("y", (1,))), (TensorSpec("z", (1,)),))
    with pytest.raises(InputError, match="is steady; expected some of x, y"):
        split_conditions(torch.nn.Identity(), spec, steady)
