"""Operators that move values without changing them."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional as F

from edge_stickers.convert.coreml_executor.operators.arguments import Operator, flags, integer, integers, tensors


def depth_to_space(x: Tensor, block_size: Tensor) -> Tensor:
    """(B, s·s·C, H, W) → (B, C, s·H, s·W), the block's place the slowest part of the channel."""
    batch, depth, height, width = x.shape
    size = integer(block_size, 1)
    blocks = x.reshape(batch, size, size, depth // size**2, height, width)
    return blocks.permute(0, 3, 4, 1, 5, 2).reshape(batch, depth // size**2, height * size, width * size)


def space_to_depth(x: Tensor, block_size: Tensor) -> Tensor:
    """(B, C, s·H, s·W) → (B, s·s·C, H, W), the inverse of `depth_to_space`."""
    batch, depth, height, width = x.shape
    size = integer(block_size, 1)
    blocks = x.reshape(batch, depth, height // size, size, width // size, size)
    return blocks.permute(0, 3, 5, 1, 2, 4).reshape(batch, depth * size**2, height // size, width // size)


def pixel_shuffle(x: Tensor, upscale_factor: Tensor) -> Tensor:
    """(B, C·s·s, H, W) → (B, C, s·H, s·W), the block's place the fastest part of the channel."""
    return F.pixel_shuffle(x, integer(upscale_factor, 1))


def pixel_unshuffle(x: Tensor, downscale_factor: Tensor) -> Tensor:
    """(B, C, s·H, s·W) → (B, C·s·s, H, W), the inverse of `pixel_shuffle`."""
    return F.pixel_unshuffle(x, integer(downscale_factor, 1))


def space_to_batch(x: Tensor, block_shape: Tensor, paddings: Tensor) -> Tensor:
    """(B, C, H, W), padded, → (s·t·B, C, H / s, W / t)."""
    tall, wide = integers(block_shape)
    top, bottom, left, right = integers(paddings)
    padded = F.pad(x, [left, right, top, bottom])
    batch, depth, height, width = padded.shape
    blocks = padded.reshape(batch, depth, height // tall, tall, width // wide, wide)
    return blocks.permute(3, 5, 0, 1, 2, 4).reshape(batch * tall * wide, depth, height // tall, width // wide)


def batch_to_space(x: Tensor, block_shape: Tensor, crops: Tensor) -> Tensor:
    """(s·t·B, C, H, W) → (B, C, s·H, t·W), then cropped."""
    tall, wide = integers(block_shape)
    top, bottom, left, right = integers(crops)
    batch, depth, height, width = x.shape
    blocks = x.reshape(tall, wide, batch // (tall * wide), depth, height, width)
    whole = blocks.permute(2, 3, 4, 0, 5, 1).reshape(batch // (tall * wide), depth, height * tall, width * wide)
    return whole[:, :, top : height * tall - bottom, left : width * wide - right]


def expand_dims(x: Tensor, axes: Tensor) -> Tensor:
    """New dimensions of size 1, at these places of the result."""
    rank = x.ndim + axes.numel()
    for axis in sorted(axis % rank for axis in integers(axes)):
        x = x.unsqueeze(axis)
    return x


def squeeze(x: Tensor, axes: Tensor | None = None) -> Tensor:
    """Without these dimensions, or without any of size 1.

    Raises:
        ValueError: one has another size.
    """
    if axes is None:
        return x.squeeze()
    over = tuple(axis % x.ndim for axis in integers(axes))
    if any(x.shape[axis] != 1 for axis in over):
        raise ValueError(f"axes {over} of {tuple(x.shape)} are not all of size 1")
    return x.squeeze(over)


def reshape(x: Tensor, shape: Tensor) -> Tensor:
    """Another shape; 0 takes over the dimension of x, -1 stands for what is left."""
    sizes = integers(shape)
    return x.reshape([x.shape[axis] if size == 0 else size for axis, size in enumerate(sizes)])


def reshape_like(
    x: Tensor,
    ref_tensors: Tensor | Sequence[Tensor],
    begins: Tensor | Sequence[Tensor],
    ends: Tensor | Sequence[Tensor],
    end_masks: Tensor | Sequence[Tensor],
) -> Tensor:
    """The shape made of slices of the shapes of others."""
    sizes: list[int] = []
    for reference, begin, end, mask in zip(
        tensors(ref_tensors), tensors(begins), tensors(ends), tensors(end_masks), strict=True
    ):
        sizes += reference.shape[int(begin) :] if bool(mask) else reference.shape[int(begin) : int(end)]
    return x.reshape(sizes)


def reverse(x: Tensor, axes: Tensor | None = None) -> Tensor:
    """The other way round along these axes."""
    return x.flip(list(range(x.ndim)) if axes is None else integers(axes))


def transpose(x: Tensor, perm: Tensor) -> Tensor:
    """Dimensions in another order."""
    return x.permute(integers(perm))


def slices(
    x: Tensor,
    begin: Tensor,
    end: Tensor,
    stride: Tensor | None,
    begin_mask: Tensor | None,
    end_mask: Tensor | None,
    squeeze_mask: Tensor | None,
) -> list[Tensor]:
    """The indices (int64) along each axis that a slice takes, by the rules of Python.

    A mask takes the place of the bound; a squeezed axis takes one.
    """
    free_begin, free_end = flags(begin_mask, x.ndim), flags(end_mask, x.ndim)
    single = flags(squeeze_mask, x.ndim)
    steps = [1] * x.ndim if stride is None else integers(stride)
    taken = []
    for axis, (first, last, step) in enumerate(zip(integers(begin), integers(end), steps, strict=True)):
        start = None if free_begin[axis] else first
        if single[axis]:
            taken.append(torch.tensor([(start or 0) % x.shape[axis]]))
        else:
            stop = None if free_end[axis] else last
            taken.append(torch.tensor(range(x.shape[axis])[start:stop:step], dtype=torch.int64))
    return taken


def slice_by_index(
    x: Tensor,
    begin: Tensor,
    end: Tensor,
    stride: Tensor | None = None,
    begin_mask: Tensor | None = None,
    end_mask: Tensor | None = None,
    squeeze_mask: Tensor | None = None,
) -> Tensor:
    """`x[begin:end:stride]` along every axis."""
    for axis, taken in enumerate(slices(x, begin, end, stride, begin_mask, end_mask, squeeze_mask)):
        if taken.numel() != x.shape[axis] or bool((taken[1:] < taken[:-1]).any()):
            x = x.index_select(axis, taken)
    return x.squeeze(tuple(axis for axis, single in enumerate(flags(squeeze_mask, x.ndim)) if single))


def slice_update(
    x: Tensor,
    update: Tensor,
    begin: Tensor,
    end: Tensor,
    stride: Tensor | None = None,
    begin_mask: Tensor | None = None,
    end_mask: Tensor | None = None,
    squeeze_mask: Tensor | None = None,
) -> Tensor:
    """X with `x[begin:end:stride] = update`."""
    taken = slices(x, begin, end, stride, begin_mask, end_mask, squeeze_mask)
    result = x.clone()
    result[torch.meshgrid(*taken, indexing="ij")] = update.reshape([each.numel() for each in taken])
    return result


def slice_by_size(x: Tensor, begin: Tensor, size: Tensor) -> Tensor:
    """As many values from `begin` on along every axis; -1 takes all that are left."""
    for axis, (start, count) in enumerate(zip(integers(begin), integers(size), strict=True)):
        start %= max(x.shape[axis], 1)
        x = x.narrow(axis, start, x.shape[axis] - start if count == -1 else count)
    return x


def sliding_windows(x: Tensor, axis: Tensor, size: Tensor, stride: Tensor | None = None) -> Tensor:
    """All windows along an axis; the window becomes the next dimension."""
    over = integer(axis, 0) % x.ndim
    return x.unfold(over, integer(size, 1), integer(stride, 1)).movedim(-1, over + 1)


OPERATORS: dict[str, Operator] = {
    each.__name__: each
    for each in (
        batch_to_space,
        depth_to_space,
        expand_dims,
        pixel_shuffle,
        pixel_unshuffle,
        reshape,
        reshape_like,
        reverse,
        slice_by_index,
        slice_by_size,
        slice_update,
        sliding_windows,
        space_to_batch,
        space_to_depth,
        squeeze,
        transpose,
    )
}
