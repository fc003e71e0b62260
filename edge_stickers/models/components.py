"""The four parts of a student as modules with fixed signatures: what every target converts and every runtime wires."""

from __future__ import annotations

from typing import Literal

from torch import Tensor, nn

from edge_stickers.config import MAX_TOKENS
from edge_stickers.models.autoencoder import COMPRESSION, StickerAutoencoder, decode, encode
from edge_stickers.models.pipeline import StickerPipeline
from edge_stickers.models.unet import StickerUNet
from edge_stickers.spec import Component, ComponentSpec, TensorSpec

MASKED = -1e4
"""Added to the attention's products where there is no token: small enough for nothing, and still a number in fp16."""


class TextEncoderComponent(nn.Module):
    """Prompt tokens to the keys and values that all steps use: `input_ids`, `attention_mask` → `context_kv`."""

    def __init__(self, text_encoder: nn.Module, unet: StickerUNet) -> None:
        super().__init__()
        self.text_encoder = text_encoder
        self.context_projection, self.field_projection = unet.context_projection, unet.field_projection
        self.null_token = unet.null_token

    def forward(self, input_ids: Tensor, attention_mask: Tensor) -> Tensor:
        """(1, T) int64 twice to (1, T, K)."""
        # A mask of four dimensions is used as it stands; from two, transformers makes one with operators that
        # converters do not know.
        tokens = attention_mask.shape[1]
        bias = (1.0 - attention_mask.to(self.null_token.dtype)) * MASKED
        bias = bias[:, None, None, :].expand(-1, 1, tokens, tokens)
        hidden = self.text_encoder(input_ids=input_ids, attention_mask=bias).last_hidden_state
        return StickerUNet.project_context(self, hidden, attention_mask)


class AutoencoderHalf(nn.Module):
    """One coder of an autoencoder, by its own name, so that a part holds no layers that it never runs.

    Args:
        vae: the whole.
        coder: "encoder" or "decoder".
    """

    def __init__(self, vae: StickerAutoencoder, coder: Literal["encoder", "decoder"]) -> None:
        super().__init__()
        self.coder = coder
        self.add_module(coder, getattr(vae, coder))
        self.latents_mean: Tensor
        self.latents_std: Tensor
        self.register_buffer("latents_mean", vae.latents_mean)
        self.register_buffer("latents_std", vae.latents_std)

    def forward(self, x: Tensor) -> Tensor:
        """An image to its latent, or a latent to its image, see `edge_stickers.models.autoencoder`."""
        code = encode if self.coder == "encoder" else decode
        return code(self.get_submodule(self.coder), x, mean=self.latents_mean, std=self.latents_std)


class ImageEncoderComponent(nn.Module):
    """The still to its latent: `image` → `image_latents`."""

    def __init__(self, vae: StickerAutoencoder) -> None:
        super().__init__()
        self.vae = AutoencoderHalf(vae, "encoder")

    def forward(self, image: Tensor) -> Tensor:
        """(1, 4, H, W) to (1, C, h, w)."""
        out: Tensor = self.vae(image)
        return out


class UNetComponent(nn.Module):
    """One denoising step of one clip; see `StickerUNet.forward`."""

    def __init__(self, unet: StickerUNet) -> None:
        super().__init__()
        self.unet = unet

    def forward(
        self, sample: Tensor, timestep: Tensor, context_kv: Tensor, image_latents: Tensor, motion_strength: Tensor
    ) -> Tensor:
        """(F, C, h, w), (1,), (1, T, K), (1, C, h, w), (1,) to (F, C, h, w)."""
        out: Tensor = self.unet(sample, timestep, context_kv, image_latents, motion_strength)
        return out


class DecoderComponent(nn.Module):
    """Latents to premultiplied RGBA: `latents` → `image`."""

    def __init__(self, vae: StickerAutoencoder) -> None:
        super().__init__()
        self.vae = AutoencoderHalf(vae, "decoder")

    def forward(self, latents: Tensor) -> Tensor:
        """(F, C, h, w) to (F, 4, H, W) in 0..1."""
        out: Tensor = self.vae(latents)
        return out.clamp(0.0, 1.0)


def component_modules(pipeline: StickerPipeline) -> dict[Component, nn.Module]:
    """The parts of a pipeline, in evaluation mode, sharing its weights."""
    modules: dict[Component, nn.Module] = {
        "text_encoder": TextEncoderComponent(pipeline.text_encoder, pipeline.unet),
        "image_encoder": ImageEncoderComponent(pipeline.vae),
        "unet": UNetComponent(pipeline.unet),
        "decoder": DecoderComponent(pipeline.vae),
    }
    return {name: module.eval() for name, module in modules.items()}


def component_specs(pipeline: StickerPipeline) -> dict[Component, ComponentSpec]:
    """Inputs and outputs of these parts for one clip."""
    unet = pipeline.unet.config
    frames, channels, size = unet.frames, unet.in_channels, unet.sample_size
    pixels = size * COMPRESSION
    ids = TensorSpec("input_ids", (1, MAX_TOKENS), "int64")
    mask = TensorSpec("attention_mask", (1, MAX_TOKENS), "int64")
    context = TensorSpec("context_kv", (1, MAX_TOKENS, pipeline.unet.context_dim))
    still = TensorSpec("image_latents", (1, channels, size, size))
    sample = TensorSpec("sample", (frames, channels, size, size))
    prediction = TensorSpec("noise_pred", sample.shape)
    scalars = TensorSpec("timestep", (1,)), TensorSpec("motion_strength", (1,))
    specs = (
        ComponentSpec("text_encoder", (ids, mask), (context,)),
        ComponentSpec("image_encoder", (TensorSpec("image", (1, 4, pixels, pixels)),), (still,)),
        ComponentSpec("unet", (sample, scalars[0], context, still, scalars[1]), (prediction,)),
        ComponentSpec(
            "decoder",
            (TensorSpec("latents", sample.shape),),
            (TensorSpec("image", (frames, 4, pixels, pixels)),),
        ),
    )
    return {spec.component: spec for spec in specs}
