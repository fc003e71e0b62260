"""Options that several verbs share: names with commas between."""

from __future__ import annotations

import click

TARGETS = ("executorch", "coreml", "onnx")
"""What a bundle can be built for."""


def split_names(context: click.Context, parameter: click.Parameter, value: str | None) -> tuple[str, ...] | None:
    """`"a, b"` to `("a", "b")`, each once; None where the option was not given."""
    if value is None:
        return None
    names = tuple(dict.fromkeys(name.strip() for name in value.split(",") if name.strip()))
    if not names:
        raise click.BadParameter("expected names with commas between, such as executorch,onnx", context, parameter)
    return names
