"""A run of pruning: what it writes, goes on with and refuses; and that recovery brings the teacher back."""

from __future__ import annotations

import copy
import json
from dataclasses import replace

import numpy as np
import pytest
import torch

from edge_stickers.bundle.reader import folder_sha256
from edge_stickers.errors import InputError
from edge_stickers.models.pipeline import load_pipeline
from edge_stickers.prune_sweep import prune_sweep
from edge_stickers.quantize.pruning.choose import choose_units
from edge_stickers.quantize.pruning.cut import cut
from edge_stickers.quantize.pruning.prune import prune, read_record
from edge_stickers.quantize.pruning.structures import clip_flops
from edge_stickers.quantize.recovery import (
    DecoderRecovery,
    DenoiserRecovery,
    RecoveryPlan,
    feature_loss,
    recover,
)
from edge_stickers.training.latents import LatentCache
from edge_stickers.training.plan import StagePlan

CPU = torch.device("cpu")

STAGE = StagePlan(
    steps=40, batch_size=4, learning_rate=2e-3, warmup_steps=5, ema_decay=0.8, log_every=40, precision="no"
)
PLAN = RecoveryPlan(text_encoder=STAGE, decoder=STAGE, denoiser=STAGE, clips=12)
SHORT = replace(PLAN, **{name: replace(STAGE, steps=2) for name in ("text_encoder", "decoder", "denoiser")})

pytestmark = pytest.mark.usefixtures("tiny_sentences")


def test_recovery_learns_and_leaves_alone_what_the_teacher_shares(student, structures, scores, source, tmp_path):
    fractions = {"unet": 0.3, "vae": 0.3}
    totals = clip_flops(student, steps=4)
    cut_off = cut(student, choose_units(structures, scores, totals=totals, fractions=fractions))
    teacher, pruned = copy.deepcopy(student), copy.deepcopy(cut_off)
    recover(pruned, teacher, tmp_path, parts=("unet", "vae"), source=source, held_out=source, plan=PLAN)
    cache = LatentCache(tmp_path / "latents", teacher.vae, source, count=12)
    losses = [
        [
            mean_loss(DecoderRecovery(each.vae, teacher.vae, source, source)),
            mean_loss(DenoiserRecovery(each, teacher, cache, source)),
        ]
        for each in (cut_off, pruned)
    ]
    assert losses[1][0] < 0.95 * losses[0][0] and losses[1][1] < 0.95 * losses[0][1], losses
    assert (tmp_path / "denoiser/logs").is_dir() and (tmp_path / "decoder/samples/000040.png").is_file()
    for name, value in student.vae.state_dict().items():
        if name.startswith(("encoder.", "latents_")):
            assert torch.equal(pruned.vae.state_dict()[name], value), name
    for name, value in student.unet.state_dict().items():
        assert torch.equal(teacher.unet.state_dict()[name], value), name
        if name.startswith("field"):
            assert torch.equal(pruned.unet.state_dict()[name], value), name


def test_the_features_of_a_teacher_are_worth_nothing_of_itself():
    layers = {"one": torch.randn(4, 8), "two": torch.randn(2, 3) * 100}
    assert feature_loss(layers, layers) == 0
    means = {name: torch.full_like(value, float(value.mean())) for name, value in layers.items()}
    assert 0.7 < feature_loss(means, layers) < 1  # in units of the variance, with its n - 1


def mean_loss(stage, batches=6):
    """Of examples that training did not see."""
    with torch.no_grad():
        return (
            sum(
                float(stage.loss(stage.model, stage.batch(range(i, i + 4), CPU), torch.Generator().manual_seed(i))[0])
                for i in range(1000, 1000 + 4 * batches, 4)
            )
            / batches
        )


def test_a_run_is_a_folder_that_goes_on(tiny_model, discs, tmp_path):
    before = folder_sha256(tiny_model)
    asked = {"fraction": 0.3, "stickers": discs, "importance_clips": 2, "cache": tmp_path / "cache"}
    out = tmp_path / "out"
    first = prune(tiny_model, out, **asked)
    assert first == read_record(out) and first.recovery is None
    assert first.after.clip_gflop < 0.8 * first.before.clip_gflop
    cut_sha = folder_sha256(out / "pruned")
    done = prune(tiny_model, out, **asked, plan=SHORT)
    assert done.recovery is not None and done.recovery["denoiser"]["steps"] == 2
    assert folder_sha256(out / "pruned") == cut_sha
    assert folder_sha256(tiny_model) == before
    config = load_pipeline(out / "model").unet.config
    assert dict(config.narrowed) == done.narrowed["unet"]
    with pytest.raises(InputError, match=r"asked for otherwise \(fraction 0.3, now 0.2\)"):
        prune(tiny_model, out, **{**asked, "fraction": 0.2})


def test_a_folder_that_holds_something_else_is_left_alone(tiny_model, discs, tmp_path):
    record = tmp_path / "record.json"
    record.write_text('{"preset": {}}')
    with pytest.raises(InputError, match=r"is no record of a pruning .*choose another folder"):
        prune(tiny_model, tmp_path, fraction=0.3, stickers=discs)
    assert [path.name for path in tmp_path.iterdir()] == ["record.json"]
    for output in (tiny_model, tiny_model / "runs", tiny_model.parent):  # which would get a folder `model`, too
        with pytest.raises(InputError, match="would be written into the model"):
            prune(tiny_model, output, fraction=0.3, stickers=discs)
    for fraction in (0.0, 1.0, float("nan")):
        with pytest.raises(InputError, match="cannot prune so: fraction"):
            prune(tiny_model, tmp_path / "new", fraction=fraction, stickers=discs)


def test_a_recovery_that_was_stopped_early_has_not_ended(tiny_model, discs, tmp_path):
    asked = {"fraction": 0.3, "stickers": discs, "importance_clips": 2, "cache": tmp_path / "cache", "plan": SHORT}
    stopped = prune(tiny_model, tmp_path / "out", **asked, stop_after=0)
    assert stopped.recovery is None and (tmp_path / "out" / "model" / "model_index.json").is_file()
    assert prune(tiny_model, tmp_path / "out", **asked).recovery is not None


def test_a_sweep_writes_its_curve(tiny_model, discs, tmp_path, monkeypatch):
    """The tiny student's frames are too small to be registered: stills stand in for them, at 64 pixels."""
    from edge_stickers.evaluation import evaluate as module

    evaluate = module.evaluate

    def at_64_pixels(animate, **options):
        options |= {"size": 64, "autoencoder": None}
        return evaluate(lambda still, prompt, motion, seed: np.repeat(still[None], 8, axis=0), **options)

    monkeypatch.setattr(module, "evaluate", at_64_pixels)
    told = []
    report = prune_sweep(
        tiny_model, tmp_path, [0.3, 0.1], parts=("unet", "vae"), stickers=discs, clips=3, cache=tmp_path / "cache",
        on_progress=lambda what, done, of: told.append((what, done, of)),
    )  # fmt: skip
    work = [point.sizes.clip_gflop for point in report.points]
    assert [point.fraction for point in report.points] == [0.0, 0.1, 0.3]
    assert work == sorted(work, reverse=True) and report.points[0].time == 1
    saved = json.loads((tmp_path / "sweep.json").read_text())
    assert saved["points"][2]["sizes"] == report.points[2].sizes.model_dump()
    assert (tmp_path / "sweep.md").read_text().startswith("| pruned | GFLOP a clip |")
    assert (tmp_path / "sweep.png").read_bytes()[:4] == b"\x89PNG"
    assert [done for _, done, _ in told] == list(range(len(told))) and told[-1][1] < told[-1][2]
    with pytest.raises(InputError, match="expected fractions between 0 and 1"):
        prune_sweep(tiny_model, tmp_path, [0.5, 1.5], parts=("unet",), stickers=discs)
    with pytest.raises(InputError, match="asked to take 97% of the operations out of unet"):
        prune_sweep(tiny_model, tmp_path / "new", [0.1, 0.97], parts=("unet",), stickers=discs)
    assert not (tmp_path / "new").exists()
