"""Shows what a model is trained on: a sheet of clips frame by frame, and a moving grid."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch.nn.functional as functional
from PIL import Image, ImageDraw
from torch import Tensor

from edge_stickers.data.dataset import Clip, ClipSource
from edge_stickers.data.families import FRAMES
from edge_stickers.data.pictures import picture
from edge_stickers.data.stickers import Split
from edge_stickers.errors import InputError

_CELL = 128
_TEXT_HEIGHT = 16
FRAME_MILLISECONDS = 125


def preview(
    folder: Path,
    out: Path,
    count: int = 12,
    seed: int = 0,
    split: Split | None = "train",
    *,
    cache: Path | None = None,
) -> list[Path]:
    """Writes `sheet.png` and `grid.webp` of some clips.

    Args:
        folder: Stickers.
        out: Folder to write to; made where it is missing.
        count: Number of clips, 1 to 256.
        seed: Which clips.
        split: The split they come from; None takes all stickers.
        cache: Where drawn stickers are kept; the user's cache folder by default.

    Returns:
        The two files.

    Raises:
        InputError: The count is out of range or the folder holds no stickers of that split.
    """
    if not 1 <= count <= 256:
        raise InputError(f"count is {count}, expected 1 to 256")
    source = ClipSource(folder, split=split, seed=seed, cache=cache)
    clips = [source.clip(index) for index in range(count)]
    out.mkdir(parents=True, exist_ok=True)
    sheet, grid = out / "sheet.png", out / "grid.webp"
    contact_sheet(clips).save(sheet)
    first, *others = moving_grid_frames(clips)
    first.save(grid, save_all=True, append_images=others, duration=FRAME_MILLISECONDS, loop=0, quality=85)
    return [sheet, grid]


def contact_sheet(clips: Sequence[Clip], cell: int = _CELL) -> Image.Image:
    """One row a clip, its caption over its eight frames.

    Args:
        clips: At least one.
        cell: Side of a frame on the sheet in pixels.
    """
    sheet = Image.new("RGB", (FRAMES * cell, len(clips) * (cell + _TEXT_HEIGHT)), "white")
    draw = ImageDraw.Draw(sheet)
    for row, clip in enumerate(clips):
        top = row * (cell + _TEXT_HEIGHT)
        motion = clip.motion
        facts = f"{motion.family} {motion.direction or ''} amplitude {motion.amplitude:g} cycles {motion.cycles}"
        draw.text((3, top + 2), f"{clip.caption}   [{clip.sticker.key}: {' '.join(facts.split())}]", fill="black")
        for column, frame in enumerate(_shrink(clip.frames, cell)):
            sheet.paste(picture(frame), (column * cell, top + _TEXT_HEIGHT))
    return sheet


def moving_grid_frames(clips: Sequence[Clip], cell: int = _CELL) -> list[Image.Image]:
    """The clips side by side, one picture a moment.

    Args:
        clips: At least one.
        cell: Side of a clip in pixels.
    """
    columns = min(len(clips), max(1, round(len(clips) ** 0.5 * 1.2)))
    rows = -(-len(clips) // columns)
    pictures = [Image.new("RGB", (columns * cell, rows * cell), "white") for _ in range(FRAMES)]
    for index, clip in enumerate(clips):
        corner = index % columns * cell, index // columns * cell
        for moment, frame in zip(pictures, _shrink(clip.frames, cell), strict=True):
            moment.paste(picture(frame), corner)
    return pictures


def _shrink(frames: Tensor, cell: int) -> Tensor:
    return functional.interpolate(frames, size=(cell, cell), mode="bilinear", antialias=True, align_corners=False)
