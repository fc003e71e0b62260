"""Activation functions."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from edge_stickers.convert.coreml_executor.operators.arguments import Operator, along_channels, integer

_GELU_SLOPE = 1.702  # of the sigmoid approximation


def clamped_relu(x: Tensor, alpha: Tensor, beta: Tensor) -> Tensor:
    """`min(x, beta)`, of `alpha * x` where x is below zero."""
    return torch.minimum(torch.where(x >= 0, x, alpha * x), beta)


def elu(x: Tensor, alpha: Tensor) -> Tensor:
    """`alpha * (exp(x) - 1)` below zero."""
    return torch.where(x > 0, x, alpha * torch.expm1(x))


def gelu(x: Tensor, mode: str = "EXACT") -> Tensor:
    """Gaussian error linear unit."""
    if mode == "SIGMOID_APPROXIMATION":
        return x * torch.sigmoid(_GELU_SLOPE * x)
    return F.gelu(x, approximate={"EXACT": "none", "TANH_APPROXIMATION": "tanh"}[mode])


def leaky_relu(x: Tensor, alpha: Tensor) -> Tensor:
    """`alpha * x` below zero."""
    return torch.where(x >= 0, x, alpha * x)


def linear_activation(x: Tensor, alpha: Tensor, beta: Tensor) -> Tensor:
    """`alpha * x + beta`."""
    return alpha * x + beta


def prelu(x: Tensor, alpha: Tensor) -> Tensor:
    """`alpha * x` below zero, alpha (C,) along the channels."""
    return torch.where(x >= 0, x, along_channels(alpha, x.ndim) * x)


def relu(x: Tensor) -> Tensor:
    """`max(x, 0)`."""
    return torch.relu(x)


def relu6(x: Tensor) -> Tensor:
    """Between 0 and 6."""
    return F.relu6(x)


def scaled_tanh(x: Tensor, alpha: Tensor, beta: Tensor) -> Tensor:
    """`alpha * tanh(beta * x)`."""
    return alpha * torch.tanh(beta * x)


def sigmoid(x: Tensor) -> Tensor:
    """`1 / (1 + exp(-x))`."""
    return torch.sigmoid(x)


def sigmoid_hard(x: Tensor, alpha: Tensor, beta: Tensor) -> Tensor:
    """`alpha * x + beta`, between 0 and 1."""
    return (alpha * x + beta).clamp(0.0, 1.0)


def silu(x: Tensor) -> Tensor:
    """`x * sigmoid(x)`."""
    return F.silu(x)


def softmax(x: Tensor, axis: Tensor | None = None) -> Tensor:
    """`exp(x)` divided by its sum along an axis."""
    return torch.softmax(x, integer(axis, -1))


def softplus(x: Tensor) -> Tensor:
    """`log(1 + exp(x))`."""
    return torch.logaddexp(x, torch.zeros_like(x))


def softplus_parametric(x: Tensor, alpha: Tensor, beta: Tensor) -> Tensor:
    """`alpha * log(1 + exp(beta * x))`, alpha and beta (C,) along the channels."""
    return along_channels(alpha, x.ndim) * softplus(along_channels(beta, x.ndim) * x)


def softsign(x: Tensor) -> Tensor:
    """`x / (1 + |x|)`."""
    return F.softsign(x)


def thresholded_relu(x: Tensor, alpha: Tensor) -> Tensor:
    """X where it is at least alpha, else 0."""
    return torch.where(x >= alpha, x, torch.zeros_like(x))


OPERATORS: dict[str, Operator] = {
    each.__name__: each
    for each in (
        clamped_relu,
        elu,
        gelu,
        leaky_relu,
        linear_activation,
        prelu,
        relu,
        relu6,
        scaled_tanh,
        sigmoid,
        sigmoid_hard,
        silu,
        softmax,
        softplus,
        softplus_parametric,
        softsign,
        thresholded_relu,
    )
}
