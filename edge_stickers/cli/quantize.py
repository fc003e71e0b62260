"""`edge-stickers quantize`: the ranges of a recipe, found on real stickers."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING

import click

from edge_stickers.cli.options import json_option
from edge_stickers.cli.output import print_json, print_table, progress_bar
from edge_stickers.cli.plans import recovery_plan

if TYPE_CHECKING:
    from edge_stickers.quantize.recipe import Recipe

EXAMPLES = """\b
Examples:
  edge-stickers quantize -o int8.json
  edge-stickers quantize --recipe my-recipe.json --stickers my-stickers --clips 32 -o calibrated.json
  edge-stickers quantize --recipe mixed --min-psnr 38 -o mixed.json
  edge-stickers quantize --recipe mixed --max-mb 24 --sensitivity sensitivity.json -o small.json
  edge-stickers quantize --recipe int8 --recover runs/int8 -o recovered.json
  edge-stickers build --target executorch --recipe int8.json -o build/android-int8
  edge-stickers build --target onnx --model runs/int8/model --recipe recovered.json -o build/web-int8
\b
A mixed recipe gives each layer the precision that the target asks for. What each layer's rounding does
to the frames is measured once and kept beside the recipe; a run that was cut off goes on from there.
--recover trains the student while its layers round; RUN/model and the recipe then belong together.
"""
SHOWN = 12
"""Layers of a mixed recipe that are printed; all are in the file."""


@click.command("quantize", epilog=EXAMPLES)
@click.option("--model", type=click.Path(path_type=Path), help="Model folder. [default: the student inside]")
@click.option("--recipe", default="int8", show_default=True, help="Name or file of a recipe, or mixed.")
@click.option("--min-psnr", type=click.FloatRange(1, 100), help="Of a mixed recipe's frames against fp32's, dB.")
@click.option("--max-mb", type=click.FloatRange(min=0, min_open=True), help="Of a mixed recipe's weights.")
@click.option(
    "--sensitivity", type=click.Path(path_type=Path), help="File of layers' effects. [default: beside OUTPUT]"
)
@click.option("--recover", type=click.Path(path_type=Path), help="Train in int8, into this folder of a run.")
@click.option("--plan", type=click.Path(path_type=Path), help="Training plan of that, a JSON file.")
@click.option("--steps", type=click.IntRange(min=1), help="Optimiser steps of each of its stages.")
@click.option(
    "--stickers", type=click.Path(path_type=Path), help="Folder of stills to calibrate on. [default: sixteen inside]"
)
@click.option("--training-stickers", type=click.Path(path_type=Path), help="For --recover. [default: Twemoji]")
@click.option("--clips", type=click.IntRange(2, 1000), help="To calibrate on. [default: the recipe's, 16]")
@click.option("-o", "--output", required=True, type=click.Path(path_type=Path), help="Recipe file to write.")
@json_option
def command(
    model: Path | None,
    recipe: str,
    min_psnr: float | None,
    max_mb: float | None,
    sensitivity: Path | None,
    recover: Path | None,
    plan: Path | None,
    steps: int | None,
    stickers: Path | None,
    training_stickers: Path | None,
    clips: int | None,
    output: Path,
    as_json: bool,
) -> None:
    """Calibrate a recipe: watch every 8-bit layer while the student makes whole clips, and keep the ranges.

    A recipe is a JSON file: rules give layers (patterns of component/module) and operators a precision: float (fp32 or
    fp16, whichever the target is fastest in), fp32, fp16, w8a16 (int8 weights), w8a8 (int8 activations, too) or
    w8a8-dynamic (likewise, without calibration); the first that fits decides.
    """
    from edge_stickers import default_student
    from edge_stickers.quantize.clips import STICKERS

    folder = default_student() if model is None else model
    chosen = stickers or STICKERS
    if recover is None and any(each is not None for each in (plan, steps, training_stickers)):
        raise click.UsageError("--plan, --steps and --training-stickers are for --recover")
    if recipe == "mixed":
        if recover is not None:
            raise click.UsageError("choose the mixed recipe first, and name its file with --recover")
        kept = sensitivity or output.with_name(f"{output.stem}.sensitivity.json")
        _mix(folder, output, kept, chosen, min_psnr=min_psnr, max_mb=max_mb, clips=clips, as_json=as_json)
        return
    if min_psnr is not None or max_mb is not None or sensitivity is not None:
        raise click.UsageError("--min-psnr, --max-mb and --sensitivity are for --recipe mixed")
    if recover is not None:
        from edge_stickers.quantize.qat import expect_int8
        from edge_stickers.quantize.recipe import find_recipe

        expect_int8(find_recipe(recipe))
        calibrated = _calibrated(folder, recipe, chosen, clips=clips)
        _recover(folder, output, calibrated, recover, training_stickers, plan=plan, steps=steps, as_json=as_json)
        return
    done = _calibrated(folder, recipe, chosen, clips=clips)
    _write(done, output)
    if as_json:
        counts = {"layers": len(done.ranges), "clips": done.calibration.clips}
        print_json({"output": str(output), "recipe": done.name, **counts})
    else:
        click.echo(f"{output}: ranges of {len(done.ranges)} layers, from {done.calibration.clips} clips")


def _calibrated(folder: Path, recipe: str, stickers: Path, *, clips: int | None) -> Recipe:
    """The recipe with ranges that are found anew, where it wants any."""
    from edge_stickers.bundle.reader import folder_sha256
    from edge_stickers.models.components import component_modules
    from edge_stickers.models.pipeline import load_pipeline
    from edge_stickers.quantize.calibration import calibrate
    from edge_stickers.quantize.layers import check_layers, layers_of
    from edge_stickers.quantize.recipe import find_recipe

    found = find_recipe(recipe).model_copy(update={"ranges": {}})
    if clips is not None:
        found = found.model_copy(update={"calibration": found.calibration.model_copy(update={"clips": clips})})
    pipeline = load_pipeline(folder)
    check_layers(found, layers_of(component_modules(pipeline)))
    with progress_bar("calibrating", total=1.0) as update:
        return calibrate(
            pipeline,
            found,
            stickers=stickers,
            model_sha256=folder_sha256(folder),
            on_clip=lambda clip, of: update(f"clip {clip} of {of}", clip / of),
        )


def _recover(
    folder: Path,
    output: Path,
    recipe: Recipe,
    run: Path,
    stickers: Path | None,
    *,
    plan: Path | None,
    steps: int | None,
    as_json: bool,
) -> None:
    from edge_stickers.quantize.qat import MODEL, QAT_PLAN, recover_quantized

    done = recover_quantized(folder, recipe, run, plan=recovery_plan(QAT_PLAN, plan, steps), stickers=stickers)
    _write(done, output)
    if as_json:
        print_json({"output": str(output), "recipe": done.name, "model": str(run / MODEL)})
    else:
        click.echo(f"{output}: recipe {done.name} of {run / MODEL}, which was trained in it")


def _mix(
    folder: Path,
    output: Path,
    kept: Path,
    stickers: Path,
    *,
    min_psnr: float | None,
    max_mb: float | None,
    clips: int | None,
    as_json: bool,
) -> None:
    from edge_stickers.bundle.reader import folder_sha256
    from edge_stickers.models.pipeline import load_pipeline
    from edge_stickers.quantize.mixed import choose_mixed, decibels
    from edge_stickers.quantize.recipe import Calibration
    from edge_stickers.quantize.sensitivity import measure_sensitivity

    if min_psnr is None and max_mb is None:
        raise click.UsageError("--recipe mixed needs a target: --min-psnr, such as 38, or --max-mb, such as 24")
    pipeline = load_pipeline(folder)
    with progress_bar("measuring layers", total=1.0) as update:
        sensitivity = measure_sensitivity(
            pipeline,
            model_sha256=folder_sha256(folder),
            path=kept,
            calibration=Calibration() if clips is None else Calibration(clips=clips),
            stickers=stickers,
            on_progress=lambda what, done, of: update(what, done / of),
        )
        mixed = choose_mixed(
            pipeline,
            sensitivity,
            min_psnr=min_psnr,
            max_mb=max_mb,
            stickers=stickers,
            on_progress=lambda what, done, of: update(what, done / of),
        )
    _write(mixed.recipe, output)
    counts = Counter(rule.precision for rule in mixed.recipe.rules)
    worst = decibels(mixed.effect.worst_mse)
    if as_json:
        print_json(
            {
                "output": str(output),
                "recipe": "mixed",
                "layers": dict(counts),
                "psnr_db": mixed.mean_psnr_db,
                "worst_psnr_db": worst,
                "megabytes": mixed.megabytes,
            }
        )
        return
    finer = [rule for rule in mixed.recipe.rules if rule.precision != "w8a8"]
    rows = [(rule.layers, rule.precision, rule.because) for rule in finer[:SHOWN]]
    if rows:
        print_table(f"finer than w8a8: {len(finer)} layers", ("layer", "precision", "why"), rows)
    told = ", ".join(f"{count} layers {precision}" for precision, count in counts.items())
    click.echo(
        f"{output}: {told}; frames {mixed.mean_psnr_db:.1f} dB, the worst {worst:.1f} dB, on the stickers that it was "
        f"chosen on; weights {mixed.megabytes:.1f} MB"
    )


def _write(recipe: Recipe, output: Path) -> None:
    from edge_stickers.media.write import write_atomically

    write_atomically(output, (recipe.model_dump_json(indent=2) + "\n").encode())
