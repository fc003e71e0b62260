"""Reading a still sticker from a file, bytes or a Pillow image."""

from __future__ import annotations

import contextlib
import io
import stat
import struct
import warnings
import zlib
from pathlib import Path

import numpy as np
from PIL import (
    BmpImagePlugin,
    GifImagePlugin,
    Image,
    ImageCms,
    ImageFile,
    ImageOps,
    JpegImagePlugin,
    PngImagePlugin,
    WebPImagePlugin,
)

from edge_stickers.errors import InputError
from edge_stickers.media.canvas import FloatArray, fit_square
from edge_stickers.media.svg import looks_like_svg, render_svg

MAX_BYTES = 50 * 2**20
MAX_PIXELS = 64 * 10**6
MAX_SIZE = 4096
_ACCEPTED = "PNG, JPEG, WebP, GIF, BMP or SVG"
# Plugins are called directly: Image.open would warn about large pictures, and try every format Pillow knows.
_PLUGINS: tuple[tuple[bytes, bytes, type[ImageFile.ImageFile]], ...] = (
    (b"\x89PNG\r\n\x1a\n", b"", PngImagePlugin.PngImageFile),
    (b"\xff\xd8\xff", b"", JpegImagePlugin.JpegImageFile),
    (b"RIFF", b"WEBP", WebPImagePlugin.WebPImageFile),
    (b"GIF8", b"", GifImagePlugin.GifImageFile),
    (b"BM", b"", BmpImagePlugin.BmpImageFile),
)
# What Pillow's decoders were seen or are known to raise for damaged data.
_DECODE_ERRORS = (
    OSError,
    SyntaxError,
    ValueError,
    TypeError,
    LookupError,
    EOFError,
    ArithmeticError,
    struct.error,
    zlib.error,
    RuntimeError,
    MemoryError,
    AssertionError,
    Image.DecompressionBombError,
)


def load_still(source: str | Path | bytes | Image.Image, *, size: int = 256, margin: float = 0.0) -> FloatArray:
    """Reads a still picture into the square the models take.

    Any size, aspect ratio and colour mode is taken; EXIF orientation and embedded colour profiles are applied. SVGs are
    rendered without scripts, and references to files or addresses outside the SVG are dropped, never fetched.

    Args:
        source: path, file contents, or a Pillow image: PNG, JPEG, WebP, GIF, BMP (at most 64 megapixels) or SVG (also
            gzipped); at most 50 MB.
        size: side of the square, 1 to 4096 pixels.
        margin: share of the square left free on each side, 0 <= margin < 0.5; motion needs room. 0 keeps the picture's
            own framing; above 0 its visible part is trimmed and scaled to fit `1 - 2 * margin` of the square.

    Returns:
        (4, size, size) float32 in 0..1, premultiplied RGBA, centred on transparency.

    Raises:
        InputError: the source cannot be read, is damaged, animated, too large or fully transparent, or an option is out
            of range.
    """
    if isinstance(size, bool) or not isinstance(size, int) or not 1 <= size <= MAX_SIZE:
        raise InputError(
            f"size is {size!r}; expected a whole number of pixels from 1 to {MAX_SIZE}; pass 256 if unsure"
        )
    if not 0 <= margin < 0.5:
        raise InputError(f"margin is {margin!r}; expected a share of at least 0 and below 0.5; pass for instance 0.1")
    name = "the picture" if isinstance(source, bytes | Image.Image) else _shorten(str(source))
    if isinstance(source, Image.Image):
        image = source
    else:
        data = source if isinstance(source, bytes) else _read_file(source, name)
        image = _open(data, name, side=min(4 * size, MAX_SIZE))
    image = _decode(image, name)
    if image.getchannel("A").getbbox() is None:
        raise InputError(f"{name} is fully transparent; expected a visible sticker; check the file in an image viewer")
    return fit_square(image, size=size, margin=margin)


def _read_file(path: str | Path, name: str) -> bytes:
    """The file's contents, refused by kind and length before reading."""
    if str(path).startswith(("http://", "https://")):
        raise InputError(f"{name} is an address; expected a file; download it first")
    try:
        status = Path(path).stat()
        if stat.S_ISDIR(status.st_mode):
            raise InputError(f"{name} is a folder; expected one {_ACCEPTED} file; name a file inside it")
        if not stat.S_ISREG(status.st_mode):
            raise InputError(
                f"{name} is no ordinary file; expected one {_ACCEPTED} file; save the picture to disk first"
            )
        if status.st_size > MAX_BYTES:
            raise InputError(_too_long(name, status.st_size))
        return Path(path).read_bytes()
    except FileNotFoundError:
        raise InputError(f"{name} does not exist; expected a {_ACCEPTED} file; check the path") from None
    except PermissionError:
        raise InputError(f"{name} may not be read; expected a readable file; change its permissions") from None
    except OSError as error:
        raise InputError(f"{name} cannot be read ({error.strerror}); expected a {_ACCEPTED} file; check it") from None
    except ValueError as error:  # a NUL in the path; InputError is a ValueError too and passes through
        if isinstance(error, InputError):
            raise
        raise InputError(f"{name} is no path ({error}); expected a {_ACCEPTED} file; check the path") from None


def _open(data: bytes, name: str, *, side: int) -> Image.Image:
    """Recognises the format by its first bytes; an SVG is rendered with its longer side `side` pixels."""
    if not data:
        raise InputError(f"{name} is empty; expected a {_ACCEPTED} file; export it again")
    if len(data) > MAX_BYTES:
        raise InputError(_too_long(name, len(data)))
    if looks_like_svg(data):
        data = render_svg(data, side=side, name=name)
    for magic, kind, plugin in _PLUGINS:
        if data.startswith(magic) and data[8:].startswith(kind):
            try:
                with warnings.catch_warnings():  # a GIF's first frame may be larger than its header says
                    warnings.simplefilter("error", Image.DecompressionBombWarning)
                    return plugin(io.BytesIO(data))
            except (Image.DecompressionBombWarning, Image.DecompressionBombError):
                raise InputError(_too_large(name, "too many")) from None
            except _DECODE_ERRORS as error:
                raise InputError(_damaged(name, error)) from None
    raise InputError(f"{name} is not a picture of a known format; expected {_ACCEPTED}; convert it to PNG")


def _decode(image: Image.Image, name: str) -> Image.Image:
    """Decodes to upright sRGB, mode RGBA, after the checks that the header alone allows."""
    width, height = image.size
    if width * height > MAX_PIXELS:
        raise InputError(_too_large(name, f"{width} x {height}"))
    try:
        if width * height == 0:
            raise ValueError("it has no pixels")
        animated = bool(getattr(image, "is_animated", False)) and image.format in ("GIF", "PNG", "WEBP")
    except _DECODE_ERRORS as error:
        raise InputError(_damaged(name, error)) from None
    if animated:
        raise InputError(f"{name} is an animation; expected a still picture; extract one frame and pass that")
    try:
        image.load()
        oriented = ImageOps.exif_transpose(image) if _has_orientation(image) else image
        return _to_rgba(oriented)
    except _DECODE_ERRORS as error:
        raise InputError(_damaged(name, error)) from None


def _has_orientation(image: Image.Image) -> bool:
    """Whether readable EXIF asks for a turn; damaged EXIF is skipped, as image viewers do: the pixels are whole."""
    try:
        return image.getexif().get(0x0112, 1) in range(2, 9)
    except _DECODE_ERRORS:
        return False


def _to_rgba(image: Image.Image) -> Image.Image:
    """Converts any colour mode to sRGB bytes with alpha."""
    if image.mode.startswith("I") or image.mode == "F":  # 16 bits and more: Pillow's own conversion clips at 255
        values = np.asarray(image).astype(np.float64)
        top = 255.0 if image.mode == "F" else 65535.0
        grey = np.rint(np.clip(np.nan_to_num(values) / top, 0, 1) * 255).astype(np.uint8)
        see_through = image.info.get("transparency")
        alpha = np.where(values == see_through, 0, 255) if isinstance(see_through, int) else np.full_like(values, 255)
        return Image.fromarray(np.stack((grey, grey, grey, alpha.astype(np.uint8)), axis=-1))
    profile = image.info.get("icc_profile")
    if image.mode in ("P", "PA"):
        image = image.convert("RGBA")
    if profile and image.mode in ("RGB", "RGBA", "CMYK"):
        # A damaged or unfitting profile is ignored, as browsers do.
        with contextlib.suppress(ImageCms.PyCMSError, *_DECODE_ERRORS):
            given = ImageCms.ImageCmsProfile(io.BytesIO(profile))
            mode = "RGBA" if image.mode == "RGBA" else "RGB"
            info = {key: value for key, value in image.info.items() if key == "transparency"}
            converted = ImageCms.profileToProfile(image, given, ImageCms.createProfile("sRGB"), outputMode=mode)
            if converted is not None and not info:  # a key colour must be matched before colours change
                image = converted
    return image.convert("RGBA")


def _damaged(name: str, error: BaseException) -> str:
    reason = " ".join(str(error).split())[:80] or type(error).__name__
    return f"{name} is damaged or cut short ({reason}); expected a whole {_ACCEPTED} file; export it again"


def _too_large(name: str, pixels: str) -> str:
    return f"{name} has {pixels} pixels; expected at most {MAX_PIXELS // 10**6} megapixels; scale it down"


def _too_long(name: str, length: int) -> str:
    return f"{name} has {length / 2**20:.0f} MB; expected at most {MAX_BYTES // 2**20} MB; scale the picture down"


def _shorten(text: str) -> str:
    """A path for a message: one line, printable, not endless."""
    printable = "".join(letter if letter.isprintable() else "?" for letter in text)
    return printable if len(printable) <= 200 else f"...{printable[-197:]}"
