"""What each target takes: a table a target, with the reason for each refusal and what would mend it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import fx
from torch.export import ExportedProgram

from edge_stickers.convert.passes.decompose import REWRITES
from edge_stickers.convert.passes.scalars import SCALARS

aten = torch.ops.aten


@dataclass(frozen=True, slots=True)
class Objection:
    """Why a target does not take an operator, or takes it only slowly."""

    reason: str
    """What the target would do with it."""
    mend: str
    """What to write instead."""


Constants = frozenset[fx.Node]
Check = Callable[[fx.Node, Constants], Objection | None]
"""What a target has against a node; the nodes that are constant are known."""


def xnnpack(node: fx.Node, constant: Constants) -> Objection | None:
    """Why XNNPACK would leave the operator to ExecuTorch's portable kernels, after this package's own passes."""
    name = operator_name(node)
    if name in _REWRITTEN or name in _NO_WORK:
        return None
    made = [source.meta.get("val") for source in (*node.all_input_nodes, node)]
    values = [value for value in made if isinstance(value, torch.Tensor)]
    if any(value.dtype not in (torch.float32, torch.float16) for value in values):
        return Objection(
            "works on integers or booleans; runs on a portable kernel",
            "compute it on floating tensors, or before the model and pass it in",
        )
    if any(value.dim() > 6 for value in values):
        return Objection("has more than six dimensions; XNNPACK takes six", "join dimensions with reshape")
    if name not in XNNPACK:
        return Objection(
            "is not among XNNPACK's operators; runs on a portable kernel",
            "write it with operators of the table, or add a rewrite to convert.passes.decompose",
        )
    limit = XNNPACK[name]
    return limit(node, constant) if limit else None


def coreml(node: fx.Node, constant: Constants) -> Objection | None:
    """What Core ML refuses."""
    value = node.meta.get("val")
    if isinstance(value, torch.Tensor) and value.dim() > 5:
        return Objection("has more than five dimensions; Core ML refuses it", "join dimensions with reshape")
    return None


def operator_name(node: fx.Node) -> str:
    """`aten.sin.default`, as PyTorch names the operator."""
    target: Any = node.target
    return str(target) if isinstance(target, torch._ops.OpOverload) else str(getattr(target, "__name__", target))


def module_of(node: fx.Node) -> str:
    """The path of the innermost module on a node's stack."""
    stack = list(node.meta.get("nn_module_stack", {}).values())
    return str(stack[-1][0]) if stack else ""


def constants(program: ExportedProgram) -> frozenset[fx.Node]:
    """What a program knows beforehand: parameters, buffers and constants, and what is computed from those alone."""
    inputs = set(program.graph_signature.user_inputs)
    found: set[fx.Node] = set()
    for node in program.graph.nodes:
        given = node.op == "placeholder" and node.name not in inputs
        if given or (node.op == "call_function" and all(source in found for source in node.all_input_nodes)):
            found.add(node)
    return frozenset(found)


def _static_weight(node: fx.Node, constant: Constants) -> Objection | None:
    weight = node.args[1]
    if isinstance(weight, fx.Node) and weight not in constant:
        return Objection(
            "has a weight that is computed at run time; XNNPACK wants a constant",
            "make the weight a parameter, or write a matrix product (torch.bmm)",
        )
    return None


def _convolution(node: fx.Node, constant: Constants) -> Objection | None:
    kernel = list(node.args[1].meta["val"].shape[2:])  # type: ignore[union-attr]
    if len(kernel) == 3 and kernel[0] > 1 and kernel[1:] != [1, 1]:
        return Objection(
            "is a convolution over time and place at once; XNNPACK has those of images and rows",
            "split it into kernels of (1, k, k) and (k, 1, 1)",
        )
    return _static_weight(node, constant)


def _whole_factors(node: fx.Node, constant: Constants) -> Objection | None:
    before, after = (list(each.meta["val"].shape[2:]) for each in (node.args[0], node))  # type: ignore[union-attr]
    if all(large % small == 0 for small, large in zip(before, after, strict=True)):
        return None
    return Objection(
        "upsamples by a factor that is not whole; runs on a portable kernel", "use a whole factor, or mode='bilinear'"
    )


def _last_dimension(node: fx.Node, constant: Constants) -> Objection | None:
    dim, rank = node.args[1], node.meta["val"].dim()
    if isinstance(dim, int) and dim % rank == rank - 1:
        return None
    return Objection("is not over the last dimension", "transpose before and after it")


def _unit_step(node: fx.Node, constant: Constants) -> Objection | None:
    if len(node.args) < 5 or node.args[4] == 1:
        return None
    return Objection(
        "takes every n-th place; XNNPACK slices have step 1", "reshape to (..., length / n, n) and slice that"
    )


def _square(node: fx.Node, constant: Constants) -> Objection | None:
    return None if node.args[1] == 2 else Objection("is a power other than two", "multiply, or use sqrt and rsqrt")


def _unit_alpha(node: fx.Node, constant: Constants) -> Objection | None:
    if node.kwargs.get("alpha", 1) == 1:
        return None
    return Objection("scales its second operand (alpha)", "multiply that operand first")


_REWRITTEN = frozenset(
    str(operator) for operator in REWRITES.keys() - SCALARS.keys() - {aten.conv3d.default, aten.upsample_nearest2d.vec}
)
"""What the passes take apart, whatever its arguments."""

_NO_WORK = frozenset({"getitem", "aten._assert_tensor_metadata.default", "aten.detach.default", "aten.detach_.default"})

XNNPACK: dict[str, Check | None] = {
    **dict.fromkeys(
        f"aten.{name}"
        for name in (
            "abs.default",
            "mul.Tensor",
            "div.Tensor",
            "neg.default",
            "ceil.default",
            "floor.default",
            "clamp.default",
            "relu.default",
            "relu_.default",
            "silu.default",
            "silu_.default",
            "sigmoid.default",
            "tanh.default",
            "gelu.default",
            "hardtanh.default",
            "hardswish.default",
            "leaky_relu.default",
            "exp.default",
            "log.default",
            "sqrt.default",
            "rsqrt.default",
            "sin.default",
            "cos.default",
            "square.default",
            "maximum.default",
            "minimum.default",
            "cat.default",
            "permute.default",
            "transpose.int",
            "t.default",
            "view.default",
            "reshape.default",
            "flatten.using_ints",
            "view_copy.default",
            "pad.default",
            "constant_pad_nd.default",
            "bmm.default",
            "matmul.default",
            "mm.default",
            "addmm.default",
            "batch_norm.default",
            "max_pool2d.default",
            "avg_pool2d.default",
            "upsample_bilinear2d.vec",
            "to.dtype",
            "to.dtype_layout",
            "to.device",
        )
    ),
    "aten.add.Tensor": _unit_alpha,
    "aten.sub.Tensor": _unit_alpha,
    "aten.rsub.Scalar": _unit_alpha,
    "aten.linear.default": _static_weight,
    "aten.conv1d.default": _convolution,
    "aten.conv2d.default": _convolution,
    "aten.conv3d.default": _convolution,
    "aten.upsample_nearest2d.vec": _whole_factors,
    "aten.conv_transpose2d.input": _convolution,
    "aten.convolution.default": _convolution,
    "aten.softmax.int": _last_dimension,
    "aten._softmax.default": _last_dimension,
    "aten.slice.Tensor": _unit_step,
    "aten.pow.Tensor_Scalar": _square,
}
"""XNNPACK's operators as they stand in an exported program, and a check of those it takes in some forms only."""

CHECKS: dict[str, Check] = {"executorch": xnnpack, "coreml": coreml}
"""By target; ONNX takes every operator that PyTorch exports."""
