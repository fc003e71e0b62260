"""`edge-stickers prune`: what it makes, and what it refuses."""

from __future__ import annotations

import json

import pytest

from edge_stickers.data import rasters
from edge_stickers.models.pipeline import load_pipeline
from edge_stickers.quantize.pruning.prune import read_record


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setattr(rasters, "cache_folder", lambda: tmp_path / "cache")


@pytest.mark.usefixtures("tiny_sentences")
def test_a_pruned_student_makes_clips(call, tiny_model, discs, cat, tmp_path):
    out = tmp_path / "out"
    asked = ("prune", "--model", tiny_model, "--stickers", discs, "--fraction", "0.3", "-o", out)
    plain = call(*asked, "--no-recover")
    assert plain.code == 0, plain.err
    assert f"{out / 'pruned'}: " in plain.out and "% fewer operations a clip" in plain.out
    plan = tmp_path / "plan.json"
    plan.write_text(json.dumps({"denoiser": {"batch_size": 2}, "clips": 8}))
    done = call(*asked, "--plan", plan, "--steps", "2", "--json")
    assert done.code == 0, done.err
    report = json.loads(done.out)
    assert report["recovery"]["denoiser"]["batch_size"] == 2 and report["recovery"]["clips"] == 8
    assert read_record(out).narrowed["unet"] == dict(load_pipeline(out / "model").unet.config.narrowed)
    clip = call("animate", cat, "--prompt", "the cat hops", "--model", out / "model", "-o", tmp_path / "cat.webp")
    assert clip.code == 0, clip.err


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ((), "expected either --fraction, such as 0.35, or --sweep"),
        (("--fraction", "0.2", "--sweep", "0.2,0.3"), "expected either --fraction"),
        (("--fraction", "0.2", "--clips", "9"), "--clips is for --sweep"),
        (("--sweep", "0.2", "--stop-after", "9"), "--stop-after is for --fraction"),
        (("--fraction", "0.2", "--no-recover", "--steps", "9"), "--no-recover asks for none"),
        (("--fraction", "1.5"), "cannot prune so: fraction"),
        (("--fraction", "0.97", "--no-recover"), "which can give"),
        (("--fraction", "0.2", "--parts", "unet,head"), "--parts names head; known: unet, vae, text_encoder"),
        (("--sweep", "0.2,much"), "--sweep is '0.2,much', expected fractions"),
        (("--sweep", "0.2,1.2"), "expected fractions between 0 and 1"),
    ],
)
@pytest.mark.usefixtures("tiny_sentences")
def test_what_cannot_be_pruned_is_one_line(refused, tiny_model, discs, tmp_path, options, message):
    out = tmp_path / "out"
    assert message in refused("prune", "--model", tiny_model, "--stickers", discs, *options, "-o", out)
    assert not out.exists()
