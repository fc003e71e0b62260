"""What operators do with their small arguments: axes, strides, flags, lists."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from torch import Tensor

Operator = Callable[..., Any]
"""Named arguments to a tensor, or a tuple of tensors where it has several outputs."""


def integers(value: Tensor) -> list[int]:
    """A vector, or a scalar, as Python integers."""
    return [int(each) for each in value.reshape(-1).tolist()]


def flags(value: Tensor | None, count: int) -> list[bool]:
    """A vector of booleans; all false where it is not given."""
    return [False] * count if value is None else [bool(each) for each in value.reshape(-1).tolist()]


def number(value: Tensor | None, default: float) -> float:
    """A scalar."""
    return default if value is None else float(value.item())


def integer(value: Tensor | None, default: int) -> int:
    """A scalar integer."""
    return default if value is None else int(value.item())


def flag(value: Tensor | None, default: bool = False) -> bool:
    """A scalar boolean."""
    return default if value is None else bool(value.item())


def tensors(values: Tensor | Sequence[Tensor]) -> list[Tensor]:
    """A list of tensors, which may have come as a single one."""
    return [values] if isinstance(values, Tensor) else list(values)


def along_channels(vector: Tensor, rank: int) -> Tensor:
    """A vector (C,) as (1, C, 1 ...), of the given rank; a scalar stays one."""
    return vector if vector.ndim == 0 else vector.reshape(1, -1, *([1] * (rank - 2)))
