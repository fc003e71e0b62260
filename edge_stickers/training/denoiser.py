"""The stage that trains the denoiser, on cached latents."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from tokenizers import Tokenizer
from torch import Tensor, nn
from transformers import PreTrainedModel

from edge_stickers.config import FRAMES
from edge_stickers.data.dataset import ClipSource
from edge_stickers.data.pictures import save_rows
from edge_stickers.models.autoencoder import StickerAutoencoder
from edge_stickers.models.text import tokenize
from edge_stickers.models.unet import StickerUNet
from edge_stickers.sampling.sampler import DEFAULT_STEPS, sample
from edge_stickers.sampling.schedule import TRAIN_TIMESTEPS, add_noise, rows
from edge_stickers.training.latents import LatentBatch, LatentCache
from edge_stickers.training.motion import encode_text, freeze_field
from edge_stickers.training.objectives import flow_loss

NEAR_NOISE = 0.5
"""Share of clips trained within 0.15 of the pure noise, where the motion is decided; the rest is spread evenly."""
FLAT_WEIGHT = 0.25
"""Weight of latent cells where neither the still nor the frame has anything; cells with something weigh 1."""
REPEATS = {"talk": 7, "blink": 4, "tears": 4, "sparkles": 3, "hearts": 3, "still": 2}
"""How often a pass shows a clip of these families: the motion field tells the others' motion, which come once."""
CHANGE_WEIGHT = 16.0
"""Weight of cells that change on or around a sticker that holds still: eyes, a mouth, hearts.

They are few, and clips that move as a whole have ten times the error, most of it in texture that nothing can tell.
"""


class DenoiserStage:
    """Draws clips from a cache; the motion field stays as its own stage left it.

    Args:
        unet: what is trained.
        text_encoder: frozen.
        tokenizer: its tokenizer.
        cache: encoded clips.
        held_out: for pictures.
        seed: of the order of the clips.
    """

    name = "denoiser"

    def __init__(
        self,
        unet: StickerUNet,
        text_encoder: PreTrainedModel,
        tokenizer: Tokenizer,
        cache: LatentCache,
        held_out: ClipSource,
        *,
        seed: int = 0,
    ) -> None:
        self.model: nn.Module = unet
        self.text_encoder, self.tokenizer = text_encoder.requires_grad_(False), tokenizer
        self.cache, self.vae, self.held_out, self.seed = cache, cache.vae, held_out, seed
        self.blank = blank_latent(self.vae, cache.source.size)
        families = [cache.source.plan(index).motion.family for index in range(cache.done)]
        self.order = np.repeat(np.arange(cache.done), [REPEATS.get(family, 1) for family in families])
        freeze_field(unet)

    def batch(self, indices: range, device: torch.device) -> LatentBatch:
        """B clips; each pass over the cache is a fresh permutation, told in fresh sentences."""
        count = len(self.order)
        tellings = [i // count for i in indices]
        orders = {n: np.random.default_rng([self.seed, n]).permutation(self.order) for n in set(tellings)}
        picks = [int(orders[telling][i % count]) for telling, i in zip(tellings, indices, strict=True)]
        return self.cache.read(picks, self.tokenizer, device, tellings=tellings)

    def loss(
        self, model: nn.Module, batch: LatentBatch, generator: torch.Generator
    ) -> tuple[Tensor, Mapping[str, Tensor]]:
        """Flow loss at random times, half of them near the pure noise where sampling starts."""
        inputs, time = self.noisy(model, batch, generator)
        prediction = model(*inputs).float().unflatten(0, batch.latents.shape[:2])
        loss = self.weighted(prediction, batch.latents, time, batch)
        return loss, self.errors(prediction, batch)

    def noisy(
        self, model: nn.Module, batch: LatentBatch, generator: torch.Generator
    ) -> tuple[tuple[Tensor, ...], Tensor]:
        """What the denoiser is given of a batch, in the order of `StickerUNet.forward`, and the times, (B,) in 0..1."""
        clean, device = batch.latents, batch.latents.device
        clips = len(clean)
        uniform, near = torch.rand((2, clips), generator=generator, device=device)
        time = torch.where(near < NEAR_NOISE, 1.0 - 0.15 * uniform * uniform, uniform.clamp_min(0.02))
        noise = torch.randn(clean.shape, generator=generator, device=device)
        unet: Any = getattr(model, "module", model)
        context = unet.project_context(encode_text(self.text_encoder, batch.tokens), batch.mask)
        noisy = add_noise(clean, noise, time).flatten(0, 1)
        return (noisy, time * TRAIN_TIMESTEPS, context, clean[:, 0], batch.strength), time

    def weighted(self, prediction: Tensor, target: Tensor, time: Tensor, batch: LatentBatch) -> Tensor:
        """`flow_loss` with each cell counted as it counts in this batch."""
        return flow_loss(prediction, target, time, weight=cell_weight(batch.latents, batch.holds, self.blank))

    @staticmethod
    def errors(prediction: Tensor, batch: LatentBatch) -> dict[str, Tensor]:
        """Squared errors to log: the prediction's, and that of frames that all are the still."""
        clean = batch.latents
        return {
            "x0_mse": (prediction.detach() - clean).square().mean(),
            "still_mse": (clean[:, :1] - clean).square().mean(),
        }

    def sample(self, model: Any, path: Path) -> None:
        """Held-out clips: the real frames above the generated ones."""
        clips = self.held_out.batch(range(6), device=next(model.parameters()).device)
        pictures: list[Tensor] = []
        for still, frames, text, motion in zip(clips.stills, clips.frames, clips.captions, clips.motions, strict=True):
            pictures += [frames, self._animate(model, still, text, motion.amplitude)]
        save_rows([torch.nn.functional.avg_pool2d(row, 2) for row in pictures], path)

    def _animate(self, model: Any, still: Tensor, text: str, amplitude: float) -> Tensor:
        """(4, H, W) and a sentence to (F, 4, H, W), always from the same noise."""
        device = still.device
        ids, mask = (torch.tensor([values], device=device) for values in tokenize(self.tokenizer, text))
        context = model.project_context(encode_text(self.text_encoder, ids), mask)
        latent, strength = self.vae.encode(still[None]), torch.tensor([amplitude], device=device)

        def predict(_: int, x: Tensor, timestep: float) -> Tensor:
            out: Tensor = model(x, torch.tensor([timestep], device=device), context, latent, strength)
            return out

        noise = torch.randn((FRAMES, *latent.shape[1:]), generator=torch.Generator().manual_seed(0)).to(device)
        return self.vae.decode(sample(predict, noise, rows(DEFAULT_STEPS)))


def cell_weight(clean: Tensor, holds: Tensor, blank: Tensor) -> Tensor:
    """What a cell counts, see `FLAT_WEIGHT` and `CHANGE_WEIGHT`.

    Args:
        clean: (B, F, C, h, w) latents; frame 0 is the still's.
        holds: (B,) 1 where the sticker holds still, else 0.
        blank: (C,) of `blank_latent`.

    Returns:
        (B, F, 1, h, w).
    """
    filled = (clean - blank.to(clean)[:, None, None]).abs().amax(dim=2, keepdim=True) > 0.1
    changed = (clean - clean[:, :1]).abs().amax(dim=2, keepdim=True) > 0.2
    weight = FLAT_WEIGHT + (1.0 - FLAT_WEIGHT) * (filled | filled[:, :1]).float()
    return torch.where(changed & (holds[:, None, None, None, None] > 0), CHANGE_WEIGHT, weight)


@torch.no_grad()
def blank_latent(vae: StickerAutoencoder, size: int) -> Tensor:
    """(C,) what a cell with nothing in or around it has: the median over an empty picture of that size."""
    latent = vae.encode(torch.zeros(1, 4, size, size, device=next(vae.parameters()).device))
    return latent[0].flatten(1).median(dim=1).values
