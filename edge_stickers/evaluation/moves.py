"""Reads from a clip how its sticker moves.

One rule for all that moves as a whole: of all motions of the library, the one whose trajectory is nearest, in pixels,
to the one that registration found. It is explicit for each family, because a trajectory is: a hop crouches before it
rises and a travel upwards does not; a sway tips to both sides and a fall to one; a spin winds round; a flip thins to
nothing sideways. A sticker that holds still is read by what changes on and around it.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from edge_stickers.data.families import Motion
from edge_stickers.data.transforms import chain
from edge_stickers.evaluation.changes import read_changes
from edge_stickers.evaluation.registration import Registration, symmetries
from edge_stickers.evaluation.trajectories import body_of, distance, invert, ways_for

STILL_PIXELS = 0.6
"""A sticker whose pixels move less than this (root mean square, pixels of a 256 canvas) holds still."""
UNCLEAR_SHARE = 0.5
"""Share of the motion that the nearest trajectory must explain."""
READ_AS = {"wave": ("wave", "sway")}
"""Families that look like another: a waving hand sticker is all hand, so its wave is a sway."""
_TIE_PIXELS, _TIE_SHARE = 0.15, 1.1
_GAIN = 0.2  # Share of the change that moving the still must explain, or it is a change on the sticker.


@dataclass(frozen=True, slots=True)
class Reading:
    """How a sticker was seen to move.

    Attributes:
        family: A family's name, or "unclear".
        direction: Its direction, where it has one.
        amplitude: Of the nearest motion, 0..1; 0 where the sticker holds still.
        pixels: Root mean square distance of its pixels from where they are in the still, on a 256 canvas.
        explained: Share of the motion that the named trajectory explains, at most 1.
        also: Other families and directions that fit as well, as on stickers that look the same when turned.
    """

    family: str
    direction: str | None
    amplitude: float
    pixels: float
    explained: float
    also: tuple[tuple[str, str | None], ...] = ()

    def agrees(self, told: Motion) -> bool:
        """Whether it moved as told: family and direction."""
        seen = {(self.family, self.direction), *self.also}
        return any((family, told.direction) in seen for family in READ_AS.get(told.family, (told.family,)))


def read_motion(frames: Tensor, still: Tensor, registration: Registration) -> Reading:
    """Reads a clip.

    Args:
        frames: (F, 4, S, S) premultiplied RGBA in 0..1, F = 8.
        still: (4, S, S).
        registration: Of these frames to this still.

    Returns:
        The nearest motion of the library; it is not told what was asked for.
    """
    body = body_of(still)
    rest = torch.eye(2, 3)
    found = registration.matrices
    pixels = math.sqrt(float(distance(invert(found), rest, body).mean()))
    held = (frames - still).square().mean((1, 2, 3))
    fitted = 10 ** (-registration.psnr / 10)
    gain = 1 - float(fitted.sum() / held.sum().clamp_min(1e-9))
    if pixels < STILL_PIXELS or gain < _GAIN:
        return Reading(read_changes(frames), None, 0.0, pixels, 1.0)
    alike, costs = symmetries(still)
    # (F, K, 2, 3): all maps that show the same picture, as far as a frame of this quality tells.
    maps = invert(chain(found[:, None], alike[None]))
    barred = costs[None] > torch.maximum(torch.full_like(fitted, 1.5e-4), 0.25 * fitted)[:, None]  # (F, K)
    ways = ways_for(body)
    # (T, F, K) → (T,)
    errors = distance(maps[None], ways.maps[:, :, None], body).masked_fill(barred[None], math.inf).amin(2).mean(1)
    amount = float(distance(maps, rest, body).masked_fill(barred, math.inf).amin(1).mean())
    if math.sqrt(amount) < STILL_PIXELS:
        return Reading(read_changes(frames), None, 0.0, math.sqrt(amount), 1.0)
    best = int(errors.argmin())
    least = float(errors[best])
    explained = 1 - least / amount
    if explained < UNCLEAR_SHARE:
        return Reading("unclear", None, 0.0, pixels, explained)
    bound = least * _TIE_SHARE + _TIE_PIXELS**2
    ties = {(ways.motions[i].family, ways.motions[i].direction) for i in torch.nonzero(errors <= bound)[:, 0].tolist()}
    nearest = ways.motions[best]
    name = nearest.family, nearest.direction
    return Reading(*name, nearest.amplitude, pixels, explained, tuple(sorted(ties - {name}, key=str)))
