"""Arithmetic with plain numbers: what has no effect goes, and whole numbers become floating ones.

A whole number beside a floating tensor would become a tensor of its own that is cast at run time, outside any delegate.
"""

from __future__ import annotations

from collections.abc import Callable
from types import MappingProxyType
from typing import Any

import torch
from torch import Tensor

aten = torch.ops.aten


def _with_numbers(operator: Any, neutral: float) -> Callable[..., Tensor]:
    """The operator, its second operand looked at first where that is a number."""

    def arithmetic(x: Any, y: Any, **kwargs: Any) -> Tensor:
        if isinstance(x, Tensor) and x.is_floating_point() and isinstance(y, int | float):
            if y == neutral:
                return x
            y = float(y)
        result: Tensor = operator(x, y, **kwargs)
        return result

    return arithmetic


SCALARS = MappingProxyType(
    {
        aten.add.Tensor: _with_numbers(aten.add.Tensor, 0.0),
        aten.sub.Tensor: _with_numbers(aten.sub.Tensor, 0.0),
        aten.mul.Tensor: _with_numbers(aten.mul.Tensor, 1.0),
        aten.div.Tensor: _with_numbers(aten.div.Tensor, 1.0),
    }
)
"""By operator, a function with its arguments."""
