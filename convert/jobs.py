"""Several conversions at once: from the cache where they were made before, else in processes of their own."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from torch import nn

from edge_stickers.convert.targets.base import Artifact, Target
from edge_stickers.errors import ConversionError
from edge_stickers.quantize.mapping import decisions_of
from edge_stickers.quantize.recipe import Recipe
from edge_stickers.spec import ComponentSpec

if TYPE_CHECKING:
    from edge_stickers.convert.cache import ConversionCache

WORTH_A_PROCESS = 2_000_000
"""Parameters of all that waits, below which it is lowered before a process has imported the converters."""
BASE_BYTES, BYTES_PER_PARAMETER = 2_000_000_000, 20
"""Memory that a process takes: the converters, and copies of the weights in the formats that a lowering passes. Of a
large AnimateDiff 16 bytes a parameter were measured (`benchmarks/animatediff_widths.py`)."""


@dataclass(frozen=True, slots=True)
class Conversion:
    """One component for one target."""

    target: Target
    module: nn.Module
    """In evaluation mode."""
    spec: ComponentSpec
    recipe: Recipe
    mapped: tuple[str, ...] = ()
    """What the recipe asked for before it was fitted to the target."""

    def lower(self, folder: Path) -> Artifact:
        """Writes the files below `folder`; see `Target.lower`."""
        return self.target.lower(self.module, self.spec, recipe=self.recipe, folder=folder)

    @property
    def parameters(self) -> int:
        """Number of weights."""
        return sum(parameter.numel() for parameter in self.module.parameters())


def convert_all(
    conversions: Sequence[Conversion],
    folder: Path,
    *,
    cache: ConversionCache | None = None,
    jobs: int | None = None,
    on_done: Callable[[Conversion], None] = lambda _: None,
) -> list[Artifact]:
    """Makes each, in any order.

    Args:
        conversions: what to make.
        folder: an existing folder; the files go below `folder / target`.
        cache: of earlier conversions; all is lowered anew where None.
        jobs: processes at once; what processors and free memory allow where None, and none where little is to do.
        on_done: told of each in this process, when its files are there.

    Returns:
        An artifact for each, in the order given.

    Raises:
        ConversionError: one cannot be lowered, or its process was ended; the others are given up.
    """
    keys = [_key(each) if cache is not None else "" for each in conversions]
    artifacts = [None if cache is None else cache.take(key, folder) for key in keys]
    waiting = [index for index, artifact in enumerate(artifacts) if artifact is None]
    for index, conversion in enumerate(conversions):
        if index not in waiting:
            on_done(conversion)

    def finish(index: int, artifact: Artifact) -> None:
        artifacts[index] = artifact
        if cache is not None:
            cache.keep(keys[index], artifact, folder)
        on_done(conversions[index])

    # What takes longest starts first, or it would run alone in the end.
    waiting.sort(key=lambda index: -sum(1 for _ in conversions[index].module.modules()))
    number = jobs_for([conversions[index] for index in waiting]) if jobs is None else jobs
    if min(number, len(waiting)) > 1:
        _lower_apart({index: conversions[index] for index in waiting}, folder, min(number, len(waiting)), finish)
    else:
        for index in waiting:
            finish(index, conversions[index].lower(folder))
    return [
        replace(artifact, mapped=each.mapped, decisions=decisions_of(each.recipe, artifact.layers))
        for artifact, each in zip(artifacts, conversions, strict=True)
        if artifact is not None
    ]


def jobs_for(conversions: Sequence[Conversion]) -> int:
    """How many processes processors and free memory allow, 1 where starting them would take longer than the work."""
    sizes = [conversion.parameters for conversion in conversions]
    if len(sizes) < 2 or sum(sizes) < WORTH_A_PROCESS:
        return 1
    import loky
    import psutil

    each = BASE_BYTES + BYTES_PER_PARAMETER * max(sizes)
    most = min(len(sizes), loky.cpu_count(), psutil.virtual_memory().available // each)
    return max(1, int(most))


def _lower_apart(
    conversions: dict[int, Conversion], folder: Path, jobs: int, finish: Callable[[int, Artifact], None]
) -> None:
    """Lowers in `jobs` processes; each has its share of the processors, or their threads would wait for each other."""
    import loky
    from loky.process_executor import TerminatedWorkerError

    threads = str(max(1, loky.cpu_count() // jobs))
    pool = loky.ProcessPoolExecutor(
        jobs,
        env={"OMP_NUM_THREADS": threads, "MKL_NUM_THREADS": threads},
        initializer=_be_as_quiet,
        initargs=(logging.root.manager.disable, list(warnings.filters)),
    )
    whole = False
    try:
        # Started in this order; a finished one is told of at once.
        futures = {pool.submit(conversion.lower, folder): index for index, conversion in conversions.items()}
        for future in loky.as_completed(futures):
            finish(futures[future], future.result())
        whole = True
    except TerminatedWorkerError:
        raise ConversionError(
            f"a process that lowered was ended from outside, as when memory runs out; lower one at a time (jobs=1, now "
            f"{jobs})"
        ) from None
    finally:
        pool.shutdown(wait=True, kill_workers=not whole)


def _be_as_quiet(level: int, filters: list[Any]) -> None:
    """Has a new process keep silent where its parent does."""
    logging.disable(level)
    cast(list[Any], warnings.filters)[:] = filters


def _key(conversion: Conversion) -> str:
    from edge_stickers.convert.cache import conversion_key

    return conversion_key(conversion.target, conversion.module, conversion.spec, conversion.recipe)
