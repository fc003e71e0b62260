"""From a module to an exported program, once for every target."""

from __future__ import annotations

import torch
from torch import fx, nn
from torch.export import ExportedProgram

from edge_stickers.errors import ConversionError
from edge_stickers.quantize.layers import OPERATORS
from edge_stickers.quantize.pt2e import ROUNDED
from edge_stickers.spec import ComponentSpec


def export_component(module: nn.Module, spec: ComponentSpec) -> ExportedProgram:
    """Traces a component with the shapes of its specification.

    Args:
        module: takes `spec.inputs` in their order.
        spec: names, shapes and dtypes.

    Returns:
        The program in ATen operators, norms and attention still whole. What a convolution or a linear layer does has
        `{"layer": path of the module, "operator": its name}` as `meta["custom"]`, which passes keep.

    Raises:
        ConversionError: the module cannot be traced, or returns other shapes than its specification says.
    """
    try:
        with torch.no_grad():
            program = torch.export.export(module.eval(), spec.example(), strict=False)
    except Exception as error:
        reason = str(error).strip().splitlines()[0][:300] if str(error).strip() else type(error).__name__
        raise ConversionError(f"{spec.component} cannot be exported: {reason}; see the cause above") from error
    for node in program.graph.nodes:
        layer = _layer(node)
        if layer is not None:
            node.meta["custom"] = {**node.meta.get("custom", {}), **layer}
    outputs = [tuple(node.meta["val"].shape) for node in program.graph.output_node().args[0]]
    expected = [tensor.shape for tensor in spec.outputs]
    if outputs != expected:
        raise ConversionError(
            f"{spec.component} returns shapes {outputs}, its specification says {expected}; correct one"
        )
    return program


def layers_in(program: ExportedProgram, component: str) -> dict[str, str]:
    """The layers that a program runs, as recipes name them, with their operators; parts may hold others, too.

    Args:
        program: as `edge_stickers.quantize.pt2e.quantize_program` is given it.
        component: that it is of.

    Returns:
        By `component/module`; "" in the place of an operator that it would not round.
    """
    found: dict[str, str] = {}
    for node in program.graph.nodes:
        custom = node.meta.get("custom") or {}
        if "operator" in custom:
            found[f"{component}/{custom['layer']}"] = custom["operator"] if node.target in ROUNDED else ""
    return found


def _layer(node: fx.Node) -> dict[str, str] | None:
    """Of the call that is a convolution's or a linear layer's own; None of any other."""
    stack = list(node.meta.get("nn_module_stack", {}).values())
    if node.op != "call_function" or not stack:
        return None
    path, kind = map(str, stack[-1])
    operators = {operator for module, operator in OPERATORS.items() if kind.endswith(module.__name__)}
    called = str(node.target).split(".")[1:2]  # of "aten.conv2d.default"
    return {"layer": path, "operator": called[0]} if operators & set(called) else None
