"""Matrix products."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional as F

from edge_stickers.convert.coreml_executor.operators.arguments import Operator, flag, tensors


def einsum(values: Tensor | Sequence[Tensor], equation: str) -> Tensor:
    """Einstein summation; a dimension of size 1 is spread where the other has more."""
    return torch.einsum(equation, *tensors(values))


def linear(x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """`x @ weight.T + bias`: (..., D_in), (D_out, D_in), (D_out,) → (..., D_out)."""
    if x.dtype.is_floating_point:
        return F.linear(x, weight, bias)
    product = torch.matmul(x, weight.T)
    return product if bias is None else product + bias


def matmul(x: Tensor, y: Tensor, transpose_x: Tensor | None = None, transpose_y: Tensor | None = None) -> Tensor:
    """`x @ y`, either with its last two dimensions exchanged first."""
    left = x.transpose(-1, -2) if flag(transpose_x) and x.ndim > 1 else x
    right = y.transpose(-1, -2) if flag(transpose_y) and y.ndim > 1 else y
    return torch.matmul(left, right)


OPERATORS: dict[str, Operator] = {each.__name__: each for each in (einsum, linear, matmul)}
