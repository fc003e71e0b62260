"""Options that several verbs share."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from edge_stickers.errors import BundleError

TARGETS = ("executorch", "coreml", "onnx")
"""What a bundle can be built for."""
RUNTIMES = ("auto", "torch", "executorch", "onnx", "coreml")
"""What can run a model or a bundle."""
SPLITS = ("train", "validation", "test", "all")
"""Parts of a folder of stickers."""

Decorated = Callable[..., Any]


def json_option(function: Decorated) -> Decorated:
    """The option `--json` of every verb that reports."""
    return click.option("--json", "as_json", is_flag=True, help="Print the report as JSON on standard output.")(
        function
    )


def source_options(function: Decorated) -> Decorated:
    """The options `--bundle`, `--model`, `--runtime` and `--steps` of every verb that makes clips."""
    options = (
        click.option("--bundle", type=click.Path(path_type=Path), help="Run this bundle."),
        click.option("--model", type=click.Path(path_type=Path), help="Run this model. [default: the student inside]"),
        click.option("--runtime", type=click.Choice(RUNTIMES), default="auto", show_default=True, help="What runs it."),
        click.option("--steps", type=click.IntRange(min=1), help="Denoising steps: 1, 2, 4 or 8. [default: 4]"),
    )
    for option in reversed(options):
        function = option(function)
    return function


def chosen_folder(bundle: Path | None, model: Path | None) -> Path | None:
    """The folder that `--bundle` or `--model` names; None where neither was given.

    Raises:
        UsageError: both were given.
        BundleError: it is no such folder.
    """
    if bundle is not None and model is not None:
        raise click.UsageError("--bundle and --model exclude each other; name one of them")
    for folder, index, other in ((bundle, "manifest.json", "--model"), (model, "model_index.json", "--bundle")):
        if folder is None:
            continue
        if not folder.is_dir():
            raise BundleError(f"{folder} is no folder; expected one with {index}; check the path")
        if not (folder / index).is_file():
            raise BundleError(f"{folder} has no {index}; expected one; was {other} meant?")
    return bundle or model


def split_names(context: click.Context, parameter: click.Parameter, value: str | None) -> tuple[str, ...] | None:
    """`"a, b"` to `("a", "b")`, each once; None where the option was not given."""
    if value is None:
        return None
    names = tuple(dict.fromkeys(name.strip() for name in value.split(",") if name.strip()))
    if not names:
        raise click.BadParameter("expected names with commas between, such as executorch,onnx", context, parameter)
    return names
