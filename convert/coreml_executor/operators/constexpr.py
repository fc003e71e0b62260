"""Compressed weights: operators that make dense ones of them."""

from __future__ import annotations

import torch
from torch import Tensor

from edge_stickers.convert.coreml_executor.operators.arguments import Operator, integer, integers


def constexpr_affine_dequantize(quantized_data: Tensor, zero_point: Tensor, scale: Tensor, axis: Tensor) -> Tensor:
    """`scale * (data - zero_point)`, both scalars or vectors along an axis."""
    return _affine(quantized_data, scale, zero_point, integer(axis, 0))


def constexpr_blockwise_shift_scale(data: Tensor, scale: Tensor, offset: Tensor | None = None) -> Tensor:
    """`scale * (data - offset)`, one scale for each block of values."""
    factor = _spread(scale, data.shape)
    values = data.to(torch.float32)
    return factor * (values if offset is None else values - _spread(offset, data.shape))


def constexpr_cast(source_val: Tensor, output_dtype: str) -> Tensor:
    """Another type; the declared one does the work."""
    return source_val


def constexpr_lut_to_dense(
    indices: Tensor, lut: Tensor, shape: Tensor | None = None, vector_axis: Tensor | None = None
) -> Tensor:
    """Values of a table.

    Args:
        indices: packed into bytes (iOS 16), or one by one, of any shape (iOS 18).
        lut: (P,), or, with one table for each block of the indices, their rank and (P, V).
        shape: of the result, for iOS 16.
        vector_axis: along which the V values of an entry lie, for iOS 18.

    Returns:
        The shape asked for, or that of the indices, V times as long along `vector_axis`.
    """
    if shape is not None:
        sizes = integers(shape)
        bits = (lut.numel() - 1).bit_length()
        return lut[_unpacked(indices, bits, _product(sizes))].reshape(sizes)
    tables = _spread(lut, (*indices.shape, *lut.shape[-2:]))
    places = indices.to(torch.int64)[..., None, None].expand(*indices.shape, 1, lut.shape[-1])
    values = tables.gather(-2, places).squeeze(-2)  # indices + (V,)
    if lut.shape[-1] == 1:
        return values.squeeze(-1)
    over = integer(vector_axis, -1) % indices.ndim
    return values.movedim(-1, over + 1).flatten(over, over + 1)


def constexpr_lut_to_sparse(
    indices_mask: Tensor, indices_nonzero_data: Tensor, lut: Tensor, vector_axis: Tensor | None = None
) -> tuple[Tensor, Tensor]:
    """A sparse table: the mask of the values, and the values that are there."""
    indices = constexpr_sparse_to_dense(indices_nonzero_data, indices_mask)
    values = constexpr_lut_to_dense(indices, lut, vector_axis=vector_axis)
    mask = indices_mask
    if lut.shape[-1] > 1:
        mask = mask.repeat_interleave(lut.shape[-1], integer(vector_axis, -1))
    return mask, values[mask != 0]


def constexpr_sparse_blockwise_shift_scale(
    data_mask: Tensor, nonzero_data: Tensor, scale: Tensor, offset: Tensor | None = None
) -> tuple[Tensor, Tensor]:
    """Sparse quantised values: their mask, and the values that are there."""
    dense = constexpr_blockwise_shift_scale(constexpr_sparse_to_dense(nonzero_data, data_mask), scale, offset)
    return data_mask, dense[data_mask != 0]


def constexpr_sparse_to_dense(nonzero_data: Tensor, mask: Tensor, shape: Tensor | None = None) -> Tensor:
    """Zero where the mask is, the values in turn elsewhere; the mask is packed into bytes for iOS 16."""
    if shape is not None:
        sizes = integers(shape)
        mask = _unpacked(mask, 1, _product(sizes)).reshape(sizes)
    dense = torch.zeros(mask.shape, dtype=nonzero_data.dtype)
    dense[mask != 0] = nonzero_data
    return dense


def dequantize(
    input: Tensor,
    scale: Tensor,
    zero_point: Tensor | None = None,
    axis: Tensor | None = None,
) -> Tensor:
    """`scale * (input - zero_point)`."""
    return _affine(input, scale, zero_point, integer(axis, 0))


def quantize(
    input: Tensor,
    scale: Tensor,
    output_dtype: str,
    zero_point: Tensor | None = None,
    axis: Tensor | None = None,
) -> Tensor:
    """`clip(round(input / scale) + zero_point)`."""
    low, high = (-128, 127) if output_dtype == "int8" else (0, 255)
    over = integer(axis, 0)
    steps = torch.round(input / _along(scale, input, over))
    return (steps if zero_point is None else steps + _along(zero_point, input, over)).clamp(low, high)


def _affine(data: Tensor, scale: Tensor, zero_point: Tensor | None, axis: int) -> Tensor:
    values = data.to(torch.float32)
    values = values if zero_point is None else values - _along(zero_point, data, axis)
    return _along(scale, data, axis) * values


def _along(vector: Tensor, data: Tensor, axis: int) -> Tensor:
    """A scalar, or a vector as long as the data along the axis, so that it spreads over the rest."""
    if vector.numel() == 1:
        return vector.reshape([1] * data.ndim)
    return vector.reshape([-1 if place == axis % data.ndim else 1 for place in range(data.ndim)])


def _spread(blocks: Tensor, shape: tuple[int, ...]) -> Tensor:
    """One value a block to one value an element."""
    for axis, size in enumerate(shape):
        if blocks.shape[axis] != size:
            blocks = blocks.repeat_interleave(size // blocks.shape[axis], axis)
    return blocks


def _unpacked(packed: Tensor, bits: int, count: int) -> Tensor:
    """(count,) int64 of bytes, the first value in the lowest bits; values cross bytes."""
    stream = (packed.reshape(-1, 1).to(torch.int64) >> torch.arange(8)) & 1
    return (stream.reshape(-1)[: count * bits].reshape(count, bits) << torch.arange(bits)).sum(-1)


def _product(sizes: list[int]) -> int:
    count = 1
    for size in sizes:
        count *= size
    return count


OPERATORS: dict[str, Operator] = {
    each.__name__: each
    for each in (
        constexpr_affine_dequantize,
        constexpr_blockwise_shift_scale,
        constexpr_cast,
        constexpr_lut_to_dense,
        constexpr_lut_to_sparse,
        constexpr_sparse_blockwise_shift_scale,
        constexpr_sparse_to_dense,
        dequantize,
        quantize,
    )
}
