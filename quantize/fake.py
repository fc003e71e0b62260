"""Int8 as PyTorch can feel it: layers whose weights and activations are rounded, in floating point (fake quantisation).

What `edge_stickers.quantize.pt2e` writes into a program, and XNNPACK makes of it, this does to the modules themselves:
to try a precision on whole clips without lowering anything, and to train against it, for gradients pass the rounding
unchanged.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize

from edge_stickers.quantize.layers import layers_of, running_part
from edge_stickers.quantize.pt2e import EPS, range_of, scale_and_zero
from edge_stickers.quantize.recipe import HIGHEST, INT8, LOWEST, Range, Recipe


@contextmanager
def fake_quantized(modules: Mapping[Any, nn.Module], recipe: Recipe) -> Iterator[None]:
    """Has the layers that a recipe wants in int8 round while the block runs; afterwards all is as it was.

    Args:
        modules: a student's parts, by component.
        recipe: with ranges where its activations are static.

    Raises:
        ConversionError: a layer has no range.
    """
    layers = layers_of(modules)
    owners = Counter(id(layer) for layer, _ in layers.values())
    hooks: list[Any] = []
    rounded: list[nn.Module] = []
    try:
        with running_part(modules) as running:
            for name, (layer, operator) in layers.items():
                precision = recipe.precision(name, operator)
                shared = owners[id(layer)] > 1  # parts share layers: each rounds for the part that runs
                if precision not in INT8 or (shared and precision == "w8a8" and name not in recipe.ranges):
                    continue
                floating = precision == "w8a16" or operator == "embedding"  # what goes in and comes out
                component = name.split("/")[0]
                runs = (lambda component=component: running() == component) if shared else _always
                weight = RoundedWeight(axis=1 if operator == "conv_transpose2d" else 0, runs=runs)
                parametrize.register_parametrization(layer, "weight", weight)
                rounded.append(layer)
                if not floating:
                    known = range_of(recipe, name) if precision == "w8a8" else None
                    hooks += _round_activations(layer, known, runs)
            yield
    finally:
        for hook in hooks:
            hook.remove()
        for layer in rounded:
            if parametrize.is_parametrized(layer, "weight"):
                parametrize.remove_parametrizations(layer, "weight", leave_parametrized=False)


def _always() -> bool:
    return True


class RoundedWeight(nn.Module):
    """A weight rounded to int8, symmetrically, with one scale an output channel.

    Args:
        axis: of the output channels.
        runs: whether to round now.
    """

    def __init__(self, *, axis: int, runs: Callable[[], bool] = _always) -> None:
        super().__init__()
        self.axis, self.runs = axis, runs

    def forward(self, weight: Tensor) -> Tensor:
        """The same shape; its gradient passes unchanged."""
        if not self.runs():
            return weight
        with torch.no_grad():
            channels = weight.detach().transpose(0, self.axis).flatten(1)
            scale = (channels.abs().amax(dim=1) / HIGHEST).clamp_min(EPS)
        zero = torch.zeros_like(scale, dtype=torch.int32)
        return torch.fake_quantize_per_channel_affine(weight, scale, zero, self.axis, -HIGHEST, HIGHEST)


def round_static(values: Tensor, limits: tuple[float, float]) -> Tensor:
    """Values as int8 with the scale of a range holds them; beyond the range they are cut off."""
    scale, zero = scale_and_zero(limits)
    return torch.fake_quantize_per_tensor_affine(values.float(), scale, zero, LOWEST, HIGHEST).to(values.dtype)


def round_dynamic(values: Tensor) -> Tensor:
    """Values as int8 holds them with the scale of each row's own range, of images with each image's, as XNNPACK has it.

    Args:
        values: (..., D) or (N, C, H, W).
    """
    inside = (1, 2, 3) if values.dim() == 4 else (-1,)
    low, high = values.detach().amin(inside, keepdim=True).clamp(max=0), values.detach().amax(inside, keepdim=True)
    scale = ((high.clamp(min=0) - low) / (HIGHEST - LOWEST)).clamp_min(EPS)
    zero = (LOWEST - (low / scale).round()).clamp(LOWEST, HIGHEST)
    rounded = (((values / scale).round() + zero).clamp(LOWEST, HIGHEST) - zero) * scale
    return values + (rounded - values).detach()  # the gradient passes as if nothing had been rounded


def _round_activations(layer: nn.Module, known: Range | None, runs: Callable[[], bool]) -> list[Any]:
    """Hooks that round what goes in, and, where ranges are known, what comes out."""

    def before(_: nn.Module, inputs: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        if not runs():
            return inputs
        first = round_dynamic(inputs[0]) if known is None else round_static(inputs[0], known.input)
        return (first, *inputs[1:])

    def after(_: nn.Module, _inputs: tuple[Tensor, ...], output: Tensor) -> Tensor:
        return output if known is None or not runs() else round_static(output, known.output)

    return [layer.register_forward_pre_hook(before), layer.register_forward_hook(after)]
