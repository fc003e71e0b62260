"""A smaller student without what goes: ordinary weights in ordinary folders, no zeros and no masks."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import nn

from edge_stickers.errors import MissingDependencyError
from edge_stickers.models.layers import ResBlock, StillAttention, TextAttention
from edge_stickers.models.pipeline import StickerPipeline
from edge_stickers.models.temporal import TemporalAttention
from edge_stickers.models.unet import StickerUNet
from edge_stickers.quantize.pruning.structures import PARTS, structures_of


def cut(pipeline: StickerPipeline, goes: Mapping[str, Sequence[int]]) -> StickerPipeline:
    """A student without some channels and heads, its configuration rewritten; the one it is made of stays as it is.

    Args:
        pipeline: the student.
        goes: of `choose_units`.

    Raises:
        MissingDependencyError: torch-pruning is not installed.
    """
    parts: dict[str, Any] = {name: copy.deepcopy(getattr(pipeline, name)) for name in PARTS}
    smaller = StickerPipeline(**parts, tokenizer=pipeline.tokenizer, scheduler=pipeline.scheduler)
    narrowed: dict[str, dict[str, int]] = {"unet": {}, "vae": {}}
    width = 0
    for each in structures_of(smaller, steps=1):
        indices = list(goes.get(f"{each.part}/{each.name}", ()))
        if not indices:
            continue
        left = each.width - len(indices) if each.kind in ("channels", "feed_forward") else each.units - len(indices)
        if each.kind == "feed_forward":
            _narrow_feed_forward(each.module, indices)
            width = left
            continue
        narrowed[each.part][each.name] = left
        if each.kind == "channels" and left:
            _narrow_block(each.module, indices)
        elif isinstance(each.module, TextAttention):
            _narrow_context(smaller.unet, each.module, indices)
        if each.kind == "heads" and left:
            _narrow_heads(each.module, indices)

    for name in ("unet", "vae"):
        old = parts[name]
        known = dict(old.config.narrowed or {}) | narrowed[name]
        fields = {key: value for key, value in old.config.items() if not key.startswith("_")}
        new = type(old)(**{**fields, "narrowed": known})
        kept = new.state_dict().keys()
        new.load_state_dict({key: value for key, value in old.state_dict().items() if key in kept})
        parts[name] = new.eval()
    if width:
        parts["text_encoder"].config.intermediate_size = width  # its layers are what they shall be already
    return StickerPipeline(**parts, tokenizer=pipeline.tokenizer, scheduler=pipeline.scheduler)


def pruning_library() -> Any:
    """torch-pruning.

    Raises:
        MissingDependencyError: it is not installed.
    """
    try:
        import torch_pruning
    except ImportError as error:
        raise MissingDependencyError("pruning needs torch-pruning; run: pip install 'edge-stickers[train]'") from error
    return torch_pruning


def _narrow_block(block: nn.Module, channels: list[int]) -> None:
    """Takes channels out between a block's convolutions, and all that the trace of the block ties to them."""
    tp = pruning_library()
    first: Any = block.conv1
    example: tuple[torch.Tensor, ...] = (torch.zeros(1, first.in_channels, 4, 4),)
    if isinstance(block, ResBlock):
        example = (*example, torch.zeros(1, block.modulation.in_features))
    graph = tp.DependencyGraph().build_dependency(block.requires_grad_(True), example_inputs=example)
    graph.get_pruning_group(first, tp.prune_conv_out_channels, idxs=channels).prune()


def _narrow_feed_forward(layer: nn.Module, channels: list[int]) -> None:
    tp = pruning_library()
    wide: Any = layer.intermediate
    narrow: Any = layer.output
    tp.prune_linear_out_channels(wide.dense, channels)
    tp.prune_linear_in_channels(narrow.dense, channels)


def _narrow_heads(attention: nn.Module, heads: list[int]) -> None:
    """Takes heads out of an attention's own layers."""
    tp = pruning_library()
    out: Any = attention.to_out
    match attention:
        case StillAttention():
            dim = attention.head_dim
            tp.prune_conv_out_channels(attention.to_query, _channels(heads, dim - 2))
            tp.prune_conv_out_channels(attention.to_key, _channels(heads, dim - 4))
            tp.prune_conv_out_channels(attention.to_value, _channels(heads, dim))
            tp.prune_conv_in_channels(out, _channels(heads, dim))
            for name in ("log_sharpness", "corners"):
                kept = [head for head in range(attention.heads) if head not in heads]
                setattr(attention, name, nn.Parameter(getattr(attention, name).detach()[kept].clone()))
        case TemporalAttention():
            dim, wide = attention.head_dim, attention.width
            channels = _channels(heads, dim)
            tp.prune_linear_out_channels(attention.to_query_key, [*channels, *(wide + each for each in channels)])
            tp.prune_linear_out_channels(attention.to_value, channels)
            tp.prune_linear_in_channels(out, channels)
        case TextAttention():
            channels = _channels(heads, attention.head_dim)
            tp.prune_linear_out_channels(attention.to_query, channels)
            tp.prune_linear_in_channels(out, channels)


def _narrow_context(unet: StickerUNet, attention: TextAttention, heads: list[int]) -> None:
    """Takes a text attention's keys and values out of the context's projection."""
    tp = pruning_library()
    readers = [module for module in unet.modules() if isinstance(module, TextAttention)]
    index = readers.index(attention)
    first = 2 * sum(unet.text_widths[:index])
    channels = [first + each for each in _channels(heads, attention.head_dim)]
    tp.prune_linear_out_channels(
        unet.context_projection, [*channels, *(unet.text_widths[index] + each for each in channels)]
    )
    unet.text_widths[index] -= len(channels)


def _channels(heads: Sequence[int], dim: int) -> list[int]:
    """The channels of some heads of `dim` channels each."""
    return [head * dim + channel for head in heads for channel in range(dim)]
