"""The stages on a tiny student and drawings of our own: what they learn from, leave alone and write."""

from __future__ import annotations

import copy
import json
from pathlib import Path

import pytest
import torch

from edge_stickers.config import PRESETS, AutoencoderConfig, Preset, TextConfig, UNetConfig
from edge_stickers.data.dataset import ClipSource
from edge_stickers.models.pipeline import load_pipeline
from edge_stickers.training.denoiser import CHANGE_WEIGHT, FLAT_WEIGHT, REPEATS, DenoiserStage, cell_weight
from edge_stickers.training.latents import LatentCache, holds_still
from edge_stickers.training.plan import StagePlan
from edge_stickers.training.student import train_student

CLIPS = 24


pytestmark = pytest.mark.usefixtures("tiny_sentences")


@pytest.fixture(scope="module")
def source(discs: Path, tmp_path_factory: pytest.TempPathFactory) -> ClipSource:
    return ClipSource(discs, split="train", size=32, cache=tmp_path_factory.mktemp("cache"))


@pytest.fixture
def pipeline(tiny_pipeline):
    return copy.deepcopy(tiny_pipeline)


def test_a_cache_that_was_cut_off_goes_on_and_one_of_another_encoder_starts_anew(pipeline, source, tmp_path: Path):
    whole = LatentCache(tmp_path / "whole", pipeline.vae, source, count=CLIPS)
    whole.fill()
    assert LatentCache(tmp_path / "cut", pipeline.vae, source, count=16).done == 0
    first = LatentCache(tmp_path / "cut", pipeline.vae, source, count=16)
    first.fill()
    second = LatentCache(tmp_path / "cut", pipeline.vae, source, count=CLIPS)
    assert second.done == 16
    second.fill()
    assert torch.equal(torch.from_numpy(second.latents[:]), torch.from_numpy(whole.latents[:]))
    with torch.no_grad():
        pipeline.vae.encoder[0].weight.mul_(1.1)
    assert LatentCache(tmp_path / "cut", pipeline.vae, source, count=CLIPS).done == 0


@pytest.fixture
def stage(pipeline, source, tmp_path: Path) -> DenoiserStage:
    cache = LatentCache(tmp_path, pipeline.vae, source, count=CLIPS)
    cache.fill()
    return DenoiserStage(
        pipeline.unet, pipeline.text_encoder, pipeline.tokenizer.backend_tokenizer, cache, source, seed=1
    )


def test_a_pass_shows_every_clip_and_some_families_more_often(stage, source):
    order = stage.order.tolist()
    for index in range(CLIPS):
        assert order.count(index) == REPEATS.get(source.plan(index).motion.family, 1)
    one, again, later = (stage.batch(range(start, start + 4), torch.device("cpu")) for start in (0, 0, len(order)))
    assert torch.equal(one.latents, again.latents) and torch.equal(one.tokens, again.tokens)
    assert not torch.equal(one.tokens, later.tokens)


def test_the_loss_trains_everything_but_the_field(stage):
    batch = stage.batch(range(4), torch.device("cpu"))
    loss, metrics = stage.loss(stage.model, batch, torch.Generator().manual_seed(0))
    loss.backward()
    assert float(metrics["x0_mse"]) > 0
    frozen = {name for name, p in stage.model.named_parameters() if not p.requires_grad}
    assert frozen and all(name.startswith(("field.", "field_projection.", "null_token")) for name in frozen)
    idle = [name for name, p in stage.model.named_parameters() if p.requires_grad and p.grad is None]
    assert not idle


def test_what_changes_on_a_sticker_that_holds_weighs_most(stage):
    held = next(i for i in range(CLIPS) if holds_still(stage.cache.source.plan(i).motion))
    moved = next(i for i in range(CLIPS) if stage.cache.source.plan(i).motion.family == "travel")
    batch = stage.cache.read([held, moved], stage.tokenizer, torch.device("cpu"), tellings=[0, 0])
    weight = cell_weight(batch.latents, batch.holds, stage.blank)
    assert set(weight[1].unique().tolist()) <= {FLAT_WEIGHT, 1.0}
    assert set(weight[0].unique().tolist()) <= {FLAT_WEIGHT, 1.0, CHANGE_WEIGHT}
    changed = (batch.latents[0] - batch.latents[0, :1]).abs().amax(dim=1, keepdim=True) > 0.2
    assert bool((weight[0][changed] == CHANGE_WEIGHT).all())


@pytest.mark.slow
def test_all_stages_from_stickers_to_a_folder_and_on_again(tiny_model: Path, discs: Path, tmp_path, monkeypatch):
    tiny = Preset("tiny", 32, AutoencoderConfig(), UNetConfig(), TextConfig())
    monkeypatch.setitem(PRESETS, "tiny", tiny)

    def plan(steps: int) -> StagePlan:
        return StagePlan(steps=steps, batch_size=2, learning_rate=1e-3, warmup_steps=1, save_every=2, sample_every=4)

    def run(steps: int) -> Path:
        return train_student(
            tmp_path / "run",
            stickers=discs,
            preset_name="tiny",
            autoencoder_plan=plan(2),
            motion_plan=plan(2),
            denoiser_plan=plan(steps),
            clips=8,
            init=tiny_model,
            cache=tmp_path / "cache",
        )

    folder = run(4)
    before, start = load_pipeline(folder).unet.state_dict(), load_pipeline(tiny_model).unet.state_dict()
    assert any(not torch.equal(before[name], start[name]) for name in before)
    assert (tmp_path / "run/runs/denoiser/samples/000004.png").is_file()
    record = json.loads((tmp_path / "run/record.json").read_text())
    assert record["denoiser"]["steps"] == 4 and record["stages"] == ["autoencoder", "motion", "denoiser"]
    after = load_pipeline(run(6)).unet.state_dict()  # goes on at step 4
    assert any(not torch.equal(after[name], before[name]) for name in before)
