"""`edge-stickers verify`: whether a bundle does on each runtime what fp32 PyTorch did."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from edge_stickers.cli.options import json_option, split_names
from edge_stickers.cli.output import print_json, print_table, progress_bar
from edge_stickers.errors import MissingDependencyError

if TYPE_CHECKING:
    from edge_stickers.runtimes.outcome import ClipRow, ComponentRow, Numerics, VerifyReport

EXAMPLES = """\b
Examples:
  edge-stickers verify my-bundle
  edge-stickers verify my-bundle --runtime executorch,onnx --json > parity.json
  edge-stickers verify my-bundle --junit parity.xml
\b
Exit code 1 where a component or a clip falls below its floor. A runtime that this machine lacks is
reported as not run; where nothing at all can run, the exit code is 3. Core ML programs are executed
on PyTorch wherever Core ML itself is not, each result rounded as the program says.
"""


@click.command("verify", epilog=EXAMPLES)
@click.argument("bundle", type=click.Path(path_type=Path))
@click.option("--runtime", "runtimes", callback=split_names, help="Only these, with commas between. [default: all]")
@click.option("--junit", type=click.Path(path_type=Path), help="Write a JUnit report to this file, too.")
@json_option
@click.pass_context
def command(
    context: click.Context, bundle: Path, runtimes: tuple[str, ...] | None, junit: Path | None, as_json: bool
) -> None:
    """Run the golden cases of BUNDLE and compare every step and frame with fp32 PyTorch."""
    from edge_stickers.media.write import write_atomically
    from edge_stickers.runtimes.verify import verify

    with progress_bar("verifying") as update:
        report = verify(bundle, runtimes, progress=lambda now: update(now, None))
    if junit is not None:
        write_atomically(junit, report.to_junit().encode())
    if as_json:
        print_json(report.to_json())
    else:
        print_verified(report)
    if not report.ran:
        reasons = dict.fromkeys(row.reason for row in report.components if row.reason)
        raise MissingDependencyError(f"nothing of {bundle} could run here: {'; '.join(reasons) or 'it is empty'}")
    context.exit(0 if report.passed else 1)


def print_verified(report: VerifyReport) -> None:
    """Prints a row for each component, and one for the clips of each target."""
    rows = [
        (row.target, row.component, row.recipe, _decibel(row.snr_db), _floor(row), row.status, row.reason)
        for row in report.components
    ]
    print_table(f"components of {report.bundle}", ("target", "part", "recipe", "SNR", "floor", "status", "why"), rows)
    click.echo()
    columns = ("target", "recipe", "PSNR mean", "worst frame", "flicker", "status", "why")
    print_table("clips, from noise to frames", columns, [_clip(row) for row in report.clips])

    if report.numerics:
        click.echo()
        _print_numerics(report.numerics)


def _print_numerics(numerics: Sequence[Numerics]) -> None:
    """Prints where each Core ML component loses most in float16, and what did not fit."""
    rows = [
        (
            each.component,
            each.operators,
            each.first_wrong or "none",
            ", ".join(f"{worst.operator} {_decibel(worst.snr_db)}" for worst in each.worst),
            sum(each.overflowed.values()),
            sum(each.lost.values()),
        )
        for each in numerics
    ]
    columns = ("part", "operators", "first below 40 dB", "furthest from float32", "past 65,504", "lost as zero")
    print_table("Core ML in float16, operator by operator (not run on a device)", columns, rows)


def _clip(row: ClipRow) -> tuple[str, ...]:
    flicker = "not measured" if row.flicker is None else f"{row.flicker:.5f}"
    figures = (_decibel(row.mean_psnr_db), _decibel(row.worst_psnr_db), flicker)
    return (row.target, row.recipe, *figures, row.status, row.reason)


def _decibel(value: float | None) -> str:
    return "not measured" if value is None else f"{value:.1f} dB"


def _floor(row: ComponentRow) -> str:
    return "" if row.floor_db is None else f"{row.floor_db:g} dB"
