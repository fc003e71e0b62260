"""`edge-stickers train`: a student from stickers, on Hugging Face Accelerate."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from edge_stickers.cli.options import json_option
from edge_stickers.cli.output import print_json
from edge_stickers.cli.plans import changed, read_plan
from edge_stickers.config import PRESETS
from edge_stickers.training.plan import STAGES

if TYPE_CHECKING:
    from edge_stickers.training.plan import StageName

EXAMPLES = """\b
Examples:
  edge-stickers train student -o runs/student
  edge-stickers train student --stickers my-stickers --preset student -o runs/mine
  edge-stickers train autoencoder --steps 2000 --init my-model -o runs/finer
  accelerate launch -m edge_stickers.cli.main train student --plan plan.json -o runs/student
\b
A run that was cut off goes on where it stopped when the same command is given again. The model folder
is OUTPUT/model; checkpoints, logs (TensorBoard) and samples are under OUTPUT/runs.
"""
STAGE_EXAMPLES = """\b
Examples:
  edge-stickers train {name} -o runs/student
  edge-stickers train {name} --plan plan.json --stop-after 3600 -o runs/student
\b
A training plan is a JSON file such as {{"{stage}": {{"steps": 4000, "batch_size": 8}}}}: what it leaves out
keeps its default.
"""
OPTIONS: Sequence[Callable[[Callable[..., Any]], Callable[..., Any]]] = (
    click.option("-o", "--output", required=True, type=click.Path(path_type=Path), help="Folder of the run."),
    click.option("--stickers", type=click.Path(path_type=Path), help="Folder of SVG, PNG or WebP. [default: Twemoji]"),
    click.option("--preset", "preset_name", default="student", show_default=True, help=f"Size: {', '.join(PRESETS)}."),
    click.option("--init", type=click.Path(path_type=Path), help="Model folder to start from."),
    click.option("--plan", type=click.Path(path_type=Path), help="Training plan, a JSON file."),
    click.option("--clips", type=click.IntRange(min=1), help="Clips that the denoiser learns from."),
    click.option("--steps", type=click.IntRange(min=1), help="Optimiser steps of each stage."),
    click.option("--batch-size", type=click.IntRange(min=1), help="Examples of a step in each process."),
    click.option("--learning-rate", type=float, help="Peak of the schedule."),
    click.option("--seed", type=click.IntRange(min=0), help="Of weights, examples and noise."),
    click.option("--stop-after", type=click.FloatRange(min=0), help="Seconds after which a stage saves and ends."),
    json_option,
)


@click.group("train", epilog=EXAMPLES)
def command() -> None:
    """Train a student: its autoencoder, its motion field, its denoiser, or all one after the other."""


def _stage(name: str, stages: tuple[StageName, ...], help_text: str) -> None:
    """Adds one sub-command; all three take the same options."""

    def call(output: Path, as_json: bool, **options: Any) -> None:
        model = _train(output, stages, **options)
        if as_json:
            print_json({"model": str(model), "stages": list(stages), "runs": str(output / "runs")})
        else:
            click.echo(f"{model}: trained; look at {output / 'runs'} for samples and logs")

    call.__doc__ = help_text
    decorated: Callable[..., Any] = call
    for option in reversed(OPTIONS):
        decorated = option(decorated)
    command.command(name, epilog=STAGE_EXAMPLES.format(name=name, stage=stages[0]))(decorated)


_stage("autoencoder", ("autoencoder",), "Train the autoencoder: stickers to latents and back.")
_stage("motion", ("motion",), "Train the motion field of the denoiser, from sentences alone.")
_stage("denoiser", ("denoiser",), "Train the denoiser; OUTPUT has an autoencoder already, or --init names one.")
_stage("student", STAGES, "Train all stages, one after the other.")


def _train(
    output: Path,
    stages: tuple[StageName, ...],
    *,
    stickers: Path | None,
    preset_name: str,
    init: Path | None,
    plan: Path | None,
    clips: int | None,
    stop_after: float | None,
    **changes: float | None,
) -> Path:
    from edge_stickers.config import preset
    from edge_stickers.training.plan import AUTOENCODER_PLAN, DENOISER_PLAN, MOTION_PLAN

    preset(preset_name)
    asked = read_plan(plan, STAGES) if plan is not None else {}
    given = {name: value for name, value in changes.items() if value is not None}
    plans = {
        name: changed(name, default, {**asked.get(name, {}), **given})
        for name, default in (
            ("autoencoder", AUTOENCODER_PLAN),
            ("motion", MOTION_PLAN),
            ("denoiser", DENOISER_PLAN),
        )
    }
    count = clips if clips is not None else asked.get("clips")
    limited: dict[str, Any] = {} if count is None else {"clips": count}

    from edge_stickers.training.student import train_student

    return train_student(
        output,
        stickers=stickers,
        preset_name=preset_name,
        autoencoder_plan=plans["autoencoder"],
        motion_plan=plans["motion"],
        denoiser_plan=plans["denoiser"],
        init=init,
        stages=stages,
        stop_after=stop_after,
        **limited,
    )
