"""Programs of many dimensions on four, with the same numbers."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

from edge_stickers.convert.passes import fold_ranks, simplify_views
from edge_stickers.convert.passes.ranks import joined
from tests.convert.passes.test_graph_passes import exported, same


def largest(program):
    values = [node.meta["val"] for node in program.graph.nodes if node.op == "call_function"]
    return max(value.dim() for value in values)


def folded(function, *inputs):
    return simplify_views(fold_ranks(simplify_views(exported(function, *inputs))))


def test_a_temporal_block_needs_four_dimensions():
    """As diffusers has it: frames to volumes, an addition over volumes, and back."""

    def function(x, shift):
        volume = x.reshape(1, 6, 4, 5, 3).permute(0, 2, 1, 3, 4)
        volume = volume + F.silu(volume * shift.reshape(1, 4, 1, 1, 1)) / 2.0
        return volume.permute(0, 2, 1, 3, 4).reshape(x.shape)

    inputs = torch.randn(6, 4, 5, 3), torch.randn(4)
    program = folded(function, *inputs)
    assert largest(program) == 4
    assert same(program, function, *inputs)


def test_slices_and_concatenations_keep_their_dimension():
    def function(x):
        return torch.cat([x[:, :, 1:], x[:, :, :1]], dim=2).reshape(2, 3, -1)

    inputs = (torch.randn(2, 3, 4, 5, 3),)
    program = folded(function, *inputs)
    assert largest(program) == 4
    assert same(program, function, *inputs)


def test_what_needs_its_dimensions_stays():
    def function(x, y):
        return (x.permute(4, 3, 2, 1, 0) * y).reshape(2, -1)

    inputs = torch.randn(2, 3, 4, 5, 6), torch.randn(1, 5, 1, 3, 1)
    program = folded(function, *inputs)
    assert largest(program) == 5
    assert same(program, function, *inputs)


@pytest.mark.parametrize(
    ("size", "apart", "expected"),
    [
        ([2, 3, 4, 5, 6], [False] * 4, [[0], [1], [2], [3, 4]]),
        ([2, 3, 4, 5, 6], [False, False, False, True], [[0], [1], [2, 3], [4]]),
        ([2, 3, 4, 5, 6, 7], [False] * 5, [[0], [1], [2], [3, 4, 5]]),
        ([2, 3, 4, 5, 6], [True] * 4, None),
    ],
)
def test_dimensions_are_joined_from_the_last_on(size, apart, expected):
    assert joined(size, apart) == expected
