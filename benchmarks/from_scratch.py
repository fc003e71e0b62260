"""A pruned student's contender: the same shape with fresh weights, trained as long as the pruned one's recovery took.

    python -m benchmarks.from_scratch RUN -o OUT
    edge-stickers evaluate --model RUN/model
    edge-stickers evaluate --model OUT/model

RUN is a folder of `edge-stickers prune`. A step of recovery runs the teacher forwards and the student both ways; here
nobody teaches, so that the same operations buy more steps. What recovery leaves alone, this leaves alone too: the
encoder, the text encoder and the motion field are the teacher's.
"""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path

from edge_stickers.data.dataset import ClipSource
from edge_stickers.data.stickers import fetch_twemoji
from edge_stickers.errors import InputError
from edge_stickers.models.autoencoder import COMPRESSION, StickerAutoencoder
from edge_stickers.models.pipeline import load_pipeline, save_pipeline
from edge_stickers.models.unet import StickerUNet
from edge_stickers.quantize.pruning.prune import PRUNED, RUNS, PruneRecord, read_record
from edge_stickers.training.autoencoder import AutoencoderStage, TrainableAutoencoder
from edge_stickers.training.denoiser import DenoiserStage
from edge_stickers.training.latents import LatentCache
from edge_stickers.training.loop import train
from edge_stickers.training.plan import AUTOENCODER_PLAN, DENOISER_PLAN, StagePlan
from edge_stickers.training.student import assign_average, training_device


def equal_steps(steps: int, *, student: float, teacher: float) -> int:
    """Steps without a teacher that cost as many operations as `steps` with one: backwards costs twice forwards."""
    return round(steps * (3 * student + teacher) / (3 * student))


def from_scratch(run: Path, output: Path) -> None:
    """Trains the contender of a run into `output/model`; goes on where it was cut off."""
    record = read_record(run)
    if record is None or record.recovery is None or record.asked.parts != ("unet", "vae"):
        raise InputError(
            f"{run} holds no student whose denoiser and decoder were pruned and recovered; make one: edge-stickers "
            f"prune --parts unet,vae -o {run}"
        )
    pipeline = load_pipeline(run / PRUNED)
    size = pipeline.unet.config.sample_size * COMPRESSION
    source = ClipSource(fetch_twemoji(), split="train", size=size)
    held_out = ClipSource(fetch_twemoji(), split="validation", size=size, seed=1)

    fresh = StickerAutoencoder.from_config(pipeline.vae.config)
    pipeline.vae.decoder.load_state_dict(fresh.decoder.state_dict())
    pipeline.vae.encoder.requires_grad_(False)
    decoder = AutoencoderStage(TrainableAutoencoder(pipeline.vae), source, held_out)
    plan = _plan(record, "decoder", AUTOENCODER_PLAN, "vae")
    assign_average(decoder.model, train(decoder, plan, output / "runs/autoencoder"))

    unet = StickerUNet.from_config(pipeline.unet.config)
    kept = ("field.", "field_projection.", "null_token")
    taught = {name: value for name, value in pipeline.unet.state_dict().items() if name.startswith(kept)}
    unet.load_state_dict({**unet.state_dict(), **taught})
    pipeline.unet.load_state_dict(unet.state_dict())
    device = training_device()
    vae, text_encoder = pipeline.vae.to(device).eval(), pipeline.text_encoder.to(device)
    cache = LatentCache(run / RUNS / "latents", vae, source, count=int(record.recovery["clips"]))
    cache.fill()
    tokenizer = pipeline.tokenizer.backend_tokenizer
    denoiser = DenoiserStage(pipeline.unet, text_encoder, tokenizer, cache, held_out)
    plan = _plan(record, "denoiser", DENOISER_PLAN, "unet")
    assign_average(pipeline.unet, train(denoiser, plan, output / "runs/denoiser"))
    save_pipeline(pipeline, output / "model")


def _plan(record: PruneRecord, stage: str, usual: StagePlan, part: str) -> StagePlan:
    """The stage's usual plan, as many steps long as the recovery's operations pay for."""
    assert record.recovery is not None
    spent = StagePlan(**record.recovery[stage])
    steps = equal_steps(spent.steps, student=record.after.gflop[part], teacher=record.before.gflop[part])
    return replace(usual, steps=steps, batch_size=spent.batch_size)


def main() -> None:
    """Reads the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("run", type=Path)
    parser.add_argument("-o", "--output", type=Path, required=True)
    options = parser.parse_args()
    from_scratch(options.run, options.output)


if __name__ == "__main__":
    main()
