"""What half precision cannot hold, Core ML programs do not compute in it."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from edge_stickers.convert.coreml_executor import diagnose, load_program
from edge_stickers.convert.targets import TARGETS
from edge_stickers.quantize.recipe import RECIPES
from edge_stickers.spec import ComponentSpec, TensorSpec


class Norm(nn.Module):
    """Of numbers whose squares are past the largest of half precision."""

    def __init__(self):
        super().__init__()
        self.norm = nn.GroupNorm(4, 16, eps=1e-5)

    def forward(self, sample):
        return self.norm(sample * 400)


class Time(nn.Module):
    """Sine and cosine of a timestep, as every diffusion model has them."""

    def forward(self, sample):
        angles = sample * torch.tensor([[1.0, 0.7, 0.1, 0.01]])
        return torch.cat([angles.sin(), angles.cos()], dim=-1)


def in_float16(module, shape, folder, sample):
    """What the executor says of that module's program."""
    spec = ComponentSpec(
        "unet", (TensorSpec("sample", shape),), (TensorSpec("noise_pred", tuple(module(sample).shape)),)
    )
    artifact = TARGETS["coreml"].lower(module.eval(), spec, recipe=RECIPES["fp16"], folder=folder)
    wanted = {"noise_pred": module(sample).detach().numpy()}
    return diagnose(load_program(folder / artifact.entry), {"sample": sample.numpy().astype(np.float32)}, wanted)


@pytest.mark.parametrize("scale", [1e-2, 0.3, 1.0])
def test_squares_of_norms_stay_in_range(scale, tmp_path):
    sample = scale * torch.randn(2, 16, 8, 8, generator=torch.Generator().manual_seed(0))
    report = in_float16(Norm(), (2, 16, 8, 8), tmp_path, sample)
    assert report.overflowed == {}
    assert report.outputs[0].snr_db > 50


@pytest.mark.parametrize("timestep", [3.0, 501.0, 999.0])
def test_angles_are_not_rounded(timestep, tmp_path):
    report = in_float16(Time(), (1, 1), tmp_path, torch.tensor([[timestep]]))
    assert report.outputs[0].snr_db > 60
