"""Convolutions of volumes and of rows as convolutions of images, with the weights that they have."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor


def conv3d(x: Tensor, weight: Tensor, bias: Tensor | None = None, stride: Sequence[int] = (1, 1, 1),
           padding: Sequence[int] = (0, 0, 0), dilation: Sequence[int] = (1, 1, 1),
           groups: int = 1) -> Tensor:  # fmt: skip
    """A convolution along time alone, or of each frame alone, as one of images; others stay as they are.

    The view of a weight depends on nothing but the weight, so that `fold_constants` makes it one again.

    Args:
        x: (N, C, D, H, W).
        weight: (O, C / groups, k, 1, 1) or (O, C / groups, 1, kh, kw).
        bias: (O,).
        stride: along D, H, W.
        padding: along D, H, W.
        dilation: along D, H, W.
        groups: of channels.

    Returns:
        What `torch.nn.functional.conv3d` returns.
    """
    stride, padding, dilation = _triple(stride), _triple(padding), _triple(dilation)
    batch, channels, depth, height, width = x.shape
    out, _, *kernel = weight.shape
    if kernel[1:] == [1, 1] and stride[1:] == (1, 1) and padding[1:] == (0, 0):
        rows = x.reshape(batch, channels, depth, height * width)
        along = weight.reshape(out, -1, kernel[0], 1)
        rows = F.conv2d(rows, along, bias, (stride[0], 1), (padding[0], 0), (dilation[0], 1), groups)
        return rows.reshape(batch, out, rows.shape[2], height, width)
    if kernel[0] == 1 and stride[0] == 1 and padding[0] == 0:
        frames = x.permute(0, 2, 1, 3, 4).reshape(batch * depth, channels, height, width)
        across = weight.reshape(out, -1, *kernel[1:])
        frames = F.conv2d(frames, across, bias, stride[1:], padding[1:], dilation[1:], groups)
        return frames.reshape(batch, depth, out, *frames.shape[2:]).permute(0, 2, 1, 3, 4)
    return F.conv3d(x, weight, bias, stride, padding, dilation, groups)


def conv1d(x: Tensor, weight: Tensor, bias: Tensor | None = None, stride: Sequence[int] = (1,),
           padding: Sequence[int] = (0,), dilation: Sequence[int] = (1,), groups: int = 1) -> Tensor:  # fmt: skip
    """A convolution of rows as one of images that are one pixel wide.

    Args:
        x: (N, C, L).
        weight: (O, C / groups, k).
        bias: (O,).
        stride: along L.
        padding: along L.
        dilation: along L.
        groups: of channels.

    Returns:
        What `torch.nn.functional.conv1d` returns.
    """
    columns, tall = x.reshape(*x.shape, 1), weight.reshape(*weight.shape, 1)
    columns = F.conv2d(columns, tall, bias, (stride[0], 1), (padding[0], 0), (dilation[0], 1), groups)
    return torch.reshape(columns, columns.shape[:3])


def _triple(values: Sequence[int]) -> tuple[int, int, int]:
    """One number for all three dimensions, as the operator's schema allows, or three."""
    first, second, third = tuple(values) * (3 if len(values) == 1 else 1)
    return first, second, third
