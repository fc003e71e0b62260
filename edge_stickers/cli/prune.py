"""`edge-stickers prune`: a student with fewer operations, taught by the one it was made of."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args

import click

from edge_stickers.cli.options import json_option, split_names
from edge_stickers.cli.output import print_json, print_table, progress_bar
from edge_stickers.cli.plans import recovery_plan

if TYPE_CHECKING:
    from edge_stickers.quantize.pruning.prune import PruneRecord
    from edge_stickers.quantize.pruning.structures import Part

EXAMPLES = """\b
Examples:
  edge-stickers prune --fraction 0.35 -o runs/pruned
  edge-stickers prune --fraction 0.2 --parts vae --no-recover -o runs/smaller-decoder
  edge-stickers prune --sweep 0.2,0.35,0.5 --clips 70 -o runs/curve
\b
OUTPUT/pruned is the student as it was cut, OUTPUT/model the one that recovered: ordinary model folders
for every other verb. A run that was cut off goes on where it stopped when the same command is given
again. A training plan is a JSON file such as {"denoiser": {"steps": 6000}, "decoder": {"steps": 3000}}.
"""


@click.command("prune", epilog=EXAMPLES)
@click.option("--model", type=click.Path(path_type=Path), help="Model folder. [default: the student inside]")
@click.option("--fraction", type=float, help="Share of the operations of each part that goes, 0..1.")
@click.option("--sweep", callback=split_names, help="Several of them, with commas between: writes the curve.")
@click.option("--parts", callback=split_names, help="unet, vae, text_encoder. [default: unet,vae]")
@click.option("--stickers", type=click.Path(path_type=Path), help="Folder of SVG, PNG or WebP. [default: Twemoji]")
@click.option("--recover/--no-recover", default=True, show_default=True, help="Train what was pruned.")
@click.option("--plan", type=click.Path(path_type=Path), help="Training plan of the recovery, a JSON file.")
@click.option("--steps", type=click.IntRange(min=1), help="Optimiser steps of each stage of the recovery.")
@click.option("--stop-after", type=click.FloatRange(min=0), help="Seconds after which a stage saves and ends.")
@click.option("--clips", type=click.IntRange(min=1), help="That a sweep evaluates each student on. [default: 56]")
@click.option("-o", "--output", required=True, type=click.Path(path_type=Path), help="Folder of the run.")
@json_option
def command(
    model: Path | None,
    fraction: float | None,
    sweep: tuple[str, ...] | None,
    parts: tuple[str, ...] | None,
    stickers: Path | None,
    recover: bool,
    plan: Path | None,
    steps: int | None,
    stop_after: float | None,
    clips: int | None,
    output: Path,
    as_json: bool,
) -> None:
    """Take channels, heads and layers out of a student that cost much and matter little; then train what is left.

    How much each matters is measured on clips of the training split: the gradient of the training loss by a gate on
    it. Weights get smaller, none is set to zero; the model folder that comes out loads like any other.
    """
    if (fraction is None) == (sweep is None):
        raise click.UsageError("expected either --fraction, such as 0.35, or --sweep, such as 0.2,0.35,0.5")
    if sweep is not None and stop_after is not None:
        raise click.UsageError("--stop-after is for --fraction; a sweep that was cut off goes on where it stopped")
    if sweep is None and clips is not None:
        raise click.UsageError("--clips is for --sweep")
    if not recover and any(each is not None for each in (plan, steps, stop_after)):
        raise click.UsageError("--plan, --steps and --stop-after are for a recovery, and --no-recover asks for none")
    from edge_stickers import default_student
    from edge_stickers.quantize.recovery import RecoveryPlan

    folder = default_student() if model is None else model
    asked: dict[str, Any] = {
        "stickers": stickers,
        "parts": _parts(parts),
        "plan": recovery_plan(RecoveryPlan(), plan, steps) if recover else None,
    }
    if sweep is not None:
        _sweep(folder, output, _fractions(sweep), clips=clips or 56, as_json=as_json, **asked)
        return
    from edge_stickers.quantize.pruning.prune import prune

    assert fraction is not None
    planned = asked.pop("plan")
    with progress_bar("measuring importance", total=1.0) as update:
        record = prune(
            folder,
            output,
            fraction=fraction,
            on_clip=lambda done, of: update("measuring importance" if done < of else "pruning", done / of),
            **asked,
        )
    if planned is not None:  # training shows its own bar
        record = prune(folder, output, fraction=fraction, plan=planned, stop_after=stop_after, **asked)
    if as_json:
        print_json({"output": str(output), **record.model_dump(mode="json")})
    else:
        _show(record, output, recovered=recover)


def _sweep(folder: Path, output: Path, fractions: list[float], *, as_json: bool, **asked: Any) -> None:
    from edge_stickers.prune_sweep import prune_sweep

    def say(what: str, done: int, of: int) -> None:
        if sys.stderr.isatty():  # training and evaluation show bars of their own
            click.echo(f"{done + 1} of {of}: {what}", err=True)

    report = prune_sweep(folder, output, fractions, on_progress=say, **asked)
    if as_json:
        print_json({"output": str(output), **report.model_dump(mode="json")})
    else:
        header, rows = report.rows()
        print_table(f"{output}: {report.clips} clips each", header, rows)


def _show(record: PruneRecord, output: Path, *, recovered: bool) -> None:
    before, after = record.before, record.after
    rows = [
        [part, f"{before.gflop[part]:.2f}", f"{after.gflop[part]:.2f}", before.parameters[part], after.parameters[part]]
        for part in before.gflop
    ]
    rows.append(
        [
            "clip",
            f"{before.clip_gflop:.2f}",
            f"{after.clip_gflop:.2f}",
            sum(before.parameters.values()),
            sum(after.parameters.values()),
        ]
    )
    print_table("pruned", ["part", "GFLOP a clip", "left", "parameters", "left"], rows)
    where = output / ("model" if recovered else "pruned")
    click.echo(f"{where}: {1 - after.clip_gflop / before.clip_gflop:.0%} fewer operations a clip")


def _fractions(names: tuple[str, ...]) -> list[float]:
    try:
        return [float(name) for name in names]
    except ValueError:
        raise click.UsageError(f"--sweep is {','.join(names)!r}, expected fractions such as 0.2,0.35,0.5") from None


def _parts(names: tuple[str, ...] | None) -> tuple[Part, ...]:
    from edge_stickers.quantize.pruning.prune import DEFAULT_PARTS
    from edge_stickers.quantize.pruning.structures import Part

    if names is None:
        return DEFAULT_PARTS
    known: tuple[Part, ...] = get_args(Part)
    unknown = [name for name in names if name not in known]
    if unknown:
        raise click.UsageError(f"--parts names {', '.join(unknown)}; known: {', '.join(known)}")
    return tuple(part for part in known if part in names)
