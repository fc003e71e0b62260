"""A denoiser in two: what depends on the conditions alone, run once a clip, and the step, run for every timestep."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import torch
from torch import fx, nn

from edge_stickers.convert.export import export_component
from edge_stickers.convert.passes.graph import insert, replace, shape
from edge_stickers.convert.passes.repeats import REPEAT, hoist_repeats
from edge_stickers.convert.passes.shared_keys import share_keys
from edge_stickers.errors import InputError
from edge_stickers.spec import ComponentSpec, TensorSpec

aten = torch.ops.aten
PER_STEP = ("sample", "timestep")
"""Inputs that differ from step to step; all others are conditions of the whole clip."""
_FILLS = {
    aten.zeros_like.default: 0.0,
    aten.new_zeros.default: 0.0,
    aten.ones_like.default: 1.0,
    aten.new_ones.default: 1.0,
}
_REPEATS = (REPEAT, aten.expand.default, aten.broadcast_to.default)


def split_conditions(
    module: nn.Module, spec: ComponentSpec, steady: Iterable[str] | None = None
) -> tuple[tuple[nn.Module, ComponentSpec], tuple[nn.Module, ComponentSpec]]:
    """Takes a denoiser apart by its inputs.

    Args:
        module: takes `spec.inputs` in their order.
        spec: of the denoiser.
        steady: names of the inputs that are the same at every step of a clip: the prompt, the still; None for all but
            those of `PER_STEP`.

    Returns:
        A module from these inputs to `context_0`, `context_1`, ..., with its specification as "context", and a module
        from the other inputs and these tensors to the denoiser's outputs, with its specification as "unet".

    Raises:
        InputError: `steady` names an input that is not there, or none or all of them.
        ConversionError: the module cannot be traced.
    """
    names = [entry.name for entry in spec.inputs]
    chosen = set(names) - set(PER_STEP) if steady is None else set(steady)
    if not chosen < set(names) or not chosen:
        raise InputError(f"{', '.join(sorted(chosen)) or 'nothing'} is steady; expected some of {', '.join(names)}")
    program = export_component(module, spec)
    graph = share_keys(hoist_repeats(_without_likeness(program.module(check_guards=False))))
    placeholders = dict(zip(names, (n for n in graph.graph.nodes if n.op == "placeholder"), strict=True))
    once = _depends_on(graph, {placeholders[name] for name in chosen})
    carried = _carried(graph, once)
    context = tuple(TensorSpec(f"context_{index}", tuple(shape(node))) for index, node in enumerate(carried))
    before = tuple(entry for entry in spec.inputs if entry.name in chosen)
    after = tuple(entry for entry in spec.inputs if entry.name not in chosen) + context
    first = _part(graph, [placeholders[entry.name] for entry in before], carried)
    kept = [placeholders[entry.name] for entry in after[: -len(context)]]
    second = _part(graph, [*kept, *carried], graph.graph.output_node().all_input_nodes)
    return (first, ComponentSpec("context", before, context)), (second, ComponentSpec("unet", after, spec.outputs))


def _without_likeness(module: fx.GraphModule) -> fx.GraphModule:
    """Constants that are written as if they depended on another tensor, as constants."""
    for node in list(module.graph.nodes):
        if node.op == "call_function" and node.target in _FILLS:
            filled = insert(node, aten.full.default, shape(node), _FILLS[node.target], dtype=node.meta["val"].dtype)
            replace(node, filled)
    module.recompile()
    return module


def _depends_on(module: fx.GraphModule, sources: set[fx.Node]) -> set[fx.Node]:
    """Operators that read some of the sources and nothing else but parameters."""
    steady: set[fx.Node] = set(sources)
    fixed: set[fx.Node] = set()  # parameters, and what follows from them
    for node in module.graph.nodes:
        inputs = node.all_input_nodes
        if node.op == "get_attr" or (node.op == "call_function" and all(source in fixed for source in inputs)):
            fixed.add(node)
        elif node.op == "call_function" and all(source in steady or source in fixed for source in inputs):
            steady.add(node)
    return steady


def _carried(module: fx.GraphModule, once: set[fx.Node]) -> list[fx.Node]:
    """What the second part needs of the first; repetitions are left to the second, which needs less memory so."""
    found: dict[fx.Node, None] = {}
    for node in module.graph.nodes:
        if node not in once and node.op in ("call_function", "output"):
            for source in node.all_input_nodes:
                while source in once and source.target in _REPEATS:
                    source = source.args[0]
                if source in once:
                    found[source] = None
    return list(found)


def _part(module: fx.GraphModule, inputs: Sequence[fx.Node], outputs: Sequence[fx.Node]) -> fx.GraphModule:
    """The graph between some nodes and others, as a module with the same parameters."""
    graph = fx.Graph()
    copies: dict[fx.Node, fx.Node] = {}
    for node in inputs:
        copies[node] = graph.placeholder(node.name)
        copies[node].meta = dict(node.meta)
    for node in _needed(outputs, set(inputs), module):
        copies[node] = graph.node_copy(node, copies.__getitem__)
    made: Any = tuple(copies[node] for node in outputs)
    graph.output(made if len(made) > 1 else made[0])
    graph.lint()
    return fx.GraphModule(module, graph)


def _needed(outputs: Sequence[fx.Node], inputs: set[fx.Node], module: fx.GraphModule) -> list[fx.Node]:
    """All nodes that the outputs follow from, in the order in which they run."""
    pending, found = list(outputs), set()
    while pending:
        node = pending.pop()
        if node not in found and node not in inputs:
            found.add(node)
            pending += node.all_input_nodes
    return [node for node in module.graph.nodes if node in found]
