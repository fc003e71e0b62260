"""Clips: frames in memory, saved whole or not at all."""

from __future__ import annotations

import contextlib
import errno
import os
import secrets
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

import numpy as np
import numpy.typing as npt
from PIL import Image

from edge_stickers.errors import InputError, RuntimeFailedError
from edge_stickers.media.canvas import unpremultiply
from edge_stickers.media.encode import apng_bytes, gif_bytes, webp_bytes

ENCODERS: Mapping[str, Callable[[npt.NDArray[np.uint8], int], bytes]] = MappingProxyType(
    {".webp": webp_bytes, ".gif": gif_bytes, ".png": apng_bytes, ".apng": apng_bytes}
)
_SHORTEST_MS, _LONGEST_MS = 20, 10_000  # browsers slow down what is shorter


@dataclass(frozen=True, slots=True, eq=False)
class Clip:
    """A looping animation.

    Attributes:
        frames: (F, H, W, 4) uint8, straight RGBA.
        duration_ms: how long each frame shows, 20 to 10,000 milliseconds.
    """

    frames: npt.NDArray[np.uint8]
    duration_ms: int

    def __post_init__(self) -> None:
        """Checks shape, type and duration.

        Raises:
            InputError: one of them does not fit.
        """
        shape = self.frames.shape
        if self.frames.dtype != np.uint8 or len(shape) != 4 or shape[3] != 4 or 0 in shape:
            raise InputError(
                f"frames are {self.frames.dtype} {shape}; expected uint8 (F, H, W, 4); "
                "use Clip.from_premultiplied for floats"
            )
        if not _SHORTEST_MS <= self.duration_ms <= _LONGEST_MS:
            raise InputError(
                f"a frame lasts {self.duration_ms} ms; expected {_SHORTEST_MS} to {_LONGEST_MS}; pass for instance 100"
            )

    @classmethod
    def from_premultiplied(cls, frames: npt.NDArray[np.float32], *, duration_ms: int = 100) -> Clip:
        """Takes frames as models give them.

        Args:
            frames: (F, 4, H, W) float32, premultiplied RGBA in 0..1; small excursions are clipped.
            duration_ms: how long each frame shows.

        Returns:
            The clip.

        Raises:
            InputError: the shape is another.
            RuntimeFailedError: a value is not finite.
        """
        values = np.asarray(frames, np.float32)
        if values.ndim != 4 or values.shape[1] != 4:
            raise InputError(f"frames have shape {values.shape}; expected (F, 4, H, W); pass premultiplied RGBA")
        if not np.isfinite(values).all():
            raise RuntimeFailedError("the frames hold NaN or infinity; expected 0..1; try another runtime or precision")
        return cls(unpremultiply(values), duration_ms)

    def save(self, path: str | Path, *, overwrite: bool = True) -> Path:
        """Writes an endless animation; the format follows the suffix.

        Args:
            path: ends in `.webp` (lossless; colour is lossy above 500 kB), `.gif` (hard edges, 255 colours), `.png` or
                `.apng` (lossless).
            overwrite: whether a file that exists may be replaced.

        Returns:
            The path.

        Raises:
            InputError: the suffix is unknown or the file cannot be written; what was there before is untouched.
        """
        path = Path(path)
        encoder = ENCODERS.get(path.suffix.lower())
        if encoder is None:
            known = ", ".join(ENCODERS)
            raise InputError(f"{path.name!r} has no known suffix; expected one of {known}; rename the output")
        if path.is_dir():
            raise InputError(f"{path} is a folder; expected a file name; add one, such as {path / 'clip.webp'}")
        if not overwrite and path.exists():
            raise InputError(f"{path} exists already; expected a new name; choose another or allow overwriting")
        write_atomically(path, encoder(self.frames, self.duration_ms))
        return path

    def contact_sheet(self) -> Image.Image:
        """All frames in a row over a checkerboard: an RGB picture of H x (F * W) pixels."""
        count, height, width, _ = self.frames.shape
        strip = np.concatenate(list(self.frames), axis=1)  # (H, F * W, 4)
        cell = max(1, min(height, width) // 16)
        rows, columns = np.arange(height)[:, None] // cell, np.arange(width)[None] // cell
        board = np.where((rows + columns) % 2, 255, 220).astype(np.uint8)  # (H, W)
        background = Image.fromarray(np.tile(board, (1, count))).convert("RGBA")
        return Image.alpha_composite(background, Image.fromarray(strip)).convert("RGB")


def write_atomically(path: Path, data: bytes) -> None:
    """Writes a file beside its place and renames it, so that there is never half a file.

    Args:
        path: where to; its folder exists.
        data: the contents.

    Raises:
        InputError: the folder is missing or not writable, or the disk is full; what was there before is untouched.
    """
    temporary = path.with_name(f".{secrets.token_hex(8)}.tmp")
    try:
        with temporary.open("xb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except OSError as error:
        raise InputError(_unwritable(path, error, len(data))) from None
    finally:
        with contextlib.suppress(OSError):  # gone after a rename; or its folder never was one
            temporary.unlink()


def _unwritable(path: Path, error: OSError, length: int) -> str:
    if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
        return f"{path} could not be written: the disk is full; {length} bytes are needed; free some space"
    if isinstance(error, FileNotFoundError | NotADirectoryError):
        return f"the folder {path.parent} does not exist; expected an existing one; create it first"
    return f"{path} could not be written ({error.strerror}); expected a writable folder; choose another"
