"""Layers along time. Both start as identity; time is circular, so the last frame is a neighbour of the first."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from edge_stickers.models.functional import attention, frame_features, full_heads, neighbour_frames


class TemporalConv(nn.Module):
    """Convolution of three frames: a 1x1 convolution over the previous, the own and the next frame's channels.

    Args:
        channels: channels of the frames.
        frames: F.
        groups: groups of the normalisation.
    """

    def __init__(self, channels: int, *, frames: int, groups: int) -> None:
        super().__init__()
        self.frames = frames
        self.norm = nn.GroupNorm(groups, channels)
        self.activation = nn.SiLU()
        self.conv = nn.Conv2d(3 * channels, channels, 1)
        nn.init.zeros_(self.conv.weight)
        nn.init.zeros_(self.conv.bias)  # type: ignore[arg-type]

    def forward(self, x: Tensor) -> Tensor:
        """(B F, C, H, W) to the same shape."""
        return x + self.conv(neighbour_frames(self.activation(self.norm(x)), self.frames))


class TemporalAttention(nn.Module):
    """Each position attends to itself in all frames; a circular code tells the frames apart.

    Args:
        channels: channels of the frames.
        frames: F.
        head_dim: channels of a head.
        groups: groups of the normalisation.
        heads: as many as the channels hold where None.

    Source: "Animated Stickers", section 3 (temporal attention after each spatial attention, zero-initialised).
    """

    def __init__(self, channels: int, *, frames: int, head_dim: int, groups: int, heads: int | None = None) -> None:
        super().__init__()
        self.heads, self.head_dim = full_heads(channels, head_dim) if heads is None else heads, min(channels, head_dim)
        self.frames, self.width = frames, self.heads * self.head_dim
        self.norm = nn.GroupNorm(groups, channels)
        self.to_query_key = nn.Linear(channels, 2 * self.width)
        self.to_value = nn.Linear(channels, self.width)
        self.to_out = nn.Linear(self.width, channels)
        self.frame_code = nn.Linear(8, channels, bias=False)
        self.features: Tensor
        self.register_buffer("features", frame_features(frames), persistent=False)  # (F, 8)
        nn.init.zeros_(self.to_out.weight)
        nn.init.zeros_(self.to_out.bias)

    def forward(self, x: Tensor) -> Tensor:
        """(B F, C, H, W) to the same shape."""
        batch, channels, height, width = x.shape
        clips = batch // self.frames
        h = self.norm(x).reshape(clips, self.frames, channels, height * width)
        h = h.permute(0, 3, 1, 2).reshape(clips * height * width, self.frames, channels)
        split = (clips * height * width, self.frames, self.heads, self.head_dim)
        query, key = self.to_query_key(h + self.frame_code(self.features)).chunk(2, dim=2)
        query = query.reshape(split).transpose(1, 2)  # (B H W, heads, F, dim)
        key = key.reshape(split).transpose(1, 2)
        value = self.to_value(h).reshape(split).transpose(1, 2)
        h = self.to_out(attention(query, key, value).transpose(1, 2).reshape(-1, self.frames, self.width))
        h = h.reshape(clips, height * width, self.frames, channels).permute(0, 2, 3, 1)
        return x + h.reshape(batch, channels, height, width)


def identity_parameters(module: nn.Module) -> list[tuple[str, nn.Parameter]]:
    """Parameters that start at zero and hide their branch: a parity test must randomise them first."""
    return [(name, p) for name, p in module.named_parameters() if not bool(torch.count_nonzero(p.detach()))]
