"""Operators that make, join, cut, pad and order tensors."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import accumulate

import torch
from torch import Tensor
from torch.nn import functional as F

from edge_stickers.convert.coreml_executor.operators.arguments import Operator, flag, integer, integers, number, tensors


def argsort(x: Tensor, axis: Tensor | None = None, ascending: Tensor | None = None) -> Tensor:
    """Indices that put x into order along an axis; falling unless told otherwise."""
    return x.argsort(dim=integer(axis, -1), descending=not flag(ascending), stable=True)


def band_part(x: Tensor, lower: Tensor | None = None, upper: Tensor | None = None) -> Tensor:
    """Zero outside a band around the diagonal of the last two dimensions; -1 keeps that side whole."""
    below, above = integer(lower, -1), integer(upper, -1)
    down = torch.arange(x.shape[-2])[:, None] - torch.arange(x.shape[-1])
    inside = ((down <= below) | (below < 0)) & ((-down <= above) | (above < 0))
    return torch.where(inside, x, torch.zeros_like(x))


def concat(values: Tensor | Sequence[Tensor], axis: Tensor, interleave: Tensor | None = None) -> Tensor:
    """One after the other along an axis, or taking turns."""
    parts, over = tensors(values), integer(axis, 0)
    if parts[0].ndim == 0:
        return torch.stack(parts)
    if not flag(interleave):
        return torch.cat(parts, over)
    over %= parts[0].ndim
    return torch.stack(parts, over + 1).flatten(over, over + 1)


def cumsum(
    x: Tensor, axis: Tensor | None = None, exclusive: Tensor | None = None, reverse: Tensor | None = None
) -> Tensor:
    """Running sum along an axis, from the end where `reverse`; without the value itself where `exclusive`."""
    over = integer(axis, 0)
    forward = x.flip(over) if flag(reverse) else x
    total = forward.cumsum(over)
    total = total - forward if flag(exclusive) else total
    return total.flip(over) if flag(reverse) else total


def fill(shape: Tensor, value: Tensor | None = None) -> Tensor:
    """One value everywhere."""
    return (torch.zeros(()) if value is None else value).expand(integers(shape)).clone()


def fill_like(ref_tensor: Tensor, value: Tensor | None = None) -> Tensor:
    """One value everywhere, in the shape of another tensor."""
    return (torch.zeros(()) if value is None else value).expand(ref_tensor.shape).clone()


def flatten2d(x: Tensor, axis: Tensor | None = None) -> Tensor:
    """(product before the axis, product from it on)."""
    over = integer(axis, 1)
    rows = 1
    for size in x.shape[:over]:
        rows *= size
    return x.reshape(rows, -1)


def non_zero(x: Tensor) -> Tensor:
    """Indices (N, rank) of the values that are not zero."""
    return x.nonzero()


def one_hot(
    indices: Tensor,
    one_hot_vector_size: Tensor,
    axis: Tensor | None = None,
    on_value: Tensor | None = None,
    off_value: Tensor | None = None,
) -> Tensor:
    """A new dimension, `on_value` at the index and `off_value` elsewhere."""
    places = torch.arange(integer(one_hot_vector_size, 0))
    over = integer(axis, -1) % (indices.ndim + 1)
    hit = indices.unsqueeze(over) == places.reshape(-1, *([1] * (indices.ndim - over)))
    on = torch.tensor(1) if on_value is None else on_value
    return torch.where(hit, on, torch.zeros_like(on) if off_value is None else off_value)


def pad(x: Tensor, pad: Tensor, mode: str = "constant", constant_val: Tensor | None = None) -> Tensor:
    """More elements before and after the last dimensions; `pad` has two numbers for each of them."""
    amounts = integers(pad)
    if mode == "constant":
        ordered = [each for i in reversed(range(0, len(amounts), 2)) for each in amounts[i : i + 2]]
        return F.pad(x, ordered, value=number(constant_val, 0.0))
    first = x.ndim - len(amounts) // 2
    for axis in range(first, x.ndim):  # one axis at a time: PyTorch knows only some ranks
        before, after = amounts[2 * (axis - first) : 2 * (axis - first) + 2]
        places = torch.arange(-before, x.shape[axis] + after)
        last = x.shape[axis] - 1
        places = places.clamp(0, last) if mode == "replicate" else last - (last - places.abs()).abs()
        x = x.index_select(axis, places)
    return x


def range_1d(start: Tensor, end: Tensor, step: Tensor) -> Tensor:
    """From start, by step, to before end."""
    return torch.arange(start.item(), end.item(), step.item(), dtype=start.dtype)


def select(cond: Tensor, a: Tensor, b: Tensor) -> Tensor:
    """`a` where the condition holds, else `b`."""
    return torch.where(cond, a, b)


def shape(x: Tensor) -> Tensor:
    """The sizes of the dimensions."""
    return torch.tensor(x.shape, dtype=torch.int32)


def split(
    x: Tensor, axis: Tensor, num_splits: Tensor | None = None, split_sizes: Tensor | None = None
) -> tuple[Tensor, ...]:
    """Pieces along an axis, of the given sizes or all of one."""
    over = integer(axis, 0)
    if split_sizes is None:
        return torch.tensor_split(x, integer(num_splits, 1), over)
    ends = list(accumulate(integers(split_sizes)))
    return torch.tensor_split(x, ends[:-1], over)


def stack(values: Tensor | Sequence[Tensor], axis: Tensor) -> Tensor:
    """A new dimension that counts the tensors."""
    return torch.stack(tensors(values), integer(axis, 0))


def tile(x: Tensor, reps: Tensor) -> Tensor:
    """Repeated along every axis."""
    return x.repeat(integers(reps))


def topk(
    x: Tensor,
    k: Tensor | None = None,
    axis: Tensor | None = None,
    ascending: Tensor | None = None,
    sort: Tensor | None = None,
    return_indices: Tensor | None = None,
    output_indices_dtype: str = "int32",
) -> tuple[Tensor, ...]:
    """The largest values (or smallest, where `ascending`) along an axis, and their indices."""
    over = integer(axis, -1)
    order = x.argsort(dim=over, descending=not flag(ascending), stable=True).narrow(over, 0, integer(k, 1))
    values = x.gather(over, order)
    return (values, order) if flag(return_indices, True) else (values,)


OPERATORS: dict[str, Operator] = {
    each.__name__: each
    for each in (
        argsort,
        band_part,
        concat,
        cumsum,
        fill,
        fill_like,
        flatten2d,
        non_zero,
        one_hot,
        pad,
        range_1d,
        select,
        shape,
        split,
        stack,
        tile,
        topk,
    )
}
