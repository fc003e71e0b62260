"""Operators on more than four dimensions on four: neighbouring dimensions that nothing tells apart become one."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from typing import cast

import torch
from torch import fx
from torch.export import ExportedProgram

from edge_stickers.convert.passes.graph import calls, finish, insert, replace, shape
from edge_stickers.convert.passes.views import PERMUTE, RANK, VIEW

aten = torch.ops.aten
ELEMENTWISE = (
    aten.add.Tensor,
    aten.sub.Tensor,
    aten.mul.Tensor,
    aten.div.Tensor,
    aten.silu.default,
    aten.gelu.default,
    aten.relu.default,
    aten.sigmoid.default,
    aten.tanh.default,
    aten.exp.default,
    aten.neg.default,
    aten.rsqrt.default,
    aten.clamp.default,
)


def fold_ranks(program: ExportedProgram) -> ExportedProgram:
    """Puts a view before and after every operator of more than four dimensions that can do with fewer.

    Dimensions are joined from the last on, so that one operator's views meet those of the next and cancel.

    Args:
        program: in core operators; see `simplify_views`, which should follow.

    Returns:
        The same program, changed in place. What needs its dimensions stays.
    """
    for node in calls(program, *ELEMENTWISE, PERMUTE, aten.cat.default, aten.slice.Tensor):
        if len(shape(node)) <= RANK:
            continue
        if node.target is PERMUTE:
            _permute(node)
        elif node.target in (aten.cat.default, aten.slice.Tensor):
            _along_one_dimension(node)
        else:
            _elementwise(node)
    return finish(program)


def joined(size: Sequence[int], apart: Sequence[bool]) -> list[list[int]] | None:
    """Which neighbouring dimensions to join so that four are left.

    Args:
        size: of the tensor.
        apart: for each dimension but the first, whether it must stay apart from the one before it.

    Returns:
        Runs of dimensions, in order, or None where too many must stay apart.
    """
    runs = [[place] for place in range(len(size))]
    for place in reversed(range(1, len(runs))):
        if len(runs) > RANK and not apart[runs[place][0] - 1]:
            runs[place - 1 : place + 1] = [runs[place - 1] + runs[place]]
    return runs if len(runs) <= RANK else None


def _merged(size: Sequence[int], runs: list[list[int]]) -> list[int]:
    return [math.prod(size[place] for place in run) for run in runs]


def _elementwise(node: fx.Node) -> None:
    out = shape(node)
    operands = [argument for argument in node.args if isinstance(argument, fx.Node)]
    sizes = [[1] * (len(out) - len(shape(each))) + shape(each) for each in operands]
    # Two dimensions can be one where each operand either has both or repeats along both.
    apart = [
        any((size[d] == out[d]) != (size[d + 1] == out[d + 1]) for size in sizes if 1 not in (out[d], out[d + 1]))
        for d in range(len(out) - 1)
    ]
    runs = joined(out, apart)
    if runs is None:
        return
    views = {each: insert(node, VIEW, each, _merged(size, runs)) for each, size in zip(operands, sizes, strict=True)}
    args = [views.get(argument, argument) if isinstance(argument, fx.Node) else argument for argument in node.args]
    replace(node, insert(node, VIEW, insert(node, node.target, *args, **node.kwargs), out))


def _permute(node: fx.Node) -> None:
    source = cast("fx.Node", node.args[0])
    order = [d % len(shape(node)) for d in cast("list[int]", node.args[1])]
    runs = joined(shape(node), [after != before + 1 for before, after in itertools.pairwise(order)])
    if runs is None:
        return
    moved = [[order[place] for place in run] for run in runs]  # the same runs, as the source has them
    starts = sorted(run[0] for run in moved)
    before = sorted(moved)
    small = insert(node, VIEW, source, _merged(shape(source), before))
    small = insert(node, PERMUTE, small, [starts.index(run[0]) for run in moved])
    replace(node, insert(node, VIEW, small, shape(node)))


def _along_one_dimension(node: fx.Node) -> None:
    """A concatenation or a slice: its own dimension stays apart from its neighbours."""
    out = shape(node)
    dim = cast("int", node.args[1]) % len(out) if len(node.args) > 1 else 0
    runs = joined(out, [dim in (d, d + 1) for d in range(len(out) - 1)])
    if runs is None:
        return
    place = next(index for index, run in enumerate(runs) if dim in run)

    def view(each: fx.Node) -> fx.Node:
        return insert(node, VIEW, each, _merged(shape(each), runs))

    if node.target is aten.cat.default:
        small = insert(node, aten.cat.default, [view(each) for each in cast("list[fx.Node]", node.args[0])], place)
    else:
        small = insert(node, aten.slice.Tensor, view(cast("fx.Node", node.args[0])), place, *node.args[2:])
    replace(node, insert(node, VIEW, small, out))
