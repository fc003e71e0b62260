"""The RGBA autoencoder: premultiplied RGBA in, a latent at 1/8 of the size, premultiplied RGBA out."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from diffusers.configuration_utils import ConfigMixin, register_to_config
from diffusers.models.modeling_utils import ModelMixin
from torch import Tensor, nn

from edge_stickers.models.narrowed import expect_parts, expect_widths

COMPRESSION = 8
"""Pixels along the side of one latent cell."""


class ConvBlock(nn.Module):
    """Two 3x3 convolutions with a skip and no normalisation, as small decoders for phones have them (TAESD).

    Args:
        width: channels in and out.
        inner: channels between the convolutions.
    """

    def __init__(self, width: int, inner: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(width, inner, 3, padding=1)
        self.conv2 = nn.Conv2d(inner, width, 3, padding=1)
        nn.init.zeros_(self.conv2.weight)
        nn.init.zeros_(self.conv2.bias)  # type: ignore[arg-type]

    def forward(self, x: Tensor) -> Tensor:
        return torch.relu(x + self.conv2(torch.relu(self.conv1(x))))


class StickerAutoencoder(ModelMixin, ConfigMixin):
    """Encodes and decodes single frames.

    Args:
        latent_channels: channels of the latent.
        encoder_widths: channels at 1/4 and 1/8 of the image size.
        encoder_blocks: residual blocks at these sizes.
        decoder_widths: channels at 1/4 and 1/8 of the image size.
        decoder_blocks: residual blocks at these sizes.
        narrowed: channels inside the residual blocks that pruning narrowed, by name; 0 for one taken out.
    """

    config_name = "config.json"

    @register_to_config
    def __init__(
        self,
        latent_channels: int = 8,
        encoder_widths: tuple[int, int] = (48, 96),
        encoder_blocks: tuple[int, int] = (1, 1),
        decoder_widths: tuple[int, int] = (56, 112),
        decoder_blocks: tuple[int, int] = (2, 3),
        narrowed: dict[str, int] | None = None,
    ) -> None:
        super().__init__()
        narrowed = narrowed or {}
        expect_widths(narrowed)

        def blocks(coder: str, first: int, width: int, count: int) -> Iterator[nn.Module]:
            for index in range(first, first + count):
                inner = narrowed.get(f"{coder}.{index}", width)
                yield ConvBlock(width, inner) if inner else nn.Identity()

        fine, coarse = encoder_widths
        self.encoder = nn.Sequential(
            nn.Conv2d(4, fine, 8, stride=4, padding=2),  # (B, fine, H/4, W/4)
            nn.ReLU(),
            *blocks("encoder", 2, fine, encoder_blocks[0]),
            nn.Conv2d(fine, coarse, 4, stride=2, padding=1),  # (B, coarse, H/8, W/8)
            nn.ReLU(),
            *blocks("encoder", 4 + encoder_blocks[0], coarse, encoder_blocks[1]),
            nn.Conv2d(coarse, latent_channels, 3, padding=1),
        )
        fine, coarse = decoder_widths
        self.decoder = nn.Sequential(
            nn.Conv2d(latent_channels, coarse, 3, padding=1),
            nn.ReLU(),
            *blocks("decoder", 2, coarse, decoder_blocks[1]),
            nn.ConvTranspose2d(coarse, fine, 4, stride=2, padding=1),
            nn.ReLU(),
            *blocks("decoder", 4 + decoder_blocks[1], fine, decoder_blocks[0]),
            nn.ConvTranspose2d(fine, 4, 8, stride=4, padding=2),
        )
        expect_parts(self, narrowed, (ConvBlock,))
        # Statistics of the raw latent: they make the latent that everybody sees zero-mean with unit variance.
        self.latents_mean: Tensor
        self.latents_std: Tensor
        self.register_buffer("latents_mean", torch.zeros(1, latent_channels, 1, 1))
        self.register_buffer("latents_std", torch.ones(1, latent_channels, 1, 1))

    def encode(self, image: Tensor) -> Tensor:
        """Latent of premultiplied RGBA.

        Args:
            image: (B, 4, H, W) in 0..1, H and W multiples of 8.

        Returns:
            (B, C, H / 8, W / 8), about zero mean and unit variance over the training data.
        """
        return encode(self.encoder, image, mean=self.latents_mean, std=self.latents_std)

    def decode(self, latents: Tensor) -> Tensor:
        """Premultiplied RGBA of a latent.

        Args:
            latents: (B, C, h, w).

        Returns:
            (B, 4, 8 h, 8 w) in 0..1.
        """
        return self.decode_unclamped(latents).clamp(0.0, 1.0)

    def decode_unclamped(self, latents: Tensor) -> Tensor:
        """As `decode`, not clamped, so that the loss sees how far it is outside: (B, 4, 8 h, 8 w)."""
        return decode(self.decoder, latents, mean=self.latents_mean, std=self.latents_std)

    def forward(self, image: Tensor) -> Tensor:
        """Reconstruction of (B, 4, H, W)."""
        return self.decode(self.encode(image))


def encode(encoder: nn.Module, image: Tensor, *, mean: Tensor, std: Tensor) -> Tensor:
    """Latent of premultiplied RGBA.

    Args:
        encoder: of a `StickerAutoencoder`.
        image: (B, 4, H, W) in 0..1.
        mean: (1, C, 1, 1) of the raw latent.
        std: likewise.

    Returns:
        (B, C, H / 8, W / 8), about zero mean and unit variance.
    """
    return (encoder(image * 2.0 - 1.0) - mean) / std


def decode(decoder: nn.Module, latents: Tensor, *, mean: Tensor, std: Tensor) -> Tensor:
    """Premultiplied RGBA of a latent, not clamped; see `encode`. (B, C, h, w) to (B, 4, 8 h, 8 w)."""
    return decoder(latents * std + mean) * 0.5 + 0.5
