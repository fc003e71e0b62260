"""Finds how the still lies in each frame: one affine map a frame, found from many starts."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
import torch.nn.functional as functional
from torch import Tensor

from edge_stickers.data.transforms import chain
from edge_stickers.errors import InputError
from edge_stickers.evaluation.alignment import align, warp

PSNR_CEILING = 60.0
"""Decibels that stand for equal pictures; without a ceiling one exact frame would make every mean infinite."""
TURNS = 16
COARSE, MIDDLE = 32, 64  # Sides in pixels of the first two looks.
LEVELS = ((64, 8, 0.8, 1000), (128, 6, 0.5, 2500), (256, 4, 0.35, 5000))  # Side, steps, softness, points.
KEPT = 4  # Starts a frame that are refined.
_SQUEEZES = ((0.75, 1.0), (0.45, 1.0), (0.2, 1.0), (0.07, 1.0), (1.0, 0.7), (0.8, 0.8), (1.15, 1.15))
_TIE = 3e-5  # Squared errors closer than this are a tie, which the smaller motion wins.


@dataclass(frozen=True, slots=True)
class Registration:
    """How the still lies in each frame.

    Attributes:
        matrices: (F, 2, 3) output to source coordinates, -1..1, as `affine_grid` takes them.
        psnr: (F,) PSNR in dB between frame and moved still, over the whole canvas, peak 1, at most `PSNR_CEILING`.
    """

    matrices: Tensor
    psnr: Tensor

    def moved(self, still: Tensor) -> Tensor:
        """The still as it lies in each frame: (F, 4, H, W)."""
        return warp(still, self.matrices)


def register(frames: Tensor, still: Tensor, *, starts: Tensor | None = None) -> Registration:
    """Registers frames to a still.

    Args:
        frames: (F, 4, S, S) premultiplied RGBA in 0..1.
        still: (4, S, S), S at least 64.
        starts: (F, 2, 3) a guess to be tried beside the others; it has no other say.

    Returns:
        The fits, each the best of turned, mirrored, squeezed and grown starts at every translation.

    Raises:
        InputError: Shapes that do not fit.
    """
    _check(frames, still, starts)
    count = frames.shape[0]
    found = torch.eye(2, 3).repeat(count, 1, 1)
    errors = (frames - still).square().mean((1, 2, 3))
    busy = torch.nonzero(errors > 1e-8)[:, 0]  # Equal frames need no search.
    if len(busy):
        guess = None if starts is None else starts[busy].float()
        fits = _search(frames[busy].float(), still.float(), guess)
        fit_errors = (frames[busy] - warp(still, fits)).square().mean((1, 2, 3))
        better = fit_errors < errors[busy]
        found[busy[better]] = fits[better]
        errors[busy[better]] = fit_errors[better]
    return Registration(found, psnr_of(errors))


def psnr_of(error: Tensor) -> Tensor:
    """Decibels of mean squared errors, peak 1, at most `PSNR_CEILING`."""
    return (-10 * torch.log10(error.clamp_min(1e-12))).clamp_max(PSNR_CEILING)


def symmetries(still: Tensor, *, limit: int = 8) -> tuple[Tensor, Tensor]:
    """Turns and mirrorings after which a sticker looks nearly as before.

    Args:
        still: (4, S, S) premultiplied RGBA.
        limit: The most to return.

    Returns:
        (K, 2, 3) matrices that map a point to one that looks alike, the identity first, and (K,) squared errors.
    """
    small = _shrink(still[None], MIDDLE)[0]
    poses = _poses(still)[: 2 * TURNS]
    poses = torch.cat([poses, *(_turned(still, angle)[None] for angle in _ODD_TURNS)])
    _, coarse = _coarse(still[None], still, poses)
    chosen = coarse[0].argsort()[: 3 * limit]
    offsets, _ = _coarse(still[None], still, poses[chosen])
    fits = align(small.expand(len(chosen), *small.shape), small, offsets[0], steps=6, softness=0.8, points=1000)
    errors = (small - warp(small, fits)).square().mean((1, 2, 3))
    kept, costs = [torch.eye(2, 3)], [torch.tensor(0.0)]
    for index in errors.argsort().tolist():
        matrix = fits[index]
        if len(kept) < limit and all((matrix - other).abs().max() > 0.25 for other in kept):
            kept.append(matrix)
            costs.append(errors[index])
    return torch.stack(kept), torch.stack(costs)


_ODD_TURNS = tuple(2 * math.pi * k / n for n in (3, 5, 6) for k in range(1, n) if (k * 16) % n)


def _search(frames: Tensor, still: Tensor, guess: Tensor | None) -> Tensor:
    count, side = frames.shape[0], frames.shape[-1]
    poses, costs = _coarse(frames, still, _poses(still))  # (F, Q, 2, 3), (F, Q)
    order = costs.argsort(dim=1)[:, :KEPT]
    starts = poses[torch.arange(count)[:, None], order]  # (F, KEPT, 2, 3)
    extra = [torch.eye(2, 3).expand(count, 1, 2, 3)] + ([] if guess is None else [guess[:, None]])
    starts = torch.cat([*extra, starts], dim=1)
    tries = starts.shape[1]
    best = starts.flatten(0, 1)
    for level, steps, softness, points in LEVELS:
        if level > side:
            break
        small, target = _shrink(still[None], level)[0], _shrink(frames, level)
        many = target if tries == 1 else target[:, None].expand(count, tries, *target.shape[1:]).flatten(0, 1)
        best = align(many, small, best, steps=steps, softness=softness, points=points)
        if tries > 1:
            errors = (many - warp(small, best)).square().mean((1, 2, 3)).reshape(count, tries)
            best = _choose(best.reshape(count, tries, 2, 3), errors)
            tries = 1
    return best


def _choose(matrices: Tensor, errors: Tensor) -> Tensor:
    """Of (F, T, 2, 3) the one with the least error, and among equals the one that moves least."""
    away = (matrices - torch.eye(2, 3)).square().sum((2, 3))
    tied = errors <= errors.amin(1, keepdim=True) * 1.05 + _TIE
    index = torch.where(tied, away, torch.inf).argmin(1)
    return matrices[torch.arange(len(index)), index]


def _coarse(frames: Tensor, still: Tensor, poses: Tensor) -> tuple[Tensor, Tensor]:
    """Best translation of every pose in every frame, by correlation.

    Args:
        frames: (F, 4, S, S).
        still: (4, S, S).
        poses: (Q, 2, 3) output to source coordinates, the sticker centred.

    Returns:
        (F, Q, 2, 3) poses with their best translation, and (F, Q) mean squared errors on the small canvas.
    """
    # Moved at twice the size, then averaged: squeezed poses would alias.
    moved = functional.avg_pool2d(warp(_shrink(still[None], 2 * COARSE)[0], poses), 2)  # (Q, 4, C, C)
    small = _shrink(frames, COARSE)
    size = [2 * COARSE, 2 * COARSE]  # Room, so that translations do not wrap around.
    seen, wanted = torch.fft.rfft2(moved, s=size), torch.fft.rfft2(small, s=size)
    product = torch.einsum("fchw,qchw->fqhw", wanted, seen.conj())
    match = torch.fft.irfft2(product, s=size)  # (F, Q, 2C, 2C): sum of frame(x + d) · moved(x)
    peak, place = match.flatten(2).max(2)
    energy = small.square().sum((1, 2, 3))[:, None] + moved.square().sum((1, 2, 3))[None]
    shift = torch.stack([place % size[1], place // size[1]], dim=-1)  # (F, Q, 2), x first
    shift = torch.where(shift >= COARSE, shift - 2 * COARSE, shift).to(poses) * (2 / COARSE)
    found = poses[None].repeat(len(frames), 1, 1, 1)
    # Output moved by d: source = A (x - d) + b.
    found[..., 2] -= torch.einsum("qij,fqj->fqi", poses[..., :2], shift)
    return found, (energy - 2 * peak) / (4 * COARSE * COARSE)


def _poses(still: Tensor) -> Tensor:
    """(Q, 2, 3): turned, mirrored, squeezed about the sticker's middle; the first 2·TURNS keep its size."""
    turned = [_turned(still, 2 * math.pi * k / TURNS) for k in range(TURNS)]
    centre = centre_of(still)
    mirrored = [chain(_scaled(centre, -1.0, 1.0), matrix) for matrix in turned]
    squeezed = [_scaled(centre, x, y) for x, y in _SQUEEZES]
    behind = [_scaled(centre, -x, y) for x, y in _SQUEEZES[:4]]
    return torch.stack(turned + mirrored + squeezed + behind)


def centre_of(still: Tensor) -> tuple[float, float]:
    """The middle of a sticker's paint, in coordinates -1..1."""
    alpha = still[3]
    height, width = alpha.shape
    total = alpha.sum().clamp_min(1e-6)
    x = ((torch.arange(width).to(alpha) * 2 + 1) / width - 1) @ alpha.sum(0) / total
    y = ((torch.arange(height).to(alpha) * 2 + 1) / height - 1) @ alpha.sum(1) / total
    return float(x), float(y)


def _turned(still: Tensor, angle: float) -> Tensor:
    (x, y), cos, sin = centre_of(still), math.cos(angle), math.sin(angle)
    return torch.tensor([[cos, sin, x - cos * x - sin * y], [-sin, cos, y + sin * x - cos * y]])


def _scaled(centre: tuple[float, float], x_scale: float, y_scale: float) -> Tensor:
    x, y = centre
    return torch.tensor([[1 / x_scale, 0.0, x - x / x_scale], [0.0, 1 / y_scale, y - y / y_scale]])


def _shrink(images: Tensor, side: int) -> Tensor:
    return images if images.shape[-1] == side else functional.interpolate(images, size=(side, side), mode="area")


def _check(frames: Tensor, still: Tensor, starts: Tensor | None) -> None:
    square = frames.ndim == 4 and frames.shape[1] == 4 and frames.shape[2] == frames.shape[3] >= MIDDLE
    if not square or frames.shape[1:] != still.shape:
        raise InputError(
            f"frames {tuple(frames.shape)} and still {tuple(still.shape)} do not fit: "
            f"expected (F, 4, S, S) and (4, S, S) with S at least {MIDDLE}"
        )
    if starts is not None and starts.shape != (frames.shape[0], 2, 3):
        raise InputError(f"starts are {tuple(starts.shape)}, expected {(frames.shape[0], 2, 3)}")
