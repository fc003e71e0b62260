"""Pooling over windows of one, two and three spatial dimensions."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional as F

from edge_stickers.convert.coreml_executor.operators.arguments import Operator, flag, integers
from edge_stickers.convert.coreml_executor.operators.conv import padding


def avg_pool(
    x: Tensor,
    kernel_sizes: Tensor,
    pad_type: str,
    strides: Tensor | None = None,
    pad: Tensor | None = None,
    ceil_mode: Tensor | None = None,
    exclude_padding_from_average: Tensor | None = None,
) -> Tensor:
    """Mean of each window."""
    kernel = integers(kernel_sizes)

    def mean(windows: Tensor) -> Tensor:
        return windows.mean(-1)

    result = _pool(x, kernel, mean, 0.0, strides=strides, pad_type=pad_type, pad=pad, ceil_mode=ceil_mode)
    if not flag(exclude_padding_from_average):
        return result
    ones = torch.ones_like(x[:1, :1])
    share = _pool(ones, kernel, mean, 0.0, strides=strides, pad_type=pad_type, pad=pad, ceil_mode=ceil_mode)
    return result / share


def _pooling(reduce: Callable[[Tensor], Tensor], fill: float) -> Operator:
    """An operator that reduces windows, what is padded counting as `fill`."""

    def pool(
        x: Tensor,
        kernel_sizes: Tensor,
        pad_type: str,
        strides: Tensor | None = None,
        pad: Tensor | None = None,
        ceil_mode: Tensor | None = None,
    ) -> Tensor:
        kernel = integers(kernel_sizes)
        return _pool(x, kernel, reduce, fill, strides=strides, pad_type=pad_type, pad=pad, ceil_mode=ceil_mode)

    return pool


def _pool(
    x: Tensor,
    kernel: list[int],
    reduce: Callable[[Tensor], Tensor],
    fill: float,
    *,
    strides: Tensor | None,
    pad_type: str,
    pad: Tensor | None,
    ceil_mode: Tensor | None,
) -> Tensor:
    """Pads, cuts (B, C, *D) into windows (B, C, *D_out, K) and reduces the last dimension."""
    rank = len(kernel)
    steps = [1] * rank if strides is None else integers(strides)
    around = padding(x.shape[2:], kernel, steps, [1] * rank, pad_type=pad_type, pad=pad)
    if flag(ceil_mode):
        around = [_ceil(*each) for each in zip(x.shape[2:], kernel, steps, around, strict=True)]
    windows = F.pad(x, [each for pair in reversed(around) for each in pair], value=fill)
    for axis, (size, step) in enumerate(zip(kernel, steps, strict=True)):
        windows = windows.unfold(axis + 2, size, step)
    flat: Tensor = windows.flatten(-rank)
    return reduce(flat)


def _ceil(length: int, window: int, step: int, around: tuple[int, int]) -> tuple[int, int]:
    """Padding with which rounding down gives what rounding up would."""
    total = length + sum(around)
    count = -(-(total - window) // step) + 1
    if (count - 1) * step >= length + around[0] and sum(around) > 0:
        count -= 1
    return around[0], around[1] + max(0, (count - 1) * step + window - total)


OPERATORS: dict[str, Operator] = {
    "avg_pool": avg_pool,
    "l2_pool": _pooling(lambda windows: windows.square().sum(-1).sqrt(), 0.0),
    "max_pool": _pooling(lambda windows: windows.amax(-1), float("-inf")),
}
