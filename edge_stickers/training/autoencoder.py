"""The stage that trains the RGBA autoencoder, on crops of moved stickers."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from edge_stickers.data.dataset import ClipSource
from edge_stickers.data.pictures import save_rows
from edge_stickers.models.autoencoder import COMPRESSION, StickerAutoencoder
from edge_stickers.training.objectives import edge_loss, psnr, reconstruction_loss

LATENT_NOISE = 0.05
"""Standard deviation of the noise on the latent in training, so that small errors of the denoiser stay small."""
WARPED_SHARE = 0.25
"""Share of a batch whose latent is warped and must decode to the warped image, so that motion is simple in the latent.

Source: "EQ-VAE" (arXiv 2502.09509), with rotations of any angle and shifts by fractions of a cell.
"""


class AutoencoderStage:
    """Crops of `size` pixels; the whole sticker at the end costs nothing, as the network is convolutional.

    Args:
        model: the autoencoder.
        source: of moved stickers.
        held_out: of stickers for the pictures.
        crop: side of a crop in pixels.
    """

    name = "autoencoder"

    def __init__(
        self, model: TrainableAutoencoder, source: ClipSource, held_out: ClipSource, *, crop: int = 128
    ) -> None:
        self.model: nn.Module = model
        self.source, self.held_out, self.crop = source, held_out, crop

    def batch(self, indices: range, device: torch.device) -> Tensor:
        """(B, 4, crop, crop): two crops of each sticker, where there is something to see."""
        images = self.source.stills(indices.start, (len(indices) + 1) // 2, device=device)
        rng = torch.Generator().manual_seed(indices.start)
        return torch.cat([_crop(image, self.crop, rng) for image in images for _ in range(2)])[: len(indices)]

    def loss(self, model: nn.Module, batch: Tensor, generator: torch.Generator) -> tuple[Tensor, Mapping[str, Tensor]]:
        """Reconstruction, edges, equivariance of the warped share, and a pull of the latent to unit scale."""
        theta, target = self.moved(batch, generator)
        out, latents = model(batch, noise=LATENT_NOISE, theta=theta, generator=generator)
        return self.errors(out.float(), target, latents, warped=len(theta))

    @staticmethod
    def moved(batch: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        """Matrices of the warped share, and what the latents must decode to: (n, 2, 3) and (B, 4, crop, crop)."""
        theta = _random_affine(max(1, int(len(batch) * WARPED_SHARE)), generator).to(batch.device)
        return theta, torch.cat([_warp(batch[: len(theta)], theta), batch[len(theta) :]])

    @staticmethod
    def errors(out: Tensor, target: Tensor, latents: Tensor, *, warped: int) -> tuple[Tensor, Mapping[str, Tensor]]:
        """The loss of what came out, and what else to log."""
        pull = latents.float().square().mean()
        loss = reconstruction_loss(out, target) + 0.5 * edge_loss(out, target) + 1e-3 * pull
        plain = out[warped:].detach().clamp(0, 1)
        return loss, {
            "psnr": psnr(plain, target[warped:]),
            "psnr_warped": psnr(out[:warped].detach(), target[:warped]),
            "latent_power": pull,
        }

    def sample(self, model: nn.Module, path: Path) -> None:
        """Held-out stickers above their reconstructions."""
        device = next(model.parameters()).device
        images = self.held_out.stills(0, 8, device=device)
        save_rows([images, model.decode(model.encode(images))], path)  # type: ignore[operator]


class TrainableAutoencoder(nn.Module):
    """The autoencoder with what only training does: noise on the latent and a warp of some of them."""

    def __init__(self, vae: StickerAutoencoder) -> None:
        super().__init__()
        self.vae = vae

    def forward(
        self, image: Tensor, *, noise: float, theta: Tensor, generator: torch.Generator
    ) -> tuple[Tensor, Tensor]:
        """(B, 4, H, W) and the matrices of the first n to (B, 4, H, W) and the latents."""
        latents = self.vae.encode(image)
        n = len(theta)
        moved = torch.cat([_warp(latents[:n], theta.to(latents.dtype)), latents[n:]])
        moved = moved + noise * torch.randn(moved.shape, generator=generator, device=moved.device, dtype=moved.dtype)
        return self.vae.decode_unclamped(moved), latents

    def encode(self, image: Tensor) -> Tensor:
        """See `StickerAutoencoder.encode`."""
        return self.vae.encode(image)

    def decode(self, latents: Tensor) -> Tensor:
        """See `StickerAutoencoder.decode`."""
        return self.vae.decode(latents)


@torch.no_grad()
def set_statistics(vae: StickerAutoencoder, source: ClipSource, *, count: int = 128) -> None:
    """Measures the raw latent's mean and standard deviation on moved stickers and stores them in the model."""
    device = next(vae.parameters()).device
    raw = torch.cat(
        [vae.encoder(source.stills(10_000_000 + i, 16, device=device) * 2.0 - 1.0) for i in range(max(1, count // 16))]
    )
    vae.latents_mean.copy_(raw.mean(dim=(0, 2, 3), keepdim=True))
    vae.latents_std.copy_(raw.std(dim=(0, 2, 3), keepdim=True))


def _crop(image: Tensor, size: int, rng: torch.Generator) -> Tensor:
    """(1, 4, size, size) around a random point of the sticker, on the grid of latent cells."""
    side = image.shape[-1]
    if size >= side:
        return image[None]
    visible = (image[3, ::COMPRESSION, ::COMPRESSION] > 0).nonzero()
    centre = (
        visible[int(torch.randint(len(visible), (1,), generator=rng))] * COMPRESSION
        if len(visible)
        else torch.tensor([side // 2] * 2)
    )
    jitter = torch.randint(-size // 4, size // 4, (2,), generator=rng)
    top, left = ((centre.cpu() + jitter - size // 2).clamp(0, side - size) // COMPRESSION * COMPRESSION).tolist()
    return image[None, :, top : top + size, left : left + size]


def _random_affine(count: int, generator: torch.Generator) -> Tensor:
    """(count, 2, 3): any rotation, scale 0.8 to 1.25, shifts up to a tenth."""
    r = torch.rand((4, count), generator=generator, device=generator.device)
    angle, scale = 2 * math.pi * r[0], 0.8 * (1.25 / 0.8) ** r[1]
    cos, sin = angle.cos() / scale, angle.sin() / scale
    shift = (r[2:] - 0.5) * 0.2
    return torch.stack([torch.stack([cos, -sin, shift[0]], -1), torch.stack([sin, cos, shift[1]], -1)], dim=1)


def _warp(x: Tensor, theta: Tensor) -> Tensor:
    grid = F.affine_grid(theta, list(x.shape), align_corners=False)
    return F.grid_sample(x, grid, mode="bilinear", padding_mode="border", align_corners=False)
