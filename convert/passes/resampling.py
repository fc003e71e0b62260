"""Images made larger or smaller in operators that every backend has, without a pixel's difference."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from edge_stickers.convert.passes.constants import constant
from edge_stickers.convert.passes.shapes import repeat_interleave


def upsample_nearest2d(x: Tensor, output_size: Sequence[int] | None, scale_factors: Sequence[float] | None) -> Tensor:
    """Nearest-neighbour upsampling by whole factors: each pixel beside itself, then each row below itself.

    With the channels last, both repeat what lies side by side.

    Args:
        x: (N, C, H, W).
        output_size: of the result, or None.
        scale_factors: along H and W, where there is no size.

    Returns:
        (N, C, H', W'); of factors that are not whole, what PyTorch's own operator returns.
    """
    scales = scale_factors or (1.0, 1.0)
    height, width = output_size or (int(x.shape[2] * scales[0]), int(x.shape[3] * scales[1]))
    if height % x.shape[2] or width % x.shape[3]:
        larger: Tensor = torch.ops.aten.upsample_nearest2d.vec(x, output_size, scale_factors)
        return larger
    pixels = x.permute(0, 2, 3, 1)  # (N, H, W, C)
    wider = repeat_interleave(pixels, width // x.shape[3], 2)
    return repeat_interleave(wider, height // x.shape[2], 1).permute(0, 3, 1, 2)


def adaptive_avg_pool2d(x: Tensor, output_size: Sequence[int]) -> Tensor:
    """Adaptive average pooling: ordinary pooling where the size divides, two constant linear layers elsewhere.

    Args:
        x: (N, C, H, W).
        output_size: H', W'.

    Returns:
        (N, C, H', W').
    """
    sizes = [size if size is not None else x.shape[2 + axis] for axis, size in enumerate(output_size)]
    if list(x.shape[2:]) == sizes:
        return x
    if x.shape[2] % sizes[0] == 0 and x.shape[3] % sizes[1] == 0:
        return F.avg_pool2d(x, [x.shape[2] // sizes[0], x.shape[3] // sizes[1]])
    across = F.linear(x, _averages(x.shape[3], sizes[1], x.dtype))
    down = F.linear(across.transpose(2, 3), _averages(x.shape[2], sizes[0], x.dtype))
    return down.transpose(2, 3)


def _averages(length: int, bins: int, dtype: torch.dtype) -> Tensor:
    """(bins, length): row i averages from floor(i length / bins) to ceil((i + 1) length / bins), as PyTorch does."""
    rows = np.zeros((bins, length))
    for index in range(bins):
        start, stop = index * length // bins, -(-(index + 1) * length // bins)
        rows[index, start:stop] = 1.0 / (stop - start)
    return constant(rows, dtype)
