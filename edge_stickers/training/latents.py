"""Latents of clips computed once and read many times: the encoder would cost half as much as a training step.

On disk: `latents.f16` (N, F, C, h, w), `tokens.i32` (N, K, T) for K phrasings, `strength.f32` (N,), and `index.json`.
The files grow in place, so that a killed run goes on where it stopped.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from tokenizers import Tokenizer
from torch import Tensor

from edge_stickers.config import FRAMES, MAX_TOKENS
from edge_stickers.data.dataset import ClipSource
from edge_stickers.data.families import FAMILIES, RIGID
from edge_stickers.data.transforms import affine
from edge_stickers.models.autoencoder import COMPRESSION, StickerAutoencoder
from edge_stickers.models.text import tokenize


@dataclass(frozen=True, slots=True)
class LatentBatch:
    """B clips as the denoiser sees them."""

    latents: Tensor
    """(B, F, C, h, w) float32; frame 0 is the still's."""
    tokens: Tensor
    """(B, T) int64, padded with 0."""
    strength: Tensor
    """(B,) in 0..1."""
    motion: Tensor
    """(B, F, 2, 3) output to source in -1..1, where it is known."""
    known: Tensor
    """(B,) 1 where the whole sticker moves by `motion`, else 0."""

    @property
    def mask(self) -> Tensor:
        """(B, T) int64, 1 where there is a token."""
        return (self.tokens != 0).long()


class LatentCache:
    """N clips of a source, encoded.

    Args:
        folder: where the files are or shall be.
        count: N.
        channels: of the latent.
        size: height and width of the latent.
    """

    def __init__(self, folder: Path, *, count: int, channels: int, size: int) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.folder, self.count = folder, count
        self.latents = _grow(folder / "latents.f16", np.float16, (count, FRAMES, channels, size, size))
        self.tokens = _grow(folder / "tokens.i32", np.int32, (count, MAX_TOKENS))
        self.strength = _grow(folder / "strength.f32", np.float32, (count,))
        index = folder / "index.json"
        self.done = int(json.loads(index.read_text())["done"]) if index.is_file() else 0

    @torch.no_grad()
    def fill(
        self, vae: StickerAutoencoder, source: ClipSource, tokenizer: Tokenizer, *, upto: int, batch_size: int = 8
    ) -> None:
        """Encodes clips until `upto` are there."""
        device = next(vae.parameters()).device
        while self.done < min(upto, self.count):
            indices = range(self.done, min(self.done + batch_size, self.count))
            batch = source.batch(indices, device=device)
            frames = batch.frames.flatten(0, 1).to(memory_format=torch.channels_last)
            latents = vae.encode(frames).reshape(len(indices), FRAMES, *self.latents.shape[2:])
            rows = slice(indices.start, indices.stop)
            self.latents[rows] = latents.half().cpu().numpy()
            self.tokens[rows] = np.array([tokenize(tokenizer, text)[0] for text in batch.captions], np.int32)
            self.strength[rows] = [motion.amplitude for motion in batch.motions]
            self.done = indices.stop
            (self.folder / "index.json").write_text(json.dumps({"done": self.done}))

    def read(self, indices: Sequence[int], source: ClipSource, device: torch.device) -> LatentBatch:
        """The clips with these numbers, each below `done`, of the source that they were filled from."""
        motions = [source.plan(index).motion for index in indices]
        held = [FAMILIES[motion.family].kind in ("still", "effect") for motion in motions]
        rigid = [motion.family in RIGID for motion in motions]
        identity = torch.eye(2, 3).expand(FRAMES, 2, 3)
        maps = [affine(motion) if moves else identity for motion, moves in zip(motions, rigid, strict=True)]
        rows = np.asarray(indices)
        return LatentBatch(
            torch.from_numpy(self.latents[rows]).to(device).float(),
            torch.from_numpy(self.tokens[rows]).to(device).long(),
            torch.from_numpy(self.strength[rows]).to(device),
            torch.stack(maps).to(device),
            torch.tensor([float(a or b) for a, b in zip(held, rigid, strict=True)], device=device),
        )


def _grow(path: Path, dtype: Any, shape: tuple[int, ...]) -> np.memmap[Any, Any]:
    """A file mapped for reading and writing, made longer where it is too short; what it holds stays."""
    length = int(np.prod(shape)) * np.dtype(dtype).itemsize
    with path.open("ab") as handle:
        if handle.tell() < length:
            handle.truncate(length)
    return np.memmap(path, dtype, "r+", shape=shape)


def latent_size(image_size: int) -> int:
    """Height and width of the latent of an image."""
    return image_size // COMPRESSION
