"""Rigid and bending motions as matrices and fields.

Coordinates are those of `torch.nn.functional.affine_grid` with `align_corners=False`: -1..1 across the canvas,
y down. Matrices map output coordinates to source coordinates. Pivots lie on the canvas, so one motion is one
matrix whatever the sticker.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from edge_stickers.data.families import FAMILIES, FRAMES, Motion
from edge_stickers.errors import InputError

FLOOR = 0.9  # Where stickers stand: swaying and squashing leave this height in place.
TRAVEL = 0.35
HOP = 0.26
SQUASH = 0.22
SWAY = math.radians(19)
GROW, SHRINK = 0.15, 0.25
SHIVER, SHIVER_CYCLES = 0.06, 3  # Three beats in eight frames: sides alternate with every frame.
THINNEST = 0.05  # Edge on, a flat sticker is this wide, as a share.
FALL = math.radians(60)
WAVE = math.radians(22)
JELLY_SHEAR, JELLY_WAVE = 0.14, 0.08

Matrix = tuple[tuple[float, float, float], tuple[float, float, float]]
IDENTITY: Matrix = ((1.0, 0.0, 0.0), (0.0, 1.0, 0.0))
_STEPS = {"left": (-1.0, 0.0), "right": (1.0, 0.0), "up": (0.0, -1.0), "down": (0.0, 1.0)}


def affine(motion: Motion, frames: int = FRAMES) -> Tensor:
    """The matrices of a rigid motion.

    Args:
        motion: Of a family in `RIGID`, or "still".
        frames: Number of frames, F.

    Returns:
        (F, 2, 3) float32, output to source coordinates, as `affine_grid` takes them.

    Raises:
        InputError: The motion is not rigid.
    """
    if motion.family != "still" and motion.family not in _FORWARD:
        raise InputError(f"{motion.family} is not a rigid motion, expected one of {', '.join(_FORWARD)}")
    forward = _FORWARD.get(motion.family)
    matrices = [IDENTITY if forward is None else _invert(forward(motion, time)) for time in motion.times(frames)]
    return torch.tensor(matrices, dtype=torch.float32)


def bend(motion: Motion, y: Tensor, frames: int = FRAMES) -> Tensor:
    """How far to the right a jelly-like sticker is pushed at each height.

    Args:
        motion: Of family "jelly".
        y: (H,) heights, -1 at the top, 1 at the bottom.
        frames: Number of frames, F.

    Returns:
        (F, H) shifts in canvas coordinates; 0 at the floor and at time 0.
    """
    times = torch.tensor(motion.times(frames), dtype=y.dtype, device=y.device)[:, None]
    height = ((FLOOR - y) / (2 * FLOOR)).clamp(0, 1.1)[None]  # (1, H), 0 at the floor
    beat = 2 * math.pi * motion.cycles * times
    shear = JELLY_SHEAR * torch.sin(beat) * height**1.5
    wave = JELLY_WAVE * (torch.sin(beat - 3 * math.pi * height) + torch.sin(3 * math.pi * height)) * height
    return motion.amplitude * (shear + wave)


def wave_angles(motion: Motion, frames: int = FRAMES) -> list[float]:
    """How far a waving hand is turned in each frame, in radians."""
    reach = WAVE * (0.4 + 0.6 * motion.amplitude)
    return [reach * _wave(motion.cycles * time) for time in motion.times(frames)]


def moving_grid(motions: Sequence[Motion], size: int, device: torch.device, placements: Tensor | None = None) -> Tensor:
    """Where each output pixel comes from, for rigid, bending and still motions.

    Args:
        motions: B motions.
        size: Side of the canvas in pixels, S.
        device: Where to compute.
        placements: (B, 2, 3) canvas to art coordinates; the art fills the canvas by default.

    Returns:
        (B, F, S, S, 2) source coordinates.
    """
    rigid = [motion if FAMILIES[motion.family].kind == "rigid" else Motion("still") for motion in motions]
    theta = torch.stack([affine(motion) for motion in rigid])  # (B, F, 2, 3)
    if placements is not None:
        theta = chain(theta, placements.cpu()[:, None])
    grid = affine_grid(theta.to(device), size)
    for index, motion in enumerate(motions):
        if motion.family == "jelly":
            shift = bend(motion, pixel_centres(size, device))[:, :, None]  # (F, S, 1)
            scale = 1.0 if placements is None else float(placements[index, 0, 0])
            grid[index, ..., 0] -= shift * scale
    return grid


def pixel_centres(size: int, device: torch.device) -> Tensor:
    """(S,) coordinates of the pixels' centres, -1..1."""
    return (torch.arange(size, device=device, dtype=torch.float32) * 2 + 1) / size - 1


def affine_grid(theta: Tensor, size: int) -> Tensor:
    """What `torch.nn.functional.affine_grid` does with `align_corners=False`, without a matrix product a pixel.

    Args:
        theta: (..., 2, 3) output to source coordinates.
        size: Side in pixels, S.

    Returns:
        (..., S, S, 2) source coordinates.
    """
    grid = torch.empty(*theta.shape[:-2], size, size, 2, device=theta.device)
    centres = pixel_centres(size, theta.device)
    for axis in range(2):
        along, across, offset = (theta[..., axis, i, None, None] for i in range(3))  # (..., 1, 1)
        grid[..., axis] = along * centres + (across * centres[:, None] + offset)
    return grid


def chain(first: Tensor, then: Tensor) -> Tensor:
    """One matrix for two: output → `first` → `then` → source; both (…, 2, 3)."""
    linear = then[..., :2] @ first[..., :2]
    offset = then[..., :2] @ first[..., 2:] + then[..., 2:]
    return torch.cat([linear, offset.expand(*linear.shape[:-1], 1)], dim=-1)


def placement(scale: float, x: float = 0.0, y: float = 0.0, angle: float = 0.0) -> Tensor:
    """The matrix that puts full-size art on the canvas.

    Args:
        scale: Share of the canvas that the art takes.
        x: Where its centre goes, -1..1.
        y: The same, down.
        angle: Turn in radians, clockwise on the screen.

    Returns:
        (2, 3) canvas to art coordinates.
    """
    (a, b), (c, d) = _rotation(angle)
    matrix = (a * scale, b * scale, x), (c * scale, d * scale, y)
    return torch.tensor(_invert(matrix), dtype=torch.float32)


def scaling_about(x_scale: float, y_scale: float, pivot: tuple[float, float]) -> Matrix:
    """Output-to-source matrix that scales about a point."""
    return _invert(_about(((x_scale, 0.0), (0.0, y_scale)), pivot))


def rotation_about(angle: float, pivot: tuple[float, float]) -> Matrix:
    """Output-to-source matrix that turns about a point; clockwise on the screen where the angle is positive."""
    return _invert(_about(_rotation(angle), pivot))


def _travel(motion: Motion, time: float) -> Matrix:
    away = TRAVEL * motion.amplitude * _there_and_back(motion.cycles * time)
    x, y = _STEPS[motion.direction or "right"]
    return (1.0, 0.0, x * away), (0.0, 1.0, y * away)


def _hop(motion: Motion, time: float) -> Matrix:
    beat = (motion.cycles * time) % 1.0
    height = max(0.0, 1 - ((beat - 0.5) / 0.36) ** 2)
    edge = min(beat, 1 - beat)  # Crouching before the jump and after the landing.
    crouch = math.sin(math.pi * edge / 0.2) ** 2 if edge < 0.2 else 0.0
    squash = SQUASH * motion.amplitude * crouch
    stretch = 0.03 * motion.amplitude * height
    scaled = _about(((1 + 0.8 * squash - stretch, 0.0), (0.0, 1 - squash + stretch)), (0.0, FLOOR))
    return scaled[0], (scaled[1][0], scaled[1][1], scaled[1][2] - HOP * motion.amplitude * height)


def _sway(motion: Motion, time: float) -> Matrix:
    return _about(_rotation(SWAY * motion.amplitude * _wave(motion.cycles * time)), (0.0, FLOOR))


def _spin(motion: Motion, time: float) -> Matrix:
    turn = 1.0 if motion.direction == "clockwise" else -1.0
    return _about(_rotation(turn * 2 * math.pi * ((motion.cycles * time) % 1.0)), (0.0, 0.0))


def _pulse(motion: Motion, time: float) -> Matrix:
    beat = _wave(motion.cycles * time)
    scale = 1 + motion.amplitude * (GROW if beat > 0 else SHRINK) * beat
    return _about(((scale, 0.0), (0.0, scale)), (0.0, 0.0))


def _shiver(motion: Motion, time: float) -> Matrix:
    return (1.0, 0.0, SHIVER * motion.amplitude * _wave(SHIVER_CYCLES * time)), (0.0, 1.0, 0.0)


def _flip(motion: Motion, time: float) -> Matrix:
    width = math.cos(2 * math.pi * ((motion.cycles * time) % 1.0))
    width = math.copysign(max(abs(width), THINNEST), width)
    return _about(((width, 0.0), (0.0, 1.0)), (0.0, 0.0))


def _fall(motion: Motion, time: float) -> Matrix:
    side = 1.0 if motion.direction == "right" else -1.0
    angle = FALL * motion.amplitude * _there_and_back(motion.cycles * time)
    tipped = _about(_rotation(side * angle), (side * 0.25, FLOOR - 0.05))
    # It slides back and up while it tips, or it would leave the canvas.
    slide, lift = -side * 0.7 * math.sin(angle), -0.16 * math.sin(angle)
    return (tipped[0][0], tipped[0][1], tipped[0][2] + slide), (tipped[1][0], tipped[1][1], tipped[1][2] + lift)


_FORWARD: dict[str, Callable[[Motion, float], Matrix]] = {
    "travel": _travel,
    "hop": _hop,
    "sway": _sway,
    "spin": _spin,
    "pulse": _pulse,
    "shiver": _shiver,
    "flip": _flip,
    "fall": _fall,
}


def _wave(turns: float) -> float:
    return math.sin(2 * math.pi * (turns % 1.0))


def _there_and_back(turns: float) -> float:
    return (1 - math.cos(2 * math.pi * (turns % 1.0))) / 2


def _rotation(angle: float) -> tuple[tuple[float, float], tuple[float, float]]:
    # With y down, this turns clockwise on the screen where the angle is positive.
    return (math.cos(angle), -math.sin(angle)), (math.sin(angle), math.cos(angle))


def _about(linear: tuple[tuple[float, float], tuple[float, float]], pivot: tuple[float, float]) -> Matrix:
    (a, b), (c, d) = linear
    x, y = pivot
    return (a, b, x - a * x - b * y), (c, d, y - c * x - d * y)


def _invert(matrix: Matrix) -> Matrix:
    (a, b, x), (c, d, y) = matrix
    determinant = a * d - b * c
    e, f, g, h = d / determinant, -b / determinant, -c / determinant, a / determinant
    return (e, f, -(e * x + f * y)), (g, h, -(g * x + h * y))
