"""Conversion of a student to the formats of other runtimes: export once, passes, target.

>>> from edge_stickers.convert import convert
>>> convert(pipeline, targets=["executorch", "coreml"], folder=bundle)  # doctest: +SKIP
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from edge_stickers.convert.cache import ConversionCache
    from edge_stickers.convert.jobs import Conversion
    from edge_stickers.convert.targets.base import Artifact, Extra
    from edge_stickers.models.pipeline import StickerPipeline
    from edge_stickers.quantize.recipe import Range, Recipe
    from edge_stickers.spec import Component

__all__ = ["convert"]


def convert(
    pipeline: StickerPipeline,
    *,
    targets: Sequence[str],
    folder: Path,
    components: Sequence[Component] | None = None,
    recipe: str | Path | Recipe | None = None,
    backend: str | None = None,
    extras: Collection[Extra] = (),
    cache: ConversionCache | None = None,
    jobs: int | None = None,
    on_clip: Callable[[int, int], None] = lambda _done, _all: None,
    on_done: Callable[[Conversion], None] = lambda _: None,
) -> list[Artifact]:
    """Converts a student's components to one or more targets.

    Args:
        pipeline: from `edge_stickers.models.pipeline.load_pipeline`.
        targets: keys of `edge_stickers.convert.targets.TARGETS`.
        folder: an existing folder; the files go below `folder / target`.
        components: which parts; all four where None.
        recipe: a key of `edge_stickers.quantize.recipe.RECIPES`, a recipe's file, or a recipe; each target's default
            where None. One that wants ranges and has none is calibrated first.
        backend: of ExecuTorch: `xnnpack`, `coreml` or `vulkan`; the first where None.
        extras: what to keep beside each program of ExecuTorch: `etrecord`, `picture`.
        cache: of earlier conversions; all is lowered anew where None.
        jobs: processes at once; what processors and free memory allow where None.
        on_clip: (clips done, clips in all) of a calibration.
        on_done: told of each when its files are there.

    Returns:
        One artifact for each target and component, in this order.

    Raises:
        InputError: an unknown target, component or recipe, a precision that a target lacks, or the folder is not there.
        MissingDependencyError: a target's library is not installed.
        ConversionError: a component cannot be converted.
    """
    from edge_stickers.convert.jobs import Conversion, convert_all
    from edge_stickers.convert.targets import target as find
    from edge_stickers.convert.targets.base import choose_recipe, require_libraries
    from edge_stickers.errors import InputError
    from edge_stickers.models.components import component_modules, component_specs
    from edge_stickers.quantize.layers import check_layers, layers_of
    from edge_stickers.spec import COMPONENTS

    chosen = [find(name, backend=backend, extras=extras) for name in targets]
    if not chosen:
        raise InputError("no target was named; expected one or more, such as executorch")
    unknown = [name for name in components or () if name not in COMPONENTS]
    if unknown:
        raise InputError(f"no component named {unknown[0]!r}; known: {', '.join(COMPONENTS)}")
    if not folder.is_dir():
        raise InputError(f"{folder} is no folder; make it first")
    fitted = [choose_recipe(each, recipe) for each in chosen]
    for each in chosen:
        require_libraries(each)

    modules, specs = component_modules(pipeline), component_specs(pipeline)
    layers = layers_of(modules)
    for each_recipe in fitted:
        check_layers(each_recipe.recipe, layers)
    wanting = [each_recipe.recipe for each_recipe in fitted if each_recipe.recipe.wants_ranges]
    ranges: dict[str, Range] = {}
    if wanting:
        from edge_stickers.quantize.calibration import calibrate

        ranges = calibrate(pipeline, wanting[0], on_clip=on_clip).ranges  # one was asked for, and maps leave w8a8 alone
    recipes = [each.recipe.model_copy(update={"ranges": ranges}) if ranges else each.recipe for each in fitted]
    conversions = [
        Conversion(each, modules[name], specs[name], made_by, suited.mapped)
        for each, made_by, suited in zip(chosen, recipes, fitted, strict=True)
        for name in components or COMPONENTS
    ]
    return convert_all(conversions, folder, cache=cache, jobs=jobs, on_done=on_done)
