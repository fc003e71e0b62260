"""Layers whose output is cut, scaled or shifted: layers of their own for the parts, the numbers in their weights."""

from __future__ import annotations

from typing import cast

import torch
from torch import fx
from torch.export import ExportedProgram

from edge_stickers.convert.passes.constants import fold_constants
from edge_stickers.convert.passes.graph import calls, erase, finish, insert, replace, shape
from edge_stickers.convert.passes.views import PERMUTE, VIEW

aten = torch.ops.aten
PROJECTIONS = (aten.linear.default, aten.conv2d.default)
MOVES = (VIEW, PERMUTE)
"""What a factor passes through unchanged."""


def fold_projections(program: ExportedProgram) -> ExportedProgram:
    """Spares the copies that cutting a layer's output takes, and products and sums with a plain number behind a layer.

    Args:
        program: from `simplify_views`, its constants folded.

    Returns:
        The same program, changed in place.
    """
    for node in calls(program, aten.linear.default):
        _cut(node)
    for node in calls(program, aten.mul.Tensor, aten.add.Tensor):
        _fold(node)
    return fold_constants(finish(program))


def _cut(node: fx.Node) -> None:
    """A linear layer of which only slices of the last dimension are used becomes one layer a slice."""
    last, width = len(shape(node)) - 1, shape(node)[-1]
    users = list(node.users)
    if any(user.target is not aten.slice.Tensor or user.args[1] not in (last, -1) for user in users):
        return
    if sum(shape(user)[last] for user in users) > width:  # slices that overlap would be computed twice
        return
    x, weight, *bias = node.args
    for user in users:
        parts = [insert(user, aten.slice.Tensor, each, 0, *user.args[2:]) for each in (weight, *bias) if each]
        layer = insert(user, aten.linear.default, x, *parts)
        layer.meta["custom"] = dict(node.meta.get("custom", {}))
        replace(user, layer)


def _fold(node: fx.Node) -> None:
    """The product or the sum of a layer's output and a number becomes a layer of other weights."""
    number = node.args[1]
    if not isinstance(number, int | float):
        return
    source = cast("fx.Node", node.args[0])
    while source.target in MOVES and len(source.users) == 1:
        source = cast("fx.Node", source.args[0])
    if source.target not in PROJECTIONS or len(source.users) != 1:
        return
    x, weight, *others = cast("tuple[fx.Node, ...]", source.args)
    # What was calibrated is the range of the layer as it was: `factor` and `shift` say what became of it.
    custom = {"factor": 1.0, "shift": 0.0, **source.meta.get("custom", {})}
    if node.target is aten.mul.Tensor:
        weights = [insert(source, aten.mul.Tensor, each, number) for each in (weight, *others[:1]) if each]
        custom |= {"factor": custom["factor"] * number, "shift": custom["shift"] * number}
    elif others and others[0] and not node.kwargs:
        weights = [weight, insert(source, aten.add.Tensor, others[0], number)]
        custom |= {"shift": custom["shift"] + number}
    else:
        return
    layer = insert(source, source.target, x, *weights, *others[len(weights) - 1 :])
    layer.meta["custom"] = custom
    source.replace_all_uses_with(layer)
    replace(node, cast("fx.Node", node.args[0]))
    erase(source)
