"""What helps int8: recipes, ways of calibrating and training against the rounding, by what they do to the frames.

    python -m benchmarks.int8_forms [--recovered RUN:RECIPE.json] [--markdown FILE]

Each contender makes the golden clips in PyTorch with its layers rounding (fake quantisation, which `tests/quantize`
holds against the programs) and is compared with the default student in fp32. RUN is a model folder that
`edge-stickers quantize --recover` trained, with the recipe that it wrote.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from pathlib import Path

import torch

from edge_stickers import default_student
from edge_stickers.bundle.golden import CASES
from edge_stickers.config import STILL_MARGIN
from edge_stickers.media import load_still
from edge_stickers.models.components import component_specs
from edge_stickers.models.pipeline import StickerPipeline, load_pipeline
from edge_stickers.models.tokens import tokenize
from edge_stickers.quantize.calibration import calibrate
from edge_stickers.quantize.clips import ClipMaker, ClipTask
from edge_stickers.quantize.mixed import decibels
from edge_stickers.quantize.recipe import RECIPES, Calibration, Recipe, Rule, find_recipe
from edge_stickers.quantize.sensitivity import effect_of
from edge_stickers.runtimes.reference import STICKERS
from edge_stickers.sampling.noise import normal


def golden_tasks(pipeline: StickerPipeline) -> list[ClipTask]:
    """The golden cases as tasks."""
    specs = component_specs(pipeline)
    size, sample = specs["image_encoder"].inputs[0].shape[-1], specs["unet"].inputs[0].shape
    tasks = []
    for case in CASES:
        ids, mask = tokenize(pipeline.tokenizer.backend_tokenizer, case.prompt)
        image = torch.from_numpy(load_still(STICKERS / f"{case.name}.svg", size=size, margin=STILL_MARGIN))[None]
        noise = torch.from_numpy(normal(sample, seed=case.seed))
        strength = torch.tensor([case.motion_strength], dtype=torch.float32)
        tasks.append(ClipTask(image, (torch.tensor([ids]), torch.tensor([mask])), strength, noise))
    return tasks


def contenders() -> Iterator[tuple[str, Recipe]]:
    """Names and recipes; those that want ranges have none yet."""
    for name in ("int8-weight", "int8-dynamic", "int8"):
        yield name, RECIPES[name]
    every = (Rule(precision="w8a8"),)
    yield "int8, every layer static", RECIPES["int8"].model_copy(update={"rules": every})
    for clipping, percentile in (("percentile", 99.9), ("percentile", 99.99), ("minmax", 100.0)):
        told = f"{clipping} {percentile:g}" if clipping == "percentile" else "all that was seen"
        changed = Calibration(clipping=clipping, percentile=percentile)
        yield f"int8, ranges by {told}", RECIPES["int8"].model_copy(update={"calibration": changed})


def main() -> None:
    """Prints a row a contender."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--recovered", help="MODEL:RECIPE of a student that was trained in int8")
    parser.add_argument("--markdown", type=Path, help="file for the table")
    options = parser.parse_args()
    pipeline = load_pipeline(default_student())
    maker, tasks = ClipMaker(pipeline), golden_tasks(pipeline)
    plain = [maker.make(task) for task in tasks]
    lines = ["| int8 | frames, mean | worst frame |", "| --- | --- | --- |"]

    def show(name: str, maker: ClipMaker, recipe: Recipe) -> None:
        effect = effect_of(maker, tasks, plain, recipe)
        lines.append(f"| {name} | {decibels(effect.mse):.1f} dB | {decibels(effect.worst_mse):.1f} dB |")
        print(lines[-1], flush=True)

    print(*lines, sep="\n")
    for name, recipe in contenders():
        show(name, maker, calibrate(pipeline, recipe) if recipe.wants_ranges else recipe)
    if options.recovered:
        model, _, file = options.recovered.partition(":")
        trained = load_pipeline(Path(model))
        show("int8, trained in it", ClipMaker(trained), find_recipe(file))
        show("the same in fp32", ClipMaker(trained), RECIPES["fp32"])
    if options.markdown:
        options.markdown.write_text("\n".join(lines) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
