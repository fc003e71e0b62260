from __future__ import annotations

import torch

from edge_stickers.models.autoencoder import COMPRESSION, StickerAutoencoder


def model() -> StickerAutoencoder:
    torch.manual_seed(0)
    return StickerAutoencoder(
        encoder_widths=(8, 16), encoder_blocks=(1, 1), decoder_widths=(8, 16), decoder_blocks=(1, 1)
    ).eval()


def test_shapes_and_range() -> None:
    vae, image = model(), torch.rand(2, 4, 48, 32)
    latents = vae.encode(image)
    assert latents.shape == (2, 8, 48 // COMPRESSION, 32 // COMPRESSION)
    out = vae(image)
    assert out.shape == image.shape
    assert out.min() >= 0.0
    assert out.max() <= 1.0


def test_statistics_change_the_latent_but_not_the_reconstruction() -> None:
    vae, image = model(), torch.rand(1, 4, 32, 32)
    before, latents = vae(image), vae.encode(image)
    vae.latents_mean.fill_(0.5)
    vae.latents_std.fill_(2.0)
    torch.testing.assert_close(vae.encode(image), (latents - 0.5) / 2.0)
    torch.testing.assert_close(vae(image), before, atol=1e-5, rtol=1e-5)


def test_statistics_are_saved(tmp_path) -> None:
    vae = model()
    vae.latents_std.fill_(3.0)
    vae.save_pretrained(tmp_path)
    assert StickerAutoencoder.from_pretrained(tmp_path).latents_std.unique().tolist() == [3.0]
