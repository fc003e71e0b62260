"""What each layer's rounding does to the final frames: one layer at a time, on whole clips, kept in a file."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, ValidationError
from torch import nn

from edge_stickers.bundle.manifest import Count, Entry, first_problem
from edge_stickers.bundle.reader import folder_sha256
from edge_stickers.errors import InputError
from edge_stickers.media.write import write_atomically
from edge_stickers.models.pipeline import StickerPipeline
from edge_stickers.quantize.calibration import calibrate
from edge_stickers.quantize.clips import STICKERS, ClipMaker, ClipParts, clip_tasks
from edge_stickers.quantize.fake import fake_quantized
from edge_stickers.quantize.layers import layers_of
from edge_stickers.quantize.operations import operations_of
from edge_stickers.quantize.recipe import Calibration, Precision, Range, Recipe, Rule
from edge_stickers.quantize.runs import expect_same
from edge_stickers.sampling.sampler import DEFAULT_STEPS
from edge_stickers.spec import COMPONENTS

TRIED: tuple[Precision, ...] = ("w8a8", "w8a8-dynamic")
"""Precisions that every layer is tried in, the faster one first."""
CLIPS = 3
"""Clips that each is tried on, of the first families of motion: travel, hop, sway."""
SAVE_EVERY = 8
"""Layers between two writings of the file."""


class Effect(Entry):
    """What one layer in one precision does to the frames, all else in floating point."""

    mse: float
    """Mean squared error over all clips, frames and pixels, premultiplied RGBA in 0..1."""
    worst_mse: float
    """Of the worst frame."""


class Layer(Entry):
    """A layer that a recipe may name."""

    operator: str
    weights: Count
    """How many."""
    gflop: float
    """Of a clip of four steps."""
    effects: dict[Precision, Effect] = Field(default_factory=dict)


class Sensitivity(Entry):
    """Effects of all layers of one model."""

    schema_version: Literal[1] = 1
    model_sha256: str
    clips: Annotated[int, Field(ge=1, le=100)] = CLIPS
    stickers_sha256: str
    """Of the stills that they are made of."""
    calibration: Calibration
    ranges: dict[str, Range]
    """Of every layer, all of them calibrated."""
    layers: dict[str, Layer]
    """By `component/module`; those that never run are left out."""

    @property
    def measured(self) -> bool:
        """Whether nothing is left to be tried."""
        return all(precision in layer.effects for layer in self.layers.values() for precision in TRIED)


def measure_sensitivity(
    pipeline: StickerPipeline,
    *,
    model_sha256: str,
    path: Path | None = None,
    calibration: Calibration | None = None,
    clips: int = CLIPS,
    stickers: Path = STICKERS,
    on_progress: Callable[[str, int, int], None] = lambda _what, _done, _all: None,
) -> Sensitivity:
    """Rounds one layer after the other, makes clips, and compares their frames with those of fp32.

    Args:
        pipeline: the student, fp32.
        model_sha256: of its folder.
        path: file that keeps what is known; what it holds of the same model is not measured again. None for no file.
        calibration: how ranges are found; the usual way where None.
        clips: to make with each layer.
        stickers: a folder of stills; those that the student is held against later should not be among them.
        on_progress: (what is done now, layers done, layers in all).

    Raises:
        InputError: the file holds something else, or effects on another model, or of other clips or stickers.
    """
    calibration = calibration or Calibration()
    asked: dict[str, Any] = {
        "model_sha256": model_sha256,
        "clips": clips,
        "stickers_sha256": folder_sha256(stickers),
        "calibration": calibration,
    }
    known = None if path is None else read_sensitivity(path)
    if path is not None and known is not None:
        expect_same(asked, {name: getattr(known, name) for name in asked}, where=path)
    maker = ClipMaker(pipeline)
    if known is None:
        every = Recipe(name="every-layer", rules=(Rule(precision="w8a8"),), calibration=calibration)
        count = every.calibration.clips
        found = calibrate(
            pipeline, every, stickers=stickers, on_clip=lambda done, of: on_progress(f"clip {done} of {of}", 0, count)
        )
        layers = _layers(pipeline, maker, found.ranges)
        known = Sensitivity(**asked, ranges=found.ranges, layers=layers)
    tasks = list(clip_tasks(pipeline, clips, stickers=stickers))
    plain = [maker.make(task) for task in tasks]
    layers = dict(known.layers)
    waiting = [name for name, layer in layers.items() if any(each not in layer.effects for each in TRIED)]
    for index, name in enumerate(waiting):
        on_progress(name, len(layers) - len(waiting) + index, len(layers))
        effects = {
            precision: effect_of(maker, tasks, plain, _alone(name, precision, known.ranges)) for precision in TRIED
        }
        layers[name] = layers[name].model_copy(update={"effects": effects})
        if path is not None and (index % SAVE_EVERY == SAVE_EVERY - 1 or index == len(waiting) - 1):
            _write(known.model_copy(update={"layers": layers}), path)
    return known.model_copy(update={"layers": layers})


def effect_of(maker: ClipMaker, tasks: Sequence[Any], plain: Sequence[ClipParts], recipe: Recipe) -> Effect:
    """What a recipe does to the frames of some clips.

    Args:
        maker: of the student.
        tasks: what the clips are made of.
        plain: the same in fp32.
        recipe: with the ranges that it wants.
    """
    parts = {rule.layers.split("/")[0] for rule in recipe.rules}
    changed = parts.pop() if len(parts) == 1 and parts < set(COMPONENTS) else "all"
    means, worst = [], 0.0
    with fake_quantized(maker.modules, recipe):
        for task, before in zip(tasks, plain, strict=True):
            made = maker.make(task, known=None if changed == "all" else before, changed=changed)
            errors = (made.frames - before.frames).square().flatten(1).mean(dim=1)
            means.append(float(errors.mean()))
            worst = max(worst, float(errors.max()))
    return Effect(mse=sum(means) / len(means), worst_mse=worst)


def read_sensitivity(path: Path) -> Sensitivity | None:
    """What a file keeps; None where there is none.

    Raises:
        InputError: it keeps something else.
    """
    if not path.is_file():
        return None
    try:
        return Sensitivity.model_validate_json(path.read_bytes())
    except ValidationError as error:
        raise InputError(f"{path} keeps no sensitivity ({first_problem(error)}); choose another file") from None


def _alone(name: str, precision: Precision, ranges: Mapping[str, Range]) -> Recipe:
    """One layer rounded."""
    return Recipe(name="one-layer", rules=(Rule(layers=name, precision=precision),), ranges=dict(ranges))


def _layers(pipeline: StickerPipeline, maker: ClipMaker, ranges: Mapping[str, Range]) -> dict[str, Layer]:
    """All that were seen to run."""
    modules: Mapping[Any, nn.Module] = maker.modules
    flops = operations_of(pipeline, steps=DEFAULT_STEPS)
    found: dict[str, Layer] = {}
    for name, (layer, operator) in layers_of(modules).items():
        if name in ranges or operator == "embedding":
            weight: Any = layer.weight
            found[name] = Layer(operator=operator, weights=weight.numel(), gflop=flops.get(name, 0.0) / 1e9)
    return found


def _write(sensitivity: Sensitivity, path: Path) -> None:
    write_atomically(path, (sensitivity.model_dump_json(indent=1) + "\n").encode())
