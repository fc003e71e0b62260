"""Names, before minutes of lowering, each operator that would fall off a target's fast path, with its module."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import fx
from torch.export import ExportedProgram

from edge_stickers.convert.passes.decompose import REWRITES
from edge_stickers.convert.targets import target as find_target
from edge_stickers.errors import InputError

Check = Callable[[fx.Node, frozenset[fx.Node]], str | None]
"""Why a target does not take a node, or None; the nodes that are constant are known."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One operator that a target does not take, or takes only slowly."""

    operator: str
    """As PyTorch names it, for instance `aten.cumsum.default`."""
    module: str
    """Path of the module that called it, for instance `unet.down.0.still`; empty for the component itself."""
    reason: str
    """What the target would do with it."""
    count: int
    """How often this module calls it."""


def lint(program: ExportedProgram, target: str) -> list[Finding]:
    """Checks an exported program against what a target takes.

    Args:
        program: from `export_component`.
        target: a key of `edge_stickers.convert.targets.TARGETS`.

    Returns:
        One finding for each module, operator and reason, in the order of the program; empty where all is well.

    Raises:
        InputError: no such target, or none that can be linted.
    """
    find_target(target)
    check = _CHECKS.get(target)
    if check is None:
        raise InputError(f"{target} takes every operator PyTorch exports; lint knows {', '.join(_CHECKS)}")
    found: Counter[tuple[str, str, str]] = Counter()
    constant = _constants(program)
    for node in program.graph.nodes:
        if node.op != "call_function" or node in constant:  # those are computed ahead
            continue
        reason = check(node, constant)
        if reason:
            found[_operator(node), _module(node), reason] += 1
    return [Finding(operator, module, reason, count) for (operator, module, reason), count in found.items()]


def _xnnpack(node: fx.Node, constant: frozenset[fx.Node]) -> str | None:
    """Why XNNPACK would leave the operator to ExecuTorch's portable kernels, after this package's own passes."""
    name = _operator(node)
    if name in _REWRITTEN or name in _NO_WORK:
        return None
    made = [source.meta.get("val") for source in (*node.all_input_nodes, node)]
    values = [value for value in made if isinstance(value, torch.Tensor)]
    if any(value.dtype not in (torch.float32, torch.float16) for value in values):
        return "works on integers or booleans; runs on a portable kernel"
    if any(value.dim() > 6 for value in values):
        return "has more than six dimensions; XNNPACK takes six"
    if name not in _XNNPACK:
        return "is not among XNNPACK's operators; runs on a portable kernel"
    limit = _XNNPACK[name]
    return limit(node, constant) if limit else None


def _coreml(node: fx.Node, constant: frozenset[fx.Node]) -> str | None:
    """What Core ML refuses."""
    value = node.meta.get("val")
    if isinstance(value, torch.Tensor) and value.dim() > 5:
        return "has more than five dimensions; Core ML refuses it"
    return None


def _static_weight(node: fx.Node, constant: frozenset[fx.Node]) -> str | None:
    weight = node.args[1]
    if isinstance(weight, fx.Node) and weight not in constant:
        return "has a weight that is computed at run time; XNNPACK wants a constant"
    return None


def _convolution(node: fx.Node, constant: frozenset[fx.Node]) -> str | None:
    value = node.meta["val"]
    return (
        "is a convolution of volumes; XNNPACK has those of images and rows"
        if value.dim() > 4
        else _static_weight(node, constant)
    )


def _last_dimension(node: fx.Node, constant: frozenset[fx.Node]) -> str | None:
    dim = node.args[1]
    rank = node.meta["val"].dim()
    return None if isinstance(dim, int) and dim % rank == rank - 1 else "is not over the last dimension"


def _unit_step(node: fx.Node, constant: frozenset[fx.Node]) -> str | None:
    return None if len(node.args) < 5 or node.args[4] == 1 else "takes every n-th place; XNNPACK slices have step 1"


def _square(node: fx.Node, constant: frozenset[fx.Node]) -> str | None:
    return None if node.args[1] == 2 else "is a power other than two"


def _unit_alpha(node: fx.Node, constant: frozenset[fx.Node]) -> str | None:
    return None if node.kwargs.get("alpha", 1) == 1 else "scales its second operand (alpha)"


_REWRITTEN = frozenset(str(operator) for operator in REWRITES)
"""What the passes take apart."""

_NO_WORK = frozenset({"getitem", "aten._assert_tensor_metadata.default", "aten.detach.default", "aten.detach_.default"})

_XNNPACK: dict[str, Check | None] = {
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
    "aten.conv_transpose2d.input": _convolution,
    "aten.convolution.default": _convolution,
    "aten.softmax.int": _last_dimension,
    "aten._softmax.default": _last_dimension,
    "aten.slice.Tensor": _unit_step,
    "aten.pow.Tensor_Scalar": _square,
}
"""XNNPACK's operators as they stand in an exported program, and a check of those it takes in some forms only."""

_CHECKS: dict[str, Check] = {"executorch": _xnnpack, "coreml": _coreml}


def _operator(node: fx.Node) -> str:
    target: Any = node.target
    return str(target) if isinstance(target, torch._ops.OpOverload) else str(getattr(target, "__name__", target))


def _module(node: fx.Node) -> str:
    """The path of the innermost module on a node's stack."""
    stack = list(node.meta.get("nn_module_stack", {}).values())
    return str(stack[-1][0]) if stack else ""


def _constants(program: ExportedProgram) -> frozenset[fx.Node]:
    """Parameters, buffers and constants, and what is computed from those alone."""
    inputs = set(program.graph_signature.user_inputs)
    found: set[fx.Node] = set()
    for node in program.graph.nodes:
        given = node.op == "placeholder" and node.name not in inputs
        if given or (node.op == "call_function" and all(source in found for source in node.all_input_nodes)):
            found.add(node)
    return frozenset(found)
