from __future__ import annotations

import json

import numpy as np
import pytest
from PIL import Image

from edge_stickers.data.families import FAMILIES
from edge_stickers.errors import InputError
from edge_stickers.evaluation.draws import draw_tasks
from edge_stickers.evaluation.evaluate import evaluate

CLIPS, SIZE = 15, 64


def frozen(still, prompt, strength, seed):
    return np.repeat(still[None], 8, axis=0)


@pytest.fixture(scope="module")
def options(folder, tmp_path_factory):
    return {"source": folder, "split": None, "size": SIZE, "cache": tmp_path_factory.mktemp("cache")}


@pytest.fixture(scope="module")
def tasks(options):
    return list(draw_tasks(options["source"], CLIPS, split=None, size=SIZE, cache=options["cache"]))


@pytest.fixture(scope="module")
def perfect(tasks, options, tmp_path_factory):
    sheet = tmp_path_factory.mktemp("sheet") / "sheet.png"
    report = evaluate(
        lambda still, prompt, strength, seed: tasks[seed].frames.numpy(),
        clips=CLIPS,
        autoencoder=lambda still: still * np.float32(0.9),
        sheet=sheet,
        **options,
    )
    return report, sheet


def test_tasks_take_families_in_turn_and_say_nothing_else(tasks):
    names = [task.motion.family for task in tasks]
    assert len(set(names)) == len(names) >= len(FAMILIES) - 1
    assert all(task.prompt and task.frames.shape == (8, 4, SIZE, SIZE) for task in tasks)


def test_a_perfect_model_scores_what_real_clips_score(perfect):
    report, _ = perfect
    assert report.totals() == report.totals("reference")
    assert report.totals()["as_told"].mean > 0.8
    assert 20 < np.mean(report.autoencoder_psnr) < 60


def test_doing_nothing_scores_chance(perfect):
    report, _ = perfect
    assert {result.told for result in report.frozen if result.as_told} <= {"still"}
    assert report.totals("frozen")["motion"].mean == 0


def test_rigid_families_are_summed_apart(perfect):
    report, _ = perfect
    rigid = [r.metrics.identity for r in report.clips if FAMILIES[r.family].kind == "rigid"]
    assert 0 < len(rigid) < CLIPS
    assert report.rigid()["identity"].mean == pytest.approx(np.mean(rigid))
    assert "| identity, rigid families |" in report.to_markdown()


def test_the_report_can_be_read(perfect):
    report, sheet = perfect
    data = json.loads(report.to_json())
    assert data["schema_version"] == 1
    assert len(data["clips"]["results"]) == CLIPS
    low, mean, high = (data["clips"]["totals"]["identity"][key] for key in ("low", "mean", "high"))
    assert low < mean < high
    assert "| as_told |" in report.to_markdown()
    assert len(report.tables()) == 2
    with Image.open(sheet) as image:
        assert image.size[0] == 8 * 96


def test_the_same_seed_gives_the_same_report(options):
    first, second = (evaluate(frozen, clips=3, seed=5, **options).to_json() for _ in range(2))
    other = evaluate(frozen, clips=3, seed=6, **options).to_json()
    assert first == second != other


def test_frames_of_another_shape_are_refused(options):
    with pytest.raises(InputError, match="expected \\(8, 4, 64, 64\\)"):
        evaluate(lambda still, prompt, strength, seed: still[None], clips=1, **options)
    with pytest.raises(InputError, match="not finite"):
        evaluate(lambda *task: frozen(*task) * np.float32(np.nan), clips=1, **options)
    with pytest.raises(InputError, match="at least 1"):
        evaluate(frozen, clips=0, **options)
