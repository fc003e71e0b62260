"""Layers add up to the whole; nothing outside a drawing is ever read."""

from __future__ import annotations

import base64
import io
from pathlib import Path

import pytest
import torch
from PIL import Image

from edge_stickers.data.layers import composite, load_still, over, render_svg, split_layers
from edge_stickers.data.rasters import RasterCache
from edge_stickers.data.svg import split_path
from edge_stickers.errors import InputError


@pytest.mark.parametrize("key", ["1f600", "1f44b", "1f436"])
@pytest.mark.parametrize("size", [64, 97, 256])
def test_layers_add_up(drawings: Path, key: str, size: int) -> None:
    layers = split_layers(drawings / f"{key}.svg", size)
    assert len(layers.stack) > 1
    whole = composite([layer for _, layer in layers.stack])
    assert float((whole - layers.image).abs().max()) < 2 / 255


def test_parts_are_where_they_are_drawn(drawings: Path) -> None:
    parts = split_layers(drawings / "1f600.svg", 72).parts
    assert set(parts) == {"eyes", "mouth"}
    assert parts["eyes"][3, 27, 24] == 1 and parts["eyes"][3, 27, 48] == 1 and parts["eyes"][3, 27, 36] == 0
    assert parts["mouth"][3, 50, 36] == 1 and parts["mouth"][3, 10, 36] == 0
    assert set(split_layers(drawings / "1f44b.svg", 72).parts) == {"hand"}
    assert split_layers(drawings / "1f4a3.svg", 72).parts == {}


def test_teeth_behind_a_mouth_go_with_it(drawings: Path) -> None:
    mouth = split_layers(drawings / "1f62c.svg", 72).parts["mouth"]
    assert mouth[:, 50, 28].tolist() == pytest.approx([1, 1, 1, 1], abs=0.01)  # seen through the mouth
    assert mouth[3, 35, 36] == 0 and mouth[3, 50, 10] == 0


def test_group_opacity_stays_one_layer(drawings: Path) -> None:
    layers = split_layers(drawings / "1f335.svg", 64)
    assert layers.stack == ()
    # Where the circles overlap only the upper one shows, at half strength.
    assert layers.image[:, 32, 32].tolist() == pytest.approx([0, 0, 0.5, 0.5], abs=0.01)


def test_pixels_are_premultiplied() -> None:
    image = render_svg('<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 4 4"><path fill="#fff" d="M0 0h2v4H0z" '
                       'opacity=".25"/></svg>', 8)  # fmt: skip
    assert image.shape == (4, 8, 8)
    assert bool((image[:3] <= image[3:] + 1e-6).all())
    assert image[:, 4, 1].tolist() == pytest.approx([0.25] * 4, abs=0.01)


def test_wide_drawings_are_centred() -> None:
    svg = '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 40 20"><path fill="#f00" d="M0 0h40v20H0z"/></svg>'
    image = render_svg(svg, 64)
    assert image.shape == (4, 64, 64)
    assert float(image[3, 0].max()) == 0 and float(image[3, 32].min()) == 1


def test_no_file_is_read_for_a_drawing(tmp_path: Path) -> None:
    red = tmp_path / "red.png"
    Image.new("RGB", (8, 8), "red").save(red)
    inner = base64.b64encode(red.read_bytes()).decode()
    for link in (str(red), red.as_uri(), "red.png", f"data:image/png;base64,{inner}"):
        svg = (
            '<svg xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink" viewBox="0 0 8 8">'
            f'<image xlink:href="{link}" href="{link}" width="8" height="8"/></svg>'
        )
        assert float(render_svg(svg, 8).abs().max()) == 0


def test_entities_are_refused() -> None:
    svg = '<!DOCTYPE svg [<!ENTITY a "b">]><svg xmlns="http://www.w3.org/2000/svg">&a;</svg>'
    with pytest.raises(InputError, match="entities"):
        render_svg(svg, 8)


@pytest.mark.parametrize("text", ["", "not xml", "<html/>"])
def test_what_is_no_svg_is_told(text: str) -> None:
    with pytest.raises(InputError, match="not an SVG"):
        render_svg(text, 8)


def test_pictures_are_read_too(tmp_path: Path) -> None:
    picture = Image.new("RGBA", (10, 20), (255, 0, 0, 128))
    for suffix in ("png", "webp"):
        path = tmp_path / f"still.{suffix}"
        picture.save(path, lossless=True)
        image = load_still(path, 32)
        assert image[:, 16, 16].tolist() == pytest.approx([0.5, 0, 0, 0.5], abs=0.01)
        assert float(image[3, :, 0].max()) == 0
    (tmp_path / "broken.png").write_bytes(b"PNG?")
    with pytest.raises(InputError, match="cannot be read as an image"):
        load_still(tmp_path / "broken.png", 32)


def test_paths_are_cut_where_they_move() -> None:
    pieces = split_path("M1 1h2v2h-2zm10 0h2v2h-2zm-10 10a1 1 0 01.5.5l1 1")
    assert [box[:2] for _, box in pieces[:2]] == [(1, 1), (11, 1)]
    assert len(pieces) == 3 and pieces[2][0].startswith("M1 11a1 1 0 0 1 0.5 0.5")


def test_over_is_source_over() -> None:
    top, bottom = torch.zeros(4, 1, 1), torch.ones(4, 1, 1)
    assert torch.equal(over(top, bottom), bottom)
    assert torch.equal(over(bottom, top), bottom)


def test_cache_gives_the_same_pixels(drawings: Path, tmp_path: Path) -> None:
    first = RasterCache.open(drawings, 64, tmp_path)
    again = RasterCache.open(drawings, 64, tmp_path)
    direct = split_layers(drawings / "1f600.svg", 64)
    for cache in (first, again):
        stored = cache.open_layers("1f600")
        assert float((stored.image - direct.image).abs().max()) < 0.6 / 255
        assert [name for name, _ in stored.stack] == [name for name, _ in direct.stack]
        assert cache.parts("1f4a3") == ()
    assert len([path for path in tmp_path.iterdir() if path.is_dir()]) == 1


def test_png_bytes_of_a_drawing_are_not_taken_for_svg(tmp_path: Path) -> None:
    buffer = io.BytesIO()
    Image.new("RGB", (2, 2)).save(buffer, "PNG")
    (tmp_path / "x.svg").write_bytes(buffer.getvalue())
    with pytest.raises(InputError, match="cannot be read as an SVG"):
        load_still(tmp_path / "x.svg", 8)
