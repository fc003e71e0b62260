"""Reads what changes on or around a sticker that holds still: eyes, mouths, hearts, sparkles, tears."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as functional
from torch import Tensor

from edge_stickers.data.families import FRAMES

_CHANGED = 0.03  # Squared change of a pixel, summed over four channels, that the eye sees.
_LEAST = 2e-4  # Share of the canvas that must change in some frame.
_NEAR = {"hearts": 0.16, "sparkles": 0.28, "tears": 0.28}
"""Distance of two colours, each 0..1 a channel, that pass as one: what is small mixes with what lies behind it.

Settled on validation stickers. Of 14 real clips with sparkles that the shipped autoencoder encoded and decoded, none
reads as sparkles at 0.16, eight do at 0.24 and all at 0.28. Of the student's own clips, told to cry, 9 of 12 read as
tears at 0.16 and all at 0.28, and none of 36 that were told to blink, talk or hold still.
"""
_INKS = {
    "hearts": ((0.878, 0.141, 0.369), (0.957, 0.510, 0.620)),
    "sparkles": ((1.0, 0.675, 0.200), (1.0, 0.945, 0.722)),
    "tears": ((0.365, 0.678, 0.925), (0.741, 0.878, 0.969)),
}
_COMPACT = 0.75  # Share of the change that must lie within a face's band to be a part's.
_BOIL = 0.15  # Share of a sticker that may change in a frame, without rhyme or reason, while it still holds still.
_THICKNESSES = (9, 7, 5, 3)  # Pixels: large parts stand out from boiling edges, small ones only where nothing boils.
_RHYTHM = 0.8  # How well, as a cosine, a part's changes must follow a known rhythm.
_INKED = 0.3  # Share of the change that must have an effect's colours.


def read_changes(frames: Tensor) -> str:
    """Names what happens to a sticker that holds still.

    Args:
        frames: (F, 4, S, S) premultiplied RGBA in 0..1; frame 0 shows the still.

    Returns:
        "still" where nothing changes but a little boiling; "hearts", "sparkles" or "tears" where their colours appear;
        "blink" or "talk" where something small within the silhouette changes to their rhythms, told apart by rhythm
        and by whether it is a pair; "unclear" for the rest.
    """
    first = frames[0]
    change = (frames - first).square().sum(1)  # (F, S, S)
    changed = _opened(change > _CHANGED)
    if changed.flatten(1).float().mean(1).max() < _LEAST:
        return "still"
    effect = _effect(frames, changed)
    if effect is not None:
        return effect
    body = functional.max_pool2d(first[None, 3:], 9, 1, 4)[0, 0] > 0.1
    energy = change * changed
    if energy[:, ~body].sum() > 0.25 * energy.sum():
        return "unclear"
    for thickness in _THICKNESSES:
        core = _opened(change > _CHANGED, thickness)
        # Once the place is known, weaker changes there count too.
        region = functional.max_pool2d(core.any(0)[None].float(), 5, 1, 2)[0] > 0
        part = _part(change * region) if _is_compact((change * core).sum(0), body) else None
        if part is not None:
            return part
    touched = (changed & body).sum((1, 2)).max() / body.sum().clamp_min(1)
    return "still" if touched < _BOIL else "unclear"


def _is_compact(energy: Tensor, body: Tensor) -> bool:
    """Whether most of a change, (S, S), lies within a band as wide and high as a face's parts are."""
    side = len(body)
    width, height = (
        max(3, int(share * _extent(line) * side) | 1) for share, line in ((0.7, body.any(0)), (0.35, body.any(1)))
    )
    sums = functional.avg_pool2d(energy[None], (height, width), 1, (height // 2, width // 2)) * (height * width)
    return bool(sums.max() > _COMPACT * energy.sum() > 0)


def _opened(changed: Tensor, thickness: int = 3) -> Tensor:
    """Drops lines thinner than so many pixels, such as the edges of a sticker that trembles: (F, S, S) bool."""
    kept = -functional.max_pool2d(-changed.float(), thickness, 1, thickness // 2)
    return functional.max_pool2d(kept, thickness, 1, thickness // 2) > 0


def _effect(frames: Tensor, changed: Tensor) -> str | None:
    """The effect whose colours appear where something changed."""
    paint = _colour(frames)  # (F, 3, S, S)
    before = paint[:1]
    solid = changed & (frames[:, 3] > 0.5)
    total = solid.sum().clamp_min(1)
    inked = {}
    for name, inks in _INKS.items():
        now, then = _off(paint, inks), _off(before, inks)
        then = torch.where(frames[:1, 3] > 0.5, then, torch.ones_like(then))
        inked[name] = solid & (now < _NEAR[name]) & (then > now + 0.1)
    scores = {name: float(ink.sum() / total) for name, ink in inked.items()}
    best = max(scores, key=lambda name: scores[name])
    shown = inked[best].any(0)
    wide, high = _extent(shown.any(0)), _extent(shown.any(1))
    spread = {"hearts": wide > 0.4, "sparkles": wide > 0.4 and high > 0.4, "tears": high > 0.15}
    return best if scores[best] > _INKED and spread[best] else None


def _part(energy: Tensor) -> str | None:
    """Blink or talk, by rhythm and place, or neither: (F, S, S) energies."""
    beats = [k / FRAMES for k in range(FRAMES)]
    shut = [[min(1.0, 1.6 * max(0.0, 1 - abs((n * t) % 1 - 0.5) / 0.25)) for t in beats] for n in (1, 2)]
    open_ = [[abs(math.sin(2 * math.pi * n * t)) for t in beats] for n in (2, 3)]
    profile = energy.sum((1, 2)).sqrt()
    blink, talk = (max(_cosine(profile, torch.tensor(beat)) for beat in group) for group in (shut, open_))
    if max(blink, talk) < _RHYTHM:
        return None
    # Two eyes leave a gap between them, a mouth does not.
    columns = energy.sum((0, 1))
    where = torch.nonzero(columns > 0)[:, 0]
    left, right = int(where[0]), int(where[-1]) + 1
    third = max(1, (right - left) // 3)
    gap = 1 - 3 * float(columns[left + third : right - third].sum() / columns.sum())
    return "blink" if blink + 0.15 * gap > talk else "talk"


def _cosine(first: Tensor, second: Tensor) -> float:
    return float(first @ second / (first.norm() * second.norm()).clamp_min(1e-9))


def _colour(frames: Tensor) -> Tensor:
    return (frames[:, :3] / frames[:, 3:].clamp_min(0.05)).clamp(0, 1)


def _off(paint: Tensor, inks: tuple[tuple[float, float, float], ...]) -> Tensor:
    """Distance to the nearest ink: (N, 3, S, S) → (N, S, S)."""
    offs = [(paint - torch.tensor(ink).to(paint)[None, :, None, None]).norm(dim=1) for ink in inks]
    return torch.stack(offs).amin(0)


def _extent(line: Tensor) -> float:
    where = torch.nonzero(line)[:, 0]
    return float(where[-1] - where[0] + 1) / len(line) if len(where) else 0.0
