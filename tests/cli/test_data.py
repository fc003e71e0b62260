"""Fetching stickers and looking at clips."""

from __future__ import annotations

import json

from edge_stickers.data import rasters
from edge_stickers.data import stickers as stickers_module


def test_fetch_says_where_and_under_which_licence(call, few, monkeypatch):
    monkeypatch.setattr(stickers_module, "fetch_twemoji", lambda cache: few)
    assert call("data", "fetch").out == f"{few}: 1 stickers ({stickers_module.TWEMOJI_LICENCE})\n"
    report = json.loads(call("data", "fetch", "--json").out)
    assert (report["folder"], report["stickers"]) == (str(few), 1)
    assert "CC-BY 4.0" in report["licence"]


def test_fetch_without_npm_says_what_to_install(refused, monkeypatch, tmp_path):
    monkeypatch.setattr(stickers_module.shutil, "which", lambda name: None)
    assert "install Node.js" in refused("data", "fetch", "-o", tmp_path, code=3)


def test_preview_writes_two_pictures(call, few, tmp_path, monkeypatch):
    monkeypatch.setattr(rasters, "cache_folder", lambda: tmp_path / "cache")
    out = tmp_path / "out"
    result = call("data", "preview", "--stickers", few, "--split", "all", "--count", 1, "-o", out, "--json")
    assert (result.code, result.err) == (0, "")
    assert json.loads(result.out)["files"] == [str(out / "sheet.png"), str(out / "grid.webp")]
    assert sorted(path.name for path in out.iterdir()) == ["grid.webp", "sheet.png"]


def test_folders_that_are_none(refused, tmp_path):
    out = tmp_path / "out"
    assert "does not exist" in refused("data", "preview", "--stickers", tmp_path / "none", "-o", out)
    (tmp_path / "empty").mkdir()
    assert "no SVG, PNG or WebP file in" in refused("data", "preview", "--stickers", tmp_path / "empty", "-o", out)
    assert not out.exists()
