"""A prepared program with the layers of a recipe in int8, as pairs of quantise and dequantise around them (PT2E)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, cast

import torch
from torch import fx
from torch.export import ExportedProgram

from edge_stickers.errors import ConversionError
from edge_stickers.quantize.layers import LEAST_ROWS
from edge_stickers.quantize.recipe import HIGHEST, INT8, LOWEST, Precision, Range, Recipe

aten = torch.ops.aten
CONVOLUTIONS = (aten.conv2d.default, aten.conv_transpose2d.input)
OPERATORS = (*CONVOLUTIONS, aten.linear.default)
ROUNDED = (*OPERATORS, aten.embedding.default)
"""What has an 8-bit form."""
EPS = 2**-12
"""The smallest scale, as XNNPACK has it."""
_IMAGES = (*CONVOLUTIONS, aten.mean.dim, aten._to_copy.default)
"""What makes images channels last, XNNPACK's layout of them."""
_ROWS = (aten.view_copy.default, aten.linear.default, aten.permute.default, aten.bmm.default)
"""What makes tensors whose last dimension comes last."""


def quantize_program(program: ExportedProgram, recipe: Recipe, component: str) -> ExportedProgram:
    """Rounds weights to int8, one scale an output channel, and puts the rounding of activations around each layer.

    Args:
        program: whose layers have `meta["custom"]` as `edge_stickers.convert.export` writes it; it is left as it is.
        recipe: with ranges where its activations are static.
        component: that the program is of.

    Returns:
        A program with the same inputs and outputs, named anew; the same one where no layer is in int8.

    Raises:
        ConversionError: a layer has no range.

    Source: PyTorch 2 Export quantisation, https://docs.pytorch.org/ao/stable/tutorials_source/pt2e_quant_ptq.html.
    """
    from torchao.quantization.pt2e.quantize_pt2e import convert_pt2e, prepare_pt2e

    layers = _layers(program.graph, recipe, component)
    tables = _tables(program.graph, recipe, component)
    if program.example_inputs is None or not layers + tables:
        return program
    inputs = program.example_inputs[0]
    with torch.no_grad():
        module = program.module(check_guards=False)
        _round_tables(module, _tables(module.graph, recipe, component))
        _put_channels_last(module, _layers(module.graph, recipe, component))
        prepared = prepare_pt2e(module, _quantizer(recipe, component))
        prepared(*inputs)  # weights are looked at when the program runs
        return torch.export.export(convert_pt2e(prepared), inputs, strict=False)


def _layers(graph: fx.Graph, recipe: Recipe, component: str) -> list[tuple[fx.Node, str, Precision]]:
    """The calls that a recipe wants in int8, with the names of their layers and the kind of int8."""
    found: list[tuple[fx.Node, str, Precision]] = []
    for node in graph.nodes:
        custom = node.meta.get("custom") or {}
        if node.target in OPERATORS and "operator" in custom:
            layer = f"{component}/{custom['layer']}"
            precision = recipe.precision(layer, custom["operator"])
            if precision in INT8:
                found.append((node, layer, precision))
    return found


def _tables(graph: fx.Graph, recipe: Recipe, component: str) -> list[fx.Node]:
    """The look-ups in embeddings that a recipe wants in int8."""
    found = []
    for node in graph.nodes:
        custom = node.meta.get("custom") or {}
        if node.target == aten.embedding.default and "operator" in custom:
            if cast(fx.Node, node.args[0]).meta["val"].shape[0] < LEAST_ROWS:
                continue
            precision = recipe.precision(f"{component}/{custom['layer']}", custom["operator"])
            if precision in INT8:
                found.append(node)
    return found


def _round_tables(module: fx.GraphModule, lookups: Sequence[fx.Node]) -> None:
    """Looks rows up in tables of int8, and their scales in tables of one column, so that no table is made floating."""
    for index, node in enumerate(lookups):
        source, ids = cast("tuple[fx.Node, fx.Node]", node.args[:2])
        table = module.get_parameter(str(source.target)).detach()
        scale = (table.abs().amax(dim=1, keepdim=True) / HIGHEST).clamp_min(EPS)
        module.register_buffer(f"rows_{index}", (table / scale).round().clamp(-HIGHEST, HIGHEST).to(torch.int8))
        module.register_buffer(f"scales_{index}", scale)
        with module.graph.inserting_before(node):
            rows, scales = (
                module.graph.call_function(aten.embedding.default, (module.graph.get_attr(f"{name}_{index}"), ids))
                for name in ("rows", "scales")
            )
            floating = module.graph.call_function(aten._to_copy.default, (rows,), {"dtype": table.dtype})
            product = module.graph.call_function(aten.mul.Tensor, (floating, scales))
        for made in (rows, scales, floating, product):
            made.meta = {**node.meta, "custom": {}}
        node.replace_all_uses_with(product)
        module.graph.erase_node(node)
    module.graph.eliminate_dead_code()
    module.recompile()


def _quantizer(recipe: Recipe, component: str) -> Any:
    """Says of each layer that is to be in int8 how its input, its weight and its output are rounded."""
    from torchao.quantization.pt2e import PerChannelMinMaxObserver, PlaceholderObserver
    from torchao.quantization.pt2e.quantizer import QuantizationAnnotation, QuantizationSpec, Quantizer
    from torchao.quantization.pt2e.quantizer.quantizer import Q_ANNOTATION_KEY

    dynamic = QuantizationSpec(
        torch.int8,
        PlaceholderObserver.with_args(eps=EPS),
        LOWEST,
        HIGHEST,
        torch.per_tensor_affine,
        is_dynamic=True,
    )

    def weights(axis: int) -> QuantizationSpec:
        observer = PerChannelMinMaxObserver.with_args(eps=EPS)
        return QuantizationSpec(torch.int8, observer, -HIGHEST, HIGHEST, torch.per_channel_symmetric, axis)

    class RecipeQuantizer(Quantizer):
        def annotate(self, model: fx.GraphModule) -> fx.GraphModule:
            for node, layer, precision in _layers(model.graph, recipe, component):
                axis = 1 if node.target is aten.conv_transpose2d.input else 0
                annotation = QuantizationAnnotation(_annotated=True)
                source, weight = cast("tuple[fx.Node, fx.Node]", node.args[:2])
                annotation.input_qspec_map = {weight: weights(axis)}
                if precision == "w8a8-dynamic":
                    annotation.input_qspec_map[source] = dynamic
                if precision == "w8a8":
                    known = range_of(recipe, layer)
                    custom = node.meta["custom"]
                    factor, shift = float(custom.get("factor", 1.0)), float(custom.get("shift", 0.0))
                    annotation.input_qspec_map[source] = _fixed(known.input)
                    annotation.output_qspec = _fixed(
                        (known.output[0] * factor + shift, known.output[1] * factor + shift)
                    )
                node.meta[Q_ANNOTATION_KEY] = annotation
            return model

        def validate(self, model: fx.GraphModule) -> None:
            pass

    return RecipeQuantizer()


def range_of(recipe: Recipe, layer: str) -> Range:
    """Of a layer's activations.

    Raises:
        ConversionError: it has none.
    """
    if layer not in recipe.ranges:
        raise ConversionError(
            f"recipe {recipe.name} has no range of {layer}; calibrate it on this model: edge-stickers quantize"
        )
    return recipe.ranges[layer]


def scale_and_zero(limits: tuple[float, float]) -> tuple[float, int]:
    """The scale and the zero point of int8 that cover a range; zero itself stays exact."""
    low, high = min(0.0, *limits), max(0.0, *limits)
    scale = max((high - low) / (HIGHEST - LOWEST), EPS)
    return scale, min(max(LOWEST - round(low / scale), LOWEST), HIGHEST)


def _fixed(limits: tuple[float, float]) -> Any:
    """Rounding that covers a range."""
    from torchao.quantization.pt2e.quantizer import FixedQParamsQuantizationSpec

    scale, zero = scale_and_zero(limits)
    return FixedQParamsQuantizationSpec(torch.int8, scale, zero, LOWEST, HIGHEST, torch.per_tensor_affine)


def _put_channels_last(module: fx.GraphModule, chosen: Sequence[tuple[fx.Node, str, Precision]]) -> None:
    """Says where the input of a dynamic convolution changes its layout, so that the rounding comes after.

    XNNPACK's own pass would put that copy before all that the input was made of, up to an operator without inputs.
    """
    for node, _, precision in chosen:
        source: Any = node.args[0]
        if precision == "w8a8-dynamic" and node.target in CONVOLUTIONS and not _is_channels_last(source):
            with module.graph.inserting_before(node):
                keywords: dict[str, Any] = {"memory_format": torch.channels_last}
                copied = module.graph.call_function(aten._to_copy.default, (source,), keywords)
            copied.meta = {**source.meta, "custom": {}}
            node.update_arg(0, copied)
    module.recompile()


def _is_channels_last(node: fx.Node) -> bool:
    """Whether XNNPACK has it so; what works place by place takes the layout of what it is given."""
    while node.op == "call_function" and node.target not in _IMAGES:
        if node.target in _ROWS:
            return False
        given = [source for source in node.all_input_nodes if source.op == "call_function"]
        if len(given) != 1:
            return bool(given) and all(map(_is_channels_last, given))
        node = given[0]
    return node.op == "call_function"
