"""Constants: making them while a program is traced, and computing ahead what depends on constants alone."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import torch
from torch import Tensor, fx
from torch._guards import detect_fake_mode
from torch.export import ExportedProgram
from torch.export.graph_signature import InputKind, InputSpec, TensorArgument

from edge_stickers.convert.passes.graph import finish

_NUMPY = {
    torch.float32: np.float32,
    torch.float16: np.float16,
    torch.float64: np.float64,
    torch.int64: np.int64,
    torch.int32: np.int32,
    torch.bool: np.bool_,
}


def constant(values: np.ndarray[Any, Any], dtype: torch.dtype) -> Tensor:
    """A tensor that the program being traced holds as data, rather than operators that would make it at run time.

    Args:
        values: any shape.
        dtype: of the tensor.

    Returns:
        The values as a tensor.
    """
    return torch.from_numpy(np.ascontiguousarray(values, dtype=_NUMPY[dtype]))


def fold_constants(program: ExportedProgram) -> ExportedProgram:
    """Replaces every operator whose inputs are all parameters, buffers or constants by its result.

    Args:
        program: any; its inputs and outputs stay.

    Returns:
        The same program, changed in place.
    """
    values = held_tensors(program)
    for node in program.graph.nodes:
        if node.op == "call_function" and all(source in values for source in node.all_input_nodes) and _is_tensor(node):
            args, kwargs = (fx.node.map_arg(each, values.__getitem__) for each in (node.args, node.kwargs))
            with torch.no_grad():
                made = node.target(*args, **kwargs).detach()
            # A piece of a weight is copied: XNNPACK serialises a tensor's storage from its beginning.
            values[node] = made.clone(memory_format=torch.contiguous_format)
    first = next(node for node in program.graph.nodes if node.op == "placeholder")
    for node, value in values.items():
        if node.op == "call_function" and any(user not in values for user in node.users):
            node.replace_all_uses_with(_placeholder(program, first, value))
    for node in reversed(list(values)):
        if not node.users:
            _remove(program, node)
    return finish(program)


def held_tensors(program: ExportedProgram) -> dict[fx.Node, Tensor]:
    """What the program holds, by placeholder; nothing that it changes while it runs."""
    signature, held = program.graph_signature, {**program.constants, **program.state_dict}
    changed = set(signature.buffers_to_mutate.values())
    names = {
        spec.arg.name: spec.target
        for spec in signature.input_specs
        if spec.target is not None and spec.target not in changed
    }
    placeholders = [node for node in program.graph.nodes if node.op == "placeholder" and node.name in names]
    return {node: held[names[node.name]] for node in placeholders if isinstance(held[names[node.name]], Tensor)}


def _placeholder(program: ExportedProgram, first: fx.Node, value: Tensor) -> fx.Node:
    """A new constant of the program, in front of all its inputs."""
    name = next(name for name in (f"folded_{n}" for n in itertools.count()) if name not in program.constants)
    with program.graph.inserting_before(first):
        node: fx.Node = program.graph.placeholder(name)
    mode: Any = detect_fake_mode(
        [n.meta.get("val") for n in program.graph.nodes if n.op == "placeholder" and "val" in n.meta]
    )
    node.meta["val"] = mode.from_tensor(value, static_shapes=True)
    program.constants[name] = value
    spec = InputSpec(InputKind.CONSTANT_TENSOR, TensorArgument(name=node.name), name, persistent=True)
    specs = program.graph_signature.input_specs
    place = [n for n in program.graph.nodes if n.op == "placeholder"].index(node)
    specs.insert(place, spec)
    return node


def _remove(program: ExportedProgram, node: fx.Node) -> None:
    """Takes an unused node out, and what the program held for it."""
    if node.op == "placeholder":
        specs = program.graph_signature.input_specs
        (spec,) = (spec for spec in specs if spec.arg.name == node.name)
        specs.remove(spec)
        if spec.target not in {other.target for other in specs}:
            program.state_dict.pop(spec.target, None)
            program.constants.pop(spec.target, None)
    program.graph.erase_node(node)


def _is_tensor(node: fx.Node) -> bool:
    return isinstance(node.meta.get("val"), Tensor)
