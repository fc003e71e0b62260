"""Conversion of a student to the formats of other runtimes: export once, passes, target.

>>> from edge_stickers.convert import convert
>>> convert(pipeline, targets=["executorch", "coreml"], folder=bundle)  # doctest: +SKIP
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from edge_stickers.convert.cache import ConversionCache
    from edge_stickers.convert.targets.base import Artifact
    from edge_stickers.models.pipeline import StickerPipeline
    from edge_stickers.spec import Component

__all__ = ["convert"]


def convert(
    pipeline: StickerPipeline,
    *,
    targets: Sequence[str],
    folder: Path,
    components: Sequence[Component] | None = None,
    precision: str | None = None,
    backend: str | None = None,
    etrecord: bool = False,
    cache: ConversionCache | None = None,
    on_progress: Callable[[str, Component], None] | None = None,
) -> list[Artifact]:
    """Converts a student's components to one or more targets.

    Args:
        pipeline: from `edge_stickers.models.pipeline.load_pipeline`.
        targets: keys of `edge_stickers.convert.targets.TARGETS`.
        folder: an existing folder; the files go below `folder / target`.
        components: which parts; all four where None.
        precision: `fp32` or `fp16`; each target's default where None.
        backend: of ExecuTorch: `xnnpack`, `coreml` or `vulkan`; the first where None.
        etrecord: whether to keep an ETRecord beside each program of ExecuTorch.
        cache: of earlier conversions; all is lowered anew where None.
        on_progress: called with the target and the component before each is converted.

    Returns:
        One artifact for each target and component, in this order.

    Raises:
        InputError: an unknown target, component or precision, or the folder is not there.
        MissingDependencyError: a target's library is not installed.
        ConversionError: a component cannot be converted.
    """
    from edge_stickers.convert.targets import target as find
    from edge_stickers.convert.targets.base import choose_precision, require_libraries
    from edge_stickers.errors import InputError
    from edge_stickers.models.components import component_modules, component_specs
    from edge_stickers.spec import COMPONENTS

    chosen = [find(name, backend=backend, etrecord=etrecord) for name in targets]
    if not chosen:
        raise InputError("no target was named; expected one or more, such as executorch")
    unknown = [name for name in components or () if name not in COMPONENTS]
    if unknown:
        raise InputError(f"no component named {unknown[0]!r}; known: {', '.join(COMPONENTS)}")
    if not folder.is_dir():
        raise InputError(f"{folder} is no folder; make it first")
    precisions = [choose_precision(each, precision) for each in chosen]
    for each in chosen:
        require_libraries(each)

    modules, specs = component_modules(pipeline), component_specs(pipeline)
    artifacts = []
    for each, precise in zip(chosen, precisions, strict=True):
        for name in components or COMPONENTS:
            if on_progress is not None:
                on_progress(each.name, name)
            module, spec = modules[name], specs[name]
            if cache is None:
                artifacts.append(each.lower(module, spec, precision=precise, folder=folder))
            else:
                artifacts.append(cache.lower(each, module, spec, precision=precise, folder=folder))
    return artifacts
