"""Numerics of the models as pure functions. Shapes: B clips, F frames, C channels, H, W, T tokens, D width."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor

POOLS = 4
"""Learned ways of weighing the tokens when a text is pooled: a verb, a direction, an adverb."""
FARTHEST = 1.25
"""How far out a field may look. All beyond the canvas is empty, and the square of a distance shall fit into fp16."""


def timestep_embedding(timestep: Tensor, dim: int, *, max_period: float = 10_000.0) -> Tensor:
    """Sinusoidal embedding of the diffusion time.

    Args:
        timestep: (B,) float, 0..1000.
        dim: width of the result, even.
        max_period: the longest period.

    Returns:
        (B, dim), cosines first.

    Source: "Attention Is All You Need", section 3.5, in the form of diffusers' `Timesteps`.
    """
    half = dim // 2
    frequencies = torch.exp(
        -math.log(max_period) * torch.arange(half, dtype=torch.float32, device=timestep.device) / half
    )
    angles = timestep[:, None].float() * frequencies[None]
    return torch.cat([angles.cos(), angles.sin()], dim=-1)


def frame_features(frames: int, harmonics: int = 4) -> Tensor:
    """Circular features of the frame index: frame `frames` would be frame 0 again, so clips loop.

    Returns:
        (F, 2 * harmonics): cos and sin of 2 pi k f / F for k = 1..harmonics.
    """
    angles = 2 * math.pi * torch.arange(frames)[:, None] * torch.arange(1, harmonics + 1)[None] / frames
    return torch.cat([angles.cos(), angles.sin()], dim=-1)


def cell_centres(height: int, width: int) -> Tensor:
    """Centres of the cells of a grid, in -1..1, x then y.

    Returns:
        (H * W, 2), row by row.
    """
    ys = (torch.arange(height) + 0.5) * (2.0 / height) - 1.0
    xs = (torch.arange(width) + 0.5) * (2.0 / width) - 1.0
    grid_y, grid_x = torch.meshgrid(ys, xs, indexing="ij")
    return torch.stack([grid_x, grid_y], dim=-1).reshape(height * width, 2)


def full_heads(channels: int, head_dim: int) -> int:
    """Heads of an attention that is as wide as the channels it reads."""
    return max(1, channels // head_dim)


def fill_padding(hidden: Tensor, mask: Tensor, null_token: Tensor) -> Tensor:
    """Hidden states (B, T, D) with a learned null token (D,) where the mask (B, T) has no token."""
    kept = mask.unsqueeze(2).to(hidden.dtype)
    return hidden * kept + null_token * (1.0 - kept)


def pool_tokens(tokens: Tensor) -> Tensor:
    """Tokens to one vector, by weights that they bring along.

    Args:
        tokens: (B, T, D); the first `POOLS` channels are the logits of each token's weight in each sum.

    Returns:
        (B, POOLS * (D - POOLS)).
    """
    logits, values = torch.split(tokens, [POOLS, tokens.shape[2] - POOLS], dim=2)
    return torch.bmm(torch.softmax(logits.transpose(1, 2), dim=2), values).flatten(1)


def smooth_basis(height: int, width: int, harmonics: int = 4) -> Tensor:
    """Functions of a grid whose sums are smooth fields: x, y, 1, then half waves along either axis.

    Args:
        height: H.
        width: W.
        harmonics: M, half waves that fit the canvas at most.

    Returns:
        (H * W, 3 + 4 M), coordinates -1..1 at the cells' centres; sin and cos of pi k / 2 times x, then times y.
    """
    x, y = cell_centres(height, width).unbind(dim=1)
    waves = [
        wave(math.pi * k / 2 * axis)
        for axis in (x, y)
        for k in range(1, harmonics + 1)
        for wave in (torch.sin, torch.cos)
    ]
    return torch.stack([x, y, torch.ones_like(x), *waves], dim=1)


def source_points(field: Tensor, places: Tensor) -> Tensor:
    """Where a field looks: its functions summed at each place.

    Args:
        field: (B F, 2, terms).
        places: (P, terms) of `smooth_basis`.

    Returns:
        (B F, 2, P), coordinates -1..1, at most `FARTHEST`; in single precision under autocast, too, as half of it
        misses by a pixel.
    """
    if torch.is_autocast_enabled(field.device.type):
        with torch.autocast(field.device.type, enabled=False):
            return F.linear(field.float(), places).clamp(-FARTHEST, FARTHEST)
    return F.linear(field, places).clamp(-FARTHEST, FARTHEST)


def gaussian_read(values: Tensor, source: Tensor, sharpness: Tensor) -> Tensor:
    """Attention by place alone: every query reads the cells around its source point with Gaussian weights.

    A Gaussian of a distance is a product of one along x and one along y, so two softmaxes over a row and a column take
    the place of one over the whole grid. Beyond the border, the border's cells are read.

    Args:
        values: (B, C, H, W), shared by the frames of a clip.
        source: (B F, 2, Q), x then y in cells from the centre of the grid.
        sharpness: one positive number; 1 / (2 sigma^2), sigma in cells.

    Returns:
        (B F, C, Q).
    """
    clips, channels, height, width = values.shape
    frames, queries = source.shape[0], source.shape[2]
    columns = torch.arange(width, device=source.device, dtype=source.dtype) - (width - 1) / 2
    rows = torch.arange(height, device=source.device, dtype=source.dtype) - (height - 1) / 2
    along_x = (source[:, 0].reshape(clips, -1, 1) - columns).square()  # (B, F Q, W)
    along_y = (source[:, 1].reshape(clips, -1, 1) - rows).square()  # (B, F Q, H)
    along_x = torch.softmax(along_x * -sharpness, dim=2)
    along_y = torch.softmax(along_y * -sharpness, dim=2)
    table = values.permute(0, 3, 1, 2).reshape(clips, width, channels * height)
    read = torch.bmm(along_x, table).reshape(clips, -1, channels, height)
    if along_y.dtype != read.dtype:  # under autocast the product is in half precision
        along_y = along_y.to(read.dtype)
    read = (read * along_y.unsqueeze(2)).mean(dim=3) * float(height)  # (B, F Q, C)
    return read.reshape(frames, queries, channels).transpose(1, 2)


def neighbour_frames(x: Tensor, frames: int) -> Tensor:
    """Each frame with the one before and the one after it on the channels; the last frame is followed by the first.

    Args:
        x: (B * F, C, H, W).
        frames: F.

    Returns:
        (B * F, 3 C, H, W): previous, own, next.
    """
    shape = x.shape
    clips = x.reshape(-1, frames, shape[1] * shape[2] * shape[3])  # (B, F, C H W)
    before = torch.cat([clips[:, -1:], clips[:, :-1]], dim=1)
    after = torch.cat([clips[:, 1:], clips[:, :1]], dim=1)
    return torch.cat([before.reshape(shape), x, after.reshape(shape)], dim=1)


def attention(query: Tensor, key: Tensor, value: Tensor, *, scale: float | None = None) -> Tensor:
    """Scaled dot-product attention, the reference of every fused form.

    Args:
        query: (..., Q, D).
        key: (..., K, D).
        value: (..., K, E).
        scale: what the products are multiplied by; 1 / sqrt(D) where None.

    Returns:
        (..., Q, E).

    Source: "Attention Is All You Need", equation 1.
    """
    return F.scaled_dot_product_attention(query, key, value, scale=scale)


def place_query(source: Tensor, sharpness: Tensor) -> Tensor:
    """Four query channels whose product with `place_key` is -sharpness * |source - cell|^2.

    Attention with these channels reads the cells around a source point with Gaussian weights. The product is zero at
    the point itself, so that it stays exact in fp16 where it matters.

    Args:
        source: (N, 2, Q), x then y in cells from the centre of the grid.
        sharpness: (N, 1, 1) positive; 1 / (2 sigma^2), sigma in cells.

    Returns:
        (N, 4, Q).
    """
    x, y = source[:, 0:1], source[:, 1:2]
    linear = source * (2.0 * sharpness)
    return torch.cat([linear, torch.zeros_like(x) - sharpness, -sharpness * (x * x + y * y)], dim=1)


def place_key(height: int, width: int) -> Tensor:
    """The key channels that `place_query` is multiplied with: x, y, x^2 + y^2 and 1 of every cell.

    Returns:
        (4, H * W).
    """
    cells = cell_centres(height, width) * torch.tensor([width / 2, height / 2])
    return torch.stack([cells[:, 0], cells[:, 1], cells.square().sum(dim=1), torch.ones(height * width)])
