"""`edge-stickers convert`: one target of a model, whole or in part."""

from __future__ import annotations

from pathlib import Path

import click

from edge_stickers.cli.build import finish
from edge_stickers.cli.options import TARGETS, json_option, split_names
from edge_stickers.cli.output import progress_bar

EXAMPLES = """\b
Examples:
  edge-stickers convert --model my-model --target executorch --precision fp32 -o my-bundle
  edge-stickers convert --model my-model --target coreml --precision fp16 -o my-bundle
  edge-stickers convert --model my-model --target onnx --precision fp32 --components unet,decoder -o parts
"""


@click.command("convert", epilog=EXAMPLES)
@click.option("--model", required=True, type=click.Path(path_type=Path), help="Model folder.")
@click.option("--target", required=True, type=click.Choice(TARGETS), help="What to convert for.")
@click.option("--precision", type=click.Choice(("fp32", "fp16")), help="Of weights and activations.")
@click.option("--recipe", help="Name or file of a recipe, instead of --precision.")
@click.option("--components", callback=split_names, help="Only these, with commas between. [default: all]")
@click.option("-o", "--output", required=True, type=click.Path(path_type=Path), help="Folder of the bundle.")
@json_option
@click.pass_context
def command(
    context: click.Context,
    model: Path,
    target: str,
    precision: str | None,
    recipe: str | None,
    components: tuple[str, ...] | None,
    output: Path,
    as_json: bool,
) -> None:
    """Convert a model for one target: a bundle with that target alone."""
    if (precision is None) == (recipe is None):
        raise click.UsageError("give one of --precision and --recipe")
    from edge_stickers.build import build

    with progress_bar("converting", total=1.0) as update:
        report = build(model, (target,), output, precision=precision or recipe, components=components, progress=update)
    finish(context, report, as_json=as_json)
