from __future__ import annotations

import base64
import gzip
import io
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import edge_stickers
from edge_stickers.errors import InputError
from edge_stickers.media import load_still
from edge_stickers.media import svg as svg_module

STICKERS = sorted((Path(edge_stickers.__path__[0]) / "assets/stickers").glob("*.svg"))
GREEN = '<rect width="5" height="5" fill="#0f0"/>'


def svg(body: str, box: str = "0 0 10 10", head: str = "") -> bytes:
    return f'{head}<svg xmlns="http://www.w3.org/2000/svg" viewBox="{box}">{body}</svg>'.encode()


def entities(count: int) -> str:
    lines = "".join(f'<!ENTITY a{i} "{f"&a{i - 1};" * 10}">' for i in range(1, count))
    return f'<!DOCTYPE svg [<!ENTITY a0 "lollollol">{lines}]>'


def test_there_are_eight_small_samples() -> None:
    assert [path.stem for path in STICKERS] == [
        "cactus",
        "cat",
        "cloud",
        "ghost",
        "robot",
        "rocket",
        "strawberry",
        "tea",
    ]
    assert all(path.stat().st_size < 4096 and b"CC0" in path.read_bytes() for path in STICKERS)


@pytest.mark.parametrize("path", STICKERS, ids=lambda path: path.stem)
def test_samples_fill_the_square_without_touching_its_edge(path: Path) -> None:
    still = load_still(path, size=128)
    coverage = (still[3] > 0.5).mean()
    assert 0.2 < coverage < 0.8
    edge = np.concatenate((still[3, 0], still[3, -1], still[3, :, 0], still[3, :, -1]))
    assert edge.max() == 0


def test_geometry_aspect_and_gzip() -> None:
    data = svg('<rect x="0" width="20" height="10" fill="#0f0"/>', box="0 0 20 10")
    still = load_still(data, size=64)
    np.testing.assert_allclose(
        still[:, 16:48], np.broadcast_to(np.array([0, 1, 0, 1])[:, None, None], (4, 32, 64)), atol=1e-3
    )
    assert still[3, :15].max() == 0
    assert still[3, 49:].max() == 0
    np.testing.assert_array_equal(load_still(gzip.compress(data), size=64), still)
    np.testing.assert_array_equal(load_still(data.decode().encode("utf-16"), size=64), still)
    np.testing.assert_array_equal(load_still(b'\n<?xml version="1.0"?><!-- hi -->' + data, size=64), still)


def test_missing_namespace_is_forgiven() -> None:
    np.testing.assert_array_equal(
        load_still(svg(GREEN).replace(b' xmlns="http://www.w3.org/2000/svg"', b"")), load_still(svg(GREEN))
    )


def test_scripts_are_not_run_and_not_shown() -> None:
    scripted = svg(f"<script>document.documentElement.remove()</script>{GREEN}<g onload='alert(1)'/>")
    np.testing.assert_array_equal(load_still(scripted), load_still(svg(GREEN)))


@pytest.fixture
def server() -> Iterator[tuple[str, list[str]]]:
    asked: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append(self.path)
            self.send_response(404)
            self.end_headers()

    listener = HTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=listener.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{listener.server_port}", asked
    listener.shutdown()
    thread.join()
    listener.server_close()


def test_outside_references_are_dropped_and_never_fetched(tmp_path: Path, server: tuple[str, list[str]]) -> None:
    address, asked = server
    secret = tmp_path / "secret.png"
    Image.new("RGB", (4, 4), "red").save(secret)
    expected = load_still(svg(GREEN))
    for target in (str(secret), secret.as_uri(), f" {secret}", f"{address}/a.png", "//127.0.0.1/a.png"):
        for name in ("href", "xlink:href"):
            image = f'<image xmlns:xlink="http://www.w3.org/1999/xlink" {name}="{target}" width="10" height="10"/>'
            np.testing.assert_array_equal(load_still(svg(GREEN + image)), expected)
    styled = f'<style>@import url("{address}/a.css"); rect {{ mask: url({address}/m.svg#m) }}</style>'
    load_still(svg(styled + '<rect width="9" height="9"/><circle r="5"/>'))
    attlist = f'<!DOCTYPE svg [<!ATTLIST image href CDATA "{secret}">]>'
    np.testing.assert_array_equal(load_still(svg(GREEN + '<image width="10" height="10"/>', head=attlist)), expected)
    nested = base64.b64encode(svg(f'<image href="{secret}" width="10" height="10"/>')).decode()
    nested_image = f'<image href="data:image/svg+xml;base64,{nested}" width="10" height="10"/>'
    np.testing.assert_array_equal(load_still(svg(GREEN + nested_image)), expected)
    assert asked == []


def test_embedded_pictures_are_kept() -> None:
    file = io.BytesIO()
    Image.new("RGB", (4, 4), "red").save(file, "PNG")
    data = base64.b64encode(file.getvalue()).decode()
    still = load_still(svg(f'<image href="data:image/png;base64,{data}" width="10" height="10"/>'))
    np.testing.assert_allclose(still[:, 100, 100], [1, 0, 0, 1], atol=1e-3)


@pytest.mark.parametrize(
    ("data", "match"),
    [
        (b"<html><body>hi</body></html>", "not svg"),
        (b"<", "not a usable SVG"),
        (svg(GREEN)[:50], "not a usable SVG"),
        (svg("<g>"), "mismatched tag"),
        (svg("<text>&a9;</text>", head=entities(10)), "amplification"),
        (svg("<text>&x;</text>", head='<!DOCTYPE svg [<!ENTITY x SYSTEM "file:///etc/passwd">]>'), "undefined entity"),
        (b'<svg xmlns="http://www.w3.org/2000/svg" width="0" height="0"/>', "invalid size"),
        (svg('<rect width="1e30" height="1e30"/>', box="0 0 1e30 1e30"), "not a usable SVG|fully transparent"),
        (svg(""), "fully transparent"),
        (svg("<g>" * 100_000 + "</g>" * 100_000), "nested over 200 deep"),
        (svg("<g/>" * 60_000), "over 50000 elements"),
        (
            svg(
                "".join(f'<g id="a{i}">{f"""<use href="#a{i - 1}"/>""" * 10}</g>' for i in range(1, 9))
                + GREEN.replace("<rect", '<rect id="a0"')
            ),
            "limit",
        ),
        (b"<svg>" + b" " * 11 * 2**20, "over 10 MB of SVG"),
        (gzip.compress(b" " * 11 * 2**20), "over 10 MB of SVG"),
        (b"\x1f\x8bjunk", "damaged gzip"),
        (gzip.compress(b'{"v": "5.5.2", "fr": 60}'), "not a usable SVG"),
    ],
    ids=range(16),
)
def test_hostile_and_broken_files_are_refused_in_one_line(data: bytes, match: str) -> None:
    with pytest.raises(InputError, match=match) as caught:
        load_still(data)
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 300


def test_a_deep_but_legal_file_renders() -> None:
    still = load_still(svg('<g opacity=".999">' * 150 + GREEN + "</g>" * 150))
    assert still[3].max() > 0.5


def test_a_slow_renderer_is_stopped(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(svg_module, "TIME_LIMIT_S", 0.001)
    with pytest.raises(InputError, match="to render; expected a sticker; pass a PNG"):
        load_still(svg(GREEN))


def test_a_crash_of_the_renderer_is_an_input_error(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    crash = tmp_path / "crash.py"
    crash.write_text("import os\nos.abort()\n")
    monkeypatch.setattr(svg_module.svg_child, "__file__", str(crash))
    with pytest.raises(InputError, match="the renderer gave up"):
        load_still(svg(GREEN))
