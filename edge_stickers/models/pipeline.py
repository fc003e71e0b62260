"""The student as a diffusers pipeline folder: `unet/`, `vae/`, `text_encoder/`, `tokenizer/`, `scheduler/`."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

from diffusers import DiffusionPipeline, FlowMatchEulerDiscreteScheduler
from torch import nn
from transformers import AutoModel, PreTrainedModel, PreTrainedTokenizerFast

from edge_stickers.config import Preset
from edge_stickers.errors import BundleError
from edge_stickers.models.autoencoder import StickerAutoencoder
from edge_stickers.models.text import cut_text_encoder
from edge_stickers.models.unet import StickerUNet

SHARD_SIZE = "15MB"
"""No file of weights grows over this."""


class StickerPipeline(DiffusionPipeline):
    """Holds the parts of a student; `edge_stickers.animate` runs them.

    Args:
        unet: the denoiser.
        vae: the RGBA autoencoder.
        text_encoder: any Hugging Face encoder with `last_hidden_state`.
        tokenizer: its fast tokenizer.
        scheduler: the flow; its `shift` spaces the steps.
    """

    unet: StickerUNet
    vae: StickerAutoencoder
    text_encoder: PreTrainedModel
    tokenizer: PreTrainedTokenizerFast
    scheduler: FlowMatchEulerDiscreteScheduler

    def __init__(
        self,
        unet: StickerUNet,
        vae: StickerAutoencoder,
        text_encoder: PreTrainedModel,
        tokenizer: PreTrainedTokenizerFast,
        scheduler: FlowMatchEulerDiscreteScheduler,
    ) -> None:
        super().__init__()
        self.register_modules(unet=unet, vae=vae, text_encoder=text_encoder, tokenizer=tokenizer, scheduler=scheduler)


def new_pipeline(preset: Preset, *, text_folder: Path, keep_words: list[str]) -> StickerPipeline:
    """An untrained student of that size; its text encoder is cut from the one in `text_folder`."""
    text_encoder, tokenizer = cut_text_encoder(text_folder, preset.text, keep_words=keep_words)
    return StickerPipeline(
        unet=StickerUNet(**asdict(preset.unet)),
        vae=StickerAutoencoder(**asdict(preset.autoencoder)),
        text_encoder=text_encoder,
        tokenizer=tokenizer,
        scheduler=FlowMatchEulerDiscreteScheduler(shift=1.0),
    )


def save_pipeline(pipeline: StickerPipeline, folder: Path, *, half: bool = True) -> None:
    """Writes the folder, weights as safetensors of at most `SHARD_SIZE` each, in fp16 unless told otherwise."""
    parts = [part for part in pipeline.components.values() if isinstance(part, nn.Module)]
    dtypes = [next(part.parameters()).dtype for part in parts]
    for part in parts if half else ():
        nn.Module.half(part)  # in place; the methods of the classes themselves warn of what does not matter here
    for stale in folder.glob("*/*.safetensors*"):  # a model with fewer shards, or more, leaves others behind
        stale.unlink()
    pipeline.save_pretrained(folder, safe_serialization=True, max_shard_size=SHARD_SIZE)
    for name in ("unet", "vae"):  # diffusers notes where on this machine they were read from
        config = folder / name / "config.json"
        values = json.loads(config.read_text(encoding="utf-8"))
        values.pop("_name_or_path", None)
        config.write_text(json.dumps(values, indent=2) + "\n", encoding="utf-8")
    for part, dtype in zip(parts, dtypes, strict=True):
        nn.Module.to(part, dtype)


def load_pipeline(folder: Path) -> StickerPipeline:
    """Reads a folder in fp32, from disk alone, safetensors alone.

    Raises:
        BundleError: a part is missing or damaged.
    """
    if not (folder / "model_index.json").is_file():
        raise BundleError(f"{folder} is no model folder (no model_index.json); expected one that save_pretrained wrote")
    parts: dict[str, Any] = {}
    for name, loader in (
        ("unet", StickerUNet),
        ("vae", StickerAutoencoder),
        ("text_encoder", AutoModel),
        ("tokenizer", PreTrainedTokenizerFast),
        ("scheduler", FlowMatchEulerDiscreteScheduler),
    ):
        extra = {"use_safetensors": True} if name in ("unet", "vae", "text_encoder") else {}
        try:
            parts[name] = loader.from_pretrained(folder / name, local_files_only=True, **extra)
        except Exception as error:
            reason = str(error).strip().splitlines()[0][:200]
            raise BundleError(f"{folder / name} cannot be loaded: {reason}; expected an intact model folder") from error
    for name in ("unet", "vae", "text_encoder"):
        parts[name] = parts[name].float().eval()
    return StickerPipeline(**parts)
