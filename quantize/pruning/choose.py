"""What goes: the units that cost most for what they matter."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from edge_stickers.errors import InputError
from edge_stickers.models.layers import ResBlock
from edge_stickers.quantize.pruning.structures import CHANNEL_STEP, FEED_FORWARD_STEP, Part, Structure


@dataclass(frozen=True, slots=True)
class Unit:
    """The smallest thing that can go by itself."""

    takes: Mapping[str, list[int]]
    """By `part/name` of a structure, its channels or heads."""
    importance: float
    """Sum of their scores."""
    flops: float
    """Operations of a clip that it saves."""


def choose_units(
    structures: Sequence[Structure],
    scores: Mapping[str, Tensor],
    *,
    totals: Mapping[str, float],
    fractions: Mapping[Part, float],
) -> dict[str, list[int]]:
    """Takes units of each part, the least important for their cost first, until enough operations are saved.

    Args:
        structures: of the student.
        scores: of `measure_importance`.
        totals: operations of each part in a clip, of `clip_flops`.
        fractions: by part, which share of its operations shall go at least, 0..1.

    Returns:
        By `part/name`, the channels (or heads) that go, ascending; structures that stay whole are left out.

    Raises:
        InputError: a part has not as much to give.
    """
    goes: dict[str, list[int]] = {}
    for part, fraction in fractions.items():
        units = _units([each for each in structures if each.part == part], scores)
        saved, target = 0.0, fraction * totals[part]
        for unit in sorted(units, key=lambda each: each.importance / each.flops):
            if saved >= target:
                break
            saved += unit.flops
            for name, indices in unit.takes.items():
                goes.setdefault(name, []).extend(indices)
        if saved < target:
            raise InputError(
                f"asked to take {fraction:.0%} of the operations out of {part}, which can give "
                f"{saved / totals[part]:.0%} at most; ask for less"
            )
    return {name: sorted(indices) for name, indices in goes.items()}


def _units(structures: Sequence[Structure], scores: Mapping[str, Tensor]) -> list[Unit]:
    """All units that may go; within a structure they come in the order of their importance."""
    units: list[Unit] = []
    tied: list[list[Unit]] = []  # a text encoder has one feed-forward width for all of its layers
    for structure in structures:
        name = f"{structure.part}/{structure.name}"
        own = [
            Unit({name: indices}, float(scores[name][indices].sum()), structure.flops)
            for indices in _slices(structure, scores[name])[: structure.units - structure.least]
        ]
        if structure.kind == "feed_forward":
            tied.append(own)
        else:
            units += own
    for layers in zip(*tied, strict=True):
        takes = {name: indices for layer in layers for name, indices in layer.takes.items()}
        units.append(Unit(takes, sum(each.importance for each in layers), sum(each.flops for each in layers)))
    return units


def _slices(structure: Structure, scores: Tensor) -> list[list[int]]:
    """Channels (or heads) of each unit of a structure, the least important first."""
    if structure.kind in ("heads", "whole"):
        return [[int(index)] for index in scores.argsort()]
    if isinstance(structure.module, ResBlock):  # one channel of each group of its normalisation goes at once
        grouped = scores.reshape(structure.groups, -1)
        first = torch.arange(structure.groups)[:, None] * grouped.shape[1]
        return [sorted(column) for column in (grouped.argsort(dim=1) + first).t().tolist()]
    step = FEED_FORWARD_STEP if structure.kind == "feed_forward" else CHANNEL_STEP
    return [sorted(part) for part in scores.argsort()[: structure.units * step].reshape(-1, step).tolist()]
