"""Losses as pure functions."""

from __future__ import annotations

import torch
from torch import Tensor


def psnr(prediction: Tensor, target: Tensor) -> Tensor:
    """Mean over the batch of each image's PSNR in dB, peak 1.

    Args:
        prediction: (B, ...).
        target: the same shape.
    """
    error = (prediction - target).square().flatten(1).mean(dim=1)
    return (-10.0 * torch.log10(error.clamp_min(1e-10))).mean()


def reconstruction_loss(prediction: Tensor, target: Tensor) -> Tensor:
    """Mean absolute error plus each image's root mean square error: between what is robust and what PSNR asks for.

    Args:
        prediction: (B, C, H, W).
        target: the same shape.
    """
    difference = prediction - target
    rms = (difference.square().flatten(1).mean(dim=1) + 1e-6).sqrt()
    return difference.abs().mean() + rms.mean()


def edge_loss(prediction: Tensor, target: Tensor) -> Tensor:
    """Mean absolute error of the differences between neighbouring pixels, which keeps outlines crisp.

    Args:
        prediction: (B, C, H, W).
        target: the same shape.
    """
    difference = prediction - target
    horizontal = (difference[..., :, 1:] - difference[..., :, :-1]).abs().mean()
    vertical = (difference[..., 1:, :] - difference[..., :-1, :]).abs().mean()
    return horizontal + vertical


def flow_loss(
    prediction: Tensor, clean: Tensor, time: Tensor, *, weight: Tensor | None = None, least_time: float = 0.5
) -> Tensor:
    """Squared error of the predicted clean latents, weighted as an error of the flow's velocity.

    The velocity is (x_s - x_0) / s, so an error of x_0 counts 1 / s^2; s is held above `least_time`, or the last
    steps, which have little left to do, would take most of the gradient.

    Args:
        prediction: (B, F, C, h, w).
        clean: the same shape.
        time: (B,) in 0..1.
        weight: (B, F, 1, h, w) how much a cell counts; None for all alike.
        least_time: floor of s in the weight.
    """
    error = (prediction - clean).square()
    if weight is not None:
        error = error * weight
    return (error.flatten(1).mean(dim=1) / time.clamp_min(least_time).square()).mean()


def place_loss(field: Tensor, source: Tensor, places: Tensor) -> Tensor:
    """How far a motion field looks from where a known motion says, in cells of a grid of 32 (smooth L1).

    What lies beyond the canvas is empty, so that an error there counts in proportion to how far beyond.

    Args:
        field: (B, F, 2, terms), see `MotionField`.
        source: (B, F, 2, P) the known source points of P places, -1..1.
        places: (P, terms) `smooth_basis` at these places.
    """
    far = source.abs().amax(dim=2, keepdim=True).clamp_min(1.0)
    error = (torch.nn.functional.linear(field.float(), places) - source) * (16.0 / far)
    # A square would hardly see the tenth of a cell by which a sticker that shall hold still drifts.
    return torch.nn.functional.smooth_l1_loss(error, torch.zeros_like(error), beta=0.1)
