"""Operators that only move data, as slices, views, concatenations and broadcast products."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from edge_stickers.convert.passes.constants import constant


def chunk(x: Tensor, chunks: int, dim: int = 0) -> list[Tensor]:
    """`torch.chunk` as slices."""
    return split(x, -(-x.shape[dim] // chunks), dim)


def split(x: Tensor, split_size: int, dim: int = 0) -> list[Tensor]:
    """`torch.split` with one size, as slices."""
    length = x.shape[dim]
    return [_slice(x, dim, start, min(start + split_size, length)) for start in range(0, length, split_size)]


def split_with_sizes(x: Tensor, split_sizes: Sequence[int], dim: int = 0) -> list[Tensor]:
    """`torch.split` with a list of sizes, as slices."""
    stops = [sum(split_sizes[: index + 1]) for index in range(len(split_sizes))]
    return [_slice(x, dim, stop - size, stop) for size, stop in zip(split_sizes, stops, strict=True)]


def select(x: Tensor, dim: int, index: int) -> Tensor:
    """One place of a dimension, as a slice and a view."""
    dim, index = dim % x.dim(), index % x.shape[dim]
    return _slice(x, dim, index, index + 1).reshape([*x.shape[:dim], *x.shape[dim + 1 :]])


def unbind(x: Tensor, dim: int = 0) -> list[Tensor]:
    """All places of a dimension, as slices and views."""
    return [select(x, dim, index) for index in range(x.shape[dim])]


def unsqueeze(x: Tensor, dim: int) -> Tensor:
    """One more dimension, as a view."""
    dim = dim % (x.dim() + 1)
    return x.reshape([*x.shape[:dim], 1, *x.shape[dim:]])


def squeeze(x: Tensor, dim: int | Sequence[int] | None = None) -> Tensor:
    """Fewer dimensions, as a view."""
    dims = range(x.dim()) if dim is None else [dim] if isinstance(dim, int) else dim
    gone = {d % x.dim() for d in dims}
    return x.reshape([size for index, size in enumerate(x.shape) if not (index in gone and size == 1)])


def expand(x: Tensor, size: Sequence[int], *, implicit: bool = False) -> Tensor:
    """Repeats dimensions of size 1, as a product with ones of the new sizes."""
    del implicit
    shape = [1] * (len(size) - x.dim()) + list(x.shape)
    target = [old if new == -1 else new for old, new in zip(shape, size, strict=True)]
    x = x.reshape(shape) if len(shape) != x.dim() else x
    if target == shape:
        return x
    return x * constant(np.ones([new if new != old else 1 for old, new in zip(shape, target, strict=True)]), x.dtype)


def repeat_interleave(x: Tensor, repeats: int, dim: int | None = None, *, output_size: int | None = None) -> Tensor:
    """Each place `repeats` times in a row, as a product with ones, of rank four."""
    del output_size
    x, dim = (x.reshape(-1), 0) if dim is None else (x, dim % x.dim())
    if repeats == 1:
        return x
    outer, inner = math.prod(x.shape[:dim]), math.prod(x.shape[dim + 1 :])
    repeated = x.reshape(outer, x.shape[dim], 1, inner) * constant(np.ones((1, 1, repeats, 1)), x.dtype)
    return repeated.reshape([*x.shape[:dim], x.shape[dim] * repeats, *x.shape[dim + 1 :]])


def repeat(x: Tensor, repeats: Sequence[int]) -> Tensor:
    """The whole tensor again and again along each dimension, as products with ones, of rank three."""
    x = x.reshape([1] * (len(repeats) - x.dim()) + list(x.shape))
    for dim, count in enumerate(repeats):
        if count > 1:  # a concatenation of one tensor with itself XNNPACK would not take
            repeated = x.reshape(math.prod(x.shape[:dim]), 1, -1) * constant(np.ones((1, count, 1)), x.dtype)
            x = repeated.reshape([*x.shape[:dim], x.shape[dim] * count, *x.shape[dim + 1 :]])
    return x


def cat(tensors: Sequence[Tensor], dim: int = 0) -> Tensor:
    """A concatenation without the tensors that hold nothing; one tensor with itself is a product with ones."""
    kept = [x for x in tensors if x.numel()] or list(tensors[:1])
    if len(kept) == 1:
        return kept[0]
    if all(x is kept[0] for x in kept):
        return repeat(kept[0], [len(kept) if d == dim % kept[0].dim() else 1 for d in range(kept[0].dim())])
    return torch.cat(kept, dim)


def mean_dim(
    x: Tensor, dim: Sequence[int] | None, keepdim: bool = False, *, dtype: torch.dtype | None = None
) -> Tensor:
    """A mean: over an image's places as it is, over other dimensions as a linear layer with one constant row."""
    dims = sorted(d % x.dim() for d in (dim or range(x.dim())))
    x = x if dtype is None else x.to(dtype)
    if x.dim() == 4 and dims == [2, 3]:
        means = x.mean(dims, keepdim=True)
        return means if keepdim else means.reshape(x.shape[:2])
    kept = [d for d in range(x.dim()) if d not in dims]
    count = math.prod(x.shape[d] for d in dims)
    rows = x.permute([*kept, *dims]).reshape([*(x.shape[d] for d in kept), count])
    means = torch.nn.functional.linear(rows, constant(np.full((1, count), 1.0 / count), x.dtype))
    return means.reshape([1 if d in dims else size for d, size in enumerate(x.shape) if keepdim or d not in dims])


def same(x: Tensor, *args: Any, **kwargs: Any) -> Tensor:
    """The tensor itself: for copies that change neither shape nor dtype."""
    del args, kwargs
    return x


def filled_like(value: float) -> Callable[..., Tensor]:
    """A constant of the shape of another tensor that does not depend on that tensor's data."""

    def like(x: Tensor, *args: Any, dtype: torch.dtype | None = None, **kwargs: Any) -> Tensor:
        del args, kwargs
        return constant(np.full(list(x.shape), value), dtype or x.dtype)

    return like


def new_filled(value: float) -> Callable[..., Tensor]:
    """A constant of a given shape, of another tensor's dtype unless one is named."""

    def new(x: Tensor, size: Sequence[int], *, dtype: torch.dtype | None = None, **kwargs: Any) -> Tensor:
        del kwargs
        return constant(np.full(list(size), value), dtype or x.dtype)

    return new


def _slice(x: Tensor, dim: int, start: int, stop: int) -> Tensor:
    return x if (start, stop) == (0, x.shape[dim]) else torch.ops.aten.slice.Tensor(x, dim, start, stop)
