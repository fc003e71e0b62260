"""A precision for every layer, chosen by what its rounding does to the frames, to meet a target."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edge_stickers.errors import ConversionError, InputError
from edge_stickers.models.pipeline import StickerPipeline
from edge_stickers.quantize.clips import STICKERS, ClipMaker, ClipParts, clip_tasks
from edge_stickers.quantize.recipe import Precision, Recipe, Rule
from edge_stickers.quantize.sensitivity import TRIED, Effect, Layer, Sensitivity, effect_of

COSTS: dict[Precision, float] = {"w8a8": 1.0, "w8a8-dynamic": 1.3, "float": 3.3}
"""Time of an operation, as a multiple of an int8 one: XNNPACK's rates of convolutions are 690 and 210 GFLOP/s."""
GFLOP_A_MEGABYTE = 0.1
"""What reading a megabyte more of weights costs, in int8 operations: a tenth of a millisecond, at 10 GB/s."""
WORST_BELOW_MEAN_DB = 5.0
"""How far below the mean the worst frame may lie, as the floors of `verify` have it: 35 and 30 dB."""
HEADROOM_DB = 1.0
"""How much better than its target a recipe is made, on the stickers that it is chosen on, to hold on others."""
_FLOAT_BYTES = 4
_MOST_ROUNDS = 40


@dataclass(frozen=True, slots=True)
class Mixed:
    """What was chosen."""

    recipe: Recipe
    effect: Effect
    """Of all its layers together, measured."""
    megabytes: float
    """Of the weights, floating ones in fp32."""

    @property
    def mean_psnr_db(self) -> float:
        """Over all frames' mean squared error, on the stickers that it was chosen on."""
        return decibels(self.effect.mse)


def choose_mixed(
    pipeline: StickerPipeline,
    sensitivity: Sensitivity,
    *,
    min_psnr: float | None = None,
    max_mb: float | None = None,
    stickers: Path = STICKERS,
    on_progress: Callable[[str, int, int], None] = lambda _what, _done, _all: None,
) -> Mixed:
    """The fastest recipe whose frames are near enough, or the most exact one that is small enough.

    Errors of layers add up, nearly: with `min_psnr` all layers start in int8, and those give it up first whose error is
    largest for the time that int8 saves them, until the frames of whole clips, measured, are near enough. With `max_mb`
    all start in floating point, and those go to int8 first whose error is smallest for the bytes that they save.

    Args:
        pipeline: the student, fp32.
        sensitivity: all of its layers measured.
        min_psnr: mean PSNR of the frames against fp32's, in dB; the worst frame may lie 5 dB below.
        max_mb: of the weights, in units of 10^6 bytes, floating ones in fp32.
        stickers: a folder of stills, the same as the sensitivity was measured on.
        on_progress: (what is done now, trials done, trials at most).

    Raises:
        InputError: neither target is given, or the sensitivity is not whole.
        ConversionError: no recipe meets the target; the message says what can be had.
    """
    if min_psnr is None and max_mb is None:
        raise InputError("a mixed recipe needs a target; expected a least PSNR, such as 35 dB, or a most size, in MB")
    if not sensitivity.measured:
        raise InputError("some layers were not measured; go on with edge-stickers quantize --recipe mixed")
    layers = sensitivity.layers
    fixed = sum(p.numel() for part in _parts(pipeline) for p in part.parameters()) - sum(
        layer.weights for layer in layers.values()
    )
    chosen: dict[str, Precision] = {}
    if max_mb is not None:
        chosen = _small_enough(layers, fixed, max_mb)
    maker = ClipMaker(pipeline)
    tasks = list(clip_tasks(pipeline, sensitivity.clips, stickers=stickers))
    plain = [maker.make(task) for task in tasks]
    if min_psnr is None:
        recipe = _recipe(sensitivity, chosen)
        return Mixed(recipe, _measure(maker, tasks, plain, recipe), _megabytes(layers, fixed, chosen))
    must = {name for name, precision in chosen.items() if precision != "float"}
    effect, chosen = _near_enough(
        sensitivity, must, min_psnr, lambda recipe: _measure(maker, tasks, plain, recipe), on_progress
    )
    if not _reaches(effect, min_psnr):
        within = f" within {max_mb:g} MB" if max_mb is not None else ""
        got = f"{decibels(effect.mse):.1f} dB on average and {decibels(effect.worst_mse):.1f} dB at worst"
        raise ConversionError(
            f"no mixed recipe reaches {min_psnr:g} dB{within}: the best has {got}; ask for less, or train the "
            "student in int8: edge-stickers quantize --recover"
        )
    return Mixed(_recipe(sensitivity, chosen), effect, _megabytes(layers, fixed, chosen))


def decibels(mse: float) -> float:
    """PSNR of a mean squared error, peak 1, at most 200."""
    return 200.0 if mse <= 1e-20 else min(200.0, -10.0 * math.log10(mse))


def _near_enough(
    sensitivity: Sensitivity,
    must: set[str],
    min_psnr: float,
    measure: Callable[[Recipe], Effect],
    on_progress: Callable[[str, int, int], None],
) -> tuple[Effect, dict[str, Precision]]:
    """Gives up int8 layer by layer until what is measured is near enough, or nothing is left to give up."""
    layers = sensitivity.layers
    chosen: dict[str, Precision] = dict.fromkeys(layers, "w8a8")
    goal = 10 ** (-(min_psnr + HEADROOM_DB) / 10)
    allowed = goal
    for trial in range(_MOST_ROUNDS):
        while sum(_error(layers[name], precision) for name, precision in chosen.items()) > allowed:
            step = _best_step(layers, chosen, must)
            if step is None:
                break
            chosen[step[0]] = step[1]
        on_progress(f"trial {trial + 1}", trial, _MOST_ROUNDS)
        effect = measure(_recipe(sensitivity, chosen))
        step = _best_step(layers, chosen, must)
        if _reaches(effect, min_psnr + HEADROOM_DB) or step is None or trial == _MOST_ROUNDS - 1:
            return effect, chosen
        chosen[step[0]] = step[1]  # what was predicted was too little
        allowed /= min(max(effect.mse / goal, 1.2), 2.0)
    raise AssertionError("the last round returns")


def _best_step(layers: dict[str, Layer], chosen: dict[str, Precision], must: set[str]) -> tuple[str, Precision] | None:
    """The change to a finer precision that takes most error away for the time that it costs."""
    best: tuple[float, str, Precision] | None = None
    finest: tuple[Precision, ...] = (*TRIED, "float")
    for name, now in chosen.items():
        for other in finest:
            finer = _error(layers[name], now) - _error(layers[name], other)
            slower = _cost(layers[name], other) - _cost(layers[name], now)
            if finer <= 0 or slower <= 0 or (other == "float" and name in must):
                continue
            gain = finer / slower
            if best is None or gain > best[0]:
                best = gain, name, other
    return None if best is None else best[1:]


def _small_enough(layers: dict[str, Layer], fixed: int, max_mb: float) -> dict[str, Precision]:
    """Has as few layers in int8 as the size asks for, each in the precision that costs the frames least."""
    chosen: dict[str, Precision] = dict.fromkeys(layers, "float")
    finest: dict[str, Precision] = {}
    for name, layer in layers.items():
        _, finest[name] = min((effect.mse, precision) for precision, effect in layer.effects.items())
    by_price = sorted((_error(layer, finest[name]) / max(layer.weights, 1), name) for name, layer in layers.items())
    for _, name in by_price:
        if _megabytes(layers, fixed, chosen) <= max_mb:
            break
        chosen[name] = finest[name]
    least = _megabytes(layers, fixed, chosen)
    if least > max_mb:
        raise ConversionError(
            f"no recipe is as small as {max_mb:g} MB: with every layer in int8 the weights take {least:.3g} MB; "
            "ask for more, or prune the student first"
        )
    return chosen


def _recipe(sensitivity: Sensitivity, chosen: dict[str, Precision]) -> Recipe:
    """One rule a layer, the layers of a precision together."""
    rules = [
        Rule(
            layers=name,
            # of a table of an embedding the weights alone are rounded, whatever was tried
            precision="w8a16" if sensitivity.layers[name].operator == "embedding" and given != "float" else precision,
            because=_because(sensitivity.layers[name]),
        )
        for precision in (*TRIED, "float")
        for name, given in chosen.items()
        if given == precision
    ]
    ranges = sensitivity.ranges  # tables of an embedding have none
    static = {name: ranges[name] for name, precision in chosen.items() if precision == "w8a8" and name in ranges}
    return Recipe(
        name="mixed",
        rules=tuple(rules),
        calibration=sensitivity.calibration,
        ranges=static,
        model_sha256=sensitivity.model_sha256,
    )


def _because(layer: Layer) -> str:
    tried = ", ".join(f"{decibels(layer.effects[each].mse):.1f} dB in {each}" for each in TRIED)
    return f"alone: {tried}; {layer.gflop:.2f} GFLOP a clip"


def _measure(maker: ClipMaker, tasks: Sequence[Any], plain: Sequence[ClipParts], recipe: Recipe) -> Effect:
    rounded = tuple(rule for rule in recipe.rules if rule.precision != "float")
    return effect_of(maker, tasks, plain, recipe.model_copy(update={"rules": rounded}))


def _reaches(effect: Effect, min_psnr: float) -> bool:
    return decibels(effect.mse) >= min_psnr and decibels(effect.worst_mse) >= min_psnr - WORST_BELOW_MEAN_DB


def _error(layer: Layer, precision: Precision) -> float:
    return layer.effects[precision].mse if precision in layer.effects else 0.0


def _cost(layer: Layer, precision: Precision) -> float:
    """Time of a layer in a clip, in units of 10^9 int8 operations."""
    return COSTS[precision] * layer.gflop + GFLOP_A_MEGABYTE * _bytes(layer, precision) / 1e6


def _bytes(layer: Layer, precision: Precision) -> int:
    return layer.weights * (_FLOAT_BYTES if precision == "float" else 1)


def _megabytes(layers: dict[str, Layer], fixed: int, chosen: dict[str, Precision]) -> float:
    inside = sum(_bytes(layer, chosen[name]) for name, layer in layers.items())
    return (inside + _FLOAT_BYTES * fixed) / 1e6


def _parts(pipeline: StickerPipeline) -> tuple[Any, ...]:
    return pipeline.unet, pipeline.vae, pipeline.text_encoder
