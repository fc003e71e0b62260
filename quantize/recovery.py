"""Training after something was taken from a student: it learns from what it was, features and outputs."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from edge_stickers.data.dataset import ClipSource
from edge_stickers.errors import InputError
from edge_stickers.models.autoencoder import ConvBlock, StickerAutoencoder
from edge_stickers.models.pipeline import StickerPipeline
from edge_stickers.models.text import tokenize
from edge_stickers.models.unet import Stage, StickerUNet
from edge_stickers.quantize.pruning.structures import Part
from edge_stickers.training.autoencoder import LATENT_NOISE, AutoencoderStage, TrainableAutoencoder
from edge_stickers.training.checkpoints import steps_done
from edge_stickers.training.denoiser import DenoiserStage
from edge_stickers.training.latents import LatentBatch, LatentCache
from edge_stickers.training.loop import train
from edge_stickers.training.motion import encode_text
from edge_stickers.training.plan import StagePlan
from edge_stickers.training.student import assign_average, training_device

DENOISER_FEATURES, DECODER_FEATURES = 0.2, 0.1
"""Weights of the features' error, in units of their own variance, beside losses of the output of about 0.1."""
DECODER_TEACHING = 0.1
"""Weight of the error against the teacher's picture: the pictures themselves are there to learn from. With 1 for this
and the features a decoder stayed at 31.4 dB that reached 32.6 dB when it was trained from scratch."""
TEXT_RECOVERY = StagePlan(steps=600, batch_size=64, learning_rate=5e-4, warmup_steps=50, ema_decay=0.99, precision="no")
"""38,400 sentences."""
DECODER_RECOVERY = StagePlan(steps=3000, batch_size=16, learning_rate=2e-3, warmup_steps=100, ema_decay=0.998)
"""48,000 crops of 128 pixels."""
DENOISER_RECOVERY = StagePlan(steps=3500, batch_size=4, learning_rate=8e-4, ema_decay=0.998)
"""14,000 clips."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RecoveryPlan:
    """How long each part learns from what it was."""

    text_encoder: StagePlan = TEXT_RECOVERY
    decoder: StagePlan = DECODER_RECOVERY
    denoiser: StagePlan = DENOISER_RECOVERY
    clips: int = 10_000
    """How many are encoded for the denoiser, which sees some of them several times."""

    def __post_init__(self) -> None:
        if self.clips < 1:
            raise InputError(f"clips must be at least 1, got {self.clips}")


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


class TextRecovery:
    """The text encoder alone: what it says of each token, against what the unpruned one says.

    Args:
        student: what is trained.
        teacher: what it was made of.
        source: of sentences.
    """

    name = "text_encoder"

    def __init__(self, student: StickerPipeline, teacher: StickerPipeline, source: ClipSource) -> None:
        self.model: nn.Module = student.text_encoder.requires_grad_(True)
        self.teacher = teacher.text_encoder.requires_grad_(False).eval()
        self.tokenizer, self.source = student.tokenizer.backend_tokenizer, source

    def batch(self, indices: range, device: torch.device) -> Tensor:
        """(B, T) int64 tokens of the sentences with these numbers."""
        sentences = [self.source.plan(index).caption for index in indices]
        return torch.tensor([tokenize(self.tokenizer, sentence)[0] for sentence in sentences], device=device)

    def loss(self, model: nn.Module, batch: Tensor, _generator: torch.Generator) -> tuple[Tensor, Mapping[str, Tensor]]:
        """Squared error of the last hidden states, in units of their variance, where there are tokens."""
        there = batch != 0
        told = encode_text(self.teacher, batch)[there]
        mask = there.long()
        said = model(input_ids=batch, attention_mask=mask).last_hidden_state[there]
        return feature_loss({"last": said}, {"last": told}), {}

    def sample(self, model: nn.Module, path: Path) -> None:
        """Sentences make no picture."""


class DenoiserRecovery(DenoiserStage):
    """The denoiser's stage with a teacher: half of the loss is against the clips, half against what the teacher says.

    Args:
        student: what is trained.
        teacher: what it was made of.
        cache: encoded clips.
        held_out: for pictures.
        seed: of the order of the clips.
    """

    def __init__(
        self,
        student: StickerPipeline,
        teacher: StickerPipeline,
        cache: LatentCache,
        held_out: ClipSource,
        *,
        seed: int = 0,
    ) -> None:
        tokenizer = student.tokenizer.backend_tokenizer
        super().__init__(student.unet, student.text_encoder, tokenizer, cache, held_out, seed=seed)
        self.teacher: StickerUNet = teacher.unet.requires_grad_(False).eval()
        self.teacher_text = teacher.text_encoder.requires_grad_(False).eval()
        self.taps, self.teacher_taps = Taps(student.unet, _is_stage), Taps(self.teacher, _is_stage)

    def loss(
        self, model: nn.Module, batch: LatentBatch, generator: torch.Generator
    ) -> tuple[Tensor, Mapping[str, Tensor]]:
        """Flow losses against the clips and the teacher, and the features' error."""
        inputs, time = self.noisy(model, batch, generator)
        shape = batch.latents.shape[:2]
        prediction = model(*inputs).float().unflatten(0, shape)
        with torch.no_grad():
            context = self.teacher.project_context(encode_text(self.teacher_text, batch.tokens), batch.mask)
            told = self.teacher(*inputs[:2], context, *inputs[3:]).float().unflatten(0, shape)
        truth = self.weighted(prediction, batch.latents, time, batch)
        teaching = self.weighted(prediction, told, time, batch)
        features = feature_loss(self.taps.features, self.teacher_taps.features)
        return 0.5 * (truth + teaching) + DENOISER_FEATURES * features, {
            "truth": truth.detach(),
            "teaching": teaching.detach(),
            "features": features.detach(),
            **self.errors(prediction, batch),
        }


class DecoderRecovery(AutoencoderStage):
    """The autoencoder's stage with its encoder frozen and a teacher's decoder beside the pictures themselves.

    Args:
        vae: whose decoder is trained.
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
        return loss + DECODER_TEACHING * teaching + DECODER_FEATURES * features, {
            **metrics,
            "teaching": teaching.detach(),
            "features": features.detach(),
        }


def recover(
    student: StickerPipeline,
    teacher: StickerPipeline,
    output: Path,
    *,
    parts: Collection[Part],
    source: ClipSource,
    held_out: ClipSource,
    plan: RecoveryPlan,
    latents: Path | None = None,
    stop_after: float | None = None,
) -> bool:
    """Trains parts of a student, the denoiser last, in place; a run that was cut off goes on where it stopped.

    The encoder and the motion field are the teacher's, as they are: all clips are encoded once for both.

    Args:
        student: pruned, or with layers that round.
        teacher: what it was made of; it is moved to the device of the training and frozen.
        output: for checkpoints, logs and samples.
        parts: which to train; of the autoencoder, the decoder.
        source: of training clips.
        held_out: for pictures.
        plan: how long.
        latents: where encoded clips are kept; in the output where None.
        stop_after: seconds after which a stage saves and ends early.

    Returns:
        Whether every stage ran to the end of its plan.
    """
    device, finished = training_device(), True

    def run(stage: Any, stage_plan: StagePlan) -> None:
        nonlocal finished
        folder = output / stage.name
        assign_average(stage.model, train(stage, stage_plan, folder, stop_after=stop_after))
        finished = finished and steps_done(folder) >= stage_plan.steps

    for part in (student.text_encoder, teacher.text_encoder, teacher.unet, teacher.vae):
        part.to(device)
    if "text_encoder" in parts:
        run(TextRecovery(student, teacher, source), plan.text_encoder)
    if "vae" in parts:
        run(DecoderRecovery(student.vae, teacher.vae, source, held_out), plan.decoder)
    if "unet" in parts:
        vae = teacher.vae.to(device=device, memory_format=torch.channels_last).eval()
        cache = LatentCache(latents or output / "latents", vae, source, count=plan.clips)
        cache.fill()
        run(DenoiserRecovery(student, teacher, cache, held_out, seed=plan.denoiser.seed), plan.denoiser)
    return finished
