"""Training after pruning: the smaller student learns from the one it was cut from, features and outputs."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from tokenizers import Tokenizer
from torch import Tensor, nn

from edge_stickers.data.dataset import ClipSource
from edge_stickers.models.autoencoder import ConvBlock, StickerAutoencoder
from edge_stickers.models.pipeline import StickerPipeline
from edge_stickers.models.unet import Stage, StickerUNet
from edge_stickers.training.autoencoder import LATENT_NOISE, AutoencoderStage, TrainableAutoencoder
from edge_stickers.training.denoiser import DenoiserStage
from edge_stickers.training.latents import LatentBatch, LatentCache
from edge_stickers.training.loop import train
from edge_stickers.training.motion import encode_text
from edge_stickers.training.plan import StagePlan
from edge_stickers.training.student import assign_average, training_device

FEATURE_WEIGHT = 1.0
"""Weight of the features' error, which is measured in units of their own variance."""
DENOISER_RECOVERY = StagePlan(steps=6000, batch_size=4, learning_rate=8e-4, ema_decay=0.998)
"""24,000 clips."""
DECODER_RECOVERY = StagePlan(steps=3000, batch_size=16, learning_rate=1e-3, warmup_steps=100, ema_decay=0.998)
"""48,000 crops of 128 pixels."""


class Taps:
    """Keeps what some modules of a model gave out last.

    Args:
        model: to listen to.
        wanted: whether to listen to a module.
    """

    def __init__(self, model: nn.Module, wanted: Callable[[str, nn.Module], bool]) -> None:
        self.features: dict[str, Tensor] = {}
        for name, module in model.named_modules():
            if wanted(name, module):
                module.register_forward_hook(self._keep(name))

    def _keep(self, name: str) -> Callable[[nn.Module, Any, Tensor], None]:
        def hook(_module: nn.Module, _inputs: Any, output: Tensor) -> None:
            self.features[name] = output

        return hook


def feature_loss(features: Mapping[str, Tensor], teacher: Mapping[str, Tensor]) -> Tensor:
    """Mean over the layers of the squared error, in units of the teacher's variance there; layers by name."""
    losses = []
    for name, target in teacher.items():
        target = target.detach().float()
        losses.append((features[name].float() - target).square().mean() / target.var().clamp_min(1e-6))
    return torch.stack(losses).mean()


def _is_stage(_: str, module: nn.Module) -> bool:
    return isinstance(module, Stage)


class DenoiserRecovery(DenoiserStage):
    """The denoiser's stage with a teacher: half of the loss is against the clips, half against what the teacher says.

    Args:
        unet: the pruned denoiser.
        teacher: the one it was made of.
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
        teacher: StickerUNet,
        text_encoder: Any,
        tokenizer: Tokenizer,
        cache: LatentCache,
        held_out: ClipSource,
        *,
        seed: int = 0,
    ) -> None:
        super().__init__(unet, text_encoder, tokenizer, cache, held_out, seed=seed)
        self.teacher = teacher.requires_grad_(False).eval()
        self.taps, self.teacher_taps = Taps(unet, _is_stage), Taps(teacher, _is_stage)

    def loss(
        self, model: nn.Module, batch: LatentBatch, generator: torch.Generator
    ) -> tuple[Tensor, Mapping[str, Tensor]]:
        """Flow losses against the clips and the teacher, and the features' error."""
        inputs, time = self.noisy(model, batch, generator)
        prediction = model(*inputs).float().unflatten(0, batch.latents.shape[:2])
        with torch.no_grad():
            context = self.teacher.project_context(encode_text(self.text_encoder, batch.tokens), batch.mask)
            told = (
                self.teacher(inputs[0], inputs[1], context, *inputs[3:]).float().unflatten(0, batch.latents.shape[:2])
            )
        truth = self.weighted(prediction, batch.latents, time, batch)
        teaching = self.weighted(prediction, told, time, batch)
        features = feature_loss(self.taps.features, self.teacher_taps.features)
        return 0.5 * (truth + teaching) + FEATURE_WEIGHT * features, {
            "truth": truth.detach(),
            "teaching": teaching.detach(),
            "features": features.detach(),
            **self.errors(prediction, batch),
        }


class DecoderRecovery(AutoencoderStage):
    """The autoencoder's stage with its encoder frozen and a teacher's decoder beside the pictures themselves.

    Args:
        vae: whose decoder was pruned.
        teacher: the one it was made of.
        source: of moved stickers.
        held_out: of stickers for the pictures.
    """

    name = "decoder"

    def __init__(
        self, vae: StickerAutoencoder, teacher: StickerAutoencoder, source: ClipSource, held_out: ClipSource
    ) -> None:
        vae.encoder.requires_grad_(False)
        super().__init__(TrainableAutoencoder(vae), source, held_out)
        self.teacher = TrainableAutoencoder(teacher).requires_grad_(False).eval()

        def decodes(name: str, module: nn.Module) -> bool:
            return name.startswith("decoder.") and isinstance(module, ConvBlock | nn.Identity)

        self.taps, self.teacher_taps = Taps(vae, decodes), Taps(teacher, decodes)

    def loss(self, model: nn.Module, batch: Tensor, generator: torch.Generator) -> tuple[Tensor, Mapping[str, Tensor]]:
        """The stage's own loss, plus how far the teacher's picture and features of the same latents are."""
        theta, target = self.moved(batch, generator)
        state = generator.get_state()
        out, latents = model(batch, noise=LATENT_NOISE, theta=theta, generator=generator)
        with torch.no_grad():
            told, _ = self.teacher(batch, noise=LATENT_NOISE, theta=theta, generator=generator.set_state(state))
        loss, metrics = self.errors(out.float(), target, latents, warped=len(theta))
        teaching = F.l1_loss(out.float(), told.float())
        features = feature_loss(self.taps.features, self.teacher_taps.features)
        return loss + teaching + FEATURE_WEIGHT * features, {
            **metrics,
            "teaching": teaching.detach(),
            "features": features.detach(),
        }


def recover(
    pruned: StickerPipeline,
    teacher: StickerPipeline,
    output: Path,
    *,
    source: ClipSource,
    held_out: ClipSource,
    denoiser_plan: StagePlan = DENOISER_RECOVERY,
    decoder_plan: StagePlan = DECODER_RECOVERY,
    clips: int = 10_000,
    stop_after: float | None = None,
) -> None:
    """Trains what was pruned, the decoder first, in place; a run that was cut off goes on where it stopped.

    The encoder and the motion field are the teacher's, as they are: all clips are encoded once for both.

    Args:
        pruned: of `cut`.
        teacher: what it was cut from.
        output: for checkpoints, latents, logs and samples.
        source: of training clips.
        held_out: for pictures.
        denoiser_plan: of the denoiser.
        decoder_plan: of the decoder.
        clips: how many are encoded for the denoiser, which sees each several times.
        stop_after: seconds after which a stage saves and ends early.
    """
    device = training_device()
    for part in (pruned.text_encoder, teacher.unet, teacher.vae):
        part.to(device)
    if pruned.vae.config.narrowed != teacher.vae.config.narrowed:
        stage = DecoderRecovery(pruned.vae, teacher.vae, source, held_out)
        assign_average(stage.model, train(stage, decoder_plan, output / "decoder", stop_after=stop_after))
    if pruned.unet.config.narrowed != teacher.unet.config.narrowed:
        vae = teacher.vae.to(device=device, memory_format=torch.channels_last).eval()
        cache = LatentCache(output / "latents", vae, source, count=clips)
        cache.fill()
        tokenizer = pruned.tokenizer.backend_tokenizer
        unets = pruned.unet, teacher.unet
        denoiser = DenoiserRecovery(*unets, pruned.text_encoder, tokenizer, cache, held_out, seed=denoiser_plan.seed)
        assign_average(pruned.unet, train(denoiser, denoiser_plan, output / "denoiser", stop_after=stop_after))
