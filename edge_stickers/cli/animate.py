"""`edge-stickers animate`: one still and one sentence to a looping animation."""

from __future__ import annotations

import time
from pathlib import Path

import click

from edge_stickers.cli.options import chosen_folder, json_option, source_options
from edge_stickers.cli.output import print_json, progress_bar
from edge_stickers.errors import InputError

EXAMPLES = """\b
Examples:
  edge-stickers animate cat.png --prompt "the cat hops" -o cat.webp
  edge-stickers animate cat.svg --prompt "the cat waves its paw" --seed 7 --motion 0.8 -o cat.gif
  edge-stickers animate cat.png --prompt "the cat spins" --bundle my-bundle --runtime executorch -o cat.webp
"""


@click.command("animate", epilog=EXAMPLES)
@click.argument("still", type=click.Path(path_type=Path))
@click.option("--prompt", required=True, help="One English sentence: what the sticker should do.")
@click.option(
    "-o", "--output", required=True, type=click.Path(path_type=Path), help="File to write: .webp, .gif, .png or .apng."
)
@source_options
@click.option("--seed", type=click.IntRange(0, 2**64 - 1), default=0, show_default=True, help="Same seed, same clip.")
@click.option(
    "--motion", type=click.FloatRange(0.0, 1.0), default=0.5, show_default=True, help="How much it moves, 0 to 1."
)
@json_option
def command(
    still: Path,
    prompt: str,
    output: Path,
    bundle: Path | None,
    model: Path | None,
    runtime: str,
    steps: int | None,
    seed: int,
    motion: float,
    as_json: bool,
) -> None:
    """Animate the sticker STILL (PNG, JPEG, WebP, GIF, BMP or SVG): eight frames, looping, transparent."""
    folder = chosen_folder(bundle, model)
    _check_output(output)
    from edge_stickers.media import load_still

    load_still(still)  # says what is wrong with it before a model is loaded

    from edge_stickers.animator import load

    with progress_bar("loading") as update, load(folder, runtime=runtime) as animator:
        began = time.monotonic()
        clip = animator.animate(
            still,
            prompt,
            steps=steps,
            seed=seed,
            motion=motion,
            on_step=lambda done, total: update(f"step {done} of {total}", done / total),
        )
        seconds = time.monotonic() - began
        clip.save(output)
        runtime = animator.runtime
    frames, height, width, _ = clip.frames.shape
    if as_json:
        facts = {"output": str(output), "bytes": output.stat().st_size, "runtime": runtime, "seed": seed}
        shape = {"frames": frames, "height": height, "width": width, "frame_duration_ms": clip.duration_ms}
        print_json({**facts, **shape, "seconds": round(seconds, 3)})
    else:
        click.echo(f"{output}: {frames} frames of {width}x{height}, made by {runtime} in {seconds:.1f} s")


def _check_output(output: Path) -> None:
    """What `Clip.save` would say in the end, said before the work."""
    from edge_stickers.media.write import ENCODERS

    if output.suffix.lower() not in ENCODERS:
        raise InputError(f"{output.name!r} has no known suffix; expected one of {', '.join(ENCODERS)}")
    if output.is_dir():
        raise InputError(f"{output} is a folder; expected a file name; add one, such as {output / 'clip.webp'}")
    if not output.parent.is_dir():
        raise InputError(f"the folder {output.parent} does not exist; expected an existing one; create it first")
