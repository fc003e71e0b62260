"""Rectified flow in x-prediction: times, noising, and the table of coefficients that replaces a scheduler in an app.

At time s in 0..1 the noisy latent is x_s = (1 - s) x_0 + s e. The model predicts x_0; an Euler step of the flow from s
to r is x_r = (r / s) x_s + (1 - r / s) x_0.

Source: "Flow Straight and Fast" (arXiv 2209.03003), equation 1, solved for x_0.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from edge_stickers.config import STEP_COUNTS
from edge_stickers.errors import InputError

TRAIN_TIMESTEPS = 1000.0
"""The model's `timestep` is this many times s."""


@dataclass(frozen=True, slots=True)
class Row:
    """One step: x ← a·x + b·noise_pred + c·previous noise_pred + d·noise, with the model called at `timestep`."""

    timestep: float
    a: float
    b: float
    c: float = 0.0
    d: float = 0.0


def times(steps: int, *, shift: float = 1.0) -> np.ndarray:
    """The times at which the model is called, and the final 0.

    Args:
        steps: N, at least 1.
        shift: above 1 puts more of the steps near the noise (SD3, equation 23).

    Returns:
        (N + 1,) float64, from 1 down to 0.
    """
    if steps < 1:
        raise InputError(f"steps must be at least 1, got {steps}")
    uniform = np.linspace(1.0, 0.0, steps + 1)
    return shift * uniform / (1.0 + (shift - 1.0) * uniform)


def rows(steps: int, *, shift: float = 1.0) -> list[Row]:
    """The table for that many steps."""
    grid = times(steps, shift=shift)
    return [
        Row(timestep=float(s * TRAIN_TIMESTEPS), a=float(r / s), b=float(1.0 - r / s))
        for s, r in itertools.pairwise(grid)
    ]


def tables(step_counts: Sequence[int] = STEP_COUNTS, *, shift: float = 1.0) -> dict[int, list[Row]]:
    """`rows` for each supported number of steps."""
    return {steps: rows(steps, shift=shift) for steps in step_counts}


def add_noise(clean: Tensor, noise: Tensor, time: Tensor) -> Tensor:
    """The noisy latent at a time.

    Args:
        clean: (B, ...) latents.
        noise: the same shape, standard normal.
        time: (B,) in 0..1.

    Returns:
        The same shape.
    """
    s = time.reshape(-1, *([1] * (clean.dim() - 1)))
    return torch.lerp(clean, noise, s)
