"""Training plans as the command line has them: a JSON file, and options that change a stage."""

from __future__ import annotations

import json
from collections.abc import Collection
from dataclasses import fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edge_stickers.errors import InputError

if TYPE_CHECKING:
    from edge_stickers.quantize.recovery import RecoveryPlan
    from edge_stickers.training.plan import StagePlan


def read_plan(path: Path, stages: Collection[str]) -> dict[str, Any]:
    """A plan's stages and its number of clips; a run's own `record.json` is a plan, too.

    Args:
        path: of a JSON file.
        stages: that it may plan.

    Raises:
        InputError: it is no plan of these stages.
    """
    example = f'expected a training plan such as {{"{next(iter(reversed(list(stages))))}": {{"steps": 4000}}}}'
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise InputError(f"{path} cannot be read ({error.strerror}); {example}; check the path") from None
    except ValueError as error:
        raise InputError(f"{path} is no JSON ({error}); {example}") from None
    if isinstance(value, dict) and isinstance(value.get("recovery"), dict):
        value = value["recovery"]  # of a record of `prune`
    known = {*stages, "clips"}
    if isinstance(value, dict) and known & value.keys() and "preset" not in value and value.keys() - known:
        other = ", ".join(sorted(value.keys() - known))
        raise InputError(f"{path} plans {other}; known: {', '.join(stages)} and clips; {example}")
    if not isinstance(value, dict) or not known & value.keys():
        raise InputError(f"{path} names none of {', '.join(stages)} and clips; {example}")
    for stage in stages:
        if not isinstance(value.get(stage, {}), dict):
            raise InputError(f"{path}: {stage} is a {type(value[stage]).__name__}; {example}")
    if not isinstance(value.get("clips", 1), int):
        raise InputError(f"{path}: clips is {value['clips']!r}; expected a whole number")
    return value


def changed(stage: str, default: StagePlan, changes: dict[str, Any]) -> StagePlan:
    """The stage's plan with some of its fields set otherwise.

    Raises:
        InputError: it has no such field, or the value is of another kind.
    """
    kinds = {field.name: type(getattr(default, field.name)) for field in fields(default)}
    for name, value in changes.items():
        if name not in kinds:
            raise InputError(f"{stage} has no {name!r}; known: {', '.join(kinds)}")
        fits = isinstance(value, kinds[name]) or (kinds[name] is float and isinstance(value, int))
        if not fits or isinstance(value, bool):
            raise InputError(f"{stage}: {name} is {value!r}; expected {kinds[name].__name__}")
    return replace(default, **changes)


def recovery_plan(usual: RecoveryPlan, path: Path | None, steps: int | None) -> RecoveryPlan:
    """A recovery's plan: the usual one, then the file's values, then the number of steps.

    Raises:
        InputError: the file is no such plan.
    """
    stages = {"text_encoder": usual.text_encoder, "decoder": usual.decoder, "denoiser": usual.denoiser}
    asked = read_plan(path, list(stages)) if path is not None else {}
    given = {} if steps is None else {"steps": steps}
    plans = {name: changed(name, stage, {**asked.get(name, {}), **given}) for name, stage in stages.items()}
    return replace(usual, **plans, clips=asked.get("clips", usual.clips))
