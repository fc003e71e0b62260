"""The verb `evaluate` on a model that knows nothing."""

from __future__ import annotations

import json

import numpy as np


def test_it_reports_as_json_markdown_and_a_sheet(call, few, tiny_model, tmp_path, monkeypatch):
    """The tiny model's frames are too small to be registered: a still stands in for it, at 64 pixels."""
    from edge_stickers.data import rasters
    from edge_stickers.evaluation import evaluate as module

    evaluate, asked = module.evaluate, {}

    def at_64_pixels(animate, **options):
        asked.update(options)
        options |= {"size": 64, "autoencoder": None}
        return evaluate(lambda still, prompt, motion, seed: np.repeat(still[None], 8, axis=0), **options)

    monkeypatch.setattr(module, "evaluate", at_64_pixels)
    monkeypatch.setattr(rasters, "cache_folder", lambda: tmp_path / "cache")
    sheet, markdown = tmp_path / "sheet.png", tmp_path / "report.md"
    arguments = ["evaluate", "--model", tiny_model, "--stickers", few, "--split", "all", "--clips", 2, "--seed", 5]
    result = call(*arguments, "--sheet", sheet, "--markdown", markdown, "--json")
    assert (result.code, result.err) == (0, "")
    assert (asked["size"], asked["split"], asked["seed"], asked["source"]) == (32, None, 5, few)
    report = json.loads(result.out)
    assert len(report["clips"]["results"]) == 2
    assert report["clips"]["totals"]["as_told"]["mean"] == 0  # it does not move
    assert sheet.is_file()
    assert "2 clips of 1 stickers" in markdown.read_text()
    assert "as_told" in call(*arguments).out


def test_what_cannot_be_evaluated(refused, few, tiny_model, tmp_path):
    asked = ["evaluate", "--model", tiny_model, "--stickers"]
    assert "does not exist" in refused(*asked, tmp_path / "none")
    assert "has no model_index.json" in refused("evaluate", "--model", few, "--stickers", few)
