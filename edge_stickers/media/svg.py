"""Rendering SVGs that nobody vouches for: in a child process, so that a crash or a hang there stays there.

The renderer is memory-safe, yet a hostile file can still overflow its stack, ask for terabytes or name a local file.
"""

from __future__ import annotations

import gzip
import io
import subprocess
import sys
import zlib
from pathlib import Path

from edge_stickers.errors import InputError, MissingDependencyError
from edge_stickers.media import svg_child

MAX_SVG_BYTES = 10 * 2**20
TIME_LIMIT_S = 20
_GZIP = b"\x1f\x8b"
_STARTS = (b"<", b"\xef\xbb\xbf<", b"\xff\xfe<", b"\xfe\xff\x00<")


def looks_like_svg(data: bytes) -> bool:
    """Whether these bytes begin as XML, plain or gzipped (`.svgz`)."""
    return data.startswith(_GZIP) or data[:1024].lstrip().startswith(_STARTS)


def render_svg(data: bytes, *, side: int, name: str) -> bytes:
    """Renders an SVG to a PNG whose longer side has `side` pixels.

    Args:
        data: the SVG, plain or gzipped.
        side: pixels.
        name: what messages call it.

    Returns:
        PNG file contents, straight RGBA.

    Raises:
        InputError: it is no SVG, malformed, of no size, too large, or too costly to render.
        MissingDependencyError: resvg-py is not installed.
    """
    if data.startswith(_GZIP):
        data = _unzip(data, name)
    if len(data) > MAX_SVG_BYTES:
        raise InputError(
            f"{name} has over {MAX_SVG_BYTES // 2**20} MB of SVG; expected less; simplify it or pass a PNG"
        )
    command = [sys.executable, "-I", str(Path(svg_child.__file__)), str(side)]
    try:
        child = subprocess.run(command, input=data, capture_output=True, timeout=TIME_LIMIT_S, check=False)
    except subprocess.TimeoutExpired:
        raise InputError(
            f"{name} takes over {TIME_LIMIT_S} s to render; expected a sticker; pass a PNG of it"
        ) from None
    message = child.stderr.decode(errors="replace").strip()
    if child.returncode == 0:
        return child.stdout
    if child.returncode == svg_child.EXIT_MISSING:
        raise MissingDependencyError("reading SVG needs the package resvg-py; install it with: pip install resvg-py")
    if child.returncode != svg_child.EXIT_REFUSED:  # the renderer crashed; its own words help nobody
        message = "the renderer gave up"
    raise InputError(f"{name} is not a usable SVG ({message}); expected a valid SVG; repair it or pass a PNG of it")


def _unzip(data: bytes, name: str) -> bytes:
    """At most one byte over the limit is unpacked, so that a zip bomb costs nothing."""
    try:
        with gzip.GzipFile(fileobj=io.BytesIO(data)) as file:
            return file.read(MAX_SVG_BYTES + 1)
    except (OSError, EOFError, zlib.error):
        raise InputError(f"{name} is a damaged gzip file; expected an SVG or SVGZ; export it again") from None
