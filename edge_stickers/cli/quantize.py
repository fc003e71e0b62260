"""`edge-stickers quantize`: the ranges of a recipe, found on real stickers."""

from __future__ import annotations

from pathlib import Path

import click

from edge_stickers.cli.options import json_option
from edge_stickers.cli.output import print_json, progress_bar

EXAMPLES = """\b
Examples:
  edge-stickers quantize -o int8.json
  edge-stickers quantize --recipe my-recipe.json --stickers my-stickers --clips 32 -o calibrated.json
  edge-stickers build --target executorch --recipe int8.json -o build/android-int8
"""


@click.command("quantize", epilog=EXAMPLES)
@click.option("--model", type=click.Path(path_type=Path), help="Model folder. [default: the student inside]")
@click.option("--recipe", default="int8", show_default=True, help="Name or file of a recipe.")
@click.option("--stickers", type=click.Path(path_type=Path), help="Folder of stills. [default: sixteen inside]")
@click.option("--clips", type=click.IntRange(2, 1000), help="To make. [default: the recipe's, 16]")
@click.option("-o", "--output", required=True, type=click.Path(path_type=Path), help="Recipe file to write.")
@json_option
def command(
    model: Path | None, recipe: str, stickers: Path | None, clips: int | None, output: Path, as_json: bool
) -> None:
    """Calibrate a recipe: watch every 8-bit layer while the student makes whole clips, and keep the ranges.

    A recipe is a JSON file: rules give layers (patterns of component/module) and operators a precision: fp32, fp16,
    w8a8 (int8 weights and activations) or w8a8-dynamic (likewise, without calibration); the first that fits decides.
    """
    from edge_stickers import default_student
    from edge_stickers.bundle.reader import folder_sha256
    from edge_stickers.media.write import write_atomically
    from edge_stickers.models.components import component_modules
    from edge_stickers.models.pipeline import load_pipeline
    from edge_stickers.quantize.calibration import calibrate
    from edge_stickers.quantize.clips import STICKERS
    from edge_stickers.quantize.layers import check_layers, layers_of
    from edge_stickers.quantize.recipe import find_recipe

    found = find_recipe(recipe)
    if clips is not None:
        found = found.model_copy(update={"calibration": found.calibration.model_copy(update={"clips": clips})})
    folder = default_student() if model is None else model
    pipeline = load_pipeline(folder)
    check_layers(found, layers_of(component_modules(pipeline)))
    with progress_bar("calibrating", total=1.0) as update:
        done = calibrate(
            pipeline,
            found,
            stickers=stickers or STICKERS,
            model_sha256=folder_sha256(folder),
            on_clip=lambda clip, of: update(f"clip {clip} of {of}", clip / of),
        )
    write_atomically(output, (done.model_dump_json(indent=2) + "\n").encode())
    counts = {"layers": len(done.ranges), "clips": done.calibration.clips}
    if as_json:
        print_json({"output": str(output), "recipe": done.name, **counts})
    else:
        click.echo(f"{output}: ranges of {counts['layers']} layers, from {counts['clips']} clips")
