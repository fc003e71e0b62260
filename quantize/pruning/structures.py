"""What may be taken out of a student: channels inside residual blocks, heads, temporal layers, feed-forward width."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal, cast

from torch import Tensor, nn

from edge_stickers.models.autoencoder import ConvBlock
from edge_stickers.models.layers import ResBlock, StillAttention, TextAttention
from edge_stickers.models.pipeline import StickerPipeline
from edge_stickers.models.temporal import TemporalAttention, TemporalConv
from edge_stickers.quantize.operations import operations_of
from edge_stickers.spec import Component

Part = Literal["unet", "vae", "text_encoder"]
PARTS: tuple[Part, ...] = ("unet", "vae", "text_encoder")
"""Parts of a student that are pruned, each by itself, as the folders of a pipeline are named."""
PART_OF: dict[Component, Part] = {
    "text_encoder": "text_encoder",
    "image_encoder": "vae",
    "unet": "unet",
    "decoder": "vae",
}
"""Where the weights of each component are."""
Kind = Literal["channels", "heads", "whole", "feed_forward"]
CHANNEL_STEP = 8
"""Channels that go at once where no normalisation says how many: vector units take eight or sixteen."""
FEED_FORWARD_STEP = 64
"""Channels of the feed-forward layers that go at once, in every layer of a text encoder alike."""


@dataclass(frozen=True, slots=True)
class Structure:
    """A part of a student that can be narrowed by units."""

    part: Part
    """Of the pipeline."""
    name: str
    """As the part's configuration names it in `narrowed`; of a layer's block for `feed_forward`."""
    kind: Kind
    """What a unit is: a few channels, a head, all of it, or a slice of a feed-forward layer."""
    module: nn.Module
    """What is narrowed."""
    consumer: nn.Module
    """The layer inside that reads what goes: its input is what importance is measured on."""
    units: int
    """How many there are."""
    least: int
    """How many must stay."""
    groups: int
    """Groups of the normalisation over the channels, each of which loses as many; 1 where there is none."""
    flops: float
    """Floating-point operations of one unit in a clip."""

    @property
    def width(self) -> int:
        """Channels that the consumer reads."""
        weight = self.consumer.weight
        assert isinstance(weight, Tensor)
        return int(weight.shape[1])


def structures_of(pipeline: StickerPipeline, *, steps: int) -> list[Structure]:
    """All that may be taken out of a student.

    The way between two blocks keeps its width, so that a pruned model's features can be held against those of the
    model it was made of.

    Args:
        pipeline: the student.
        steps: N of a clip, for the count of operations.
    """
    counted = clip_flops(pipeline, steps=steps)
    found: list[Structure] = []
    for part in PARTS:
        module: nn.Module = getattr(pipeline, part)
        for name, child in module.named_modules():
            if part == "vae" and name.startswith("encoder"):
                continue  # it runs once, on one picture, and defines the latent that all the rest was trained on
            for kind, consumer, units, least, groups, cost in _units(name, child):
                flops = sum(counted[f"{part}.{each}"] for each in cost) / units
                found.append(Structure(part, name, kind, child, consumer, units, least, groups, flops))
    return found


def _units(name: str, module: nn.Module) -> Iterator[tuple[Kind, nn.Module, int, int, int, tuple[str, ...]]]:
    """Kind, consumer, units, units that stay, groups, and the names of the modules whose cost the units share."""
    match module:
        case ResBlock():
            groups = module.norm2.num_groups
            convolutions = (f"{name}.conv1", f"{name}.conv2")
            yield "channels", module.conv2, module.conv2.in_channels // groups, 1, groups, convolutions
        case ConvBlock() if module.conv2.in_channels >= CHANNEL_STEP:
            yield "channels", module.conv2, module.conv2.in_channels // CHANNEL_STEP, 0, 1, (name,)
        case StillAttention():
            yield "heads", module.to_out, module.heads, 1, 1, (name,)
        case TextAttention() | TemporalAttention():
            yield "heads", module.to_out, module.heads, 0, 1, (name,)
        case TemporalConv():
            yield "whole", module.conv, 1, 0, 1, (name,)
        case nn.Module(
            intermediate=nn.Module(dense=nn.Linear() as wide), output=nn.Module(dense=nn.Linear() as narrow)
        ) if wide.out_features > FEED_FORWARD_STEP:
            units = wide.out_features // FEED_FORWARD_STEP
            yield "feed_forward", narrow, units, 1, 1, (f"{name}.intermediate.dense", f"{name}.output.dense")
        case _:
            pass


def clip_flops(pipeline: StickerPipeline, *, steps: int) -> dict[str, float]:
    """Floating-point operations of a clip, by `part.module`; all of a part's under its name alone.

    Args:
        pipeline: the student.
        steps: N, how often its denoiser runs.
    """
    total: dict[str, float] = dict.fromkeys(PARTS, 0.0)
    for name, flops in operations_of(pipeline, steps=steps).items():
        component, _, inside = name.partition("/")
        part = PART_OF[cast(Component, component)]
        if not inside:
            total[part] += flops
        elif inside.startswith(f"{part}."):
            total[inside] = flops
    return total
