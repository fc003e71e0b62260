"""Ways that a whole sticker can move, and how far one way is from another in pixels."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import torch
from torch import Tensor

from edge_stickers.data.families import FAMILIES, FRAMES, Motion
from edge_stickers.data.motion import RIGID
from edge_stickers.data.transforms import affine, bend

PIXELS = 128.0
"""Pixels of a 256 canvas in one unit of the coordinates -1..1."""
_AMPLITUDES = tuple(step / 40 for step in range(6, 41))


@dataclass(frozen=True, slots=True)
class Body:
    """Where a sticker's paint lies.

    Attributes:
        mean: (2,) its middle, coordinates -1..1.
        covariance: (2, 2) its spread.
        rows: (H,) paint at each height.
    """

    mean: Tensor
    covariance: Tensor
    rows: Tensor


def body_of(still: Tensor) -> Body:
    """Where the paint of (4, H, W) lies, by alpha."""
    alpha = still[3].double()
    height, width = alpha.shape
    y = (torch.arange(height, dtype=torch.float64) * 2 + 1) / height - 1
    x = (torch.arange(width, dtype=torch.float64) * 2 + 1) / width - 1
    weight = alpha / alpha.sum().clamp_min(1e-9)
    mean = torch.stack([(weight.sum(0) * x).sum(), (weight.sum(1) * y).sum()])
    x, y = x - mean[0], y - mean[1]
    mixed = (weight * x[None] * y[:, None]).sum()
    covariance = torch.stack(
        [torch.stack([(weight.sum(0) * x * x).sum(), mixed]), torch.stack([mixed, (weight.sum(1) * y * y).sum()])]
    )
    return Body(mean.float(), covariance.float(), weight.sum(1).float())


def invert(matrices: Tensor) -> Tensor:
    """(…, 2, 3) output-to-source matrices as source-to-output ones, and the other way round."""
    linear, offset = matrices[..., :2], matrices[..., 2:]
    determinant = torch.linalg.det(linear)[..., None, None]
    # A matrix that has lost its footing shall not divide by zero.
    determinant = torch.where(determinant.abs() < 1e-4, torch.full_like(determinant, 1e-4), determinant)
    turned = torch.stack(
        [
            torch.stack([linear[..., 1, 1], -linear[..., 0, 1]], dim=-1),
            torch.stack([-linear[..., 1, 0], linear[..., 0, 0]], dim=-1),
        ],
        dim=-2,
    )
    inverse = turned / determinant
    return torch.cat([inverse, -inverse @ offset], dim=-1)


def distance(first: Tensor, second: Tensor, body: Body) -> Tensor:
    """Mean squared distance between where two maps put a sticker's pixels.

    Args:
        first: (…, 2, 3) source to output coordinates.
        second: (…, 2, 3) the same.
        body: Where those pixels are.

    Returns:
        (…) squared pixels of a 256 canvas.
    """
    change = first - second
    linear = change[..., :2]
    middle = linear @ body.mean + change[..., 2]
    spread = ((linear @ body.covariance) * linear).sum((-1, -2))
    return (middle.square().sum(-1) + spread) * PIXELS**2


@dataclass(frozen=True, slots=True)
class Ways:
    """All rigid and bending motions of the library, as source-to-output maps.

    Attributes:
        motions: T motions.
        maps: (T, F, 2, 3).
    """

    motions: tuple[Motion, ...]
    maps: Tensor


def ways_for(body: Body) -> Ways:
    """Every way of moving, for one sticker; only bending depends on where its paint lies."""
    motions, maps = _rigid_ways()
    bent = _variants("jelly")
    return Ways(motions + tuple(bent), torch.cat([maps, torch.stack([_bend_as_map(motion, body) for motion in bent])]))


@lru_cache(maxsize=1)
def _rigid_ways() -> tuple[tuple[Motion, ...], Tensor]:
    motions = tuple(motion for family in RIGID for motion in _variants(family))
    return motions, invert(torch.stack([affine(motion) for motion in motions]))


def _variants(family: str) -> list[Motion]:
    entry = FAMILIES[family]
    amplitudes = _AMPLITUDES if entry.has_amplitude else (1.0,)
    return [
        Motion(family, direction, amplitude, cycles)
        for direction in entry.directions or (None,)
        for cycles in range(1, entry.max_cycles + 1)
        for amplitude in amplitudes
    ]


def _bend_as_map(motion: Motion, body: Body) -> Tensor:
    """The affine map nearest to a bend, over the sticker's paint: (F, 2, 3)."""
    height = len(body.rows)
    y = (torch.arange(height) * 2 + 1) / height - 1
    shift = bend(motion, y)  # (F, H)
    weight = body.rows / body.rows.sum().clamp_min(1e-9)
    middle = shift @ weight
    away = y - body.mean[1]
    slope = (shift * weight * away).sum(1) / (weight * away.square()).sum().clamp_min(1e-9)
    maps = torch.eye(2, 3).repeat(FRAMES, 1, 1)
    maps[:, 0, 1] = slope
    maps[:, 0, 2] = middle - slope * body.mean[1]
    return maps
