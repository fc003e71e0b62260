"""Normalisations."""

from __future__ import annotations

import torch
from torch import Tensor

from edge_stickers.convert.coreml_executor.operators.arguments import (
    Operator,
    along_channels,
    integer,
    integers,
    number,
)

_EPSILON = 1e-5
_L2_EPSILON = 1e-6
_LRN_ALPHA, _LRN_BETA, _LRN_K = 1e-4, 0.75, 1.0  # the defaults of the specification


def batch_norm(
    x: Tensor,
    mean: Tensor,
    variance: Tensor,
    gamma: Tensor | None = None,
    beta: Tensor | None = None,
    epsilon: Tensor | None = None,
) -> Tensor:
    """With recorded statistics, all (C,): `gamma * (x - mean) / sqrt(variance + epsilon) + beta`."""
    scale = torch.rsqrt(variance + number(epsilon, _EPSILON))
    scale = scale if gamma is None else scale * gamma
    result = (x - along_channels(mean, x.ndim)) * along_channels(scale, x.ndim)
    return result if beta is None else result + along_channels(beta, x.ndim)


def instance_norm(
    x: Tensor, gamma: Tensor | None = None, beta: Tensor | None = None, epsilon: Tensor | None = None
) -> Tensor:
    """Over the spatial dimensions of each channel; gamma and beta (C,)."""
    result = _standardised(x, list(range(2, x.ndim)), number(epsilon, _EPSILON))
    result = result if gamma is None else result * along_channels(gamma, x.ndim)
    return result if beta is None else result + along_channels(beta, x.ndim)


def l2_norm(x: Tensor, epsilon: Tensor | None = None) -> Tensor:
    """Divided by the square root of the sum of squares over the last three dimensions."""
    total = x.square().sum((-3, -2, -1), keepdim=True)
    return x / torch.sqrt(total + number(epsilon, _L2_EPSILON))


def layer_norm(
    x: Tensor,
    axes: Tensor | None = None,
    gamma: Tensor | None = None,
    beta: Tensor | None = None,
    epsilon: Tensor | None = None,
) -> Tensor:
    """Over the given axes; gamma and beta have the shape of x along these."""
    over = sorted(axis % x.ndim for axis in (range(x.ndim) if axes is None else integers(axes)))
    shape = [size if axis in over else 1 for axis, size in enumerate(x.shape)]
    result = _standardised(x, over, number(epsilon, _EPSILON))
    result = result if gamma is None else result * gamma.reshape(shape)
    return result if beta is None else result + beta.reshape(shape)


def local_response_norm(
    x: Tensor, size: Tensor, alpha: Tensor | None = None, beta: Tensor | None = None, k: Tensor | None = None
) -> Tensor:
    """Over neighbouring channels: `x / (k + alpha / size * sum of squares) ** beta`."""
    window = integer(size, 1)
    squares = torch.nn.functional.pad(x.square(), [0, 0] * (x.ndim - 2) + [window // 2, (window - 1) // 2])
    total = squares.unfold(1, window, 1).sum(-1)
    return x / (number(k, _LRN_K) + number(alpha, _LRN_ALPHA) / window * total) ** number(beta, _LRN_BETA)


def _standardised(x: Tensor, axes: list[int], epsilon: float) -> Tensor:
    centred = x - x.mean(axes, keepdim=True)
    return centred * torch.rsqrt(centred.square().mean(axes, keepdim=True) + epsilon)


OPERATORS: dict[str, Operator] = {
    each.__name__: each for each in (batch_norm, instance_norm, l2_norm, layer_norm, local_response_norm)
}
