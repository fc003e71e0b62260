"""`edge-stickers verify`: whether a bundle does on each runtime what fp32 PyTorch did."""

from __future__ import annotations

from pathlib import Path

import click

from edge_stickers.cli.output import json_option, print_json, progress_bar
from edge_stickers.cli.targets import split_names

EXAMPLES = """\b
Examples:
  edge-stickers verify my-bundle
  edge-stickers verify my-bundle --runtime executorch,onnx --json > parity.json
  edge-stickers verify my-bundle --junit parity.xml
\b
Exit code 1 where a component or a clip falls below its floor. A runtime that this machine lacks is
reported as not run.
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

    with progress_bar("verifying"):
        report = verify(bundle, runtimes=runtimes)
    if junit is not None:
        write_atomically(junit, report.to_junit().encode())
    if as_json:
        print_json(report.to_json())
    else:
        click.echo(str(report))
    context.exit(0 if report.passed else 1)
