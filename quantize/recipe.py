"""A recipe: which layer gets which precision, and the ranges that its activations have."""

from __future__ import annotations

from fnmatch import fnmatchcase
from pathlib import Path
from types import MappingProxyType
from typing import Annotated, Literal

from pydantic import Field, ValidationError, model_validator

from edge_stickers.bundle.manifest import Entry, first_problem
from edge_stickers.errors import InputError

Precision = Literal["float", "fp32", "fp16", "w8a16", "w8a8", "w8a8-dynamic"]
"""Of a layer: floating point, as the target has it at its fastest or as named, or int8 weights (symmetric, one scale an
output channel). Activations stay floating (w8a16), or are int8, with a scale found beforehand by calibration or,
dynamic, each row's (of a linear layer) or each image's own; what comes out is floating then."""
LOWEST, HIGHEST = -128, 127
"""Of int8."""
INT8: tuple[Precision, ...] = ("w8a16", "w8a8", "w8a8-dynamic")
FloatPrecision = Literal["float", "fp32", "fp16"]
MAX_BYTES = 4 * 2**20
"""No recipe is larger; a file that is larger is not read."""


class Rule(Entry):
    """Layers, and their precision. Of a recipe's rules the first that fits a layer decides."""

    layers: str = "*"
    """Pattern of `component/module`, as in a shell: `unet/unet.down.*`."""
    operators: str = "*"
    """Pattern of the operator: `conv2d`, `conv_transpose2d`, `linear`, `embedding`.

    Of an embedding the table alone is rounded, one scale a row, whichever 8-bit precision is asked for.
    """
    precision: Precision
    because: Annotated[str, Field(max_length=500)] = ""
    """Why, for reports."""


class Range(Entry):
    """What a layer's activations reach, the rare ones cut off."""

    input: tuple[float, float]
    output: tuple[float, float]

    @model_validator(mode="after")
    def _ordered(self) -> Range:
        for low, high in (self.input, self.output):
            if low > high:
                raise ValueError(f"a range from {low:g} to {high:g} is empty")
        return self


class Calibration(Entry):
    """How ranges are found: whole sampling runs of real stickers, every step of each."""

    clips: Annotated[int, Field(ge=2, le=1000)] = 16
    clipping: Literal["mse", "percentile", "minmax"] = "mse"
    """Whether a range is what loses least when rounded to 8 bits, what most values lie in, or all that was seen."""
    percentile: Annotated[float, Field(gt=50, le=100)] = 99.99
    """Share of the values, in per cent, that lie in a range of that kind; half of the rest is below it."""


class Recipe(Entry):
    """The precision of every layer, one for all targets; see `edge_stickers.quantize.mapping` for what one lacks."""

    schema_version: Literal[1] = 1
    name: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,63}$")]
    rules: tuple[Rule, ...] = ()
    otherwise: FloatPrecision = "float"
    """Of all else: layers that no rule names, norms, attention, arithmetic."""
    calibration: Calibration = Calibration()
    ranges: dict[str, Range] = Field(default_factory=dict)
    """By layer, where calibrated."""
    model_sha256: str = ""
    """Of the model folder that the ranges were found on."""

    def precision(self, layer: str, operator: str) -> Precision:
        """Of one layer.

        Args:
            layer: `component/module`, for instance `decoder/vae.decoder.conv_out`.
            operator: `conv2d`, `conv_transpose2d`, `linear` or `embedding`.
        """
        rule = self.rule(layer, operator)
        return self.otherwise if rule is None else rule.precision

    def rule(self, layer: str, operator: str) -> Rule | None:
        """The first that fits a layer; None where `otherwise` decides. See `precision`."""
        fits = (r for r in self.rules if fnmatchcase(layer, r.layers) and fnmatchcase(operator, r.operators))
        return next(fits, None)

    @property
    def precisions(self) -> tuple[Precision, ...]:
        """All that occur, the floating one first."""
        return tuple(dict.fromkeys((self.otherwise, *(rule.precision for rule in self.rules))))

    @property
    def wants_ranges(self) -> bool:
        """Whether it has to be calibrated before it can be used."""
        return not self.ranges and any(
            rule.precision == "w8a8" and rule.operators != "embedding" for rule in self.rules
        )


_KEPT = (
    Rule(layers="unet/unet.field.*", precision="float", because="motion field: a few rows, and all places follow it"),
    Rule(layers="unet/unet.read.*", precision="float", because="reads the still's latent itself: error goes to frames"),
)
_OUTLIERS = (
    Rule(layers="text_encoder/*", precision="w8a8-dynamic", because="a few channels are far larger than all others"),
    Rule(layers="unet/unet.embedding.*", precision="w8a8-dynamic", because="time embedding: a few rows"),
    Rule(layers="unet/*.modulation", precision="w8a8-dynamic", because="time and text as scales: a few rows"),
    Rule(layers="unet/*.block.conv2", precision="w8a8-dynamic", because="modulation makes single channels large"),
    Rule(layers="unet/*.block.skip", precision="w8a8-dynamic", because="a sum of two levels, one far larger"),
    Rule(layers="unet/unet.conv_*", precision="w8a8-dynamic", because="first and last convolution"),
)


def _all(precision: Precision) -> tuple[Rule, ...]:
    """Every layer that has weights."""
    return tuple(Rule(operators=operators, precision=precision) for operators in ("conv*", "linear", "embedding"))


RECIPES: MappingProxyType[str, Recipe] = MappingProxyType(
    {
        each.name: each
        for each in (
            Recipe(name="fp32", otherwise="fp32"),
            Recipe(name="fp16", otherwise="fp16"),
            Recipe(name="int8", rules=(*_KEPT, *_OUTLIERS, *_all("w8a8"))),
            Recipe(name="int8-dynamic", rules=(*_KEPT, *_all("w8a8-dynamic"))),
            Recipe(name="int8-weight", rules=(*_KEPT, *_all("w8a16"))),
        )
    }
)
"""By name."""


def check_model(recipe: Recipe, sha256: str) -> None:
    """Whether a calibrated recipe's ranges are a model's.

    Args:
        recipe: any; one without ranges, or that does not say whose they are, fits every model.
        sha256: of the model folder.

    Raises:
        InputError: they are another's.
    """
    if recipe.ranges and recipe.model_sha256 not in ("", sha256):
        raise InputError(
            f"recipe {recipe.name} has the ranges of another model, {recipe.model_sha256[:12]}; this is {sha256[:12]}: "
            "run edge-stickers quantize on this one"
        )


def find_recipe(name: str | Path | Recipe) -> Recipe:
    """A recipe by its name or its file.

    Args:
        name: a key of `RECIPES`, or a file that `edge-stickers quantize` or a person wrote.

    Raises:
        InputError: there is no such recipe, or the file is none; the message says what is wrong with it.
    """
    if isinstance(name, Recipe):
        return name
    if str(name) in RECIPES:
        return RECIPES[str(name)]
    path = Path(name)
    if str(name) == "mixed" and not path.is_file():
        raise InputError(
            "a mixed recipe is chosen for one model and target; make its file first: edge-stickers quantize "
            "--recipe mixed --min-psnr 38 -o mixed.json, and name that"
        )
    if not path.is_file():
        raise InputError(f"no recipe named {str(name)!r} and no such file; known: {', '.join(RECIPES)}")
    if path.stat().st_size > MAX_BYTES:
        raise InputError(f"{path} has {path.stat().st_size:,} bytes, a recipe at most {MAX_BYTES:,}; is it one?")
    try:
        return Recipe.model_validate_json(path.read_bytes())
    except ValidationError as error:
        raise InputError(f"{path} is no recipe ({first_problem(error)}); see `edge-stickers quantize --help`") from None
