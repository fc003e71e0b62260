"""Animations as bytes: WebP, GIF and APNG, endless, every frame kept.

The containers are put together here from stills that Pillow compresses. Pillow's own animation writers merge equal
frames and turn a clip that stands still into a plain picture; a clip of F frames has to come back as F frames.
"""

from __future__ import annotations

import io
import struct
import zlib
from collections.abc import Iterator

import numpy as np
import numpy.typing as npt
from PIL import GifImagePlugin, Image

Frames = npt.NDArray[np.uint8]

WEBP_LOSSLESS_BYTES = 500_000
WEBP_QUALITY = 90
_TRANSPARENT = 255  # the GIF palette index that shows nothing
_VISIBLE = 128  # GIF knows no half alpha: from here on a pixel is opaque


def webp_bytes(frames: Frames, duration_ms: int) -> bytes:
    """Animated WebP: lossless up to 500 kB, what messengers take as a sticker; above, colour at quality 90.

    Lossy WebP halves the resolution of colour, which shows along the outlines of drawn art (32 dB on flat stickers,
    less than GIF reaches), so it is kept for clips that would otherwise be turned away for their size. Alpha is
    lossless in both.

    Args:
        frames: (F, H, W, 4) uint8, straight RGBA.
        duration_ms: of each frame.

    Returns:
        File contents.

    Source:
        RFC 9649, section 2.7.
    """
    lossless = _webp(frames, duration_ms, lossless=True, quality=80)  # here quality is the effort spent
    if len(lossless) <= WEBP_LOSSLESS_BYTES:
        return lossless
    return _webp(frames, duration_ms, lossless=False, quality=WEBP_QUALITY)


def gif_bytes(frames: Frames, duration_ms: int) -> bytes:
    """Animated GIF: one palette of 255 colours for all frames, so that they do not flicker; no dithering, which would.

    Args:
        frames: (F, H, W, 4) uint8, straight RGBA; alpha of 128 and above shows, less does not.
        duration_ms: of each frame; GIF counts hundredths of a second, so frames are rounded such that their sum holds.

    Returns:
        File contents.

    Source:
        GIF89a specification; the NETSCAPE2.0 extension for the loop.
    """
    count, height, width, _ = frames.shape
    palette = _palette(frames)
    table = palette.getpalette() or []
    out = b"GIF89a" + struct.pack("<HHBBB", width, height, 0xF7, _TRANSPARENT, 0)  # a global table of 256 colours
    out += bytes(table[:768]).ljust(768, b"\0")
    out += b"\x21\xff\x0bNETSCAPE2.0\x03\x01\x00\x00\x00"
    ends = [round(duration_ms * frame / 10) for frame in range(count + 1)]
    for frame, start, end in zip(frames, ends, ends[1:], strict=False):
        indices = np.array(Image.fromarray(frame[..., :3]).quantize(palette=palette, dither=Image.Dither.NONE))
        indices[frame[..., 3] < _VISIBLE] = _TRANSPARENT
        picture = Image.fromarray(indices)
        picture.putpalette(table)
        options = {"duration": (end - start) * 10, "disposal": 2, "transparency": _TRANSPARENT}
        out += b"".join(GifImagePlugin.getdata(picture, (0, 0), **options))
    return out + b"\x3b"


def apng_bytes(frames: Frames, duration_ms: int) -> bytes:
    """Animated PNG: lossless.

    Args:
        frames: (F, H, W, 4) uint8, straight RGBA.
        duration_ms: of each frame.

    Returns:
        File contents.

    Source:
        PNG specification, third edition, section 11.3.5.
    """
    count, height, width, _ = frames.shape
    out = b"\x89PNG\r\n\x1a\n" + _png(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 6, 0, 0, 0))
    out += _png(b"acTL", struct.pack(">II", count, 0))
    sequence = 0
    for index, frame in enumerate(frames):
        out += _png(b"fcTL", struct.pack(">IIIIIHHBB", sequence, width, height, 0, 0, duration_ms, 1000, 0, 0))
        sequence += 1
        pixels = _png_pixels(frame)
        if index == 0:
            out += _png(b"IDAT", pixels)
        else:
            out += _png(b"fdAT", struct.pack(">I", sequence) + pixels)
            sequence += 1
    return out + _png(b"IEND", b"")


def _webp(frames: Frames, duration_ms: int, *, lossless: bool, quality: int) -> bytes:
    """Compresses each frame by itself and puts them into one animation."""
    _, height, width, _ = frames.shape
    size = _uint24(width - 1) + _uint24(height - 1)
    body = _riff(b"VP8X", bytes([0x12, 0, 0, 0]) + size)  # animation 0x02, alpha 0x10
    body += _riff(b"ANIM", bytes(4) + bytes(2))  # clear background, endless loop
    head = bytes(6) + size + _uint24(duration_ms) + b"\x02"  # at the origin; replace, do not blend
    for frame in frames:
        file = io.BytesIO()
        Image.fromarray(frame).save(file, "WEBP", lossless=lossless, quality=quality, alpha_quality=100, method=4)
        body += _riff(b"ANMF", head + b"".join(_webp_pixels(file.getvalue())))
    return b"RIFF" + struct.pack("<I", 4 + len(body)) + b"WEBP" + body


def _uint24(value: int) -> bytes:
    return struct.pack("<I", value)[:3]


def _riff(kind: bytes, payload: bytes) -> bytes:
    return kind + struct.pack("<I", len(payload)) + payload + b"\0" * (len(payload) % 2)


def _webp_pixels(still: bytes) -> Iterator[bytes]:
    """The chunks of a still WebP that hold pixels, padding included."""
    position = 12
    while position < len(still):
        kind, length = struct.unpack_from("<4sI", still, position)
        end = position + 8 + length + length % 2
        if kind in (b"ALPH", b"VP8 ", b"VP8L"):
            yield still[position:end]
        position = end


def _png(kind: bytes, payload: bytes) -> bytes:
    return struct.pack(">I", len(payload)) + kind + payload + struct.pack(">I", zlib.crc32(kind + payload))


def _png_pixels(frame: Frames) -> bytes:
    """The compressed scan lines of one picture, as Pillow filters them."""
    file = io.BytesIO()
    Image.fromarray(frame).save(file, "PNG", optimize=True)
    still, position, pixels = file.getvalue(), 8, b""
    while position < len(still):
        length, kind = struct.unpack_from(">I4s", still, position)
        if kind == b"IDAT":
            pixels += still[position + 8 : position + 8 + length]
        position += 12 + length
    return pixels


def _palette(frames: Frames) -> Image.Image:
    """A palette picture of at most 255 colours for the visible pixels of all frames; exact if they have no more."""
    visible = frames[frames[..., 3] >= _VISIBLE][:, :3]  # (pixels, 3)
    colours = np.unique(visible, axis=0)
    if len(colours) > _TRANSPARENT:
        strip = Image.fromarray(visible[None])  # (1, pixels, 3)
        return strip.quantize(_TRANSPARENT, method=Image.Quantize.MEDIANCUT, kmeans=1)
    palette = Image.new("P", (1, 1))
    palette.putpalette(colours.tobytes() or bytes(3))
    return palette
