"""Stickers drawn once and kept as bytes on disk, so that training never waits for the renderer."""

from __future__ import annotations

import hashlib
import json
import tempfile
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from edge_stickers.data.layers import Layers, split_layers
from edge_stickers.data.stickers import Sticker, cache_folder, list_stickers

_VERSION = 4


@dataclass(frozen=True, slots=True)
class RasterCache:
    """Stickers of a folder as memory-mapped pixels.

    Attributes:
        stickers: All stickers of the folder, sorted; the order of `stills`.
        stills: (N, 4, S, S) uint8, premultiplied.
        layers: (M, 4, S, S) uint8, the layers of those stickers that have parts, one after another.
        stacks: Key of a sticker with parts → (first layer in `layers`, names of its layers).
        fingerprint: Of the files, and of how they were drawn.
    """

    stickers: tuple[Sticker, ...]
    stills: np.ndarray
    layers: np.ndarray
    stacks: dict[str, tuple[int, tuple[str, ...]]]
    fingerprint: str
    positions: dict[str, int] = field(default_factory=dict)

    @classmethod
    def open(cls, folder: Path, size: int = 256, cache: Path | None = None) -> RasterCache:
        """Maps the pixels of a folder's stickers, drawing them first where that was not done yet.

        Args:
            folder: Holds SVG, PNG or WebP files.
            size: Side in pixels, S.
            cache: Where to keep the pixels; the user's cache folder by default.

        Raises:
            InputError: The folder holds no stickers, or one that cannot be read.
        """
        stickers = list_stickers(folder)
        fingerprint = _fingerprint(stickers)
        target = (cache_folder() if cache is None else cache) / f"rasters-{fingerprint}-{size}"
        if not target.is_dir():
            _draw(stickers, size, target)
        index = json.loads((target / "index.json").read_text())
        stacks = {key: (int(start), tuple(names)) for key, (start, names) in index["stacks"].items()}
        shape = (index["layers"], 4, size, size)
        layers = np.memmap(target / "layers.u8", np.uint8, "r", shape=shape) if index["layers"] else np.zeros(shape)
        stills = np.memmap(target / "stills.u8", np.uint8, "r", shape=(len(stickers), 4, size, size))
        positions = {sticker.key: position for position, sticker in enumerate(stickers)}
        return cls(tuple(stickers), stills, layers, stacks, fingerprint, positions)

    def still(self, key: str) -> Tensor:
        """(4, S, S) float32 in 0..1, premultiplied."""
        return _pixels(self.stills[self.positions[key]])

    def parts(self, key: str) -> tuple[str, ...]:
        """Names of a sticker's layers; empty where it is one layer."""
        return self.stacks[key][1] if key in self.stacks else ()

    def open_layers(self, key: str) -> Layers:
        """A sticker with its layers."""
        still = self.still(key)
        if key not in self.stacks:
            return Layers(still)
        start, names = self.stacks[key]
        return Layers(still, tuple((name, _pixels(self.layers[start + i])) for i, name in enumerate(names)))


def _draw(stickers: Sequence[Sticker], size: int, target: Path) -> None:
    """Draws all stickers into `target`, whole or not at all."""
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=target.parent) as folder:
        scratch = Path(folder) / "rasters"
        scratch.mkdir()
        stacks: dict[str, tuple[int, tuple[str, ...]]] = {}
        count = 0
        with (scratch / "stills.u8").open("wb") as stills, (scratch / "layers.u8").open("wb") as layers:
            for sticker, drawn in _split_all(stickers, size):
                stills.write(_to_bytes(drawn.image))
                if drawn.stack:
                    stacks[sticker.key] = count, tuple(name for name, _ in drawn.stack)
                    count += len(drawn.stack)
                    layers.writelines(_to_bytes(layer) for _, layer in drawn.stack)
        (scratch / "index.json").write_text(json.dumps({"version": _VERSION, "layers": count, "stacks": stacks}))
        try:
            scratch.rename(target)
        except OSError:
            if not target.is_dir():  # Another process may have been faster, with the same pixels.
                raise


def _split_all(stickers: Sequence[Sticker], size: int) -> Iterator[tuple[Sticker, Layers]]:
    with ThreadPoolExecutor(max_workers=2) as pool:
        for start in range(0, len(stickers), 64):  # Bounds what waits in memory.
            chunk = stickers[start : start + 64]
            yield from zip(chunk, pool.map(lambda sticker: split_layers(sticker.path, size), chunk), strict=True)


def _fingerprint(stickers: Sequence[Sticker]) -> str:
    digest = hashlib.sha256(f"{_VERSION}".encode())
    for sticker in stickers:
        digest.update(sticker.path.name.encode() + b"\0" + hashlib.sha256(sticker.path.read_bytes()).digest())
    return digest.hexdigest()[:16]


def _to_bytes(image: Tensor) -> bytes:
    return (image * 255).round().clamp(0, 255).to(torch.uint8).contiguous().numpy().tobytes()


def _pixels(stored: np.ndarray) -> Tensor:
    return torch.from_numpy(np.array(stored)).float() / 255
