"""Numerics of pictures: premultiplied colours there and back, and fitting a picture into a square."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from PIL import Image

FloatArray = npt.NDArray[np.float32]
ByteArray = npt.NDArray[np.uint8]


def premultiply(straight: ByteArray) -> FloatArray:
    """Turns straight bytes into premultiplied floats.

    Args:
        straight: (..., H, W, 4) uint8, straight RGBA.

    Returns:
        (..., 4, H, W) float32 in 0..1, premultiplied.
    """
    values = straight.astype(np.float32) / np.float32(255)
    values[..., :3] *= values[..., 3:]
    return np.ascontiguousarray(np.moveaxis(values, -1, -3))


def unpremultiply(premultiplied: FloatArray) -> ByteArray:
    """Turns premultiplied floats into straight bytes; values outside the legal range are clipped.

    Args:
        premultiplied: (..., 4, H, W) float32; colour is read as at most alpha.

    Returns:
        (..., H, W, 4) uint8, straight RGBA; fully transparent pixels are zero.
    """
    values = np.clip(np.moveaxis(premultiplied, -3, -1), 0, 1)
    alpha = values[..., 3:]
    colour = np.divide(values[..., :3], alpha, out=np.zeros_like(values[..., :3]), where=alpha > 0)
    straight: ByteArray = np.rint(np.concatenate((np.minimum(colour, 1), alpha), axis=-1) * 255).astype(np.uint8)
    straight[straight[..., 3] == 0] = 0
    return straight


def fit_square(image: Image.Image, *, size: int, margin: float) -> FloatArray:
    """Fits a picture into a transparent square, centred, its aspect ratio kept.

    Args:
        image: mode RGBA, any size; at least one pixel has alpha > 0.
        size: side of the square, pixels.
        margin: 0 fits the picture as it is framed. Above 0 the box of its visible pixels is scaled, up or down, so that
            its longer side takes `1 - 2 * margin` of the square.

    Returns:
        (4, size, size) float32 in 0..1, premultiplied.
    """
    if margin > 0:
        image = image.crop(image.getchannel("A").getbbox())
    room = max(1, round(size * (1 - 2 * margin)))
    scale = room / max(image.size)
    width, height = (max(1, round(side * scale)) for side in image.size)
    picture = _resize(_shrink(image, (width, height)), (width, height))
    square = np.zeros((4, size, size), np.float32)
    top, left = (size - height) // 2, (size - width) // 2
    square[:, top : top + height, left : left + width] = picture
    return square


def _shrink(image: Image.Image, size: tuple[int, int]) -> Image.Image:
    """Box-averages a very large picture on premultiplied bytes, to no less than four times `size`, to save memory."""
    factors = tuple(max(1, side // (4 * wanted)) for side, wanted in zip(image.size, size, strict=True))
    return image if factors == (1, 1) else image.reduce((factors[0], factors[1]))


def _resize(image: Image.Image, size: tuple[int, int]) -> FloatArray:
    """Resamples premultiplied floats, so that transparent pixels lend no colour to edges: (4, h, w).

    Hamming shrinks and bicubic enlarges: Lanczos is a little sharper, but its ringing leaves a faint halo in the alpha
    around every outline.
    """
    channels = premultiply(np.asarray(image))
    if image.size != size:
        method = Image.Resampling.HAMMING if max(size) < max(image.size) else Image.Resampling.BICUBIC
        resized = [Image.fromarray(channel).resize(size, method) for channel in channels]
        channels = np.stack([np.asarray(channel, np.float32) for channel in resized])
    # Bicubic overshoots at edges: alpha stays in 0..1, and colour at most alpha.
    alpha = np.clip(channels[3:], 0, 1)
    return np.concatenate((np.clip(channels[:3], 0, alpha), alpha))
