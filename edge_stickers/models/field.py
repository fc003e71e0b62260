"""Where each frame looks in the still: the motion that the text tells, as smooth fields, and the read along them."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from edge_stickers.models.functional import frame_features, gaussian_read, smooth_basis, source_points


class MotionField(nn.Module):
    """Text and strength to one smooth field a frame, which names the source point of every place of the canvas.

    A field is a sum of the functions of `smooth_basis`: a matrix where a sticker moves as a whole, half waves where it
    bends. Its coefficients over time are sums of circular harmonics, so fields loop. They know neither noise nor
    pictures: sentences and motions alone can teach them.

    Args:
        text_dim: width of the pooled text.
        width: of the hidden layers.
        harmonics: half waves along an axis, see `smooth_basis`.
        frames: F.
    """

    def __init__(self, text_dim: int, *, width: int, harmonics: int, frames: int) -> None:
        super().__init__()
        self.frames, self.terms = frames, 3 + 4 * harmonics
        self.hidden = nn.Sequential(
            *(nn.Linear(text_dim + 2, width), nn.SiLU()),
            *(nn.Linear(width, width), nn.SiLU()),
            *(nn.Linear(width, width), nn.SiLU()),
        )
        moments = torch.cat([torch.ones(frames, 1), frame_features(frames)], dim=1)  # (F, 9)
        self.to_field = nn.Linear(width, 2 * self.terms * moments.shape[1])
        nn.init.zeros_(self.to_field.weight)
        nn.init.zeros_(self.to_field.bias)
        with torch.no_grad():
            at_rest = self.to_field.bias.view(2, self.terms, moments.shape[1])
            at_rest[0, 0, 0] = at_rest[1, 1, 0] = 1.0  # the identity: x from x, y from y
        self.moments: Tensor
        self.register_buffer("moments", moments, persistent=False)

    def told(self, text: Tensor, strength: Tensor) -> Tensor:
        """What the text was understood to say: (B, text_dim) and (B, 1) to (B, width)."""
        told: Tensor = self.hidden(torch.cat([text, strength, strength * strength], dim=1))
        return told

    def forward(self, told: Tensor) -> Tensor:
        """What was understood, (B, width), to (B F, 2, terms), in coordinates -1..1."""
        over_time = self.to_field(told).reshape(-1, 2 * self.terms, self.moments.shape[1])
        fields = nn.functional.linear(over_time, self.moments)  # (B, 2 terms, F)
        return fields.transpose(1, 2).reshape(-1, 2, self.terms)


class StillRead(nn.Module):
    """Reads the still at the source points of a field, at the latent's own resolution: attention by place alone.

    It starts as resampling of the latent, which an autoencoder trained with warped latents decodes to a moved sticker;
    training finds the filter before and after it.

    Args:
        in_channels: channels of the latent.
        channels: channels that are read.
        harmonics: of the field.
        size: H = W of the latent.
    """

    def __init__(self, in_channels: int, channels: int, *, harmonics: int, size: int) -> None:
        super().__init__()
        self.size = size
        self.to_value = nn.Conv2d(in_channels, channels, 3, padding=1)
        self.to_base = nn.Conv2d(channels, in_channels, 3, padding=1)
        self.log_sharpness = nn.Parameter(torch.full((1,), math.log(2.0)))  # sigma starts at half a cell
        for layer in (self.to_value, self.to_base):
            nn.init.dirac_(layer.weight)
            nn.init.zeros_(layer.bias)  # type: ignore[arg-type]
        self.places: Tensor
        self.register_buffer("places", smooth_basis(size, size, harmonics), persistent=False)  # (H W, terms)

    def forward(self, still: Tensor, field: Tensor) -> tuple[Tensor, Tensor]:
        """The still's latent (B, C, H, W) and (B F, 2, terms) to what was read (B F, channels, H, W) and its latent."""
        source = source_points(field, self.places) * (self.size / 2)  # (B F, 2, H W), in cells
        read = gaussian_read(self.to_value(still), source, self.log_sharpness.exp())
        read = read.reshape(field.shape[0], -1, self.size, self.size)
        return read, self.to_base(read)
