"""Normalisations in operators that every backend has: means, 1x1 convolutions and linear layers of constants."""

from __future__ import annotations

import math

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from edge_stickers.convert.passes.constants import constant

HEADROOM = 0.125
"""Of what a norm squares in half precision: a power of two loses nothing, and a usual epsilon stays above zero."""


def group_norm(x: Tensor, num_groups: int, weight: Tensor | None = None, bias: Tensor | None = None, eps: float = 1e-5,
               cudnn_enabled: bool = True) -> Tensor:  # fmt: skip
    """GroupNorm of images as spatial means, then 1x1 convolutions that average over groups and scale.

    What is one number a channel, epsilon too, comes in as the weight or the bias of a convolution: a constant has not
    the layout of XNNPACK's images, and a product of both would be transposed at run time.

    Args:
        x: (N, C, H, W), or volumes (N, C, D, H, W), which are images D high; other ranks take the plain form.
        num_groups: G.
        weight: (C,).
        bias: (C,).
        eps: added to the variance.
        cudnn_enabled: not used; the operator has it.

    Returns:
        The shape of x.

    Source: "Group Normalization", equation 1.
    """
    if x.dim() == 5:
        images = group_norm(x.reshape(*x.shape[:3], -1), num_groups, weight, bias, eps)
        return images.reshape(x.shape)
    if x.dim() != 4:
        return _group_norm_rows(x, num_groups, weight, bias, eps)
    channels = x.shape[1]
    average = _group_average(channels, num_groups, x)  # (C, C, 1, 1)
    scale = torch.ones(channels, dtype=x.dtype) if weight is None else weight
    epsilon = constant(np.full(channels, eps), x.dtype)
    mean = F.conv2d(x.mean([2, 3], keepdim=True), average)  # (N, C, 1, 1)
    centred = x - mean
    inverse = F.conv2d((centred * centred).mean([2, 3], keepdim=True), average, epsilon).rsqrt()  # (N, C, 1, 1)
    return F.conv2d(centred * inverse, scale.reshape(channels, 1, 1, 1), bias, groups=channels)


def group_norm_of_images(x: Tensor, num_groups: int, weight: Tensor | None = None, bias: Tensor | None = None,
                         eps: float = 1e-5, cudnn_enabled: bool = True) -> Tensor:  # fmt: skip
    """The operator itself, on volumes seen as images: split into groups those would have six dimensions.

    It works on an eighth of x, which gives the same: in half precision the square of 256 is past the largest number.

    Args:
        x: (N, C, ...).
        num_groups: G.
        weight: (C,).
        bias: (C,).
        eps: added to the variance.
        cudnn_enabled: not used; the operator has it.

    Returns:
        The shape of x.
    """
    images = x.reshape(*x.shape[:3], -1) if x.dim() > 4 else x
    scaled = F.group_norm(images * HEADROOM, num_groups, weight, bias, eps * HEADROOM**2)
    return scaled.reshape(x.shape)


def layer_norm(x: Tensor, normalized_shape: list[int], weight: Tensor | None = None, bias: Tensor | None = None,
               eps: float = 1e-5, cudnn_enable: bool = True) -> Tensor:  # fmt: skip
    """LayerNorm whose means are linear layers with one constant row.

    Args:
        x: (..., D).
        normalized_shape: the last dimensions of x.
        weight: of that shape.
        bias: of that shape.
        eps: added to the variance.
        cudnn_enable: not used; the operator has it.

    Returns:
        The shape of x.

    Source: "Layer Normalization", equation 3.
    """
    shape, width = x.shape, math.prod(normalized_shape)
    rows = x.reshape(*shape[: len(shape) - len(normalized_shape)], width)
    row = constant(np.full((1, width), 1.0 / width), x.dtype)
    centred = rows - F.linear(rows, row)
    variance = F.linear(centred * centred, row, constant(np.full(1, eps), x.dtype))
    out = centred * variance.rsqrt()
    if weight is not None:
        out = out * weight.reshape(width)
    if bias is not None:
        out = out + bias.reshape(width)
    return out.reshape(shape)


def _group_average(channels: int, groups: int, like: Tensor) -> Tensor:
    """(C, C, 1, 1): one over the group's size where two channels share a group."""
    size = channels // groups
    average = np.kron(np.eye(groups), np.full((size, size), 1.0 / size))
    return constant(average[:, :, None, None], like.dtype)


def _group_norm_rows(x: Tensor, groups: int, weight: Tensor | None, bias: Tensor | None, eps: float) -> Tensor:
    shape = x.shape
    rows = x.reshape(shape[0], groups, -1)
    out = layer_norm(rows, [rows.shape[2]], eps=eps).reshape(shape)
    channel = [1, shape[1], *([1] * (len(shape) - 2))]
    if weight is not None:
        out = out * weight.reshape(channel)
    return out if bias is None else out + bias.reshape(channel)
