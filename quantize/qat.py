"""Quantisation-aware recovery: a student trained while its layers round, until int8 costs its frames less."""

from __future__ import annotations

import copy
import hashlib
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from edge_stickers.bundle.reader import folder_sha256
from edge_stickers.data.dataset import ClipSource
from edge_stickers.data.stickers import fetch_twemoji, list_stickers
from edge_stickers.errors import InputError
from edge_stickers.media.write import write_atomically
from edge_stickers.models.autoencoder import COMPRESSION
from edge_stickers.models.components import component_modules
from edge_stickers.models.pipeline import load_pipeline, save_pipeline
from edge_stickers.quantize.calibration import calibrate
from edge_stickers.quantize.clips import STICKERS
from edge_stickers.quantize.fake import fake_quantized
from edge_stickers.quantize.layers import check_layers, layers_of
from edge_stickers.quantize.recipe import INT8, Recipe, check_model
from edge_stickers.quantize.recovery import DECODER_RECOVERY, DENOISER_RECOVERY, RecoveryPlan, recover
from edge_stickers.quantize.runs import expect_apart, expect_same

QAT_PLAN = RecoveryPlan(
    decoder=replace(DECODER_RECOVERY, steps=400, learning_rate=2e-4, warmup_steps=20, ema_decay=0.99),
    denoiser=replace(DENOISER_RECOVERY, steps=400, learning_rate=2e-4, warmup_steps=20, ema_decay=0.99),
    clips=1_600,
)
"""6,400 crops, 1,600 clips: weights move a little, from where they are."""
MODEL, RUNS, RECORD = "model", "runs", "record.json"


def recover_quantized(
    model: Path,
    recipe: Recipe,
    output: Path,
    *,
    plan: RecoveryPlan = QAT_PLAN,
    stickers: Path | None = None,
    calibration_stickers: Path = STICKERS,
    latents: Path | None = None,
    stop_after: float | None = None,
    cache: Path | None = None,
    on_clip: Callable[[int, int], None] = lambda _done, _all: None,
) -> Recipe:
    """Trains the denoiser and the decoder with their layers rounding, the floating student their teacher.

    Args:
        model: folder of the student; it is only read.
        recipe: which layers are in int8; calibrated first where it has no ranges, which stay as they are found.
        output: gets `model/`, a floating student like any other, and `runs/`.
        plan: how long; the text encoder is left alone.
        stickers: folder of SVG, PNG or WebP to train on; Twemoji, fetched once, where None.
        calibration_stickers: folder of stills to find ranges on.
        latents: where encoded clips are kept; in `runs/` where None.
        stop_after: seconds after which a stage saves and ends early.
        cache: where drawn stickers are kept; the user's cache folder where None.
        on_clip: (clips done, clips in all) of the calibration.

    Returns:
        The recipe with its ranges, for the model in `output`.

    Raises:
        InputError: no layer is in int8, the ranges are another model's, the output is or holds the model, or it holds a
            run of another model, recipe or stickers.
        MissingDependencyError: Accelerate or npm is not installed.

    Source: "Quantization and Training of Neural Networks for Efficient Integer-Arithmetic-Only Inference" (arXiv
    1712.05877), section 3.
    """
    expect_int8(recipe)
    folder, sha256 = output / MODEL, folder_sha256(model)
    expect_apart(model, output, MODEL, RUNS)
    check_model(recipe, sha256)
    source_folder = fetch_twemoji() if stickers is None else stickers
    list_stickers(source_folder, "train")  # says what is wrong with it
    asked = {"model_sha256": sha256, "stickers_sha256": folder_sha256(source_folder), "recipe": recipe.name}
    record = output / RECORD
    known = json.loads(record.read_text(encoding="utf-8")) if record.is_file() else None
    if known is not None:
        expect_same(asked, known, where=output)
    teacher = load_pipeline(model)
    check_layers(recipe, layers_of(component_modules(teacher)))
    if recipe.wants_ranges:
        recipe = calibrate(teacher, recipe, stickers=calibration_stickers, on_clip=on_clip)
    rounds_as = hashlib.sha256(recipe.model_dump_json(include={"rules", "otherwise", "ranges"}).encode()).hexdigest()
    if known is not None:
        expect_same({"rounds_as": rounds_as}, known, where=output)
    output.mkdir(parents=True, exist_ok=True)
    write_atomically(record, (json.dumps({**asked, "rounds_as": rounds_as}, indent=2) + "\n").encode())
    student = copy.deepcopy(teacher)
    size = teacher.unet.config.sample_size * COMPRESSION
    with fake_quantized(component_modules(student), recipe):
        recover(
            student,
            teacher,
            output / RUNS,
            parts=("unet", "vae"),
            source=ClipSource(source_folder, split="train", size=size, cache=cache),
            held_out=ClipSource(source_folder, split="validation", size=size, seed=1, cache=cache),
            plan=plan,
            latents=latents,
            stop_after=stop_after,
        )
    save_pipeline(student, folder)
    return recipe.model_copy(update={"model_sha256": folder_sha256(folder)})


def expect_int8(recipe: Recipe) -> None:
    """Whether there is something to recover from.

    Raises:
        InputError: no layer of the recipe is in int8.
    """
    if not set(recipe.precisions) & set(INT8):
        raise InputError(f"recipe {recipe.name} has no layer in int8, so there is nothing to recover; name another")
