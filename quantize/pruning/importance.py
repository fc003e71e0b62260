"""How much each channel and head matters: the gradient of the training loss by a gate of one on it, on real clips."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from edge_stickers.data.dataset import ClipSource
from edge_stickers.models.pipeline import StickerPipeline
from edge_stickers.models.tokens import tokenize
from edge_stickers.quantize.pruning.structures import Structure
from edge_stickers.sampling.schedule import TRAIN_TIMESTEPS, add_noise
from edge_stickers.training.denoiser import blank_latent, cell_weight
from edge_stickers.training.latents import holds_still
from edge_stickers.training.objectives import flow_loss, reconstruction_loss

CLIPS = 64
"""Clips that importance is measured on, each at another time of the diffusion."""


def measure_importance(
    pipeline: StickerPipeline,
    structures: Sequence[Structure],
    *,
    source: ClipSource,
    clips: int = CLIPS,
    seed: int = 0,
    on_clip: Callable[[int, int], None] = lambda _done, _all: None,
) -> dict[str, Tensor]:
    """Scores what may be taken out: the mean over clips of the squared gradient of the loss by a gate on it.

    A gate of 1 multiplies each channel (or head, or layer) where it is read. The gradient by it is the sum of
    activation times gradient over all places, and the mean square of that, for a trained model, is how much the loss
    would curve if the gate closed.

    Args:
        pipeline: the student, fp32; its weights are not changed.
        structures: of it.
        source: of clips that the student was trained on.
        clips: how many.
        seed: of the noise.
        on_clip: (clips done, clips in all).

    Returns:
        By `part/name`, the scores: (channels,), or (units,) where a unit is a head or a whole layer.

    Source: "Importance Estimation for Neural Network Pruning" (arXiv 1906.10771), equation 8, on gates.
    """
    for part in (pipeline.unet, pipeline.vae, pipeline.text_encoder):
        part.requires_grad_(False).eval()
    blank = blank_latent(pipeline.vae, source.size)
    scores: dict[str, Tensor] = {}
    with _gates(structures) as gates:
        for index in range(clips):
            generator = torch.Generator().manual_seed(seed + index)
            loss = _clip_loss(pipeline, source, index, blank, generator)
            names = list(gates)
            gradients = torch.autograd.grad(loss, [gates[name] for name in names], allow_unused=True)
            for name, gradient in zip(names, gradients, strict=True):
                square = torch.zeros_like(gates[name]) if gradient is None else gradient.detach().square()
                scores[name] = scores.get(name, torch.zeros_like(square)) + square / clips
            on_clip(index + 1, clips)
    return scores


def _clip_loss(
    pipeline: StickerPipeline, source: ClipSource, index: int, blank: Tensor, generator: torch.Generator
) -> Tensor:
    """The denoiser's loss on one clip, text encoder included, plus the autoencoder's on its last frame."""
    batch = source.batch(range(index, index + 1))
    frames = batch.frames[0]  # (F, 4, S, S)
    with torch.no_grad():
        clean = pipeline.vae.encode(frames)[None]  # (1, F, C, h, w)
    ids, mask = (torch.tensor([values]) for values in tokenize(pipeline.tokenizer.backend_tokenizer, batch.captions[0]))
    hidden = pipeline.text_encoder(input_ids=ids, attention_mask=mask).last_hidden_state
    context = pipeline.unet.project_context(hidden, mask)
    time = torch.tensor([(index % 8 + 1) / 8])  # every eighth of the way, the pure noise included
    noise = torch.randn(clean.shape, generator=generator)
    noisy = add_noise(clean, noise, time).flatten(0, 1)
    strength = torch.tensor([batch.motions[0].amplitude], dtype=torch.float32)
    predicted = pipeline.unet(noisy, time * TRAIN_TIMESTEPS, context, clean[:, 0], strength)
    holds = torch.tensor([float(holds_still(batch.motions[0]))])
    denoising = flow_loss(predicted[None], clean, time, weight=cell_weight(clean, holds, blank))
    drawn = pipeline.vae.decode_unclamped(pipeline.vae.encode(frames[-1:]))
    return denoising + reconstruction_loss(drawn, frames[-1:])


@contextmanager
def _gates(structures: Sequence[Structure]) -> Iterator[Mapping[str, Tensor]]:
    """A gate of one on what each structure's consumer reads."""
    gates: dict[str, Tensor] = {}
    hooks = []
    for each in structures:
        count = each.units if each.kind in ("heads", "whole") else each.width
        gate = torch.ones(count, requires_grad=True)
        gates[f"{each.part}/{each.name}"] = gate
        hooks.append(each.consumer.register_forward_pre_hook(_multiply(gate, each.width // count)))
    try:
        yield gates
    finally:
        for hook in hooks:
            hook.remove()


def _multiply(gate: Tensor, channels: int) -> Callable[[nn.Module, tuple[Any, ...]], tuple[Any, ...]]:
    def hook(layer: nn.Module, inputs: tuple[Any, ...]) -> tuple[Any, ...]:
        wide = gate.repeat_interleave(channels)
        return (inputs[0] * (wide if isinstance(layer, nn.Linear) else wide[:, None, None]), *inputs[1:])

    return hook
