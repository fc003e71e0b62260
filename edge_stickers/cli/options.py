"""Options that several verbs share."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from edge_stickers.errors import BundleError

if TYPE_CHECKING:
    from edge_stickers.models.video_unets import ClipShape

TARGETS = ("executorch", "coreml", "onnx")
"""What a bundle can be built for."""
BACKENDS = ("xnnpack", "coreml", "vulkan")
"""What an ExecuTorch program can be lowered to."""
PRECISIONS = ("fp32", "fp16", "int8")
"""Recipes that are a precision."""
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


def lowering_options(function: Decorated) -> Decorated:
    """The options `--no-cache` and `--jobs` of every verb that lowers components."""
    options = (
        click.option(
            "--cache/--no-cache", "use_cache", default=True, show_default=True, help="Reuse what was lowered before."
        ),
        click.option(
            "--jobs", type=click.IntRange(min=1), help="Processes that lower. [default: as many as fit the machine]"
        ),
    )
    for option in reversed(options):
        function = option(function)
    return function


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


def latent_options(function: Decorated) -> Decorated:
    """The options `--frames`, `--size` and `--tokens` of every verb that exports a video UNet of diffusers."""
    options = (
        click.option("--frames", type=click.IntRange(min=1), help="Of a video UNet's clips. [default: 8]"),
        click.option("--size", help="Of a video UNet's latents, 64 or 40x64. [default: the configuration's]"),
        click.option("--tokens", type=click.IntRange(min=1), help="Of a video UNet's prompts. [default: 77]"),
    )
    for option in reversed(options):
        function = option(function)
    return function


def latent_shape(*, frames: int | None, size: str | None, tokens: int | None) -> ClipShape | None:
    """What these options say; None where none was given.

    Raises:
        UsageError: the size is no size.
    """
    from edge_stickers.models.video_unets import ClipShape

    given: dict[str, Any] = {"frames": frames, "tokens": tokens}
    if size is not None:
        parts = size.lower().split("x")
        if len(parts) > 2 or not all(part.isdecimal() for part in parts):
            raise click.UsageError(f"--size is {size!r}, expected a size such as 64 or 40x64 (height x width)")
        given |= {"height": int(parts[0]), "width": int(parts[-1])}
    chosen = {name: value for name, value in given.items() if value is not None}
    return ClipShape(**chosen) if chosen else None


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
