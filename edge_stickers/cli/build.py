"""`edge-stickers build`: a model folder to a verified bundle."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from edge_stickers.cli.options import TARGETS, json_option, lowering_options, split_names
from edge_stickers.cli.output import megabytes, print_json, print_table, progress_bar
from edge_stickers.cli.verify import print_verified

if TYPE_CHECKING:
    from edge_stickers.build import BuildReport

EXAMPLES = """\b
Examples:
  edge-stickers build -o my-bundle
  edge-stickers build --model my-model --target executorch,onnx --recipe fp32 -o my-bundle
  edge-stickers build --target coreml --dry-run -o my-bundle
\b
Nothing is at OUTPUT until the whole bundle is there; an older bundle stays until then. Exit code 1
where something falls below its floor: the bundle is written all the same, marked as such.
"""


@click.command("build", epilog=EXAMPLES)
@click.option("--model", type=click.Path(path_type=Path), help="Model folder. [default: the student inside]")
@click.option(
    "--target",
    "targets",
    default=",".join(TARGETS),
    show_default=True,
    callback=split_names,
    help="Targets, with commas between.",
)
@click.option("--recipe", help="Precision, or name or file of a recipe. [default: the target's own]")
@click.option("-o", "--output", required=True, type=click.Path(path_type=Path), help="Folder of the bundle.")
@click.option("--dry-run", is_flag=True, help="Only say what would be made.")
@lowering_options
@json_option
@click.pass_context
def command(
    context: click.Context,
    model: Path | None,
    targets: tuple[str, ...],
    recipe: str | None,
    output: Path,
    dry_run: bool,
    use_cache: bool,
    jobs: int | None,
    as_json: bool,
) -> None:
    """Quantise, convert and verify a model, and write the bundle that an app ships."""
    from edge_stickers.build import build
    from edge_stickers.convert.cache import ConversionCache

    cache = ConversionCache() if use_cache else None
    with progress_bar("building", total=1.0) as update:
        report = build(model, targets, output, recipe=recipe, cache=cache, jobs=jobs, progress=update, dry_run=dry_run)
    finish(context, report, as_json=as_json)


def finish(context: click.Context, report: BuildReport, *, as_json: bool) -> None:
    """Prints a build's report, and ends with 1 where something fell short."""
    if as_json:
        print_json(report.to_json())
    else:
        _print(report)
    context.exit(0 if report.passed else 1)


def _print(report: BuildReport) -> None:
    if report.dry_run:
        rows = [
            (row.target, row.component, row.recipe or "default", row.not_run_here or "yes") for row in report.components
        ]
        planned = ("target", "component", "recipe", "can be verified here")
        print_table(f"would build {report.out} from {report.model}", planned, rows)
        return
    made: list[tuple[object, ...]] = [
        (
            row.target,
            row.component,
            row.recipe,
            row.backend,
            megabytes(row.bytes),
            "" if row.delegate_calls is None else row.delegate_calls,
            sum((row.undelegated or {}).values()),
            "made before" if row.reused else f"{row.seconds:.1f} s",
        )
        for row in report.components
    ]
    columns = ("target", "part", "recipe", "backend", "size", "delegate calls", "left undelegated", "lowered in")
    print_table(f"built {report.out} from {report.model} in {report.seconds:.0f} s", columns, made)
    for target in dict.fromkeys(row.target for row in report.components):
        mapped = dict.fromkeys(each for row in report.components if row.target == target for each in row.mapped)
        for each in mapped:
            click.echo(f"{target}: {each}")
    if report.verified is not None:
        click.echo()
        print_verified(report.verified)
    page = report.out / "report.html"
    click.echo(f"\nlook at {page if page.is_file() else page.with_suffix('.json')}")
