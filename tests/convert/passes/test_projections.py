"""Cut and scaled layers: fewer operators, the same numbers."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from edge_stickers.convert.parity import snr_db
from edge_stickers.convert.passes import fold_constants, fold_projections, simplify_views

aten = torch.ops.aten


class Cut(nn.Module):
    """A layer of 7 + 5 channels, the first of them scaled behind a view; with `whole`, used as one, too."""

    def __init__(self, *, bias: bool, whole: bool = False, overlap: int = 0) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.layer, self.whole, self.overlap = nn.Linear(6, 12, bias=bias), whole, overlap

    def forward(self, x):
        made = self.layer(x)
        first, second = made[:, :, :7], made[:, :, 7 - self.overlap :]
        first = first.reshape(3, -1).reshape(1, 3, 5, 7).transpose(1, 2) * 0.3
        return (first, second.sin(), made.cos()) if self.whole else (first, second.sin())


class Scaled(nn.Module):
    """A grouped convolution with a stride, its output scaled by a whole number."""

    def __init__(self, *, bias: bool, twice: bool = False) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.layer, self.twice = nn.Conv2d(4, 6, 3, stride=2, padding=1, groups=2, bias=bias), twice

    def forward(self, x):
        made = self.layer(x)
        return made * 3 + (made if self.twice else x.mean())


def folded(module, x):
    program = fold_projections(simplify_views(fold_constants(torch.export.export(module, (x,), strict=False))))
    expected, got = module(x), program.module()(x)
    for one, other in zip(*((e,) if isinstance(e, torch.Tensor) else e for e in (expected, got)), strict=True):
        assert snr_db(one.detach(), other.detach()) > 110
    return [node.target for node in program.graph.nodes if node.op == "call_function"]


@pytest.mark.parametrize("bias", [True, False])
def test_a_cut_layer_becomes_two_and_the_factor_goes_into_one(bias):
    targets = folded(Cut(bias=bias), torch.randn(3, 5, 6))
    assert targets.count(aten.linear.default) == 2
    assert aten.slice.Tensor not in targets and aten.mul.Tensor not in targets


@pytest.mark.parametrize("kept", [{"whole": True}, {"overlap": 2}])
def test_a_layer_that_is_needed_whole_stays_whole(kept):
    targets = folded(Cut(bias=True, **kept), torch.randn(3, 5, 6))
    assert targets.count(aten.linear.default) == 1


@pytest.mark.parametrize("bias", [True, False])
def test_the_factor_behind_a_convolution_goes_into_its_weights(bias):
    assert aten.mul.Tensor not in folded(Scaled(bias=bias), torch.randn(2, 4, 9, 7))


def test_a_factor_of_a_layer_that_has_another_user_stays():
    assert aten.mul.Tensor in folded(Scaled(bias=True, twice=True), torch.randn(2, 4, 9, 7))


@pytest.mark.parametrize("bias", [True, False])
def test_a_number_added_goes_into_the_bias_where_there_is_one(bias):
    class Modulation(nn.Module):
        def __init__(self):
            super().__init__()
            self.layer = nn.Linear(6, 8, bias=bias)

        def forward(self, x):
            return (self.layer(x).reshape(2, 2, 4) * 2.0 + 1.0) * 0.5

    targets = folded(Modulation(), torch.randn(2, 6))
    assert targets.count(aten.add.Tensor) == (0 if bias else 1)


def test_an_attention_scale_goes_into_the_queries():
    class Attention(nn.Module):
        def __init__(self):
            super().__init__()
            self.to_query = nn.Linear(8, 8)

        def forward(self, x):
            query = self.to_query(x).reshape(2, 5, 2, 4).permute(0, 2, 1, 3) * 0.5
            return F.softmax(query, dim=-1)

    assert aten.mul.Tensor not in folded(Attention(), torch.randn(2, 5, 8))
