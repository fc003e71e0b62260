"""Clips by number: a sticker, a motion and a sentence, the same for a number whichever worker asks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from edge_stickers.data.captions import Phrasings, caption
from edge_stickers.data.motion import FAMILIES, Motion, place, placement, render, render_batch, sample_motion
from edge_stickers.data.rasters import RasterCache
from edge_stickers.data.stickers import Split, Sticker, figure_of, split_of
from edge_stickers.errors import InputError

MARGINS = (0.76, 0.88)  # Share of the canvas that a sticker takes in training.
FACES, HANDS = 0.3, 0.03  # Shares of clips drawn from stickers with a face, or with a hand to wave.


@dataclass(frozen=True, slots=True)
class Clip:
    """One example.

    Attributes:
        still: (4, S, S) premultiplied RGBA in 0..1, what the model is given.
        frames: (F, 4, S, S), what it should make; frame 0 is the still.
        caption: The sentence.
        motion: What was done.
        sticker: What it was done to.
    """

    still: Tensor
    frames: Tensor
    caption: str
    motion: Motion
    sticker: Sticker


@dataclass(frozen=True, slots=True)
class ClipBatch:
    """B examples.

    Attributes:
        stills: (B, 4, S, S) premultiplied RGBA in 0..1.
        frames: (B, F, 4, S, S).
        captions: B sentences.
        motions: B motions.
        stickers: B stickers.
    """

    stills: Tensor
    frames: Tensor
    captions: tuple[str, ...]
    motions: tuple[Motion, ...]
    stickers: tuple[Sticker, ...]


@dataclass(frozen=True, slots=True)
class Plan:
    """What a clip is before it is drawn; `margin` is the share of the canvas that the sticker takes."""

    sticker: Sticker
    motion: Motion
    caption: str
    margin: float


class ClipSource:
    """An endless supply of clips from one split of a folder of stickers."""

    def __init__(
        self,
        folder: Path,
        *,
        split: Split | None = "train",
        size: int = 256,
        seed: int = 0,
        cache: Path | None = None,
        phrasings: Phrasings = "train",
        margins: tuple[float, float] = MARGINS,
    ) -> None:
        """Opens a folder; the first time, its stickers are drawn into the cache.

        Args:
            folder: Holds SVG, PNG or WebP files.
            split: The split to draw from; None takes all stickers.
            size: Side of the clips in pixels, S.
            seed: Another seed gives other clips.
            cache: Where to keep drawn stickers; the user's cache folder by default.
            phrasings: Which sentences to use.
            margins: Smallest and largest share of the canvas that a sticker takes.

        Raises:
            InputError: The folder holds no sticker of that split.
        """
        self.size = size
        self.seed = seed
        self.rasters = RasterCache.open(folder, size, cache)
        self.phrasings: Phrasings = phrasings
        self.margins = margins
        figures: dict[str, list[Sticker]] = {}
        for sticker in self.rasters.stickers:
            if split is None or split_of(sticker.key) == split:
                figures.setdefault(figure_of(sticker.key), []).append(sticker)
        if not figures:
            raise InputError(f"no sticker of {folder} falls into the {split} split: add stickers")
        # Skin tones share one chance, or two thirds of all clips would be the same few hands.
        self.figures = [figures[name] for name in sorted(figures)]
        self.stickers = tuple(sticker for figure in self.figures for sticker in figure)
        self._faces = self._with_part("eyes", "mouth")
        self._hands = self._with_part("hand")

    def clip(self, index: int) -> Clip:
        """The clip with this number.

        Args:
            index: Any number from 0.
        """
        batch = self.batch([index])
        return Clip(batch.stills[0], batch.frames[0], batch.captions[0], batch.motions[0], batch.stickers[0])

    def batch(self, indices: Sequence[int], *, device: torch.device | str = "cpu") -> ClipBatch:
        """The clips with these numbers.

        Args:
            indices: B numbers from 0.
            device: Where to move pixels and leave them.
        """
        plans = [self.plan(index) for index in indices]
        frames: list[Tensor | None] = [None] * len(plans)
        whole = [i for i, plan in enumerate(plans) if FAMILIES[plan.motion.family].kind in ("rigid", "bend", "still")]
        if whole:
            stills = torch.stack([self.rasters.still(plans[i].sticker.key) for i in whole]).to(device)
            placements = torch.stack([placement(plans[i].margin) for i in whole])
            moved = render_batch(stills, [plans[i].motion for i in whole], placements=placements)
            for i, clip in zip(whole, moved, strict=True):
                frames[i] = clip
        for i, plan in enumerate(plans):
            if frames[i] is None:
                layers = self.rasters.open_layers(plan.sticker.key).to(device)
                frames[i] = render(layers, plan.motion, margin=plan.margin)
        clips = torch.stack([clip for clip in frames if clip is not None])
        return ClipBatch(
            stills=clips[:, 0].clone(),
            frames=clips,
            captions=tuple(plan.caption for plan in plans),
            motions=tuple(plan.motion for plan in plans),
            stickers=tuple(plan.sticker for plan in plans),
        )

    def stills(self, index: int, n: int, *, device: torch.device | str = "cpu") -> Tensor:
        """Moved stickers without motion, to train an autoencoder on.

        Args:
            index: Number of this lot, from 0.
            n: How many.
            device: Where to place them.

        Returns:
            (n, 4, S, S) premultiplied RGBA in 0..1: scaled to 0.7..1.1 of the canvas, turned, shifted.
        """
        rng = np.random.default_rng([self.seed, index, 1])
        images, placements = [], []
        for _ in range(n):
            images.append(self.rasters.still(self._draw_sticker(rng, self.figures).key))
            angle = float(rng.uniform(-np.pi, np.pi)) if rng.random() < 0.6 else 0.0
            x, y = (float(value) for value in rng.uniform(-0.25, 0.25, 2))
            placements.append(placement(float(rng.uniform(0.7, 1.1)), x, y, angle))
        return place(torch.stack(images).to(device), torch.stack(placements))

    def _with_part(self, *names: str) -> list[list[Sticker]]:
        return [figure for figure in self.figures if set(names) & set(self.rasters.parts(figure[0].key))]

    def _draw_sticker(self, rng: np.random.Generator, figures: Sequence[Sequence[Sticker]]) -> Sticker:
        figure = figures[int(rng.integers(len(figures)))]
        return figure[int(rng.integers(len(figure)))]

    def plan(self, index: int, *, telling: int = 0) -> Plan:
        """What clip number `index` is, before it is drawn.

        Args:
            index: Any number from 0.
            telling: Another number tells the same clip in another sentence.
        """
        rng = np.random.default_rng([self.seed, index, 0])
        chance = rng.random()
        # Faces and hands alone can make the motions of parts: they come more often than their number says.
        few = self._faces if chance < FACES else self._hands if chance < FACES + HANDS else []
        sticker = self._draw_sticker(rng, few or self.figures)
        motion = sample_motion(rng, self.rasters.parts(sticker.key))
        low, high = self.margins
        margin = float(rng.uniform(low, high))
        text = caption(motion, sticker.name, np.random.default_rng([self.seed, index, 2, telling]), self.phrasings)
        return Plan(sticker, motion, text, margin)
