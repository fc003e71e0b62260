"""Model sizes in one table: `PRESETS[name]` builds every student, teacher and cloud reference."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any

from edge_stickers.errors import InputError

FRAMES = 8
"""Frames of a clip, everywhere."""
FRAME_MS = 100
"""How long one frame is shown, in milliseconds."""
MAX_TOKENS = 32
"""Tokens of a prompt, the two special ones included."""
STEP_COUNTS = (1, 2, 4, 8)
"""The numbers of denoising steps for which a scheduler table is written."""
STILL_MARGIN = 0.1
"""Share of the canvas left free on each side of the still, so that motion has room."""


@dataclass(frozen=True, slots=True)
class AutoencoderConfig:
    """Shape of the RGBA autoencoder; the latent has 1/8 of the image's height and width."""

    latent_channels: int = 8
    """Channels of the latent."""
    encoder_widths: tuple[int, int] = (48, 96)
    """Channels at 1/4 and at 1/8 of the image size."""
    encoder_blocks: tuple[int, int] = (1, 1)
    """Residual blocks at each of these sizes."""
    decoder_widths: tuple[int, int] = (56, 112)
    """Channels at 1/4 and at 1/8 of the image size."""
    decoder_blocks: tuple[int, int] = (2, 3)
    """Residual blocks at each of these sizes."""
    narrowed: dict[str, int] = field(default_factory=dict)
    """Channels inside the residual blocks that pruning narrowed, by name; 0 for one taken out."""

    def __post_init__(self) -> None:
        if min(self.encoder_widths + self.decoder_widths + (self.latent_channels,)) < 1:
            raise InputError(f"autoencoder widths must be positive, got {asdict(self)}")


@dataclass(frozen=True, slots=True)
class UNetConfig:
    """Shape of the denoiser."""

    sample_size: int = 32
    """Height and width of the latent."""
    in_channels: int = 8
    """Channels of the latent."""
    patch_size: int = 2
    """Latent cells, along a side, that become one position of the first level."""
    widths: tuple[int, ...] = (64, 128)
    """Channels of each level, finest first; a level has half the size of the one before."""
    up_blocks: tuple[int, ...] = (2, 1)
    """Blocks of each level on the way up (there is one on the way down)."""
    embed_dim: int = 256
    """Width of the embedding of time, frame, strength and what the text tells."""
    text_dim: int = 384
    """Width of the text encoder's hidden states."""
    pooled_dim: int = 128
    """Channels of each token from which the text is pooled for the motion field."""
    head_dim: int = 64
    """Channels of one head of the temporal and the text attention."""
    still_heads: int = 4
    """Heads that look at the still."""
    still_head_dim: int = 32
    """Channels of each of these heads."""
    field_width: int = 256
    """Width of the layers that turn text and strength into the motion field."""
    field_harmonics: int = 4
    """Half waves of the motion field along each axis of the canvas; they let a sticker bend."""
    read_channels: int = 12
    """Channels that are read of the still along the motion field."""
    norm_groups: int = 8
    """Groups of every group normalisation."""
    frames: int = FRAMES
    """Frames of a clip."""
    narrowed: dict[str, int] = field(default_factory=dict)
    """What pruning narrowed, by name: channels inside a residual block ("down.0.block"), heads of an attention
    ("up.1.0.text", "middle.attention", "down.0.still"), a temporal convolution ("up.0.1.conv"); 0 for one taken out."""

    def __post_init__(self) -> None:
        smallest = self.patch_size * 2 ** (len(self.widths) - 1)
        if self.sample_size % smallest:
            raise InputError(
                f"sample_size {self.sample_size} must be a multiple of {smallest}; change it or the levels"
            )
        if len(self.up_blocks) != len(self.widths):
            raise InputError(f"up_blocks {self.up_blocks} must name one count for each of widths {self.widths}")
        if self.pooled_dim < 8:
            raise InputError(f"pooled_dim must be at least 8, got {self.pooled_dim}")
        for width in self.widths:
            if width % self.norm_groups or width % min(width, self.head_dim):
                raise InputError(f"width {width} must be a multiple of {self.norm_groups} groups and of the head size")


@dataclass(frozen=True, slots=True)
class TextConfig:
    """How much of MiniLM-L6 is kept."""

    layers: int = 3
    """Transformer layers kept, from the input on; 6 is all."""
    vocabulary: int = 6000
    """Word pieces kept."""


@dataclass(frozen=True, slots=True)
class Preset:
    """One model size."""

    name: str
    image_size: int
    """Height and width of a frame, in pixels."""
    autoencoder: AutoencoderConfig
    unet: UNetConfig
    text: TextConfig

    def to_json(self) -> dict[str, Any]:
        """The preset as plain JSON values."""
        return asdict(self)


PRESETS: dict[str, Preset] = {
    "student": Preset("student", 256, AutoencoderConfig(), UNetConfig(), TextConfig()),
    "teacher": Preset(
        "teacher",
        256,
        AutoencoderConfig(),
        UNetConfig(widths=(192, 384), up_blocks=(2, 2), embed_dim=512, still_heads=8, still_head_dim=48),
        TextConfig(),
    ),
    "cloud": Preset(
        "cloud",
        512,
        AutoencoderConfig(
            encoder_widths=(128, 256), encoder_blocks=(2, 2), decoder_widths=(128, 256), decoder_blocks=(3, 3)
        ),
        UNetConfig(
            sample_size=64,
            patch_size=1,
            widths=(320, 640, 1280, 1280),
            up_blocks=(3, 3, 3, 3),
            embed_dim=1280,
            pooled_dim=512,
            still_heads=8,
            still_head_dim=64,
            norm_groups=32,
        ),
        TextConfig(layers=6, vocabulary=30522),
    ),
}
"""`student` ships, `teacher` is what it may be distilled from, `cloud` has the paper's scale for the GPU reference."""


def preset(name: str) -> Preset:
    """The preset of that name.

    Raises:
        InputError: no such preset; the message lists the known ones.
    """
    if name not in PRESETS:
        raise InputError(f"no preset named {name!r}; known: {', '.join(PRESETS)}")
    return PRESETS[name]
