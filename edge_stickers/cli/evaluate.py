"""`edge-stickers evaluate`: whether stickers move as told and stay themselves, on held-out ones."""

from __future__ import annotations

import json
from pathlib import Path
from typing import get_args

import click

from edge_stickers.cli.options import SPLITS, chosen_folder, json_option, source_options
from edge_stickers.cli.output import print_json, print_tables

EXAMPLES = """\b
Examples:
  edge-stickers evaluate --clips 240
  edge-stickers evaluate --model my-model --stickers my-stickers --split all --json > report.json
  edge-stickers evaluate --bundle my-bundle --runtime executorch --sheet sheet.png --markdown report.md
"""


@click.command("evaluate", epilog=EXAMPLES)
@source_options
@click.option("--stickers", type=click.Path(path_type=Path), help="Folder of SVG, PNG or WebP. [default: Twemoji]")
@click.option("--split", type=click.Choice(SPLITS), default="test", show_default=True, help="Stickers to draw from.")
@click.option("--clips", type=click.IntRange(min=1), default=240, show_default=True, help="Number of clips.")
@click.option("--seed", type=click.IntRange(min=0), default=0, show_default=True, help="Of tasks and noise.")
@click.option("--sheet", type=click.Path(path_type=Path), help="PNG to draw the best, worst and other clips into.")
@click.option("--markdown", type=click.Path(path_type=Path), help="File to write the tables to.")
@json_option
def command(
    bundle: Path | None,
    model: Path | None,
    runtime: str,
    steps: int | None,
    stickers: Path | None,
    split: str,
    clips: int,
    seed: int,
    sheet: Path | None,
    markdown: Path | None,
    as_json: bool,
) -> None:
    """Let a model animate held-out stickers, register every frame, and say what moved and what dissolved."""
    folder = chosen_folder(bundle, model)
    from edge_stickers.animator import load
    from edge_stickers.data.stickers import Split, fetch_twemoji, list_stickers
    from edge_stickers.media.write import write_atomically

    part: Split | None = next((name for name in get_args(Split) if name == split), None)
    source = fetch_twemoji() if stickers is None else stickers
    list_stickers(source, part)  # says what is wrong with it before a model is loaded
    with load(folder, runtime=runtime) as animator:
        from edge_stickers.evaluate_animator import evaluate_animator

        report = evaluate_animator(
            animator, source=source, clips=clips, seed=seed, steps=steps, split=part, sheet=sheet
        )
    if markdown is not None:
        write_atomically(markdown, report.to_markdown().encode())
    if as_json:
        print_json(json.loads(report.to_json()))
    else:
        print_tables(report.tables())
