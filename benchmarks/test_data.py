"""Drawing clips beside learning from them: whether training waits for the motion library.

    python -m pytest benchmarks/test_data.py

A cached clip costs drawing and encoding once and is read many times; see `edge_stickers.training.latents`.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path

import torch

import edge_stickers
from benchmarks.alternation import Alternation, Contender
from edge_stickers.animator import default_student
from edge_stickers.data.dataset import ClipSource
from edge_stickers.models.pipeline import load_pipeline

CLIPS = 8
DEVICE = torch.device("cuda" if torch.cuda.is_available() else "cpu")


def test_drawing_and_learning(compare: Callable[..., object], tmp_path: Path) -> None:
    """Milliseconds for the same clips: drawn, encoded, and one step of training on their latents."""
    folder = Path(edge_stickers.__file__).parent / "assets/stickers"
    source = ClipSource(folder, split=None, cache=tmp_path)
    pipeline = load_pipeline(default_student())
    vae, unet = pipeline.vae.to(DEVICE), pipeline.unet.to(DEVICE).train()
    frames = source.batch(range(CLIPS), device=DEVICE).frames
    lots = _lots()

    def draw() -> None:
        source.batch(next(lots), device=DEVICE)

    def encode() -> None:
        with torch.no_grad():
            vae.encode(frames.flatten(0, 1))

    size, channels = unet.config.sample_size, unet.config.in_channels
    sample = torch.randn(CLIPS * unet.config.frames, channels, size, size, device=DEVICE)
    context = torch.randn(CLIPS, 32, unet.context_dim, device=DEVICE)
    half = torch.full((CLIPS,), 0.5, device=DEVICE)

    def learn() -> None:
        prediction = unet(sample, 1000 * half, context, sample[::8], half)
        prediction.square().mean().backward()

    contenders = [("one training step", learn), ("drawn by the motion library", draw), ("encoded", encode)]
    compare(
        f"{CLIPS} clips on {DEVICE.type}",
        Alternation([Contender(n, _timed(run), 0.0) for n, run in contenders]),
        rates=None,
    )


def _lots() -> Iterator[range]:
    start = 0
    while True:
        yield range(start, start + CLIPS)
        start += CLIPS


def _timed(run: Callable[[], None]) -> Callable[[], float]:
    def seconds() -> float:
        start = time.perf_counter()
        run()
        if DEVICE.type == "cuda":
            torch.cuda.synchronize()
        return time.perf_counter() - start

    return seconds
