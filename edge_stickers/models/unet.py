"""The denoiser: a UNet over frames with attention to the still, attention to the text, and layers along time."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping
from typing import Any, cast

import torch
from diffusers.configuration_utils import ConfigMixin, register_to_config
from diffusers.models.modeling_utils import ModelMixin
from torch import Tensor, nn

from edge_stickers.models.field import MotionField, StillRead
from edge_stickers.models.functional import (
    POOLS,
    cell_centres,
    fill_padding,
    frame_features,
    full_heads,
    pool_tokens,
    timestep_embedding,
)
from edge_stickers.models.layers import ResBlock, StillAttention, TextAttention
from edge_stickers.models.narrowed import expect_parts, expect_widths
from edge_stickers.models.temporal import TemporalAttention, TemporalConv

TIME_DIM = 64
"""Width of the sinusoidal embedding of the diffusion time."""


class Stage(nn.Module):
    """One step of the UNet: read the still, transform, read the text, exchange between frames.

    `narrowed` are the widths of `UNetConfig.narrowed` by the names they have in this stage.
    """

    def __init__(
        self,
        in_channels: int,
        channels: int,
        *,
        still_channels: int,
        size: int,
        still: bool,
        text: bool,
        unet: dict[str, int],
        narrowed: Mapping[str, int],
    ) -> None:
        super().__init__()
        groups, embed, frames, dim = unet["norm_groups"], unet["embed_dim"], unet["frames"], unet["head_dim"]
        self.still: StillAttention | None = None
        if still and (heads := narrowed.get("still", unet["still_heads"])):
            self.still = StillAttention(
                in_channels,
                still_channels,
                heads=heads,
                head_dim=unet["still_head_dim"],
                groups=groups,
                harmonics=unet["field_harmonics"],
                height=size,
                width=size,
            )
        self.block = ResBlock(in_channels, channels, embed_dim=embed, groups=groups, inner=narrowed.get("block"))
        self.text: TextAttention | None = None
        if text and (heads := narrowed.get("text", full_heads(channels, dim))):
            self.text = TextAttention(channels, head_dim=dim, groups=groups, heads=heads)
        self.conv: nn.Module = nn.Identity()
        if narrowed.get("conv", 1):
            self.conv = TemporalConv(channels, frames=frames, groups=groups)
        self.attention: nn.Module = nn.Identity()
        if heads := narrowed.get("attention", full_heads(channels, dim)):
            self.attention = TemporalAttention(channels, frames=frames, head_dim=dim, groups=groups, heads=heads)

    def forward(self, x: Tensor, still: Tensor, field: Tensor, embedding: Tensor, context_kv: Tensor | None) -> Tensor:
        """(B F, in, H, W) to (B F, C, H, W)."""
        if self.still is not None:
            x = self.still(x, still, field)
        x = self.block(x, embedding)
        if self.text is not None and context_kv is not None:
            x = self.text(x, context_kv)
        out: Tensor = self.attention(self.conv(x))
        return out


class StickerUNet(ModelMixin, ConfigMixin):
    """Predicts the clean latents of all frames from the noisy ones, the still, the text, the time and the strength.

    The text names a motion field; what is read of the still along it, at the latent's own resolution, is the base of
    the prediction and an input of the network, which adds a change: detail has a short way from the still to every
    frame. What the field understood of the text is part of every embedding; levels other than the finest also attend
    to the text itself.

    Args: the fields of `edge_stickers.config.UNetConfig`, where each is described.
    """

    config_name = "config.json"

    @register_to_config
    def __init__(
        self,
        sample_size: int = 32,
        in_channels: int = 8,
        patch_size: int = 2,
        widths: tuple[int, ...] = (64, 128),
        up_blocks: tuple[int, ...] = (2, 1),
        embed_dim: int = 256,
        text_dim: int = 384,
        pooled_dim: int = 128,
        head_dim: int = 64,
        still_heads: int = 4,
        still_head_dim: int = 32,
        field_width: int = 256,
        field_harmonics: int = 4,
        read_channels: int = 12,
        norm_groups: int = 8,
        frames: int = 8,
        narrowed: dict[str, int] | None = None,
    ) -> None:
        super().__init__()
        narrowed = narrowed or {}
        expect_widths(narrowed, whole=r"still_blocks\.\d+|.*\.block")
        unet = {
            "norm_groups": norm_groups,
            "embed_dim": embed_dim,
            "still_heads": still_heads,
            "still_head_dim": still_head_dim,
            "field_harmonics": field_harmonics,
            "head_dim": head_dim,
            "frames": frames,
        }
        levels = len(widths)
        sizes = [sample_size // patch_size // 2**level for level in range(levels)]
        kernel, stride, padding = _patch_convolution(patch_size)

        self.field = MotionField(
            POOLS * (pooled_dim - POOLS), width=field_width, harmonics=field_harmonics, frames=frames
        )
        self.read = StillRead(in_channels, read_channels, harmonics=field_harmonics, size=sample_size)
        self.conv_in = nn.Conv2d(2 * in_channels + read_channels + 2, widths[0], kernel, stride, padding)
        self.still_in = nn.Conv2d(in_channels + 2, widths[0], kernel, stride, padding)
        self.still_blocks = nn.ModuleList(
            ResBlock(w, w, embed_dim=embed_dim, groups=norm_groups, inner=narrowed.get(f"still_blocks.{level}"))
            for level, w in enumerate(widths)
        )
        self.still_down = nn.ModuleList(nn.Conv2d(a, b, 4, 2, 1) for a, b in itertools.pairwise(widths))

        conditions = TIME_DIM + field_width + 2 + 8  # time, what is told, strength and its square, frame
        self.embedding = nn.Sequential(
            *(nn.Linear(conditions, embed_dim), nn.SiLU()),
            *(nn.Linear(embed_dim, embed_dim), nn.SiLU()),
            *(nn.Linear(embed_dim, embed_dim), nn.SiLU()),
        )
        self.still_embedding = nn.Parameter(torch.zeros(1, embed_dim))

        def stage(name: str, level: int, in_channels: int, *, still: bool = True) -> Stage:
            width, text, prefix = widths[level], level > 0, f"{name}."
            own = {key.removeprefix(prefix): value for key, value in narrowed.items() if key.startswith(prefix)}
            kept: dict[str, Any] = {"still": still, "text": text, "unet": unet, "narrowed": own}
            return Stage(in_channels, width, still_channels=width, size=sizes[level], **kept)

        self.down = nn.ModuleList(stage(f"down.{level}", level, widths[level]) for level in range(levels))
        self.downsample = nn.ModuleList(nn.Conv2d(a, b, 4, 2, 1) for a, b in itertools.pairwise(widths))
        self.middle = stage("middle", levels - 1, widths[-1], still=False)
        self.up = nn.ModuleList(
            nn.ModuleList(
                stage(f"up.{level}.{index}", level, widths[level] * (2 if index == 0 else 1), still=index == 0)
                for index in range(up_blocks[level])
            )
            for level in range(levels)
        )
        self.upsample = nn.ModuleList(nn.ConvTranspose2d(b, a, 4, 2, 1) for a, b in itertools.pairwise(widths))
        self.norm_out = nn.GroupNorm(norm_groups, widths[0])
        self.conv_out = nn.ConvTranspose2d(widths[0], in_channels, kernel, stride, padding)
        nn.init.zeros_(self.conv_out.weight)
        nn.init.zeros_(self.conv_out.bias)  # type: ignore[arg-type]

        self.text_widths = [m.width for m in self.modules() if isinstance(m, TextAttention)]
        self.context_projection = nn.Linear(text_dim, 2 * sum(self.text_widths))
        self.field_projection = nn.Linear(text_dim, pooled_dim)
        self.null_token = nn.Parameter(torch.zeros(text_dim))

        expect_parts(self, narrowed, (ResBlock, StillAttention, TextAttention, TemporalConv, TemporalAttention))

        self.coordinates: Tensor
        self.features: Tensor
        grid = cell_centres(sample_size, sample_size).t().reshape(1, 2, sample_size, sample_size)
        self.register_buffer("coordinates", grid.contiguous(), persistent=False)
        self.register_buffer("features", frame_features(frames), persistent=False)  # (F, 8)

    @property
    def context_dim(self) -> int:
        """Channels of `context_kv`, K."""
        return int(self.context_projection.out_features + self.field_projection.out_features)

    def project_context(self, encoder_hidden_states: Tensor, attention_mask: Tensor) -> Tensor:
        """Keys and values of every text attention, and what the motion is told by: all that a step needs of a prompt.

        Args:
            encoder_hidden_states: (B, T, text_dim).
            attention_mask: (B, T), 1 for a token, 0 for padding, which becomes a learned null token.

        Returns:
            context_kv: (B, T, K).
        """
        hidden = fill_padding(encoder_hidden_states, attention_mask, self.null_token)
        return torch.cat([self.context_projection(hidden), self.field_projection(hidden)], dim=2)

    def told(self, context_kv: Tensor, motion_strength: Tensor) -> Tensor:
        """What the text tells of the motion, by itself: (B, T, K) and (B,) to (B, field_width), see `MotionField`."""
        return self.field.told(pool_tokens(context_kv[:, :, -self.config.pooled_dim :]), motion_strength[:, None])

    def forward(
        self, sample: Tensor, timestep: Tensor, context_kv: Tensor, image_latents: Tensor, motion_strength: Tensor
    ) -> Tensor:
        """One denoising step.

        Args:
            sample: (B F, C, h, w), noisy latents, frames in the batch.
            timestep: (B,) float, 0 (clean) to 1000 (noise).
            context_kv: (B, T, K) from `project_context`.
            image_latents: (B, C, h, w), the still's latent.
            motion_strength: (B,) in 0..1.

        Returns:
            (B F, C, h, w), the clean latents that the model believes in.
        """
        clips, frames = image_latents.shape[0], self.config.frames
        splits = [*(2 * width for width in self.text_widths), self.config.pooled_dim]
        remaining = iter(torch.split(context_kv, splits, dim=2)[:-1])
        told, strength = self.told(context_kv, motion_strength), motion_strength[:, None]
        clip = torch.cat([timestep_embedding(timestep, TIME_DIM), told, strength, strength * strength], dim=1)
        clip = clip.unsqueeze(1).expand(clips, frames, clip.shape[1]).reshape(clips * frames, clip.shape[1])
        code = self.features.unsqueeze(0).expand(clips, frames, 8).reshape(clips * frames, 8)
        embedding = self.embedding(torch.cat([clip, code], dim=1))

        still = self.still_in(torch.cat([image_latents, self.coordinates.expand(clips, -1, -1, -1)], dim=1))
        stills: list[Tensor] = []
        for level, block in enumerate(self.still_blocks):
            still = block(still if level == 0 else self.still_down[level - 1](still), self.still_embedding)
            stills.append(still)

        field: Tensor = self.field(told)
        read, base = self.read(image_latents, field)
        held = image_latents.unsqueeze(1).expand(clips, frames, *image_latents.shape[1:]).reshape(sample.shape)
        h = self.conv_in(torch.cat([sample, held, read, self.coordinates.expand(clips * frames, -1, -1, -1)], dim=1))
        skips: list[Tensor] = []
        for level, stage in enumerate(self.down):
            h = h if level == 0 else self.downsample[level - 1](h)
            h = stage(h, stills[level], field, embedding, _context(stage, remaining))
            skips.append(h)
        h = self.middle(h, stills[-1], field, embedding, _context(self.middle, remaining))
        for level in reversed(range(len(stills))):
            h = torch.cat([h, skips[level]], dim=1)
            for stage in cast(nn.ModuleList, self.up[level]):
                h = stage(h, stills[level], field, embedding, _context(stage, remaining))
            if level:
                h = self.upsample[level - 1](h)
        out: Tensor = base + self.conv_out(nn.functional.silu(self.norm_out(h)))
        return out


def _patch_convolution(patch_size: int) -> tuple[int, int, int]:
    """Kernel, stride and padding that take patches, overlapping where there is a choice."""
    return (3, 1, 1) if patch_size == 1 else (2 * patch_size, patch_size, patch_size // 2)


def _context(stage: nn.Module, remaining: Iterator[Tensor]) -> Tensor | None:
    """The next keys and values, for a stage that reads text."""
    return next(remaining) if isinstance(stage, Stage) and stage.text is not None else None
