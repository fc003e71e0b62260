"""`edge-stickers data`: the stickers that training draws on."""

from __future__ import annotations

from pathlib import Path
from typing import get_args

import click

from edge_stickers.cli.options import SPLITS, json_option
from edge_stickers.cli.output import print_json, progress_bar

EXAMPLES = """\b
Examples:
  edge-stickers data fetch
  edge-stickers data preview -o preview --count 24
  edge-stickers data preview --stickers my-stickers -o preview
"""
FETCH_EXAMPLES = """\b
Examples:
  edge-stickers data fetch
  edge-stickers data fetch -o stickers --json
"""
PREVIEW_EXAMPLES = """\b
Examples:
  edge-stickers data preview -o preview
  edge-stickers data preview --stickers my-stickers --count 24 --seed 3 --split all -o preview
"""


@click.group("data", epilog=EXAMPLES)
def command() -> None:
    """Fetch the stickers that training draws on, and look at the clips made of them."""


@command.command("fetch", epilog=FETCH_EXAMPLES)
@click.option("-o", "--output", type=click.Path(path_type=Path), help="Folder to keep them in. [default: your caches]")
@json_option
def fetch(output: Path | None, as_json: bool) -> None:
    """Fetch Twemoji's 3,720 SVGs (graphics CC-BY 4.0) through npm, once."""
    from edge_stickers.data.stickers import TWEMOJI_LICENCE, TWEMOJI_PACKAGE, fetch_twemoji

    with progress_bar(f"fetching {TWEMOJI_PACKAGE}"):
        folder = fetch_twemoji(output)
    count = sum(1 for _ in folder.glob("*.svg"))
    if as_json:
        facts = {"folder": str(folder), "stickers": count, "package": TWEMOJI_PACKAGE, "licence": TWEMOJI_LICENCE}
        print_json(facts)
    else:
        click.echo(f"{folder}: {count} stickers ({TWEMOJI_LICENCE})")


@command.command("preview", epilog=PREVIEW_EXAMPLES)
@click.option("--stickers", type=click.Path(path_type=Path), help="Folder of SVG, PNG or WebP. [default: Twemoji]")
@click.option("-o", "--output", required=True, type=click.Path(path_type=Path), help="Folder to write to.")
@click.option("--count", type=click.IntRange(1, 256), default=12, show_default=True, help="Number of clips.")
@click.option("--seed", type=click.IntRange(min=0), default=0, show_default=True, help="Which clips.")
@click.option("--split", type=click.Choice(SPLITS), default="train", show_default=True, help="Stickers to draw from.")
@json_option
def preview_command(stickers: Path | None, output: Path, count: int, seed: int, split: str, as_json: bool) -> None:
    """Draw clips as training sees them: a sheet with captions, and a moving grid."""
    from edge_stickers.data.preview import preview
    from edge_stickers.data.stickers import Split, fetch_twemoji

    part: Split | None = next((name for name in get_args(Split) if name == split), None)
    with progress_bar("drawing clips"):
        folder = fetch_twemoji() if stickers is None else stickers
        written = preview(folder, output, count=count, seed=seed, split=part)
    if as_json:
        print_json({"files": [str(path) for path in written], "stickers": str(folder), "count": count})
    else:
        for path in written:
            click.echo(path)
