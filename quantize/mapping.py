"""A recipe as a target can have it: what it lacks and nearly has is mapped, what it lacks is refused."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import cast

from edge_stickers.errors import InputError
from edge_stickers.quantize.recipe import INT8, FloatPrecision, Precision, Recipe

SUBSTITUTES: Mapping[Precision, Precision] = MappingProxyType({"w8a8-dynamic": "w8a16", "w8a16": "w8a8-dynamic"})
"""Weights are the same in both; what is done to activations differs."""


@dataclass(frozen=True, slots=True)
class Fitted:
    """A recipe for one target."""

    recipe: Recipe
    """Of the target's precisions alone."""
    mapped: tuple[str, ...] = ()
    """What it asked for and what it got instead, for reports."""


def fit_recipe(recipe: Recipe, precisions: Sequence[Precision], *, target: str) -> Fitted:
    """Puts what a target has in the place of what a recipe asks for.

    Args:
        recipe: any.
        precisions: the target's own, its fastest floating point first.
        target: its name, for messages.

    Raises:
        InputError: it lacks a precision, and anything near it; the message lists what it has.
    """
    floating: Precision = precisions[0] if recipe.otherwise == "float" else recipe.otherwise
    chosen: dict[Precision, Precision] = {"float": floating}
    for asked in recipe.precisions:
        if asked in precisions:
            chosen[asked] = asked
        elif SUBSTITUTES.get(asked) in precisions:
            chosen[asked] = SUBSTITUTES[asked]
        elif asked not in chosen:
            raise InputError(
                f"{target} has no precision {asked!r}, which recipe {recipe.name} asks for; it has "
                f"{', '.join(precisions)}"
            )
    other = next((each for each in recipe.precisions if each not in (*INT8, "float", floating)), None)
    if other is not None:
        raise InputError(
            f"recipe {recipe.name} has layers in {other} beside {floating}; {target} computes all floating layers in "
            "one precision, expected float in the rules"
        )
    rules = tuple(rule.model_copy(update={"precision": chosen[rule.precision]}) for rule in recipe.rules)
    otherwise = cast(FloatPrecision, chosen[recipe.otherwise])
    mapped = [
        f"{asked} became {got}, which {target} has"
        for asked, got in chosen.items()
        if asked != got and asked != "float" and asked in recipe.precisions
    ]
    return Fitted(recipe.model_copy(update={"rules": rules, "otherwise": otherwise}), tuple(mapped))


@dataclass(frozen=True, slots=True)
class Decision:
    """What one rule of a recipe decided about a model."""

    precision: Precision
    layers: int
    """How many."""
    rule: str
    """Its patterns; empty where no rule fits."""
    because: str = ""


def decisions_of(recipe: Recipe, layers: Mapping[str, str]) -> tuple[Decision, ...]:
    """Which rules of a recipe decide, and about how many layers; rules that decide nothing are left out.

    Args:
        recipe: fitted to a target.
        layers: operators by name of the layer; "" of one that has no 8-bit form in the program, which stays floating.
    """
    counts = dict.fromkeys((*recipe.rules, None), 0)
    for name, operator in layers.items():
        if operator:
            counts[recipe.rule(name, operator)] += 1
    rest = sum(not operator for operator in layers.values())
    unrounded = (Decision(recipe.otherwise, rest, "", "no 8-bit form of them here"),) if rest else ()
    return unrounded + tuple(
        Decision(rule.precision, count, f"{rule.layers} {rule.operators}".removesuffix(" *"), rule.because)
        if rule is not None
        else Decision(recipe.otherwise, count, "")
        for rule, count in counts.items()
        if count
    )
