"""Temporal attention at the default student's own sizes: as it comes, after the passes, and its projections alone.

    python -m pytest benchmarks/test_temporal_attention.py [--rounds 30]

All levels in one program, each contender in its own process; the goal is 1.5 times the projections, and half of what
the graph takes as it comes.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from benchmarks.alternation import Alternation, Contender
from edge_stickers.bundle.manifest import tensor_entries
from edge_stickers.config import FRAMES, preset
from edge_stickers.convert.export import export_component
from edge_stickers.convert.passes import prepare
from edge_stickers.convert.targets.backends import Lowered, backend, lower_program
from edge_stickers.models.temporal import TemporalAttention, identity_parameters
from edge_stickers.runtimes.base import runtime
from edge_stickers.runtimes.process import Program, Worker, WorkerSession
from edge_stickers.spec import ComponentSpec, TensorSpec


class Levels(nn.Module):
    """One temporal attention of each level."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        unet = preset("student").unet
        side = unet.sample_size // unet.patch_size
        self.sizes = [(width, side // 2**level) for level, width in enumerate(unet.widths)]
        self.attentions = nn.ModuleList(
            TemporalAttention(width, frames=FRAMES, head_dim=unet.head_dim, groups=unet.norm_groups)
            for width in unet.widths
        )
        for _, parameter in identity_parameters(self):
            nn.init.normal_(parameter, std=0.05)

    def forward(self, *x: Tensor) -> tuple[Tensor, ...]:
        """(F, C, H, W) of each level to the same shapes."""
        return tuple(attention(each) for attention, each in zip(self.attentions, x, strict=True))


class Projections(Levels):
    """Their linear layers alone, on tokens that lie as attention wants them."""

    def forward(self, *x: Tensor) -> tuple[Tensor, ...]:
        """(F, C, H, W) of each level to the same shapes; the numbers mean nothing."""
        made = []
        for attention, each in zip(self.attentions, x, strict=True):
            tokens = each.reshape(-1, FRAMES, each.shape[1])
            query, key = attention.to_query_key(tokens).chunk(2, dim=2)
            made.append(attention.to_out(query + key + attention.to_value(tokens)).reshape(each.shape))
        return tuple(made)


class Unattended(Levels):
    """All but the attention itself: what its products and its softmax cost is the difference."""

    def forward(self, *x: Tensor) -> tuple[Tensor, ...]:
        """(F, C, H, W) of each level to the same shapes; the numbers mean nothing."""
        made = []
        for attention, each in zip(self.attentions, x, strict=True):
            frames, channels, height, width = each.shape
            tokens = (
                attention.norm(each).reshape(1, frames, channels, -1).permute(0, 3, 1, 2).reshape(-1, frames, channels)
            )
            query, key = attention.to_query_key(tokens + attention.frame_code(attention.features)).chunk(2, dim=2)
            out = attention.to_out(query + key + attention.to_value(tokens))
            out = out.reshape(1, -1, frames, channels).permute(0, 2, 3, 1).reshape(frames, channels, height, width)
            made.append(each + out)
        return tuple(made)


def spec_of(levels: Levels) -> ComponentSpec:
    shapes = [(FRAMES, width, side, side) for width, side in levels.sizes]
    inputs = tuple(TensorSpec(f"x{index}", shape) for index, shape in enumerate(shapes))
    return ComponentSpec("unet", inputs, tuple(TensorSpec(f"y{index}", shape) for index, shape in enumerate(shapes)))


@pytest.fixture(scope="module")
def contenders(tmp_path_factory: pytest.TempPathFactory) -> list[Contender]:
    folder: Path = tmp_path_factory.mktemp("attention")
    made = []
    for title, module, passes in (
        ("after the passes", Levels(), prepare),
        ("as it comes", Levels(), lambda program: program),
        ("the same without products and softmax", Unattended(), prepare),
        ("its projections alone", Projections(), prepare),
    ):
        spec = spec_of(module)
        lowered = lower_program(passes(export_component(module, spec)), title, backend("xnnpack"), "fp32")
        path = folder / f"{title.replace(' ', '_')}.pte"
        path.write_bytes(lowered.data)
        entries = tensor_entries(spec.inputs), tensor_entries(spec.outputs)
        session = WorkerSession(Worker(title, runtime("executorch").opener), Program(title, path, *entries))
        arrays = {entry.name: x.numpy() for entry, x in zip(spec.inputs, spec.example(), strict=True)}
        with torch.no_grad():
            expected = module(*spec.example())
        for name, value in zip((entry.name for entry in spec.outputs), expected, strict=True):
            np.testing.assert_allclose(session.run(arrays)[name], value, atol=1e-3, rtol=1e-3)

        def run(session: WorkerSession = session, arrays: dict[str, np.ndarray] = arrays) -> float:
            session.run(arrays)
            return session.worker.seconds

        made.append(Contender(_title(title, lowered), run, 0.0))
    return made


def _title(title: str, lowered: Lowered) -> str:
    others = sum(lowered.undelegated.values())
    return f"{title} ({lowered.delegate_calls} delegate calls, {others} operators outside)"


def test_temporal_attention(compare: Callable[..., object], contenders: list[Contender]) -> None:
    compare("temporal attention of all levels", Alternation(contenders), rates=None)
