"""Text and time that are the same for all frames: worked on once, and repeated afterwards."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, cast

import torch
from torch import fx

from edge_stickers.convert.passes.graph import insert, shape
from edge_stickers.convert.passes.views import same_dimensions

aten = torch.ops.aten
REPEAT = aten.repeat_interleave.self_int


def hoist_repeats(module: fx.GraphModule) -> fx.GraphModule:
    """Moves repetitions behind the operators that treat each repeated row alike.

    A model that repeats a prompt for its frames, and then projects it, projects it once a frame. Here it is projected
    once, and the result is repeated; `share_keys` then takes even that away from attention.

    Args:
        module: the graph of an exported program, in the operators that it was exported with.

    Returns:
        The same module, changed in place.
    """
    once: dict[fx.Node, tuple[fx.Node, int]] = {}  # what a node repeats, and along which dimension
    for node in list(module.graph.nodes):
        if node.op != "call_function":
            continue
        found = _RULES[node.target](node, once) if node.target in _RULES else None
        if found is not None:
            once[node] = found
    for node, (source, dim) in once.items():
        if node.target is not REPEAT:
            node.replace_all_uses_with(insert(node, REPEAT, source, shape(node)[dim], dim))
    module.graph.eliminate_dead_code()
    module.graph.lint()
    module.recompile()
    return module


Once = dict[fx.Node, tuple[fx.Node, int]]
Rule = Callable[[fx.Node, Once], tuple[fx.Node, int] | None]


def _repeat(node: fx.Node, once: Once) -> tuple[fx.Node, int] | None:
    source = cast("fx.Node", node.args[0])
    dim = node.args[2] if len(node.args) > 2 else node.kwargs.get("dim")
    return (source, dim) if isinstance(dim, int) and shape(source)[dim] == 1 else None


def _expand(node: fx.Node, once: Once) -> tuple[fx.Node, int] | None:
    source = cast("fx.Node", node.args[0])
    before, after = shape(source), shape(node)
    if len(before) != len(after):
        return None
    grown = [dim for dim, (old, new) in enumerate(zip(before, after, strict=True)) if old != new]
    return (source, grown[0]) if len(grown) == 1 else None


def _rowwise(node: fx.Node, once: Once) -> tuple[fx.Node, int] | None:
    """Each value, or each last dimension, by itself."""
    given = once.get(cast("fx.Node", node.args[0]))
    if given is None or given[1] == len(shape(node)) - 1:
        return None
    source, dim = given
    return insert(node, node.target, source, *node.args[1:], **node.kwargs), dim


def _view(node: fx.Node, once: Once) -> tuple[fx.Node, int] | None:
    given = once.get(cast("fx.Node", node.args[0]))
    if given is None:
        return None
    source, dim = given
    old, new = shape(cast("fx.Node", node.args[0])), shape(node)
    places = same_dimensions(old, new, dim)
    if not places or old[dim] == 1:
        return None
    small = [1 if place == places[0] else size for place, size in enumerate(new)]
    return insert(node, aten.reshape.default, source, small), places[0]


def _transpose(node: fx.Node, once: Once) -> tuple[fx.Node, int] | None:
    given = once.get(cast("fx.Node", node.args[0]))
    if given is None:
        return None
    source, dim = given
    first, second = (cast("int", d) % len(shape(node)) for d in node.args[1:3])
    return insert(node, node.target, source, first, second), {first: second, second: first}.get(dim, dim)


def _select(node: fx.Node, once: Once) -> tuple[fx.Node, int] | None:
    """One place of what repeats is the thing itself, and needs no repetition."""
    given = once.get(cast("fx.Node", node.args[0]))
    if given is None:
        return None
    source, dim = given
    if cast("int", node.args[1]) % len(shape(source)) == dim:
        node.replace_all_uses_with(insert(node, aten.select.int, source, dim, 0))
    return None


_RULES: dict[Any, Rule] = {
    REPEAT: _repeat,
    aten.expand.default: _expand,
    aten.broadcast_to.default: _expand,
    **dict.fromkeys(
        (aten.linear.default, aten.silu.default, aten.gelu.default, aten.contiguous.default, aten.clone.default,
         aten.dropout.default, aten.to.dtype, aten._to_copy.default),
        _rowwise,
    ),
    **dict.fromkeys(
        (aten.view.default, aten.reshape.default, aten._unsafe_view.default, aten.unsqueeze.default,
         aten.squeeze.dim), _view,
    ),
    aten.transpose.int: _transpose,
    aten.select.int: _select,
}  # fmt: skip
