"""From nothing to a student folder: text encoder, autoencoder, motion field, latents, denoiser."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

import torch
from torch import Tensor, nn

from edge_stickers.config import preset
from edge_stickers.data.captions import caption
from edge_stickers.data.dataset import ClipSource
from edge_stickers.data.stickers import fetch_twemoji
from edge_stickers.errors import InputError
from edge_stickers.models.pipeline import StickerPipeline, load_pipeline, new_pipeline, save_pipeline
from edge_stickers.models.text import find_minilm
from edge_stickers.training.autoencoder import AutoencoderStage, TrainableAutoencoder, set_statistics
from edge_stickers.training.denoiser import DenoiserStage
from edge_stickers.training.latents import LatentCache
from edge_stickers.training.loop import train
from edge_stickers.training.motion import MotionStage
from edge_stickers.training.plan import AUTOENCODER_PLAN, DENOISER_PLAN, MOTION_PLAN, STAGES, StageName, StagePlan


def train_student(
    output: Path,
    *,
    stickers: Path | None = None,
    preset_name: str = "student",
    autoencoder_plan: StagePlan = AUTOENCODER_PLAN,
    motion_plan: StagePlan = MOTION_PLAN,
    denoiser_plan: StagePlan = DENOISER_PLAN,
    clips: int = 12_500,
    init: Path | None = None,
    stages: Sequence[StageName] = STAGES,
    stop_after: float | None = None,
    cache: Path | None = None,
) -> Path:
    """Trains a student, or goes on with one that was cut off.

    Args:
        output: holds `runs/` (checkpoints, latents, logs, samples) and, at the end, the model folder `model/`.
        stickers: folder of SVG, PNG or WebP; Twemoji, fetched once, where None.
        preset_name: size of the model, see `edge_stickers.config.PRESETS`.
        autoencoder_plan: of the first stage.
        motion_plan: of the second, which teaches the denoiser's motion field from sentences.
        denoiser_plan: of the third.
        clips: how many are encoded for the denoiser, which sees each several times.
        init: model folder to start from instead of fresh weights.
        stages: which to run; a denoiser alone needs `init` or an earlier autoencoder run in `output`.
        stop_after: seconds after which a stage saves and ends early.
        cache: where drawn stickers are kept; the user's cache folder where None.

    Returns:
        The model folder, in fp16.

    Raises:
        InputError: no such preset, or `clips` is not positive.
        MissingDependencyError: npm, Accelerate or the text encoder's weights are not installed.
    """
    if clips < 1:
        raise InputError(f"clips must be at least 1, got {clips}")
    size = preset(preset_name).image_size
    folder = fetch_twemoji() if stickers is None else stickers
    source = ClipSource(folder, split="train", size=size, cache=cache)
    held_out = ClipSource(folder, split="validation", size=size, seed=1, cache=cache)
    model = output / "model"
    pipeline = _start(model if (model / "model_index.json").is_file() else init, preset_name, source)

    if "autoencoder" in stages:
        torch.manual_seed(autoencoder_plan.seed)
        trainable = TrainableAutoencoder(pipeline.vae.float())
        average = train(
            AutoencoderStage(trainable, source, held_out),
            autoencoder_plan,
            output / "runs/autoencoder",
            stop_after=stop_after,
        )
        assign_average(trainable, average)
        set_statistics(pipeline.vae, source)
        save_pipeline(pipeline, model)
    if "motion" in stages:
        stage = MotionStage(
            pipeline.unet.float(),
            pipeline.text_encoder.float().to(training_device()),
            pipeline.tokenizer.backend_tokenizer,
            source,
            held_out,
        )
        average = train(stage, motion_plan, output / "runs/motion", stop_after=stop_after)
        assign_average(stage.model, average)
        save_pipeline(pipeline, model)
    if "denoiser" in stages:
        average = _train_denoiser(pipeline, source, held_out, denoiser_plan, clips, output / "runs", stop_after)
        assign_average(pipeline.unet, average)
        save_pipeline(pipeline, model)
    (output / "record.json").write_text(
        json.dumps(
            {
                "preset": preset(preset_name).to_json(),
                "stages": list(stages),
                "autoencoder": autoencoder_plan.to_json(),
                "motion": motion_plan.to_json(),
                "denoiser": denoiser_plan.to_json(),
                "clips": clips,
                "stickers": len(source.stickers),
                "torch": torch.__version__,
                "device": torch.cuda.get_device_name() if torch.cuda.is_available() else "cpu",
            },
            indent=2,
        )
    )
    return model


def _train_denoiser(
    pipeline: StickerPipeline,
    source: ClipSource,
    held_out: ClipSource,
    plan: StagePlan,
    clips: int,
    runs: Path,
    stop_after: float | None,
) -> dict[str, Tensor]:
    device = training_device()
    vae = pipeline.vae.float().to(device=device, memory_format=torch.channels_last).eval()
    tokenizer = pipeline.tokenizer.backend_tokenizer
    cache = LatentCache(runs / "latents", vae, source, count=clips)
    cache.fill()
    stage = DenoiserStage(
        pipeline.unet.float(), pipeline.text_encoder.float().to(device), tokenizer, cache, held_out, seed=plan.seed
    )
    return train(stage, plan, runs / "denoiser", stop_after=stop_after)


def training_device() -> torch.device:
    """The GPU where there is one."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def _start(folder: Path | None, preset_name: str, source: ClipSource) -> StickerPipeline:
    if folder is not None:
        return load_pipeline(folder)
    import numpy as np

    torch.manual_seed(0)
    rng = np.random.default_rng(0)
    sentences = [caption(plan.motion, plan.sticker.name, rng) for plan in map(source.plan, range(20_000))]
    return new_pipeline(preset(preset_name), text_folder=find_minilm(), keep_words=sentences)


@torch.no_grad()
def assign_average(module: nn.Module, average: Mapping[str, Tensor]) -> None:
    """Gives a model the averaged parameters that `train` returned."""
    for name, parameter in module.named_parameters():
        if name in average:
            parameter.copy_(average[name])
