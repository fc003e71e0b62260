"""What is painted over a sticker: hearts that rise, sparkles that twinkle, tears that fall."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as functional
from torch import Tensor

from edge_stickers.data.families import FRAMES, Motion
from edge_stickers.data.layers import over, render_svg

_SPRITE = 96
_OPEN = '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 36 36">'
_HEART = (
    f'{_OPEN}<path fill="#E0245E" d="M34 12.5C34 7.8 30.2 4 25.5 4c-3 0-5.8 1.6-7.5 4-1.7-2.4-4.5-4-7.5-4'
    'C5.8 4 2 7.8 2 12.5c0 9 9 16.5 16 20.5 7-4 16-11.5 16-20.5z"/>'
    '<path fill="#F4829E" d="M9.5 8c-2.5.4-4.2 2.6-4 5.2.1 1 1.5 1 1.7.1.4-2 1.3-3 3-3.6 1.3-.5.8-2-.7-1.7z"/></svg>'
)
_SPARKLE = (
    f'{_OPEN}<path fill="#FFAC33" d="M18 1c1.5 10.5 6 15.5 17 17-11 1.5-15.5 6.5-17 17-1.5-10.5-6-15.5-17-17'
    'C12 16.5 16.5 11.5 18 1z"/>'
    '<path fill="#FFF1B8" d="M18 10c.8 4.8 3 7.2 8 8-5 .8-7.2 3.2-8 8-.8-4.8-3-7.2-8-8 5-.8 7.2-3.2 8-8z"/></svg>'
)
_TEAR = (
    f'{_OPEN}<path fill="#5DADEC" d="M18 2c3 7 10 13 10 21a10 10 0 0 1-20 0C8 15 15 9 18 2z"/>'
    '<path fill="#BDE0F7" d="M12 22c-.5 4 1.5 7 4.5 8 1.2.4.9-1-.1-1.7-2-1.5-2.7-3.5-2.7-6 '
    '0-1.3-1.5-1.5-1.7-.3z"/></svg>'
)
_SVGS = {"hearts": _HEART, "sparkles": _SPARKLE, "tears": _TEAR}
DEFAULT_EYES = ((-0.27, -0.12), (0.27, -0.12))


@dataclass(frozen=True, slots=True)
class _Particle:
    """One sprite in one frame; it comes and goes by its size: half transparent, few autoencoders keep its colour."""

    x: float
    y: float
    size: float  # Side as a share of the canvas.
    angle: float = 0.0


def paint_effect(image: Tensor, motion: Motion, eyes: Sequence[tuple[float, float]] = DEFAULT_EYES) -> Tensor:
    """Paints an effect over a still, frame by frame.

    Args:
        image: (4, H, W) premultiplied RGBA in 0..1, a square.
        motion: Of family "hearts", "sparkles" or "tears".
        eyes: Where tears start, canvas coordinates -1..1.

    Returns:
        (F, 4, H, W).
    """
    side = image.shape[-1]
    # Each half the size of the one before: shrinking by sampling alone would flicker.
    sprites = [render_svg(_SVGS[motion.family], _SPRITE).to(image)]
    while sprites[-1].shape[-1] > 12:
        sprites.append(functional.avg_pool2d(sprites[-1], 2))
    frames = image.expand(FRAMES, *image.shape).clone()
    for frame, time in zip(frames, motion.times(), strict=True):
        for particle in _particles(motion, time, eyes):
            _stamp(frame, sprites, particle, side)
    return frames


def _particles(motion: Motion, time: float, eyes: Sequence[tuple[float, float]]) -> list[_Particle]:
    rng = np.random.default_rng([motion.seed, len(motion.family)])
    if motion.family == "tears":
        return _tears(motion, time, eyes)
    count = 3 + round(4 * motion.amplitude)
    particles = []
    for index in range(count):
        x, y, shift, tilt = (float(value) for value in rng.uniform(-1, 1, 4))
        # Each lives within the loop, none over its seam, so the first frame shows the still alone.
        span = 0.62 if motion.family == "hearts" else 0.45
        born = (1 - span) * (index / max(count - 1, 1))
        age = (time - born) / span
        if not 0.0 < age < 1.0:
            continue
        if motion.family == "hearts":
            column = -0.72 + 1.44 * ((index * 3) % count) / max(count - 1, 1)
            particles.append(
                _Particle(
                    x=column + 0.1 * shift + 0.06 * math.sin(2 * math.pi * age + 3 * tilt),
                    y=0.45 + 0.2 * y - 1.15 * age,
                    size=(0.16 + 0.05 * motion.amplitude + 0.03 * tilt) * min(1.0, 3 * age + 0.1, 3 * (1 - age)),
                    angle=0.3 * tilt,
                )
            )
        else:
            angle = 2 * math.pi * (index / count + 0.06 * shift)
            distance = 0.62 + 0.2 * abs(x)
            particles.append(
                _Particle(
                    x=distance * math.cos(angle),
                    y=distance * math.sin(angle),
                    size=(0.16 + 0.08 * motion.amplitude + 0.04 * tilt) * math.sin(math.pi * age),
                    angle=0.25 * tilt,
                )
            )
    return particles


def _tears(motion: Motion, time: float, eyes: Sequence[tuple[float, float]]) -> list[_Particle]:
    particles = []
    for side, (x, y) in enumerate(eyes):
        for drop in range(2):
            born = 0.02 + 0.2 * side + 0.26 * drop
            age = (time - born) / 0.5
            if not 0.0 < age < 1.0:
                continue
            size = (0.11 + 0.06 * motion.amplitude) * min(1.0, 0.4 + 3 * age, 4 * (1 - age))
            outward = 0.05 if x > 0 else -0.05
            particles.append(_Particle(x + outward, y + 0.12 + 0.75 * age**1.6, size))
    return particles


def _stamp(frame: Tensor, sprites: Sequence[Tensor], particle: _Particle, side: int) -> None:
    """Paints a sprite, given at several sizes, onto (4, S, S) in place, at sub-pixel position."""
    half = particle.size * 0.75 * side + 1.5  # Room for a tilted corner.
    centre_x, centre_y = (particle.x + 1) / 2 * side, (particle.y + 1) / 2 * side
    left, right = max(0, math.floor(centre_x - half)), min(side, math.ceil(centre_x + half))
    top, bottom = max(0, math.floor(centre_y - half)), min(side, math.ceil(centre_y + half))
    if left >= right or top >= bottom:
        return
    reach = particle.size * side / 2
    x = (torch.arange(left, right, device=frame.device) + 0.5 - centre_x) / reach
    y = (torch.arange(top, bottom, device=frame.device) + 0.5 - centre_y) / reach
    cos, sin = math.cos(particle.angle), math.sin(particle.angle)
    grid_x = cos * x[None] + sin * y[:, None]
    grid_y = -sin * x[None] + cos * y[:, None]
    grid = torch.stack([grid_x, grid_y], dim=-1)[None].to(frame)
    fitting = [sprite for sprite in sprites if sprite.shape[-1] >= 2 * reach] or list(sprites[:1])
    patch = functional.grid_sample(fitting[-1][None], grid, align_corners=False)[0]
    frame[:, top:bottom, left:right] = over(patch, frame[:, top:bottom, left:right])
