"""What is asked of a model under evaluation: held-out stickers, every family in turn, held-out sentences."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from torch import Tensor

from edge_stickers.data.captions import Phrasings, caption
from edge_stickers.data.dataset import MARGINS
from edge_stickers.data.families import FAMILIES, Motion
from edge_stickers.data.motion import render
from edge_stickers.data.rasters import RasterCache
from edge_stickers.data.stickers import Split, Sticker, figure_of, split_of
from edge_stickers.errors import InputError

_VISIBLE = 2e-4  # Mean squared change of the frame that changes most; a spinning disc changes less.
_TRIES = 8


@dataclass(frozen=True, slots=True)
class Draw:
    """One task.

    Attributes:
        index: Its number, from 0.
        sticker: What is to move.
        motion: How; a model is told it by `prompt` and `motion.amplitude` alone.
        prompt: The sentence.
        frames: (F, 4, S, S) premultiplied RGBA in 0..1, how the motion library moves it; frame 0 is the still.
    """

    index: int
    sticker: Sticker
    motion: Motion
    prompt: str
    frames: Tensor

    @property
    def still(self) -> Tensor:
        """(4, S, S)."""
        return self.frames[0]


def draw_tasks(
    folder: Path,
    count: int,
    *,
    seed: int = 0,
    split: Split | None = "test",
    size: int = 256,
    phrasings: Phrasings = "held_out",
    cache: Path | None = None,
) -> Iterator[Draw]:
    """Draws tasks, families taking turns, and no sticker twice while another is left.

    Args:
        folder: Holds stickers.
        count: How many.
        seed: Another seed gives others.
        split: The split that stickers come from; None takes all.
        size: Side of the frames in pixels.
        phrasings: Which sentences to use.
        cache: Where drawn stickers are kept; the user's cache folder by default.

    Yields:
        Tasks whose motion shows: a disc is not asked to spin.

    Raises:
        InputError: The folder has no sticker of that split.
    """
    rasters = RasterCache.open(folder, size, cache)
    rng = np.random.default_rng([seed, 7])
    stickers = [sticker for sticker in rasters.stickers if split is None or split_of(sticker.key) == split]
    if not stickers:
        raise InputError(f"no sticker of {folder} falls into the {split} split: add stickers")
    pool = _Pool([stickers[i] for i in rng.permutation(len(stickers))])
    families = [name for name in FAMILIES if pool.can(name, rasters)]
    for index in range(count):
        family = families[index % len(families)]
        motion = draw_motion(family, rng)
        for attempt in range(_TRIES):
            sticker = pool.take(family, rasters)
            frames = render(rasters.open_layers(sticker.key), motion, margin=float(rng.uniform(*MARGINS)))
            change = (frames - frames[:1]).square().mean((1, 2, 3)).max()
            if family == "still" or change > _VISIBLE or attempt == _TRIES - 1:
                break
        pool.used.add(figure_of(sticker.key))
        yield Draw(index, sticker, motion, caption(motion, sticker.name, rng, phrasings), frames)


def draw_motion(family: str, rng: np.random.Generator) -> Motion:
    """A motion of a family, its direction, strength and rhythm drawn as for training."""
    entry = FAMILIES[family]
    direction = entry.directions[int(rng.integers(len(entry.directions)))] if entry.directions else None
    cycles = 2 if entry.max_cycles >= 2 and rng.random() < 0.2 else 1
    return Motion(family, direction, round(float(rng.uniform(0.2, 1.0)), 3), cycles, 0.0, int(rng.integers(2**31)))


class _Pool:
    """Stickers in their turn; those whose figure was used come last."""

    def __init__(self, stickers: Sequence[Sticker]) -> None:
        self.stickers = list(stickers)
        self.used: set[str] = set()

    def can(self, family: str, rasters: RasterCache) -> bool:
        return any(_has_part(sticker, family, rasters) for sticker in self.stickers)

    def take(self, family: str, rasters: RasterCache) -> Sticker:
        able = [sticker for sticker in self.stickers if _has_part(sticker, family, rasters)]
        sticker = next((sticker for sticker in able if figure_of(sticker.key) not in self.used), able[0])
        self.stickers.remove(sticker)
        self.stickers.append(sticker)
        return sticker


def _has_part(sticker: Sticker, family: str, rasters: RasterCache) -> bool:
    part = FAMILIES[family].part
    # Tears hang on eyes where there are any, yet only faces are asked to cry.
    return part is None or part in rasters.parts(sticker.key)
