"""A sticker file as pixels: the whole still, and, where the drawing tells, its eyes, mouth or hand apart."""

from __future__ import annotations

import io
import re
import xml.etree.ElementTree as ElementTree
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from PIL import Image, UnidentifiedImageError
from torch import Tensor

from edge_stickers.data.parts import BASE, part_names
from edge_stickers.data.svg import drop_external, parse_drawing, parse_xml
from edge_stickers.errors import InputError

MAX_LAYERS = 8


@dataclass(frozen=True, slots=True)
class Layers:
    """A still and what it is made of.

    Attributes:
        image: (4, S, S) premultiplied RGBA in 0..1, the whole.
        stack: (name, (4, S, S)) from bottom to top; composited they give `image`. A name that comes back, such
            as "base", is one part in several layers. Empty where the sticker has no parts.
    """

    image: Tensor
    stack: tuple[tuple[str, Tensor], ...] = field(default=())

    @property
    def parts(self) -> dict[str, Tensor]:
        """Name → (4, S, S) of each part that can move by itself."""
        merged: dict[str, Tensor] = {}
        for name, layer in self.stack:
            if name != BASE:
                merged[name] = over(layer, merged[name]) if name in merged else layer
        return merged

    def to(self, device: torch.device | str) -> Layers:
        """The same on another device."""
        return Layers(self.image.to(device), tuple((name, layer.to(device)) for name, layer in self.stack))


def over(top: Tensor, bottom: Tensor) -> Tensor:
    """Paints one premultiplied image over another; both (…, 4, H, W)."""
    return top + (1 - top[..., 3:4, :, :]) * bottom


def composite(layers: Sequence[Tensor]) -> Tensor:
    """Paints premultiplied layers from the first, at the bottom, to the last."""
    image = layers[0]
    for layer in layers[1:]:
        image = over(layer, image)
    return image


def render_svg(svg: str, size: int) -> Tensor:
    """Draws an SVG, fitted into a square and centred; no other file is ever opened for it.

    Args:
        svg: SVG text.
        size: Side in pixels.

    Returns:
        (4, size, size) premultiplied RGBA in 0..1.

    Raises:
        InputError: It is no SVG that can be drawn.
    """
    root = parse_xml(svg)
    drop_external(root)
    return _rasterise(ElementTree.tostring(root, encoding="unicode"), size)


def load_still(path: Path, size: int) -> Tensor:
    """Reads an SVG, PNG or WebP file, fitted into a square and centred.

    Returns:
        (4, size, size) premultiplied RGBA in 0..1.

    Raises:
        InputError: The file is missing or is no image.
    """
    if path.suffix.lower() == ".svg":
        return render_svg(_read_text(path), size)
    try:
        with Image.open(path) as image:
            picture = image.convert("RGBa").convert("RGBa")
    except (OSError, UnidentifiedImageError, Image.DecompressionBombError) as error:
        raise InputError(f"{path} cannot be read as an image ({error}): expected SVG, PNG or WebP") from error
    return _fit(picture, size)


def split_layers(path: Path, size: int) -> Layers:
    """Reads a sticker and tells its parts apart where its drawing allows.

    Args:
        path: SVG, PNG or WebP; only an SVG has parts.
        size: Side in pixels.

    Raises:
        InputError: The file is missing or is no image.
    """
    image = load_still(path, size)
    if path.suffix.lower() != ".svg":
        return Layers(image)
    drawing = parse_drawing(_read_text(path))
    names = part_names(drawing, path.stem)
    if names is None:
        return Layers(image)
    runs: list[tuple[str, list[int]]] = []
    for index, name in enumerate(names):
        if runs and runs[-1][0] == name:
            runs[-1][1].append(index)
        else:
            runs.append((name, [index]))
    if len(runs) > MAX_LAYERS:
        return Layers(image)
    stack = tuple(
        (name, _rasterise(drawing.markup(tuple(drawing.shapes[i] for i in indices)), size)) for name, indices in runs
    )
    if float((composite([layer for _, layer in stack]) - image).abs().max()) >= 2 / 255:
        return Layers(image)  # Something in the drawing acts across shapes: one layer is the truth.
    return Layers(image, stack)


def _rasterise(svg: str, size: int) -> Tensor:
    import resvg_py

    svg = re.sub(r'(<(?:\w+:)?svg\b[^>]*?)\s(?:width|height)="[^"]*"', r"\1", svg) if "viewBox" in svg else svg
    try:
        # Fonts of this machine would make the picture differ from machine to machine.
        png = resvg_py.svg_to_bytes(
            svg_string=svg,
            width=size,
            skip_system_fonts=True,
            languages=[],
            shape_rendering="geometric_precision",
            text_rendering="optimize_legibility",
        )
    except ValueError as error:
        raise InputError(f"the SVG cannot be drawn ({error})") from error
    with Image.open(io.BytesIO(png)) as image:
        return _fit(image.convert("RGBa"), size)


def _fit(picture: Image.Image, size: int) -> Tensor:
    """Scales a premultiplied picture into the square and centres it; (4, size, size)."""
    if picture.size != (size, size):
        scale = size / max(picture.size)
        width, height = (max(1, round(side * scale)) for side in picture.size)
        picture = picture.resize((width, height), Image.Resampling.LANCZOS)
        canvas = Image.new("RGBa", (size, size))
        canvas.paste(picture, ((size - width) // 2, (size - height) // 2))
        picture = canvas
    pixels = torch.from_numpy(np.asarray(picture).copy())  # (size, size, 4)
    return pixels.permute(2, 0, 1).float() / 255


def _read_text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{path} cannot be read as an SVG ({error})") from error
