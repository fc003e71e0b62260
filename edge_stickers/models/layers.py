"""Spatial layers of the denoiser: modulated residual block, attention to the still, attention to the text."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from edge_stickers.models.functional import attention, full_heads, place_key, place_query, smooth_basis, source_points


class ResBlock(nn.Module):
    """GroupNorm, SiLU, convolution, twice, with a per-frame scale and shift from the embedding (AdaGN).

    Args:
        in_channels: channels in.
        out_channels: channels out.
        embed_dim: width of the embedding.
        groups: groups of the normalisations.
        inner: channels between the convolutions; as many as come out where None.

    Source: "Diffusion Models Beat GANs on Image Synthesis", section 3.
    """

    def __init__(
        self, in_channels: int, out_channels: int, *, embed_dim: int, groups: int, inner: int | None = None
    ) -> None:
        super().__init__()
        inner = out_channels if inner is None else inner
        self.norm1 = nn.GroupNorm(groups, in_channels)
        self.conv1 = nn.Conv2d(in_channels, inner, 3, padding=1)
        self.modulation = nn.Linear(embed_dim, 2 * inner)
        self.norm2 = nn.GroupNorm(groups, inner)
        self.conv2 = nn.Conv2d(inner, out_channels, 3, padding=1)
        self.skip = nn.Identity() if in_channels == out_channels else nn.Conv2d(in_channels, out_channels, 1)
        self.activation = nn.SiLU()
        nn.init.zeros_(self.conv2.weight)
        nn.init.zeros_(self.conv2.bias)  # type: ignore[arg-type]

    def forward(self, x: Tensor, embedding: Tensor) -> Tensor:
        """(B F, in, H, W) and (B F, embed_dim) to (B F, out, H, W)."""
        scale, shift = self.modulation(embedding)[:, :, None, None].chunk(2, dim=1)
        h = self.conv1(self.activation(self.norm1(x)))
        h = self.norm2(h) * (1.0 + scale) + shift
        skip: Tensor = self.skip(x)
        return skip + self.conv2(self.activation(h))


class StillAttention(nn.Module):
    """Every position of every frame attends to the still, by place and by content.

    By place: a position has a source point, which the motion field names, plus a local offset from the features, and
    four channels of the product are a Gaussian around that point. Heads start half a cell apart, so that together they
    bring the four cells around the point unblended.

    Args:
        channels: channels of the frames.
        still_channels: channels of the still's features.
        heads: number of source points a position has.
        head_dim: channels of a head, four of which are place.
        groups: groups of the normalisation.
        harmonics: of the motion field.
        height: H of the grid.
        width: W of the grid.
    """

    def __init__(
        self,
        channels: int,
        still_channels: int,
        *,
        heads: int,
        head_dim: int,
        groups: int,
        harmonics: int,
        height: int,
        width: int,
    ) -> None:
        super().__init__()
        self.heads, self.head_dim = heads, head_dim
        self.norm = nn.GroupNorm(groups, channels)
        self.to_query = nn.Conv2d(channels, heads * (head_dim - 2), 1)  # content, then the local offset
        self.to_key = nn.Conv2d(still_channels, heads * (head_dim - 4), 1)
        self.to_value = nn.Conv2d(still_channels, heads * head_dim, 1)
        self.to_out = nn.Conv2d(heads * head_dim, channels, 1)
        self.log_sharpness = nn.Parameter(torch.full((heads, 1, 1), math.log(0.8)))  # sigma starts at 0.8 cells
        self.corners = nn.Parameter(head_corners(heads)[:, :, None].contiguous())  # (heads, 2, 1)
        nn.init.zeros_(self.to_query.weight)
        nn.init.zeros_(self.to_query.bias)  # type: ignore[arg-type]
        self.keys: Tensor
        self.places: Tensor
        self.cells: Tensor
        cells = torch.tensor([width / 2, height / 2])[:, None]
        self.register_buffer("keys", place_key(height, width)[None, None], persistent=False)  # (1, 1, 4, H W)
        self.register_buffer("places", smooth_basis(height, width, harmonics), persistent=False)  # (H W, terms)
        self.register_buffer("cells", cells, persistent=False)  # (2, 1): cells in one unit of the field

    def forward(self, x: Tensor, still: Tensor, field: Tensor) -> Tensor:
        """(B F, C, H, W), the still's features (B, Cs, H, W) and the field (B F, 2, terms) to (B F, C, H, W)."""
        batch, clips, heads, dim = x.shape[0], still.shape[0], self.heads, self.head_dim
        cells = self.places.shape[0]
        queries = self.to_query(self.norm(x)).reshape(batch, heads, dim - 2, cells)
        content, offset = queries.split([dim - 4, 2], dim=2)
        source = (source_points(field, self.places) * self.cells).unsqueeze(1)  # (B F, 1, 2, H W)
        source = (offset + source + self.corners).reshape(batch * heads, 2, cells)
        sharpness = self.log_sharpness.exp().repeat(batch, 1, 1)  # (B F heads, 1, 1)
        place = place_query(source, sharpness).reshape(batch, heads, 4, cells)
        query = torch.cat([content, place], dim=2).transpose(2, 3).contiguous()

        key = self.to_key(still).reshape(clips, heads, dim - 4, cells)
        key = torch.cat([key, self.keys.expand(clips, heads, 4, cells)], dim=2).transpose(2, 3).contiguous()
        value = self.to_value(still).reshape(clips, heads, dim, cells).transpose(2, 3).contiguous()
        frames = batch // clips
        key, value = key.repeat_interleave(frames, dim=0), value.repeat_interleave(frames, dim=0)
        read = place_attention(query, key, value).transpose(2, 3)  # (B F, heads, dim, H W)
        return x + self.to_out(read.reshape(batch, heads * dim, x.shape[2], x.shape[3]))


def place_attention(query: Tensor, key: Tensor, value: Tensor) -> Tensor:
    """Attention with place channels, whose products are too large for half precision under autocast."""
    if torch.is_autocast_enabled(query.device.type):
        with torch.autocast(query.device.type, enabled=False):
            return attention(query.float(), key.float(), value.float(), scale=1.0)
    return attention(query, key, value, scale=1.0)


def head_corners(heads: int) -> Tensor:
    """How far from a position's own source point each head starts: (heads, 2), x then y in cells."""
    corners = torch.tensor([[-0.5, -0.5], [0.5, -0.5], [-0.5, 0.5], [0.5, 0.5]])
    return corners.repeat(-(-heads // 4), 1)[:heads]


class TextAttention(nn.Module):
    """Cross-attention to the prompt; its keys and values come ready, projected once a clip.

    Args:
        channels: channels of the frames.
        head_dim: channels of a head.
        groups: groups of the normalisation.
        heads: as many as the channels hold where None.
    """

    def __init__(self, channels: int, *, head_dim: int, groups: int, heads: int | None = None) -> None:
        super().__init__()
        self.heads, self.head_dim = full_heads(channels, head_dim) if heads is None else heads, min(channels, head_dim)
        self.width = self.heads * self.head_dim
        self.norm = nn.GroupNorm(groups, channels)
        self.to_query = nn.Linear(channels, self.width)
        self.to_out = nn.Linear(self.width, channels)

    def forward(self, x: Tensor, context_kv: Tensor) -> Tensor:
        """(B F, C, H, W) and keys and values (B, T, 2 heads dim) to (B F, C, H, W)."""
        batch, channels, height, width = x.shape
        clips, tokens, dim = context_kv.shape[0], context_kv.shape[1], self.head_dim
        h = self.norm(x).reshape(clips, batch // clips, channels, height * width)
        h = h.transpose(2, 3).reshape(clips, -1, channels)  # all frames' positions are queries of one attention
        query = self.to_query(h).reshape(clips, -1, self.heads, dim).transpose(1, 2)  # (B, heads, F H W, dim)
        key, value = context_kv.chunk(2, dim=2)
        key = key.reshape(clips, tokens, self.heads, dim).transpose(1, 2)
        value = value.reshape(clips, tokens, self.heads, dim).transpose(1, 2)
        h = attention(query, key, value).transpose(1, 2).reshape(clips, -1, self.width)
        h = self.to_out(h).reshape(batch, height * width, channels).transpose(1, 2)
        return x + h.reshape(batch, channels, height, width)
