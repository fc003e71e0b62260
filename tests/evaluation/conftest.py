from __future__ import annotations

import pytest
import torch
from torch import Tensor

from edge_stickers.data.layers import render_svg
from edge_stickers.data.motion import Motion, render

SIZE = 128
ART = {
    "1f6e9": '<path fill="#3B88C3" d="M3 20l14-4L22 3l4 1-3 12 10 3v4l-12 1-4 9-4-1 1-8-11-1z"/>'
    '<circle fill="#DD2E44" cx="22" cy="19" r="2.500"/><path fill="#77B255" d="M5 24h6v8H5z"/>',
    "1f600": '<circle fill="#FFCC4D" cx="18" cy="18" r="18"/>'
    '<ellipse fill="#664500" cx="12" cy="13.500" rx="2.500" ry="3.500"/>'
    '<ellipse fill="#664500" cx="24" cy="13.500" rx="2.500" ry="3.500"/>'
    '<path fill="#664500" d="M18 21c-4 0-8-1-8 1s3 9 8 9 8-7 8-9-4-1-8-1z"/>',
    "1f3e0": '<path fill="#FFE8B6" d="M6 16h24v18H6z"/><path fill="#DA2F47" d="M2 17L18 3l16 14z"/>'
    '<path fill="#662113" d="M9 22h7v12H9z"/><path fill="#55ACEE" d="M20 22h7v6h-7z"/>',
}


def svg(key: str) -> str:
    return f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 36 36">{ART[key]}</svg>'


@pytest.fixture(scope="session")
def plane() -> Tensor:
    """A sticker that looks different from every side, filling its square."""
    return render_svg(svg("1f6e9"), SIZE)


@pytest.fixture(scope="session")
def folder(tmp_path_factory: pytest.TempPathFactory):
    where = tmp_path_factory.mktemp("stickers")
    for key in ART:
        (where / f"{key}.svg").write_text(svg(key))
    return where


def clip_of(art: Tensor, motion: Motion) -> Tensor:
    return render(art, motion)


def dissolve(frames: Tensor, strength: float = 3.0, seed: int = 0) -> Tensor:
    """Each frame's surface pushed about by a field of its own, `strength` pixels."""
    count, _, side, _ = frames.shape
    rough = torch.randn(count, 2, 9, 9, generator=torch.Generator().manual_seed(seed)) * strength * 2 / side
    push = torch.nn.functional.interpolate(rough, size=(side, side), mode="bicubic").permute(0, 2, 3, 1)
    rest = torch.nn.functional.affine_grid(torch.eye(2, 3).repeat(count, 1, 1), [count, 1, side, side], False)
    moved = torch.nn.functional.grid_sample(frames, rest + push, align_corners=False)
    return torch.cat([frames[:1], moved[1:]])


def blur(frames: Tensor) -> Tensor:
    return torch.nn.functional.avg_pool2d(frames, 5, 1, 2)


def noisy(frames: Tensor, sigma: float = 0.05) -> Tensor:
    return (frames + sigma * torch.randn(frames.shape, generator=torch.Generator().manual_seed(1))).clamp(0, 1)
