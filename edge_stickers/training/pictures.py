"""Grids of images for the logs."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch
from PIL import Image
from torch import Tensor


def over_checkerboard(images: Tensor, *, square: int = 16) -> Tensor:
    """Premultiplied RGBA over a grey checkerboard.

    Args:
        images: (..., 4, H, W) in 0..1.
        square: side of a square in pixels.

    Returns:
        (..., 3, H, W).
    """
    height, width = images.shape[-2:]
    rows, columns = torch.arange(height)[:, None] // square, torch.arange(width)[None] // square
    board = 0.78 + 0.12 * ((rows + columns) % 2).to(images)
    return images[..., :3, :, :] + (1.0 - images[..., 3:4, :, :]) * board


def save_rows(rows: Sequence[Tensor], path: Path) -> None:
    """Writes a PNG with a row for each (N, 4, H, W)."""
    grid = torch.cat(
        [torch.cat(list(over_checkerboard(row.float().cpu().clamp(0, 1))), dim=-1) for row in rows], dim=-2
    )
    pixels = (grid.clamp(0, 1) * 255).round().byte().permute(1, 2, 0).numpy()
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path)
