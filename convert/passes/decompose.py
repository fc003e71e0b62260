"""Which operator becomes what for backends that have neither norms nor attention."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Any

import torch
from torch import Tensor, fx, nn
from torch.export import ExportedProgram
from torch.export.graph_signature import TensorArgument
from torch.fx import traceback

from edge_stickers.convert.passes import attention, frames, normalisation, resampling, shapes, volumes
from edge_stickers.convert.passes.graph import finish
from edge_stickers.convert.passes.repeats import hoist_repeats
from edge_stickers.convert.passes.scalars import SCALARS
from edge_stickers.convert.passes.shared_keys import share_keys
from edge_stickers.errors import ConversionError

aten = torch.ops.aten

FILLED: dict[Any, Callable[..., Any]] = {
    aten.zeros_like.default: shapes.filled_like(0.0),
    aten.ones_like.default: shapes.filled_like(1.0),
    aten.new_zeros.default: shapes.new_filled(0.0),
    aten.new_ones.default: shapes.new_filled(1.0),
}
"""Constants that are written as if they depended on another tensor."""

NATIVE: dict[Any, Callable[..., Any]] = {
    aten.scaled_dot_product_attention.default: attention.unscaled_attention,
    aten.group_norm.default: normalisation.group_norm_of_images,
    aten.conv1d.default: volumes.conv1d,
    aten.conv3d.default: volumes.conv3d,
    **FILLED,
}
"""For backends that have norms and attention of their own."""

REWRITES: dict[Any, Callable[..., Any]] = {
    aten.group_norm.default: normalisation.group_norm,
    aten.layer_norm.default: normalisation.layer_norm,
    aten.scaled_dot_product_attention.default: attention.scaled_dot_product_attention,
    aten.chunk.default: shapes.chunk,
    aten.split.Tensor: shapes.split,
    aten.split_with_sizes.default: shapes.split_with_sizes,
    aten.select.int: shapes.select,
    aten.unbind.int: shapes.unbind,
    aten.unsqueeze.default: shapes.unsqueeze,
    aten.squeeze.default: shapes.squeeze,
    aten.squeeze.dim: shapes.squeeze,
    aten.squeeze.dims: shapes.squeeze,
    aten.expand.default: shapes.expand,
    aten.broadcast_to.default: shapes.expand,
    aten.repeat_interleave.self_int: shapes.repeat_interleave,
    aten.repeat.default: shapes.repeat,
    aten.cat.default: shapes.cat,
    aten.mean.dim: shapes.mean_dim,
    aten.conv1d.default: volumes.conv1d,
    aten.conv3d.default: volumes.conv3d,
    aten.upsample_nearest2d.vec: resampling.upsample_nearest2d,
    aten.adaptive_avg_pool2d.default: resampling.adaptive_avg_pool2d,
    aten.contiguous.default: shapes.same,
    aten.clone.default: shapes.same,
    aten.alias.default: shapes.same,
    aten.lift_fresh_copy.default: shapes.same,
    aten.dropout.default: shapes.same,
    **FILLED,
    **SCALARS,
}
"""The forms that XNNPACK takes whole, by operator."""


ONE_IMAGE: dict[Any, Callable[..., Any]] = {
    aten.conv2d.default: frames.conv2d,
    aten.conv_transpose2d.input: frames.conv_transpose2d,
}
"""For backends that convolve one image at a time, after `REWRITES`."""


class _Rewriter(fx.Interpreter):
    """Runs a graph with other functions in the place of some operators."""

    def __init__(self, module: fx.GraphModule, rewrites: Mapping[Any, Callable[..., Any]]) -> None:
        super().__init__(module)
        self.rewrites = rewrites

    def run_node(self, n: fx.Node) -> Any:
        with traceback.preserve_node_meta(), traceback.annotate(n.meta.get("custom", {})):  # whose layer it is
            return super().run_node(n)

    def call_function(self, target: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        return self.rewrites.get(target, target)(*args, **kwargs)


class _Rewritten(nn.Module):
    """The module of a program, run with the rewrites: to export it is to rewrite the program."""

    def __init__(self, program: ExportedProgram, rewrites: Mapping[Any, Callable[..., Any]]) -> None:
        super().__init__()
        self.rewrites = rewrites
        self.original = share_keys(hoist_repeats(program.module(check_guards=False)))

    def forward(self, *inputs: Tensor) -> Any:
        return _Rewriter(self.original, self.rewrites).run(*inputs)


def decompose(
    program: ExportedProgram, rewrites: Mapping[Any, Callable[..., Any]] = MappingProxyType(REWRITES)
) -> ExportedProgram:
    """Takes a program apart, operator by operator.

    Args:
        program: from `export_component`; it is left as it is.
        rewrites: a function with the operator's own arguments, by operator.

    Returns:
        A program without these operators, with the same inputs and outputs.
    """
    inputs = program.example_inputs
    if inputs is None:
        raise ConversionError("the program has no example inputs; export it with torch.export.export(module, inputs)")
    with torch.no_grad():
        rewritten = torch.export.export(_Rewritten(program, rewrites), inputs[0], strict=False)
    return name_inputs(rewritten, program.graph_signature.user_inputs)


def name_inputs(program: ExportedProgram, names: Sequence[Any]) -> ExportedProgram:
    """Gives the inputs of a program these names: some targets take the names of theirs from there."""
    specs = {spec.arg.name: spec for spec in program.graph_signature.input_specs}
    old = [
        node
        for node in program.graph.nodes
        if node.op == "placeholder" and node.name in program.graph_signature.user_inputs
    ]
    for node, name in zip(old, names, strict=True):
        spec = specs[node.name]
        node._rename(name)
        node.target = name
        spec.arg = TensorArgument(name=node.name)
    return finish(program)
