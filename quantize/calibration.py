"""Ranges of activations: each layer watched while the student makes whole clips of real stickers."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from edge_stickers.models.pipeline import StickerPipeline
from edge_stickers.quantize.clips import STICKERS, ClipMaker, clip_tasks
from edge_stickers.quantize.layers import layers_of, running_part
from edge_stickers.quantize.recipe import HIGHEST, LOWEST, Calibration, Range, Recipe

_MOST = 2**18
"""Values of one call that a histogram is made of; an even share of them where there are more."""


def calibrate(
    pipeline: StickerPipeline,
    recipe: Recipe,
    *,
    stickers: Path = STICKERS,
    model_sha256: str = "",
    on_clip: Callable[[int, int], None] = lambda _done, _all: None,
) -> Recipe:
    """Finds the range of each layer that the recipe wants in 8 bits.

    Every family of motion has its turn, each clip with another prompt, strength and noise, every step of it observed.

    Args:
        pipeline: the student, fp32.
        recipe: its `calibration` says how many clips, and what counts as a range.
        stickers: a folder of stills; those that the student is held against later should not be among them.
        model_sha256: of the model folder, to be kept in the recipe.
        on_clip: (clips done, clips in all).

    Returns:
        The recipe with its ranges.

    Raises:
        InputError: the folder holds no two stills.
    """
    maker, clips = ClipMaker(pipeline), recipe.calibration.clips
    with _watched(maker.modules, recipe) as ranges:
        for index, task in enumerate(clip_tasks(pipeline, clips, stickers=stickers)):
            maker.make(task)
            on_clip(index + 1, clips)
    return recipe.model_copy(update={"ranges": ranges(), "model_sha256": model_sha256})


@contextmanager
def _watched(modules: Mapping[Any, nn.Module], recipe: Recipe) -> Iterator[Callable[[], dict[str, Range]]]:
    """Observes what goes into the layers that need ranges and comes out; gives a function of the ranges so far."""
    from torchao.quantization.pt2e import HistogramObserver, MinMaxObserver

    kind: Any = MinMaxObserver if recipe.calibration.clipping == "minmax" else HistogramObserver
    int8: Any = {"dtype": torch.int8, "qscheme": torch.per_tensor_affine, "quant_min": LOWEST, "quant_max": HIGHEST}
    watchers: dict[str, tuple[Any, Any]] = {}

    def watch(name: str) -> Callable[[nn.Module, Sequence[Tensor], Tensor], None]:
        def look(_: nn.Module, inputs: Sequence[Tensor], output: Tensor) -> None:
            if name.split("/")[0] != running():  # parts share layers: each has a range for the part that runs
                return
            if name not in watchers:
                watchers[name] = (kind(**int8), kind(**int8))
            for watcher, values in zip(watchers[name], (inputs[0], output), strict=True):
                flat = values.detach().float().reshape(-1)
                watcher(flat[:: max(1, flat.numel() // _MOST)] if kind is HistogramObserver else flat)

        return look

    hooks = [
        layer.register_forward_hook(watch(name))
        for name, (layer, operator) in layers_of(modules).items()
        if recipe.precision(name, operator) == "w8a8" and operator != "embedding"
    ]
    try:
        with running_part(modules) as running:
            yield lambda: {
                name: Range(input=_limits(into, recipe.calibration), output=_limits(out, recipe.calibration))
                for name, (into, out) in watchers.items()
            }
    finally:
        for hook in hooks:
            hook.remove()


def _limits(watcher: Any, calibration: Calibration) -> tuple[float, float]:
    """The range of what was observed; of scale and zero point that the observer chose, but for percentiles."""
    if calibration.clipping == "percentile":
        below = watcher.histogram.double().cumsum(0) / watcher.histogram.double().sum()
        edges = torch.linspace(float(watcher.min_val), float(watcher.max_val), len(below) + 1)
        tail = (1.0 - calibration.percentile / 100.0) / 2.0
        first = int((below <= tail).sum())  # bins that lie in the tail as a whole
        last = int((below < 1.0 - tail).sum()) + 1
        return float(edges[first]), float(edges[min(last, len(below))])
    scale, zero = (float(each) for each in watcher.calculate_qparams())
    return (LOWEST - zero) * scale, (HIGHEST - zero) * scale
