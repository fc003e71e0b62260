"""How far a converted component is from its reference: pure numpy functions."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike


def snr_db(reference: ArrayLike, candidate: ArrayLike) -> float:
    """Signal-to-noise ratio of a candidate, the power of the reference over that of the difference.

    Args:
        reference: any shape.
        candidate: the same shape.

    Returns:
        Decibels; infinity where the two are equal, minus infinity where the candidate is not finite.

    Raises:
        ValueError: the shapes differ.
    """
    signal, noise = _difference(reference, candidate)
    return _ratio_db(float(np.square(signal).sum()), float(np.square(noise).sum()))


def psnr_db(reference: ArrayLike, candidate: ArrayLike, peak: float = 1.0) -> float:
    """Peak signal-to-noise ratio of a candidate.

    Args:
        reference: any shape.
        candidate: the same shape.
        peak: the largest value that a sample can have; 1 for images in 0..1.

    Returns:
        Decibels; infinity where the two are equal, minus infinity where the candidate is not finite.

    Raises:
        ValueError: the shapes differ.
    """
    _, noise = _difference(reference, candidate)
    return _ratio_db(peak * peak * max(noise.size, 1), float(np.square(noise).sum()))


def _difference(reference: ArrayLike, candidate: ArrayLike) -> tuple[np.ndarray, np.ndarray]:
    signal, other = np.asarray(reference, dtype=np.float64), np.asarray(candidate, dtype=np.float64)
    if signal.shape != other.shape:
        raise ValueError(f"the candidate has shape {other.shape}, expected the reference's {signal.shape}")
    return signal, other - signal


def _ratio_db(signal: float, noise: float) -> float:
    if not np.isfinite(noise):
        return float("-inf")
    if noise == 0.0:
        return float("inf")
    return float(10.0 * np.log10(signal / noise)) if signal > 0.0 else float("-inf")
