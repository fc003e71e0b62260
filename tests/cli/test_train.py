"""What `train` hands to the library, and the plans that it refuses."""

from __future__ import annotations

import json

import pytest

from edge_stickers.training.plan import AUTOENCODER_PLAN, DENOISER_PLAN


@pytest.fixture
def handed(monkeypatch):
    """What `train_student` was called with; nothing is trained."""
    from edge_stickers.training import student

    calls = []

    def train_student(output, **options):
        calls.append({"output": output, **options})
        return output / "model"

    monkeypatch.setattr(student, "train_student", train_student)
    return calls


@pytest.mark.parametrize(
    ("name", "stages"),
    [
        ("autoencoder", ("autoencoder",)),
        ("denoiser", ("denoiser",)),
        ("student", ("autoencoder", "motion", "denoiser")),
    ],
)
def test_each_sub_command_has_its_stages_and_the_default_plans(call, handed, tmp_path, name, stages):
    result = call("train", name, "-o", tmp_path)
    assert (result.code, result.err) == (0, "")
    assert str(tmp_path / "model") in result.out
    assert handed[0]["stages"] == stages
    assert (handed[0]["autoencoder_plan"], handed[0]["denoiser_plan"]) == (AUTOENCODER_PLAN, DENOISER_PLAN)
    assert "clips" not in handed[0]  # the library's own default


def test_options_win_over_the_plan_and_the_plan_over_the_defaults(call, handed, tmp_path):
    plan = tmp_path / "plan.json"
    plan.write_text(json.dumps({"denoiser": {"steps": 70, "learning_rate": 1e-4, "precision": "no"}, "clips": 90}))
    result = call("train", "student", "--plan", plan, "--steps", 50, "--seed", 3, "-o", tmp_path, "--json")
    assert json.loads(result.out)["model"] == str(tmp_path / "model")
    denoiser, autoencoder = handed[0]["denoiser_plan"], handed[0]["autoencoder_plan"]
    assert (denoiser.steps, denoiser.learning_rate, denoiser.precision, denoiser.seed) == (50, 1e-4, "no", 3)
    assert (autoencoder.steps, autoencoder.learning_rate, autoencoder.seed) == (50, AUTOENCODER_PLAN.learning_rate, 3)
    assert handed[0]["clips"] == 90


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "is no JSON"),
        ("[]", "names none of autoencoder, motion, denoiser and clips"),
        ('{"unet": {}}', "names none of autoencoder, motion, denoiser and clips"),
        ('{"denoiser": 3}', "denoiser is a int"),
        ('{"clips": "many"}', "clips is 'many'; expected a whole number"),
        ('{"denoiser": {"epochs": 3}}', "denoiser has no 'epochs'; known: steps, batch_size, learning_rate"),
        ('{"denoiser": {"steps": "many"}}', "denoiser: steps is 'many'; expected int"),
        ('{"denoiser": {"steps": 1.5}}', "denoiser: steps is 1.5; expected int"),
        ('{"denoiser": {"steps": true}}', "denoiser: steps is True; expected int"),
        ('{"denoiser": {"steps": 0}}', "steps must be at least 1, got 0"),
        ('{"denoiser": {"learning_rate": 7}}', "learning_rate must lie between 0 and 1, got 7"),
    ],
)
def test_plans_that_are_none(refused, handed, tmp_path, text, message):
    plan = tmp_path / "plan.json"
    plan.write_text(text)
    assert message in refused("train", "student", "--plan", plan, "-o", tmp_path)
    assert handed == []


def test_inputs_that_are_missing(refused, tmp_path):
    assert "cannot be read (No such file or directory)" in refused(
        "train", "student", "--plan", tmp_path / "p", "-o", "o"
    )
    assert "no preset named 'huge'; known: student" in refused("train", "student", "--preset", "huge", "-o", tmp_path)
    line = refused("train", "student", "--stickers", tmp_path / "none", "-o", tmp_path / "run")
    assert "none does not exist" in line
    assert list(tmp_path.iterdir()) == []
