"""The stage that teaches the motion field: sentences and motions alone, no pictures, thousands in a second."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from tokenizers import Tokenizer
from torch import Tensor, nn
from transformers import PreTrainedModel

from edge_stickers.config import FRAMES
from edge_stickers.data.dataset import ClipSource
from edge_stickers.data.families import FAMILIES, Motion
from edge_stickers.data.pictures import save_rows
from edge_stickers.data.transforms import affine_grid, moving_grid, rotation_about, wave_angles
from edge_stickers.models.functional import fill_padding, pool_tokens, smooth_basis
from edge_stickers.models.text import tokenize
from edge_stickers.models.unet import StickerUNet
from edge_stickers.training.objectives import place_loss

GRID = 16
"""Places along a side of the canvas at which a field is compared with a motion."""
TOKEN_DROPOUT, HIDDEN_DROPOUT = 0.1, 0.1
"""Shares of tokens and of their channels that training hides, or it would learn sentences by heart."""
NAME_WEIGHT = 0.3
"""Weight of the loss of the head that names the motion, beside the place loss."""
MEANINGS = tuple(
    (name, direction, cycles)
    for name, family in FAMILIES.items()
    for direction in family.directions or (None,)
    for cycles in range(1, family.max_cycles + 1)
)
"""All that a sentence may tell: a family, its direction and how often it repeats."""
WRIST = (0.0, 0.8)
"""Where a hand that waves is taken to turn: stickers differ a little, which the denoiser sees and the text does not."""


def told_sources(motions: Sequence[Motion], device: torch.device) -> Tensor:
    """Where the motion library says that each place of each frame comes from.

    Returns:
        (B, F, 2, P) source points, -1..1; the places themselves where a sticker holds still as a whole.
    """
    grid = moving_grid(motions, GRID, device)  # (B, F, G, G, 2)
    for index, motion in enumerate(motions):
        if motion.family == "wave":  # all of a hand sticker is hand
            turns = torch.tensor([rotation_about(angle, WRIST) for angle in wave_angles(motion)], device=device)
            grid[index] = affine_grid(turns, GRID)
    return grid.flatten(2, 3).transpose(2, 3).contiguous()


def meaning_of(motion: Motion) -> int:
    """The number in `MEANINGS` of what a sentence of this motion tells."""
    return MEANINGS.index((motion.family, motion.direction, motion.cycles))


def field_loss(field: Tensor, source: Tensor) -> Tensor:
    """`place_loss` of a field (B F, 2, terms) against `told_sources`."""
    places = smooth_basis(GRID, GRID, (field.shape[2] - 3) // 4).to(field.device)
    return place_loss(field.reshape(*source.shape[:2], *field.shape[1:]), source, places)


@dataclass(frozen=True, slots=True)
class Sentences:
    """B sentences and what they tell."""

    tokens: Tensor
    """(B, T) int64, padded with 0."""
    strength: Tensor
    """(B,) in 0..1."""
    meaning: Tensor
    """(B,) int64, which of `MEANINGS` each tells."""
    source: Tensor
    """(B, F, 2, P) of `told_sources`."""


class FieldFromText(nn.Module):
    """The part of the denoiser that this stage trains, as a module of its own, with a head that names the motion.

    Hearts, tears and a blink have the same field, which is none at all: only the head makes what was told differ. It
    is left behind after training.
    """

    def __init__(self, unet: StickerUNet) -> None:
        super().__init__()
        self.field_projection, self.null_token, self.field = unet.field_projection, unet.null_token, unet.field
        self.to_meaning = nn.Linear(unet.config.field_width, len(MEANINGS))

    def forward(self, hidden: Tensor, mask: Tensor, strength: Tensor) -> tuple[Tensor, Tensor]:
        """(B, T, text_dim), (B, T) and (B,) to (B F, 2, terms) and logits (B, meanings)."""
        projected = self.field_projection(fill_padding(hidden, mask, self.null_token))
        told = self.field.told(pool_tokens(projected), strength[:, None])
        return self.field(told), self.to_meaning(told)


def freeze_field(unet: StickerUNet) -> None:
    """Keeps what this stage taught while another stage trains all the rest."""
    unet.requires_grad_(True)
    for part in (unet.field, unet.field_projection):
        part.requires_grad_(False)
    unet.null_token.requires_grad_(False)


class MotionStage:
    """Draws sentences from a source; the text encoder is frozen.

    Args:
        unet: whose field is trained, in place.
        text_encoder: frozen.
        tokenizer: its tokenizer.
        source: of plans; no picture is drawn.
        held_out: for the pictures.
    """

    name = "motion"

    def __init__(
        self,
        unet: StickerUNet,
        text_encoder: PreTrainedModel,
        tokenizer: Tokenizer,
        source: ClipSource,
        held_out: ClipSource,
    ) -> None:
        self.model: nn.Module = FieldFromText(unet)
        self.text_encoder, self.tokenizer = text_encoder.requires_grad_(False), tokenizer
        self.source, self.held_out = source, held_out

    def batch(self, indices: range, device: torch.device) -> Sentences:
        """B sentences by number; the numbers of the denoiser's clips come first."""
        plans = [self.source.plan(index) for index in indices]
        tokens = [tokenize(self.tokenizer, plan.caption)[0] for plan in plans]
        strength = [plan.motion.amplitude for plan in plans]
        return Sentences(
            torch.tensor(tokens, device=device),
            torch.tensor(strength, dtype=torch.float32, device=device),
            torch.tensor([meaning_of(plan.motion) for plan in plans], device=device),
            told_sources([plan.motion for plan in plans], device),
        )

    def loss(
        self, model: nn.Module, batch: Sentences, generator: torch.Generator
    ) -> tuple[Tensor, Mapping[str, Tensor]]:
        """The place loss and how far the motion was misnamed, with a part of each sentence hidden."""
        hidden, mask = encode_text(self.text_encoder, batch.tokens), batch.tokens != 0
        mask = mask & (torch.rand(mask.shape, generator=generator, device=mask.device) >= TOKEN_DROPOUT)
        kept = torch.rand(hidden.shape, generator=generator, device=hidden.device) >= HIDDEN_DROPOUT
        field, logits = model(hidden * kept / (1.0 - HIDDEN_DROPOUT), mask.long(), batch.strength)
        place, name = field_loss(field, batch.source), nn.functional.cross_entropy(logits, batch.meaning)
        return place + NAME_WEIGHT * name, {"place_cells": place.detach(), "name_loss": name.detach()}

    def sample(self, model: Any, path: Path) -> None:
        """Held-out clips: real frames above the still resampled along the field."""
        plans = self.held_out.batch(range(8))
        device = next(model.parameters()).device
        pictures: list[Tensor] = []
        for still, frames, text, motion in zip(plans.stills, plans.frames, plans.captions, plans.motions, strict=True):
            tokens = torch.tensor([tokenize(self.tokenizer, text)[0]], device=device)
            strength = torch.tensor([motion.amplitude], device=device)
            field, _ = model(encode_text(self.text_encoder, tokens), (tokens != 0).long(), strength)
            field = field.float().cpu()
            side = still.shape[-1]
            grid = torch.nn.functional.linear(field, smooth_basis(side, side, (field.shape[2] - 3) // 4))
            grid = grid.transpose(1, 2).reshape(FRAMES, side, side, 2)
            moved = torch.nn.functional.grid_sample(still.expand(FRAMES, -1, -1, -1), grid, align_corners=False)
            pictures += [frames, moved]
        save_rows([torch.nn.functional.avg_pool2d(row, 2) for row in pictures], path)


@torch.no_grad()
def encode_text(text_encoder: PreTrainedModel, tokens: Tensor) -> Tensor:
    """Hidden states of B sentences, padded with zeros where there is no token: (B, T) to (B, T, width)."""
    longest = int((tokens != 0).sum(dim=1).max())  # padding changes no token's state, and costs time
    short = tokens[:, :longest]
    hidden = text_encoder(input_ids=short, attention_mask=(short != 0).long()).last_hidden_state
    padded: Tensor = torch.nn.functional.pad(hidden, (0, 0, 0, tokens.shape[1] - longest))
    return padded
