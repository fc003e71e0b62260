"""Masks of attention: what their construction computes although it is known beforehand."""

from __future__ import annotations

import math
from typing import cast

import torch
from torch import Tensor, fx
from torch.export import ExportedProgram

from edge_stickers.convert.passes.constants import held_tensors
from edge_stickers.convert.passes.graph import calls, finish, insert, replace, shape

aten = torch.ops.aten


def simplify_masks(program: ExportedProgram) -> ExportedProgram:
    """Turns an index that picks every element in order into a view, and drops conjunctions with what is always true.

    Args:
        program: with its constants folded.

    Returns:
        The same program, changed in place.
    """
    held = held_tensors(program)
    for node in calls(program, aten.index.Tensor):
        if _picks_all(node, held):
            replace(node, insert(node, aten.reshape.default, node.args[0], shape(node)))
    for node in calls(program, aten.__and__.Tensor, aten.bitwise_and.Tensor, aten.logical_and.default):
        pair = cast("tuple[fx.Node, fx.Node]", node.args)
        for one, other in (pair, pair[::-1]):
            if one in held and held[one].dtype == torch.bool and bool(held[one].all()):
                kept = other
                replace(
                    node, kept if shape(kept) == shape(node) else insert(node, aten.expand.default, kept, shape(node))
                )
                break
    return finish(program)


def _picks_all(node: fx.Node, held: dict[fx.Node, Tensor]) -> bool:
    """Whether constant indices of all dimensions name the elements one after the other."""
    source, indices = node.args
    sizes = shape(source)  # type: ignore[arg-type]
    if len(indices) != len(sizes) or any(index not in held for index in indices):  # type: ignore[arg-type, union-attr]
        return False
    places = torch.arange(math.prod(sizes)).reshape(sizes)
    picked = places[tuple(held[index] for index in indices)]  # type: ignore[index, union-attr]
    return torch.equal(picked.flatten(), places.flatten())
