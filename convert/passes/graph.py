"""Small edits of a program's graph, with the shapes of new operators worked out as they are put in."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor, fx
from torch.export import ExportedProgram
from torch.export.graph_signature import TensorArgument

aten = torch.ops.aten
_KEPT = ("stack_trace", "nn_module_stack", "custom")
"""What an operator inherits from the one that it stands for."""


def calls(program: ExportedProgram, *targets: Any) -> Iterator[fx.Node]:
    """The calls of these operators, in the order in which they run; the graph may be edited meanwhile."""
    for node in list(program.graph.nodes):
        if node.op == "call_function" and node.target in targets:
            yield node


def shape(node: fx.Node) -> list[int]:
    """The shape of what a node makes."""
    return list(node.meta["val"].shape)


def insert(before: fx.Node, target: Any, *args: Any, **kwargs: Any) -> fx.Node:
    """Puts a call in front of another, with that other's place in the source as its own.

    Args:
        before: the node that the new one precedes.
        target: an operator.
        args: nodes and plain values.
        kwargs: plain values.

    Returns:
        The new node, its `meta["val"]` set.
    """
    graph = before.graph
    with graph.inserting_before(before):
        node = graph.call_function(target, args, kwargs)
    node.meta = {key: value for key, value in before.meta.items() if key in _KEPT}
    with torch.no_grad():
        node.meta["val"] = target(*fx.node.map_arg(args, lambda argument: argument.meta["val"]), **kwargs)
    return node


def replace(node: fx.Node, by: fx.Node) -> None:
    """Gives the users of one node another one, and removes what nobody uses then."""
    node.replace_all_uses_with(by)
    erase(node)


def erase(node: fx.Node) -> None:
    """Removes an operator nobody uses, and then its inputs that nobody uses either."""
    if node.op == "call_function" and not node.users and not _has_effect(node):
        inputs = node.all_input_nodes
        node.graph.erase_node(node)
        for source in inputs:
            if not source._erased:
                erase(source)


def fake_tensor(node: fx.Node) -> Tensor:
    """The shape, dtype and strides of what a node makes."""
    value: Tensor = node.meta["val"]
    return value


def finish(program: ExportedProgram) -> ExportedProgram:
    """Checks the edited graph, names its outputs in the signature as they are named now, and makes its code anew."""
    program.graph.lint()
    for spec, node in zip(program.graph_signature.output_specs, program.graph.output_node().args[0], strict=True):
        if isinstance(node, fx.Node) and isinstance(spec.arg, TensorArgument):
            spec.arg = TensorArgument(name=node.name)
    program.graph_module.recompile()
    return program


def _has_effect(node: fx.Node) -> bool:
    return node.target is aten._assert_tensor_metadata.default
