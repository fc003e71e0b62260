"""Resizing, cropping and sampling of the last dimensions."""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional as F

from edge_stickers.convert.coreml_executor.operators.arguments import Operator, flag, integer, integers, number


def grid_points(size: int, count: int, mode: str) -> Tensor:
    """Where along an axis the samples of a resized image lie.

    Args:
        size: of the axis before.
        count: of the axis after.
        mode: `sampling_mode` of the specification.

    Returns:
        (count,) float64 positions in 0..size - 1.

    Raises:
        ValueError: an unknown mode.
    """
    steps = torch.arange(count, dtype=torch.float64)
    if mode in ("STRICT_ALIGN_CORNERS", "ALIGN_CORNERS"):
        points = steps * ((size - 1) / max(count - 1, 1))
        if mode == "ALIGN_CORNERS" and count == 1:
            points = torch.full((1,), (size - 1) / 2, dtype=torch.float64)
    elif mode == "DEFAULT":
        points = steps * (size / count)
    elif mode == "OFFSET_CORNERS":
        points = (steps + 0.5) * (max(1, size - 1) / count)
    elif mode == "UNALIGN_CORNERS":
        points = (steps + 0.5) * (size / count) - 0.5
    else:
        raise ValueError(f"sampling_mode {mode!r} is not known")
    return points.clamp(0, size - 1)


def resize(
    x: Tensor,
    shape: Tensor,
    resized_dims: Tensor,
    interpolation_mode: str = "LINEAR",
    sampling_mode: str = "DEFAULT",
) -> Tensor:
    """The last `resized_dims` dimensions to the last sizes in `shape`; 0 leaves one as it is."""
    count = integer(resized_dims, 0)
    for axis, size in zip(range(x.ndim - count, x.ndim), integers(shape)[-count:], strict=True):
        x = _resized(x, axis, size or x.shape[axis], sampling_mode, nearest=interpolation_mode == "NEAREST_NEIGHBOR")
    return x


def resize_bilinear(
    x: Tensor,
    target_size_height: Tensor | None = None,
    target_size_width: Tensor | None = None,
    sampling_mode: str = "DEFAULT",
) -> Tensor:
    """The last two dimensions to a size."""
    x = _resized(x, x.ndim - 2, integer(target_size_height, 1), sampling_mode)
    return _resized(x, x.ndim - 1, integer(target_size_width, 1), sampling_mode)


def resize_nearest_neighbor(x: Tensor, target_size_height: Tensor, target_size_width: Tensor) -> Tensor:
    """The last two dimensions to a size, each sample the value at or before its place."""
    x = _resized(x, x.ndim - 2, integer(target_size_height, 1), "DEFAULT", nearest=True)
    return _resized(x, x.ndim - 1, integer(target_size_width, 1), "DEFAULT", nearest=True)


def upsample_bilinear(
    x: Tensor,
    scale_factor_height: Tensor | None = None,
    scale_factor_width: Tensor | None = None,
    align_corners: Tensor | None = None,
) -> Tensor:
    """The last two dimensions by factors; the corners stay in place where `align_corners`, which is the default."""
    mode = "STRICT_ALIGN_CORNERS" if flag(align_corners, True) else "UNALIGN_CORNERS"
    x = _resized(x, x.ndim - 2, _scaled(x.shape[-2], scale_factor_height), mode)
    return _resized(x, x.ndim - 1, _scaled(x.shape[-1], scale_factor_width), mode)


def upsample_nearest_neighbor(
    x: Tensor, scale_factor_height: Tensor | None = None, scale_factor_width: Tensor | None = None
) -> Tensor:
    """The last two dimensions by factors, each sample the value at or before its place."""
    x = _resized(x, x.ndim - 2, _scaled(x.shape[-2], scale_factor_height), "DEFAULT", nearest=True)
    return _resized(x, x.ndim - 1, _scaled(x.shape[-1], scale_factor_width), "DEFAULT", nearest=True)


def resample(
    x: Tensor,
    coordinates: Tensor,
    sampling_mode: str,
    padding_mode: str,
    padding_value: Tensor,
    coordinates_mode: str,
    align_corners: Tensor,
) -> Tensor:
    """Values of (B, C, H, W) at places (B, H2, W2, 2), x before y.

    Raises:
        ValueError: a mode that is not known.
    """
    aligned = flag(align_corners)
    places = coordinates.to(torch.float32)
    if coordinates_mode == "unnormalized":
        sizes = torch.tensor([x.shape[3], x.shape[2]], dtype=torch.float32)
        places = 2 * places / (sizes - 1).clamp(min=1) - 1 if aligned else (2 * places + 1) / sizes - 1
    elif coordinates_mode == "normalized_zero_to_one":
        places = 2 * places - 1
    elif coordinates_mode != "normalized_minus_one_to_one":
        raise ValueError(f"coordinates_mode {coordinates_mode!r} is not known")
    padding = {"constant": "zeros", "border": "border", "reflection": "reflection"}.get(padding_mode)
    if padding is None:
        raise ValueError(f"padding_mode {padding_mode!r} is not known here")
    outside = number(padding_value, 0.0) if padding == "zeros" else 0.0
    return F.grid_sample(x - outside, places, sampling_mode, padding, aligned) + outside


def _scaled(size: int, factor: Tensor | None) -> int:
    return math.floor(size * number(factor, 1.0))


def _resized(x: Tensor, axis: int, count: int, mode: str, *, nearest: bool = False) -> Tensor:
    """One axis to another size."""
    points = grid_points(x.shape[axis], count, mode)
    low = points.floor().to(torch.int64)
    if nearest:
        if mode != "DEFAULT":
            raise ValueError(f"sampling_mode {mode} with the nearest neighbour is not known here")
        return x.index_select(axis, low)
    high = (low + 1).clamp(max=x.shape[axis] - 1)
    share = (points - low).to(x.dtype).reshape(-1, *([1] * (x.ndim - axis - 1)))
    before, after = x.index_select(axis, low), x.index_select(axis, high)
    return before + (after - before) * share


OPERATORS: dict[str, Operator] = {
    each.__name__: each
    for each in (
        resample,
        resize,
        resize_bilinear,
        resize_nearest_neighbor,
        upsample_bilinear,
        upsample_nearest_neighbor,
    )
}
