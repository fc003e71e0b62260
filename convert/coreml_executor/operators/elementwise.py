"""Elementwise operators of one and of two values, comparisons and logic."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from edge_stickers.convert.coreml_executor.operators.arguments import Operator, number

_RSQRT_EPSILON = 1e-12
_INVERSE_EPSILON = 1e-4
_LOG_EPSILON = 1e-45  # the defaults of the specification


def _unary(function: Callable[[Tensor], Tensor]) -> Operator:
    return lambda x: function(x)


def _binary(function: Callable[[Tensor, Tensor], Tensor]) -> Operator:
    return lambda x, y: function(x, y)


def cast(x: Tensor, dtype: str) -> Tensor:
    """Another type; the declared output type does the work, except that floats become booleans by `x != 0`."""
    return x != 0 if dtype == "bool" else x


def clip(x: Tensor, alpha: Tensor, beta: Tensor) -> Tensor:
    """`min(max(x, alpha), beta)`."""
    return torch.minimum(torch.maximum(x, alpha), beta)


def inverse(x: Tensor, epsilon: Tensor | None = None) -> Tensor:
    """`1 / (x + epsilon)`."""
    return torch.reciprocal(x + number(epsilon, _INVERSE_EPSILON))


def log(x: Tensor, epsilon: Tensor | None = None) -> Tensor:
    """`log(x + epsilon)`."""
    return torch.log(x + number(epsilon, _LOG_EPSILON))


def rsqrt(x: Tensor, epsilon: Tensor | None = None) -> Tensor:
    """`1 / sqrt(x + epsilon)`."""
    return torch.rsqrt(x + number(epsilon, _RSQRT_EPSILON))


def threshold(x: Tensor, alpha: Tensor) -> Tensor:
    """`max(x, alpha)`."""
    return torch.maximum(x, alpha)


OPERATORS: dict[str, Operator] = {
    "abs": _unary(torch.abs),
    "acos": _unary(torch.acos),
    "asin": _unary(torch.asin),
    "atan": _unary(torch.atan),
    "atanh": _unary(torch.atanh),
    "ceil": _unary(torch.ceil),
    "cos": _unary(torch.cos),
    "cosh": _unary(torch.cosh),
    "erf": _unary(torch.erf),
    "exp": _unary(torch.exp),
    "exp2": _unary(torch.exp2),
    "floor": _unary(torch.floor),
    "identity": _unary(lambda x: x),
    "logical_not": _unary(torch.logical_not),
    "round": _unary(torch.round),
    "sign": _unary(torch.sign),
    "sin": _unary(torch.sin),
    "sinh": _unary(torch.sinh),
    "sqrt": _unary(torch.sqrt),
    "square": _unary(torch.square),
    "tan": _unary(torch.tan),
    "tanh": _unary(torch.tanh),
    "cast": cast,
    "clip": clip,
    "inverse": inverse,
    "log": log,
    "rsqrt": rsqrt,
    "threshold": threshold,
    "add": _binary(torch.add),
    "sub": _binary(torch.sub),
    "mul": _binary(torch.mul),
    "real_div": _binary(torch.true_divide),
    "floor_div": _binary(torch.floor_divide),
    "mod": _binary(torch.remainder),
    "pow": _binary(torch.pow),
    "maximum": _binary(torch.maximum),
    "minimum": _binary(torch.minimum),
    "equal": _binary(torch.eq),
    "not_equal": _binary(torch.ne),
    "greater": _binary(torch.gt),
    "greater_equal": _binary(torch.ge),
    "less": _binary(torch.lt),
    "less_equal": _binary(torch.le),
    "logical_and": _binary(torch.logical_and),
    "logical_or": _binary(torch.logical_or),
    "logical_xor": _binary(torch.logical_xor),
}
