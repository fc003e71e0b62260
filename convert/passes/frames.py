"""Convolutions of several images as one of a tall image, for backends that convolve one image at a time.

The images are stacked with rows of zeros between them, as many as a kernel reaches over an edge, so that none sees its
neighbour: the zeros stand for the padding that each had of its own.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch.nn.functional as F
from torch import Tensor


def conv2d(x: Tensor, weight: Tensor, bias: Tensor | None = None, stride: Sequence[int] = (1, 1),
           padding: Sequence[int] = (0, 0), dilation: Sequence[int] = (1, 1), groups: int = 1) -> Tensor:  # fmt: skip
    """`torch.nn.functional.conv2d` with a batch of one.

    Args:
        x: (N, C, H, W).
        weight: (O, C / groups, kh, kw).
        bias: (O,).
        stride: along H, W.
        padding: along H, W.
        dilation: along H, W.
        groups: of channels.

    Returns:
        (N, O, H', W').
    """
    batch, _, height, _ = x.shape
    if batch == 1:
        return F.conv2d(x, weight, bias, stride, padding, dilation, groups)
    step, pad, reach = stride[0], padding[0], dilation[0] * (weight.shape[2] - 1)
    out_height = (height + 2 * pad - reach - 1) // step + 1
    period = _up_to_multiple(max(height + pad, out_height * step), step)
    # The last image's rows must be there as well: what the kernel reads below them is zero.
    rows = (batch * period // step - 1) * step + reach + 1 - 2 * pad
    tall = _stacked(x, period, max(rows, batch * period))
    made = F.conv2d(tall, weight, bias, stride, padding, dilation, groups)
    return _apart(made, batch, period // step, out_height)


def conv_transpose2d(x: Tensor, weight: Tensor, bias: Tensor | None = None, stride: Sequence[int] = (1, 1),
                     padding: Sequence[int] = (0, 0), output_padding: Sequence[int] = (0, 0), groups: int = 1,
                     dilation: Sequence[int] = (1, 1)) -> Tensor:  # fmt: skip
    """`torch.nn.functional.conv_transpose2d` with a batch of one.

    Args:
        x: (N, C, H, W).
        weight: (C, O / groups, kh, kw).
        bias: (O,).
        stride: along H, W.
        padding: along H, W.
        output_padding: along H, W.
        groups: of channels.
        dilation: along H, W.

    Returns:
        (N, O, H', W').
    """
    batch, _, height, _ = x.shape
    if batch == 1:
        return F.conv_transpose2d(x, weight, bias, stride, padding, output_padding, groups, dilation)
    step, pad, reach = stride[0], padding[0], dilation[0] * (weight.shape[2] - 1)
    out_height = (height - 1) * step - 2 * pad + reach + output_padding[0] + 1
    period = max(height, -(-(out_height + pad) // step))
    rows = -(-(batch * period * step + 2 * pad - reach - 1) // step) + 1  # enough for the last image's rows
    tall = _stacked(x, period, max(rows, batch * period))
    made = F.conv_transpose2d(tall, weight, bias, stride, padding, output_padding, groups, dilation)
    return _apart(made, batch, period * step, out_height)


def _stacked(x: Tensor, period: int, rows: int) -> Tensor:
    """(N, C, H, W) to (1, C, rows, W), each image at a multiple of the period, zeros elsewhere."""
    batch, channels, height, width = x.shape
    spaced = F.pad(x, (0, 0, 0, period - height)) if period > height else x
    tall = spaced.permute(1, 0, 2, 3).reshape(1, channels, batch * period, width)
    return F.pad(tall, (0, 0, 0, rows - batch * period)) if rows > batch * period else tall


def _apart(tall: Tensor, batch: int, period: int, height: int) -> Tensor:
    """(1, O, rows, W) to (N, O, H, W): the images at the multiples of the period."""
    _, channels, rows, width = tall.shape
    whole = tall[:, :, : batch * period] if rows > batch * period else tall
    images = whole.reshape(channels, batch, period, width)
    images = images[:, :, :height] if period > height else images
    return images.permute(1, 0, 2, 3)


def _up_to_multiple(value: int, factor: int) -> int:
    return -(-value // factor) * factor
