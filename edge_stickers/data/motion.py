"""Animates stickers: the families of `families`, the geometry of `transforms`, the paint of `effects`."""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence

import numpy as np
import torch
import torch.nn.functional as functional
from torch import Tensor

from edge_stickers.data.effects import DEFAULT_EYES, paint_effect
from edge_stickers.data.families import FAMILIES, FRAMES, RIGID, Family, Motion
from edge_stickers.data.layers import Layers, composite, over
from edge_stickers.data.transforms import (
    Matrix,
    affine,
    affine_grid,
    chain,
    moving_grid,
    placement,
    rotation_about,
    scaling_about,
    wave_angles,
)
from edge_stickers.errors import InputError

__all__ = [
    "FAMILIES",
    "FRAMES",
    "MARGIN",
    "RIGID",
    "Family",
    "Motion",
    "affine",
    "place",
    "placement",
    "render",
    "render_batch",
    "sample_motion",
]

MARGIN = 0.82  # Share of the canvas that a sticker takes, so that it has room to move.
EFFECT_SEED = 0
"""Training paints each effect at the same places: no sentence tells them, and few steps cannot choose among many."""
CLOSED_EYE, CLOSED_MOUTH = 0.1, 0.3  # Heights, as shares of what they are in the still.
OPEN_MOUTH = 0.75  # Height of a mouth that is wide open, in its widths.


def place(images: Tensor, placements: Tensor) -> Tensor:
    """Puts full-size art on the canvas.

    Args:
        images: (B, 4, S, S) premultiplied RGBA.
        placements: (B, 2, 3) canvas to art coordinates; see `placement`.

    Returns:
        (B, 4, S, S).
    """
    return _sample(images, affine_grid(placements.to(images), images.shape[-1]))


def render(layers: Layers | Tensor, motion: Motion, *, margin: float = MARGIN) -> Tensor:
    """Animates one sticker.

    Args:
        layers: The sticker, or (4, S, S) of it, filling its square.
        motion: Any motion; part motions need `Layers` that have the part.
        margin: Share of the canvas that the sticker takes; 1 where it has its margin already.

    Returns:
        (F, 4, S, S) premultiplied RGBA; at phase 0 frame 0 is the still on its canvas.

    Raises:
        InputError: The motion needs a part that the sticker has not.
    """
    layers = layers if isinstance(layers, Layers) else Layers(layers)
    put = placement(margin)[None]
    kind = FAMILIES[motion.family].kind
    if kind == "part":
        return _move_part(layers, motion, put)
    if kind == "effect":
        still = place(layers.image[None], put)[0]
        return paint_effect(still, motion, _eyes_on_canvas(layers, margin))
    return render_batch(layers.image[None], [motion], placements=put)[0]


def render_batch(stills: Tensor, motions: Sequence[Motion], *, placements: Tensor | None = None) -> Tensor:
    """Animates many stickers at once, with rigid, jelly or still motions.

    Args:
        stills: (B, 4, S, S) premultiplied RGBA.
        motions: One a sticker.
        placements: (B, 2, 3) canvas to art coordinates, where stickers still fill their squares; None where they
            have their margin already.

    Returns:
        (B, F, 4, S, S); at phase 0 frame 0 is the placed still.

    Raises:
        InputError: A motion of another kind.
    """
    wrong = [motion.family for motion in motions if FAMILIES[motion.family].kind not in ("rigid", "bend", "still")]
    if wrong:
        raise InputError(f"render_batch got {', '.join(wrong)}: render those one by one with render()")
    grid = moving_grid(motions, stills.shape[-1], stills.device, placements).to(stills.dtype)
    clips = _sample_frames(stills, grid)
    if placements is None:
        # Sampling at the pixels' own centres may differ in the last bit: the still is exact.
        at_rest = [index for index, motion in enumerate(motions) if motion.phase in (0.0, 1.0)]
        clips[at_rest, 0] = stills[at_rest]
    return clips


def sample_motion(rng: np.random.Generator, parts: Sequence[str] | Mapping[str, object] = ()) -> Motion:
    """Draws a motion that a sticker with these parts can make.

    Args:
        rng: The source of chance.
        parts: Names of the sticker's parts; none where it is one layer.

    Returns:
        A motion at phase 0.
    """
    names = [name for name, family in FAMILIES.items() if family.part is None or family.part in parts]
    weights = np.array([FAMILIES[name].weight for name in names])
    name = names[int(rng.choice(len(names), p=weights / weights.sum()))]
    family = FAMILIES[name]
    direction = family.directions[int(rng.integers(len(family.directions)))] if family.directions else None
    amplitude = round(float(rng.uniform(0.2, 1.0)), 3)
    cycles = 2 if family.max_cycles >= 2 and rng.random() < 0.2 else 1
    return Motion(name, direction, amplitude, cycles, 0.0, EFFECT_SEED)


def _move_part(layers: Layers, motion: Motion, put: Tensor) -> Tensor:
    part = FAMILIES[motion.family].part
    if part not in layers.parts:
        raise InputError(f"{motion.family} needs a sticker whose {part} is a layer of its own; this one has none")
    theta = torch.tensor(_part_matrices(motion, layers.parts[part]))  # (F, 2, 3), in the art's coordinates
    moving = affine_grid(chain(put.expand(FRAMES, 2, 3), theta).to(layers.image), layers.image.shape[-1])
    frames: Tensor | None = None
    for moves, group in itertools.groupby(layers.stack, key=lambda layer: layer[0] == part):
        layer = composite([pixels for _, pixels in group])[None]
        placed = _sample_frames(layer, moving[None])[0] if moves else place(layer, put)
        frames = placed if frames is None else over(placed, frames)
    if frames is None:
        raise InputError("the sticker has no layers")
    if motion.phase in (0.0, 1.0):
        frames[0] = place(layers.image[None], put)[0]
    return frames


def _sample(images: Tensor, grid: Tensor) -> Tensor:
    return functional.grid_sample(images, grid, mode="bilinear", padding_mode="zeros", align_corners=False)


def _sample_frames(images: Tensor, grid: Tensor) -> Tensor:
    """Reads (B, 4, S, S) at (B, F, S, S, 2): (B, F, 4, S, S)."""
    # All frames of a clip as one tall image: the still is read in place, not copied for each frame.
    tall = _sample(images, grid.flatten(1, 2))  # (B, 4, F·S, S)
    return tall.reshape(*tall.shape[:2], *grid.shape[1:4]).transpose(1, 2)


def _part_matrices(motion: Motion, part: Tensor) -> list[Matrix]:
    left, top, right, bottom = _extent(part)
    centre = (left + right) / 2, (top + bottom) / 2
    if motion.family == "wave":
        return [rotation_about(angle, (centre[0], bottom)) for angle in wave_angles(motion)]
    matrices = []
    width, height = right - left, bottom - top
    opened = min(max(OPEN_MOUTH * width / height, 1.3), 2.2)  # A mouth that is open opens a little more.
    for time in motion.times():
        beat = (motion.cycles * time) % 1.0
        if motion.family == "blink":
            # Open for most of the beat, shut in its middle.
            shut = min(1.0, 1.6 * max(0.0, 1 - abs(beat - 0.5) / 0.25))
            matrices.append(scaling_about(1.0, 1 - (1 - CLOSED_EYE) * shut, centre))
        else:
            wave = math.sin(2 * math.pi * beat)
            scale = 1 + motion.amplitude * (opened - 1 if wave > 0 else 1 - CLOSED_MOUTH) * wave
            matrices.append(scaling_about(1.0, scale, (centre[0], top + 0.3 * height)))
    return matrices


def _extent(part: Tensor) -> tuple[float, float, float, float]:
    """Left, top, right, bottom of what is painted in (4, S, S), as coordinates -1..1."""
    size = part.shape[-1]
    columns = torch.nonzero(part[3].amax(0) > 0.02)
    rows = torch.nonzero(part[3].amax(1) > 0.02)
    if not len(columns):
        return -1.0, -1.0, 1.0, 1.0
    edges = (columns[0], rows[0], columns[-1] + 1, rows[-1] + 1)
    left, top, right, bottom = (float(edge) / size * 2 - 1 for edge in edges)
    return left, top, right, bottom


def _eyes_on_canvas(layers: Layers, margin: float) -> Sequence[tuple[float, float]]:
    eyes = layers.parts.get("eyes")
    if eyes is None:
        return [(x * margin, y * margin) for x, y in DEFAULT_EYES]
    left, top, right, bottom = _extent(eyes)
    inset, middle = 0.22 * (right - left), (top + bottom) / 2
    return [((left + inset) * margin, middle * margin), ((right - inset) * margin, middle * margin)]
