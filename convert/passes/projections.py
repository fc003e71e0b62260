"""Linear layers whose output is cut or scaled: layers of their own for the parts, the factor in their weights."""

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
    """Spares the copies that cutting a layer's output takes, and the products with a plain number behind a layer.

    Args:
        program: from `simplify_views`, its constants folded.

    Returns:
        The same program, changed in place.
    """
    for node in calls(program, aten.linear.default):
        _cut(node)
    for node in calls(program, aten.mul.Tensor):
        _scale(node)
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


def _scale(node: fx.Node) -> None:
    """The product of a layer's output and a number becomes a layer of scaled weights."""
    factor = node.args[1]
    if not isinstance(factor, int | float):
        return
    moves: list[fx.Node] = []
    source = cast("fx.Node", node.args[0])
    while source.target in MOVES and len(source.users) == 1:
        moves.append(source)
        source = cast("fx.Node", source.args[0])
    if source.target not in PROJECTIONS or len(source.users) != 1:
        return
    x, weight, *others = source.args
    scaled = [insert(source, aten.mul.Tensor, each, factor) for each in (weight, *others[:1]) if each]
    layer = insert(source, source.target, x, *scaled, *others[len(scaled) - 1 :])
    custom = source.meta.get("custom", {})
    layer.meta["custom"] = {**custom, "factor": custom.get("factor", 1.0) * factor}  # of the range that was calibrated
    source.replace_all_uses_with(layer)
    replace(node, cast("fx.Node", node.args[0]))
    erase(source)
