"""Folders of runs that go on where they were cut off: what they were asked for, and what they must not touch."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from edge_stickers.errors import InputError


def expect_same(asked: Mapping[str, Any], known: Mapping[str, Any], *, where: Path) -> None:
    """Whether a run that is there was asked for as this one is.

    Args:
        asked: now, by name.
        known: of the run, by the same names.
        where: its folder or file.

    Raises:
        InputError: it was asked for otherwise; the message says what differs.
    """
    differs = [
        f"{name} {_shown(known.get(name))}, now {_shown(asked[name])}"
        for name in asked
        if asked[name] != known.get(name)
    ]
    if differs:
        raise InputError(
            f"{where} holds a run that was asked for otherwise ({'; '.join(differs)}); choose another place"
        )


def expect_apart(model: Path, output: Path, *folders: str) -> None:
    """Whether a run writes nothing into the model that it reads.

    Args:
        model: its folder.
        output: of the run.
        folders: that the run writes, inside the output.

    Raises:
        InputError: it would; the message names both.
    """
    source, target = model.resolve(), output.resolve()
    if source == target or source in target.parents or source in {target / name for name in folders}:
        raise InputError(f"the output {output} would be written into the model {model}; expected another folder")


def _shown(value: Any) -> str:
    text = str(value)
    return text[:12] if len(text) == 64 else text
