"""Frames as pictures to look at: over a checkerboard, since what is transparent must show as such."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch
from PIL import Image
from torch import Tensor

GREYS = (0.86, 0.97)
"""Of the squares."""


def over_checkerboard(images: Tensor, *, square: int = 8) -> Tensor:
    """Premultiplied RGBA over a grey checkerboard.

    Args:
        images: (..., 4, H, W) in 0..1.
        square: side of a square in pixels.

    Returns:
        (..., 3, H, W).
    """
    height, width = images.shape[-2:]
    rows, columns = torch.arange(height)[:, None] // square, torch.arange(width)[None] // square
    board = torch.where((rows + columns) % 2 == 0, *GREYS).to(images)
    return images[..., :3, :, :] + (1.0 - images[..., 3:4, :, :]) * board


def picture(frame: Tensor) -> Image.Image:
    """(4, H, W) premultiplied RGBA in 0..1, over a checkerboard."""
    return _to_image(over_checkerboard(frame.float().cpu().clamp(0, 1)))


def save_rows(rows: Sequence[Tensor], path: Path) -> None:
    """Writes a PNG with a row for each (N, 4, H, W)."""
    shown = [over_checkerboard(row.float().cpu().clamp(0, 1)) for row in rows]
    grid = torch.cat([torch.cat(list(row), dim=-1) for row in shown], dim=-2)
    path.parent.mkdir(parents=True, exist_ok=True)
    _to_image(grid).save(path)


def _to_image(pixels: Tensor) -> Image.Image:
    """(3, H, W) in 0..1."""
    levels = (pixels.clamp(0, 1) * 255).round().to(torch.uint8)
    return Image.fromarray(levels.permute(1, 2, 0).contiguous().numpy())
