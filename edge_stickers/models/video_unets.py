"""The video UNets of diffusers, from a local folder, as components with the signature that targets convert.

AnimateDiff's UNetMotionModel, ModelScope's UNet3DConditionModel, I2VGen-XL's I2VGenXLUNet and Stable Video Diffusion's
UNetSpatioTemporalConditionModel each take their clip in another way; here all take frames in the batch, one clip.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from edge_stickers.errors import BundleError, InputError
from edge_stickers.spec import ComponentSpec, TensorSpec

VIDEO_UNETS = ("UNetMotionModel", "UNet3DConditionModel", "I2VGenXLUNet", "UNetSpatioTemporalConditionModel")
"""Classes of diffusers that are converted."""
DEFAULT_LATENT = 64
"""Height and width of the latent where neither the caller nor the configuration says one."""
TIME_IDS = 3
"""Stable Video Diffusion's micro-conditions: frames a second, motion bucket, noise on the still."""


@dataclass(frozen=True, slots=True)
class ClipShape:
    """What a UNet is converted for; converted programs have fixed shapes."""

    frames: int = 8
    """F."""
    height: int | None = None
    """Of the latent; None for the configuration's own."""
    width: int | None = None
    """Of the latent; None for the configuration's own."""
    tokens: int = 77
    """Of the prompt; 1 for Stable Video Diffusion, which reads one image embedding."""


class VideoUNet(nn.Module):
    """A video UNet of diffusers that takes one clip with its frames in the batch.

    Args:
        unet: an instance of one of `VIDEO_UNETS`.
    """

    def __init__(self, unet: nn.Module) -> None:
        super().__init__()
        self.unet = unet
        self.kind = type(unet).__name__

    def forward(self, sample: Tensor, timestep: Tensor, encoder_hidden_states: Tensor, *more: Tensor) -> Tensor:
        """One denoising step of one clip.

        Args:
            sample: (F, C, h, w), noisy latents, joined with the still's on the channels where the model wants that.
            timestep: (1,) float.
            encoder_hidden_states: (1, T, D).
            more: of I2VGenXLUNet `fps` (1,), `image_latents` (F, C, h, w) and `image_embeddings` (1, D); of
                UNetSpatioTemporalConditionModel `added_time_ids` (1, 3).

        Returns:
            (F, C', h, w), what the model predicts.
        """
        if self.kind == "UNetSpatioTemporalConditionModel":
            out: Tensor = self.unet(sample[None], timestep, encoder_hidden_states, *more, return_dict=False)[0]
            return out[0]
        volume = sample[None].transpose(1, 2)  # (1, C, F, h, w)
        if self.kind == "I2VGenXLUNet":
            fps, image_latents, image_embeddings = more
            still = image_latents[None].transpose(1, 2)
            out = self.unet(volume, timestep, fps, still, image_embeddings, encoder_hidden_states, return_dict=False)[0]
        else:
            if self.kind == "UNetMotionModel":  # its pipeline repeats the prompt for the frames
                encoder_hidden_states = encoder_hidden_states.repeat_interleave(sample.shape[0], dim=0)
            out = self.unet(volume, timestep, encoder_hidden_states, return_dict=False)[0]
        return out.transpose(1, 2)[0]


def find_video_unet(folder: Path) -> Path | None:
    """The folder of a video UNet: this one, or `unet/` inside a pipeline's; None where there is none.

    Raises:
        BundleError: there is a config.json that cannot be read.
    """
    for place in (folder, folder / "unet"):
        config = place / "config.json"
        if config.is_file():
            try:
                found = json.loads(config.read_text(encoding="utf-8"))
            except ValueError as error:
                raise BundleError(
                    f"{config} is no JSON ({error}); expected the one that save_pretrained wrote"
                ) from None
            if isinstance(found, dict) and found.get("_class_name") in VIDEO_UNETS:
                return place
    return None


def load_video_unet(folder: Path) -> VideoUNet:
    """Reads a video UNet in fp32, from disk alone, safetensors alone.

    Args:
        folder: what `find_video_unet` returned.

    Raises:
        BundleError: weights are missing, damaged, or not those that the configuration asks for.
        InputError: the model needs conditions that no converted program takes here.
    """
    import diffusers

    name = json.loads((folder / "config.json").read_text(encoding="utf-8"))["_class_name"]
    try:
        unet, info = getattr(diffusers, name).from_pretrained(
            folder, local_files_only=True, use_safetensors=True, low_cpu_mem_usage=False, output_loading_info=True
        )
    except Exception as error:
        reason = " ".join(str(error).split())[:200] or type(error).__name__
        raise BundleError(f"{folder} cannot be loaded: {reason}; expected an intact folder of a {name}") from error
    wrong = {kind: info[f"{kind}_keys"] for kind in ("missing", "unexpected") if info[f"{kind}_keys"]}
    for kind, keys in wrong.items():
        raise BundleError(
            f"{folder} has {len(keys)} {kind} weights, {sorted(keys)[0]} first; expected those of its config.json"
        )
    for option in ("encoder_hid_dim_type", "addition_embed_type", "class_embed_type", "time_cond_proj_dim"):
        if unet.config.get(option) is not None:
            raise InputError(f"{folder} has {option} {unet.config[option]!r}; expected a UNet without that condition")
    return VideoUNet(unet.float().eval())


def video_unet_spec(model: VideoUNet, shape: ClipShape) -> ComponentSpec:
    """Names and shapes of what a UNet takes and gives for clips of that shape.

    Raises:
        InputError: the model cannot take that shape; the message says which it can.
    """
    config: Any = model.unet.config
    frames, limit = shape.frames, config.get("motion_max_seq_length")
    if frames < 1 or (limit is not None and frames > limit):
        raise InputError(f"frames is {frames}, expected {f'1 to {limit}' if limit else 'at least 1'}")
    if shape.tokens < 1:
        raise InputError(f"tokens is {shape.tokens}, expected at least 1")
    size = config.get("sample_size") or DEFAULT_LATENT
    own = (size, size) if isinstance(size, int) else tuple(size)
    height, width = (own[i] if given is None else given for i, given in enumerate((shape.height, shape.width)))
    multiple = 2 ** (len(config.block_out_channels) - 1)
    if height < multiple or width < multiple or height % multiple or width % multiple:
        raise InputError(
            f"the latent is {height}x{width}, expected multiples of {multiple}: the UNet halves it so often"
        )
    text = config.cross_attention_dim
    text = text if isinstance(text, int) else text[-1]
    clip = (frames, config.in_channels, height, width)
    tokens = 1 if model.kind == "UNetSpatioTemporalConditionModel" else shape.tokens
    inputs = [
        TensorSpec("sample", clip), TensorSpec("timestep", (1,)), TensorSpec("encoder_hidden_states", (1, tokens, text))
    ]  # fmt: skip
    if model.kind == "I2VGenXLUNet":
        inputs += [
            TensorSpec("fps", (1,)),
            TensorSpec("image_latents", clip),
            TensorSpec("image_embeddings", (1, text)),
        ]
    if model.kind == "UNetSpatioTemporalConditionModel":
        inputs.append(TensorSpec("added_time_ids", (1, TIME_IDS)))
    return ComponentSpec(
        "unet", tuple(inputs), (TensorSpec("noise_pred", (frames, config.out_channels, height, width)),)
    )


def example_inputs(spec: ComponentSpec, timestep: float, seed: int) -> tuple[Tensor, ...]:
    """Inputs as sampling has them at a timestep: noise, a prompt's features of unit variance, real micro-conditions.

    Args:
        spec: from `video_unet_spec`.
        timestep: 0 (clean) to 1000 (noise).
        seed: of all that is random.
    """
    fixed = {"timestep": torch.tensor([timestep]), "fps": torch.tensor([8.0]),
             "added_time_ids": torch.tensor([[7.0, 127.0, 0.02]])}  # fmt: skip
    return tuple(fixed.get(entry.name, value) for entry, value in zip(spec.inputs, spec.example(seed), strict=True))
