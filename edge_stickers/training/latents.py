"""Latents of clips computed once and read many times: the encoder would cost half as much as a training step.

On disk: `latents.f16` (N, F, C, h, w) and `index.json`. The file grows in place, so that a killed run goes on where it
stopped. Sentences are not kept: each reading of a clip tells it in a new one.
"""

from __future__ import annotations

import hashlib
import inspect
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from tokenizers import Tokenizer
from torch import Tensor

from edge_stickers.config import FRAMES
from edge_stickers.data import dataset, effects, families, motion, transforms
from edge_stickers.data.dataset import ClipSource
from edge_stickers.data.families import FAMILIES, Motion
from edge_stickers.media.write import write_atomically
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
    holds: Tensor
    """(B,) 1 where the sticker holds still, else 0."""

    @property
    def mask(self) -> Tensor:
        """(B, T) int64, 1 where there is a token."""
        return (self.tokens != 0).long()


class LatentCache:
    """N clips of a source, encoded; clips that another encoder or source left in the folder are made anew.

    Args:
        folder: where the files are or shall be.
        vae: the encoder.
        source: of the clips.
        count: N.
    """

    def __init__(self, folder: Path, vae: StickerAutoencoder, source: ClipSource, *, count: int) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.folder, self.vae, self.source, self.count = folder, vae, source, count
        cells = source.size // COMPRESSION
        shape = count, FRAMES, vae.config.latent_channels, cells, cells
        self.latents = _grow(folder / "latents.f16", np.float16, shape)
        self.key = _fingerprint(vae, source)
        index = folder / "index.json"
        known = json.loads(index.read_text()) if index.is_file() else {}
        self.done = min(int(known["done"]), count) if known.get("key") == self.key else 0

    @torch.no_grad()
    def fill(self, *, batch_size: int = 8) -> None:
        """Encodes the clips that are not there yet."""
        device = next(self.vae.parameters()).device
        while self.done < self.count:
            indices = range(self.done, min(self.done + batch_size, self.count))
            batch = self.source.batch(indices, device=device)
            frames = batch.frames.flatten(0, 1).to(memory_format=torch.channels_last)
            latents = self.vae.encode(frames).reshape(len(indices), FRAMES, *self.latents.shape[2:])
            rows = slice(indices.start, indices.stop)
            self.latents[rows] = latents.half().cpu().numpy()
            self.done = indices.stop
            write_atomically(self.folder / "index.json", json.dumps({"done": self.done, "key": self.key}).encode())

    def read(
        self,
        indices: Sequence[int],
        tokenizer: Tokenizer,
        device: torch.device,
        *,
        tellings: Sequence[int],
    ) -> LatentBatch:
        """The clips with these numbers, each below `done`.

        Args:
            indices: B numbers.
            tokenizer: of the sentences.
            device: where to place the batch.
            tellings: B numbers, which sentence each clip is told in.
        """
        plans = [self.source.plan(index, telling=telling) for index, telling in zip(indices, tellings, strict=True)]
        motions = [plan.motion for plan in plans]
        holds = [float(holds_still(motion)) for motion in motions]
        return LatentBatch(
            torch.from_numpy(self.latents[np.asarray(indices)]).to(device).float(),
            torch.tensor([tokenize(tokenizer, plan.caption)[0] for plan in plans], device=device),
            torch.tensor([motion.amplitude for motion in motions], dtype=torch.float32, device=device),
            torch.tensor(holds, device=device),
        )


def holds_still(motion: Motion) -> bool:
    """Whether a sticker holds still, whatever changes on it or around it; a hand that waves moves as a whole."""
    return FAMILIES[motion.family].kind in ("part", "effect", "still") and motion.family != "wave"


def _grow(path: Path, dtype: Any, shape: tuple[int, ...]) -> np.memmap[Any, Any]:
    """A file mapped for reading and writing, made longer where it is too short; what it holds stays."""
    length = int(np.prod(shape)) * np.dtype(dtype).itemsize
    with path.open("ab") as handle:
        if handle.tell() < length:
            handle.truncate(length)
    return np.memmap(path, dtype, "r+", shape=shape)


def _fingerprint(vae: StickerAutoencoder, source: ClipSource) -> str:
    """Of all that the latents depend on: the encoder, the stickers, and how clips are drawn."""
    keys = [sticker.key for sticker in source.stickers]
    drawn = source.rasters.fingerprint, keys, source.size, source.seed, source.margins
    digest = hashlib.sha256(repr(drawn).encode())
    for module in (dataset, effects, families, motion, transforms):
        digest.update(inspect.getsource(module).encode())
    for name, value in sorted(vae.state_dict().items()):
        if not name.startswith("decoder"):
            digest.update(name.encode() + value.float().cpu().numpy().tobytes())
    return digest.hexdigest()
