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


def place_loss(maps: Tensor, motion: Tensor, corners: Tensor, *, size: int, known: Tensor) -> Tensor:
    """How far heads of the attention to the still look from where a known motion says, in cells (Huber).

    The gradient of that attention reaches only about a cell; clips whose motion is a known matrix show it the way
    from the first step on, and the other clips follow.

    Args:
        maps: (B, F, heads, 2, 3) in cells, see `StillAttention.affine_maps`.
        motion: (B, F, 2, 3) output to source in -1..1, as `affine_grid` takes it.
        corners: (heads, 2) in cells, each head's own place.
        size: H = W of the grid.
        known: (B,) 1 where the motion is known, else 0.
    """
    half = size / 2
    points = torch.tensor([[x, y, 1.0] for x in (-0.7, 0.0, 0.7) for y in (-0.7, 0.0, 0.7)], device=maps.device)
    target = torch.einsum("bfij,pj->bfpi", motion.clamp(-4.0, 4.0), points) * half  # (B, F, points, 2)
    in_cells = points * torch.tensor([half, half, 1.0], device=maps.device)
    source = torch.einsum("bfhij,pj->bfhpi", maps.float(), in_cells) - corners[:, None]  # (B, F, heads, points, 2)
    error = torch.nn.functional.huber_loss(source, target[:, :, None].expand_as(source), reduction="none")
    return (error.flatten(1).mean(dim=1) * known).sum() / known.sum().clamp_min(1.0)
