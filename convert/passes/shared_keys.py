"""Attention whose keys are the same for all frames: the frames become queries of one attention."""

from __future__ import annotations

import torch
from torch import fx

from edge_stickers.convert.passes.graph import erase, insert, shape

aten = torch.ops.aten
ATTENTION, REPEAT = aten.scaled_dot_product_attention.default, aten.repeat_interleave.self_int


def share_keys(module: fx.GraphModule) -> fx.GraphModule:
    """Takes back the repetition of one clip's keys and values for its frames.

    Attention of (F, heads, Q, D) to keys repeated F times is attention of (1, heads, F Q, D) to the keys themselves:
    the same products, without F copies of keys and values.

    Args:
        module: the graph of an exported program, in the operators that it was exported with.

    Returns:
        The same module, changed in place.
    """
    for node in list(module.graph.nodes):
        if (
            node.op == "call_function"
            and node.target is ATTENTION
            and len(node.args) == 3
            and set(node.kwargs) <= {"scale"}
        ):
            _share(node)
    module.graph.lint()
    module.recompile()
    return module


def _share(node: fx.Node) -> None:
    query, key, value = node.args
    if len(shape(query)) != 4:  # type: ignore[arg-type]
        return
    frames, heads, queries, width = shape(query)  # type: ignore[arg-type]
    shared = [_repeated(each, frames) for each in (key, value)]
    if None in shared:
        return
    merged = insert(node, aten.permute.default, query, [1, 0, 2, 3])  # (heads, F, Q, D)
    merged = insert(node, aten.reshape.default, merged, [1, heads, frames * queries, width])
    out = insert(node, ATTENTION, merged, *shared, **node.kwargs)  # (1, heads, F Q, E)
    out = insert(node, aten.reshape.default, out, [heads, frames, queries, shape(out)[-1]])
    node.replace_all_uses_with(insert(node, aten.permute.default, out, [1, 0, 2, 3]))
    erase(node)


def _repeated(node: fx.node.Argument, frames: int) -> fx.Node | None:
    """What is repeated for all frames, where that is one clip's tensor of rank four."""
    if not isinstance(node, fx.Node) or node.target is not REPEAT or node.args[1] != frames:
        return None
    source: fx.Node = node.args[0]  # type: ignore[assignment]
    dim = node.args[2] if len(node.args) > 2 else node.kwargs.get("dim")
    return source if dim == 0 and len(shape(source)) == 4 and shape(source)[0] == 1 else None
