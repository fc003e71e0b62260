"""`edge-stickers evaluate`: whether stickers move as told and stay themselves, on held-out ones."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, get_args

import click

from edge_stickers.cli.options import SPLITS, chosen_folder, json_option, source_options
from edge_stickers.cli.output import print_json, print_tables

if TYPE_CHECKING:
    from edge_stickers.animator import Animator
    from edge_stickers.evaluation.evaluate import Animate, FloatArray

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
        from edge_stickers.evaluation.evaluate import evaluate

        report = evaluate(
            _animate_with(animator, steps),
            source=source,
            autoencoder=lambda still: _rebuilt(animator, still),
            clips=clips,
            seed=seed,
            split=part,
            size=animator.settings.size,
            sheet=sheet,
        )
    if markdown is not None:
        write_atomically(markdown, report.to_markdown().encode())
    if as_json:
        print_json(json.loads(report.to_json()))
    else:
        print_tables(report.tables())


def _animate_with(animator: Animator, steps: int | None) -> Animate:
    """The animator as `evaluate` calls it: stills that lie in their canvas already, and frames as floats."""
    from PIL import Image

    from edge_stickers.media.canvas import premultiply, unpremultiply

    animator.settings = replace(animator.settings, margin=0.0)

    def animate(still: FloatArray, prompt: str, motion: float, seed: int) -> FloatArray:
        picture = Image.fromarray(unpremultiply(still[None])[0])
        clip = animator.animate(picture, prompt, steps=steps, seed=seed, motion=motion)
        return premultiply(clip.frames)

    return animate


def _rebuilt(animator: Animator, still: FloatArray) -> FloatArray:
    """(4, H, W) encoded and decoded; a decoder takes as many frames as it was built for."""
    latents = animator.engine.run("image_encoder", {"image": still[None]})["image_latents"]
    frames = animator.engine.sessions["decoder"].inputs[0].shape[0]
    image: FloatArray = animator.engine.run("decoder", {"latents": latents.repeat(frames, axis=0)})["image"][0]
    return image
