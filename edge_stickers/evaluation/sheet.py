"""A contact sheet of what a model made: the best, the worst and some others, each with what was found."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as functional
from PIL import Image, ImageDraw
from torch import Tensor

from edge_stickers.data.pictures import picture
from edge_stickers.evaluation.report import ClipResult

_CELL, _TEXT = 96, 16


@dataclass(frozen=True, slots=True)
class Sampled:
    """A clip kept small for the sheet.

    Attributes:
        result: What was found.
        pixels: (F, 4, C, C) uint8, premultiplied.
    """

    result: ClipResult
    pixels: Tensor

    @classmethod
    def of(cls, result: ClipResult, frames: Tensor) -> Sampled:
        """Shrinks (F, 4, S, S) frames in 0..1."""
        small = functional.interpolate(frames, size=(_CELL, _CELL), mode="area")
        return cls(result, (small * 255).round().to(torch.uint8))


def choose(samples: Sequence[Sampled], *, each: int = 6, seed: int = 0) -> list[tuple[str, Sampled]]:
    """The best and the worst by identity, and others at random, each with its label; none twice."""
    order = sorted(samples, key=lambda sample: -sample.result.metrics.identity)
    best, rest = order[:each], order[each:]
    worst = rest[-each:]
    rest = rest[: len(rest) - len(worst)]
    picks = np.random.default_rng(seed).permutation(len(rest))[:each]
    labelled = [("best", best), ("random", [rest[i] for i in picks]), ("worst", worst)]
    return [(label, sample) for label, group in labelled for sample in group]


def write_sheet(samples: Sequence[Sampled], path: Path, *, each: int = 6, seed: int = 0) -> None:
    """Writes the sheet as a PNG.

    Args:
        samples: All clips.
        path: The file.
        each: How many of the best, of the worst, and of the others.
        seed: Of the choice of the others.
    """
    rows = choose(samples, each=each, seed=seed)
    frames = len(rows[0][1].pixels)
    sheet = Image.new("RGB", (frames * _CELL, len(rows) * (_CELL + _TEXT)), "white")
    pen = ImageDraw.Draw(sheet)
    for row, (label, sample) in enumerate(rows):
        top, found = row * (_CELL + _TEXT), sample.result
        verdict = "as told" if found.as_told else f"told {found.told}, seen {found.seen}"
        text = f"{label} {found.metrics.identity:.1f} dB, {verdict}: {found.prompt} [{found.sticker}]"
        pen.text((3, top + 2), text.encode("ascii", "replace").decode(), fill="black")
        for column, frame in enumerate(sample.pixels):
            sheet.paste(picture(frame.float() / 255), (column * _CELL, top + _TEXT))
    path.parent.mkdir(parents=True, exist_ok=True)
    sheet.save(path, format="PNG")
