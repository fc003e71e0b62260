"""`edge-stickers convert`: one target of a model, whole or in part."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from edge_stickers.cli.build import finish
from edge_stickers.cli.options import (
    BACKENDS,
    PRECISIONS,
    TARGETS,
    json_option,
    latent_options,
    latent_shape,
    lowering_options,
    split_names,
)
from edge_stickers.cli.output import progress_bar

EXAMPLES = """\b
Examples:
  edge-stickers convert --model my-model --target executorch --precision fp32 -o my-bundle
  edge-stickers convert --model my-model --target coreml --precision fp16 -o my-bundle
  edge-stickers convert --model my-model --target onnx --precision fp32 --components unet,decoder -o parts
  edge-stickers convert --model my-model --target executorch --recipe int8-dynamic -o my-bundle
  edge-stickers convert --model animatediff/unet --target executorch --precision fp32 --size 32 -o my-unet
"""


@click.command("convert", epilog=EXAMPLES)
@click.option("--model", required=True, type=click.Path(path_type=Path), help="Model folder.")
@click.option("--target", required=True, type=click.Choice(TARGETS), help="What to convert for.")
@click.option("--precision", type=click.Choice(PRECISIONS), help="The recipe of that name.")
@click.option("--recipe", help="Name or file of a recipe, instead of --precision.")
@click.option("--backend", type=click.Choice(BACKENDS), help="Of ExecuTorch. [default: xnnpack]")
@click.option("--etrecord", is_flag=True, help="Keep an ETRecord beside each program, for ExecuTorch's Inspector.")
@click.option("--picture", is_flag=True, help="Draw the graph by delegate beside each program, as SVG.")
@click.option("--components", callback=split_names, help="Only these, with commas between. [default: all]")
@latent_options
@click.option("--whole", is_flag=True, help="One program of a video UNet: every step projects the prompt again.")
@click.option("-o", "--output", required=True, type=click.Path(path_type=Path), help="Folder of the bundle.")
@lowering_options
@json_option
@click.pass_context
def command(
    context: click.Context,
    model: Path,
    target: str,
    precision: str | None,
    recipe: str | None,
    backend: str | None,
    etrecord: bool,
    picture: bool,
    components: tuple[str, ...] | None,
    output: Path,
    use_cache: bool,
    jobs: int | None,
    as_json: bool,
    frames: int | None,
    size: str | None,
    tokens: int | None,
    whole: bool,
) -> None:
    """Convert a model for one target: a student's bundle, or a video UNet of diffusers by itself.

    MODEL may be a folder of UNetMotionModel (AnimateDiff), UNet3DConditionModel, I2VGenXLUNet or
    UNetSpatioTemporalConditionModel, or of a pipeline that holds one.
    """
    if (precision is None) == (recipe is None):
        raise click.UsageError("give one of --precision and --recipe")
    from edge_stickers.build import build
    from edge_stickers.convert.cache import ConversionCache
    from edge_stickers.models.video_unets import find_video_unet

    shape = latent_shape(frames=frames, size=size, tokens=tokens)
    options: dict[str, Any] = {
        "recipe": precision or recipe,
        "backend": backend,
        "extras": [name for name, wanted in (("etrecord", etrecord), ("picture", picture)) if wanted],
        "cache": ConversionCache() if use_cache else None,
        "jobs": jobs,
    }
    if find_video_unet(model) is not None:
        from edge_stickers.build_video_unet import build_video_unet

        if components not in (None, ("unet",)):
            raise click.UsageError(f"{model} is a denoiser alone; expected no --components, or --components unet")
        with progress_bar("converting", total=1.0) as update:
            report = build_video_unet(model, (target,), output, shape=shape, whole=whole, progress=update, **options)
        finish(context, report, as_json=as_json)
        return
    if shape is not None or whole:
        raise click.UsageError(
            "--frames, --size, --tokens and --whole are for video UNets of diffusers; a student has its own"
        )
    with progress_bar("converting", total=1.0) as update:
        report = build(model, (target,), output, components=components, progress=update, **options)
    finish(context, report, as_json=as_json)
