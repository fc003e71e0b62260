"""Training in int8: the rounded student comes nearer to the floating one, which is only read."""

from __future__ import annotations

import copy
from dataclasses import replace

import pytest
import torch
from torch.nn.utils import parametrize

from edge_stickers.bundle.reader import folder_sha256
from edge_stickers.data.dataset import ClipSource
from edge_stickers.errors import InputError
from edge_stickers.models.components import component_modules
from edge_stickers.models.pipeline import load_pipeline
from edge_stickers.quantize.calibration import calibrate
from edge_stickers.quantize.fake import fake_quantized
from edge_stickers.quantize.qat import recover_quantized
from edge_stickers.quantize.recipe import RECIPES, Calibration
from edge_stickers.quantize.recovery import DecoderRecovery, RecoveryPlan
from edge_stickers.training.loop import train
from edge_stickers.training.plan import StagePlan
from edge_stickers.training.student import assign_average

STAGE = StagePlan(
    steps=60, batch_size=4, learning_rate=5e-4, warmup_steps=5, ema_decay=0.8, log_every=60, precision="no"
)
PLAN = RecoveryPlan(text_encoder=STAGE, decoder=STAGE, denoiser=STAGE, clips=12)

pytestmark = pytest.mark.usefixtures("tiny_sentences")


@pytest.fixture(scope="module")
def recipe():
    return RECIPES["int8"].model_copy(update={"calibration": Calibration(clips=2)})


def test_it_learns_its_rounding_and_goes_on_as_an_ordinary_folder(tiny_model, discs, recipe, tmp_path):
    before = folder_sha256(tiny_model)
    asked = {"stickers": discs, "cache": tmp_path / "cache"}
    short = replace(PLAN, decoder=replace(STAGE, steps=20), denoiser=replace(STAGE, steps=20))
    recover_quantized(tiny_model, recipe, tmp_path / "run", plan=short, **asked)
    done = recover_quantized(tiny_model, recipe, tmp_path / "run", plan=PLAN, **asked)
    assert folder_sha256(tiny_model) == before
    assert done.model_sha256 == folder_sha256(tmp_path / "run" / "model") and not done.wants_ranges
    teacher, student = load_pipeline(tiny_model), load_pipeline(tmp_path / "run" / "model")
    assert not any(parametrize.is_parametrized(each) for each in student.unet.modules())
    assert student.unet.state_dict().keys() == teacher.unet.state_dict().keys()
    moved = [
        name
        for name, value in student.vae.state_dict().items()
        if not torch.allclose(value, teacher.vae.state_dict()[name], atol=1e-3)
    ]
    assert moved and all(name.startswith("decoder") for name in moved)
    with pytest.raises(InputError, match="asked for otherwise"):
        recover_quantized(tiny_model, RECIPES["int8-dynamic"], tmp_path / "run", plan=PLAN, **asked)
    with pytest.raises(InputError, match="has the ranges of another model"):
        recover_quantized(tiny_model, done, tmp_path / "other", plan=PLAN, **asked)


def test_the_rounded_decoder_learns(tiny_pipeline, discs, recipe, tmp_path):
    """What the stage measures of it while it rounds, on crops that it has not seen."""
    teacher, student = copy.deepcopy(tiny_pipeline), copy.deepcopy(tiny_pipeline)
    source = ClipSource(discs, split="train", size=32, cache=tmp_path / "cache")
    modules, latents = component_modules(student), torch.randn(4, 8, 4, 4)
    latents = latents[:, : student.vae.config.latent_channels]
    with fake_quantized(modules, calibrate(teacher, recipe)):
        with torch.no_grad():
            assert not torch.equal(student.vae.decode(latents), teacher.vae.decode(latents))
        stage = DecoderRecovery(student.vae, teacher.vae, source, source)

        def loss():
            with torch.no_grad():
                return sum(
                    float(stage.loss(stage.model, stage.batch(range(i, i + 4), torch.device("cpu")), seeded(i))[0])
                    for i in range(1000, 1024, 4)
                )

        before = loss()
        assign_average(stage.model, train(stage, STAGE, tmp_path / "decoder"))
        assert loss() < 0.995 * before


def seeded(number):
    return torch.Generator().manual_seed(number)


def test_a_recipe_without_int8_has_nothing_to_recover(tiny_model, discs, tmp_path):
    with pytest.raises(InputError, match="recipe fp16 has no layer in int8, so there is nothing to recover"):
        recover_quantized(tiny_model, RECIPES["fp16"], tmp_path, plan=PLAN, stickers=discs)
    assert not list(tmp_path.iterdir())
