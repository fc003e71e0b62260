"""Arithmetic with numbers against PyTorch's own, to the last bit."""

from __future__ import annotations

from collections import Counter

import pytest
import torch

from edge_stickers.convert.passes.decompose import decompose
from edge_stickers.convert.passes.scalars import SCALARS
from tests.convert.passes.test_graph_passes import exported, same

aten = torch.ops.aten


@pytest.mark.parametrize("y", [0, 1, 2, -3, 0.0, 1.0, 0.5])
@pytest.mark.parametrize("operator", SCALARS)
def test_arithmetic_is_torchs(operator, y):
    x = torch.randn(3, 5)
    assert torch.equal(SCALARS[operator](x, y), operator(x, y))
    whole = torch.arange(6)
    got, expected = SCALARS[operator](whole, y), operator(whole, y)
    assert got.dtype == expected.dtype and torch.equal(got.nan_to_num(), expected.nan_to_num())
    assert torch.equal(SCALARS[operator](x, x + 4), operator(x, x + 4))
    assert torch.equal(SCALARS[aten.add.Tensor](x, 2, alpha=3), x + 6)


def test_no_whole_number_and_no_idle_operator_is_left():
    def function(x):
        return (x * 1 / 1 + 0) * 2 + x / 1.0

    inputs = (torch.randn(2, 3),)
    program = decompose(exported(function, *inputs))
    targets = Counter(node.target for node in program.graph.nodes if node.op == "call_function")
    assert targets == {aten.mul.Tensor: 1, aten.add.Tensor: 1}
    assert not [arg for node in program.graph.nodes for arg in node.args if isinstance(arg, int)]
    assert same(program, function, *inputs)
