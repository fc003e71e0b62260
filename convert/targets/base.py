"""What a target is: a small protocol, and the record of what it made."""

from __future__ import annotations

import importlib.util
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, Protocol

from torch import nn

from edge_stickers.errors import MissingDependencyError
from edge_stickers.quantize.mapping import Decision, Fitted, fit_recipe
from edge_stickers.quantize.recipe import RECIPES, Precision, Recipe, find_recipe
from edge_stickers.spec import Component, ComponentSpec, TensorSpec

Extra = Literal["etrecord", "picture"]
"""What can lie beside a program of ExecuTorch: its record for ExecuTorch's Inspector, its graph by delegate (SVG)."""


@dataclass(frozen=True, slots=True)
class Artifact:
    """One component, lowered to one target."""

    component: Component
    target: str
    """Key of `edge_stickers.convert.targets.TARGETS`."""
    backend: str
    """What runs it: `xnnpack`, `coreml`, `vulkan` or `onnxruntime`."""
    recipe: str
    """By name: the precision, where that is one for all layers."""
    entry: Path
    """What a runtime opens, relative to the bundle's folder: a file, or the folder of an `.mlpackage`."""
    files: tuple[Path, ...]
    """All files, relative to the bundle's folder."""
    inputs: tuple[TensorSpec, ...]
    """As the target has them: Core ML takes int32 where PyTorch takes int64."""
    outputs: tuple[TensorSpec, ...]
    delegate_calls: int
    """Pieces that the graph was cut into for the backend; 1 where it takes the whole."""
    bytes: int
    """Of all files."""
    seconds: float
    """That the lowering took, export included."""
    undelegated: dict[str, int] = field(default_factory=dict)
    """Operators that run outside the backend, and how many of each."""
    operators: dict[str, int] = field(default_factory=dict)
    """Operators of the whole graph, where the target lists them."""
    layers: dict[str, str] = field(default_factory=dict)
    """That it runs, as recipes name them, with their operators."""
    decisions: tuple[Decision, ...] = ()
    """What each rule of the recipe decided."""
    mapped: tuple[str, ...] = ()
    """What the recipe asked for and got otherwise."""
    reused: bool = False
    """Whether it was taken from `edge_stickers.convert.cache` rather than lowered; `seconds` is then the copy's."""


class Target(Protocol):
    """A file format, and the library that writes it."""

    @property
    def name(self) -> str:
        """Key in `TARGETS`, and the folder inside a bundle."""

    @property
    def extra(self) -> str:
        """What to install: `pip install 'edge-stickers[extra]'`."""

    @property
    def needs(self) -> tuple[str, ...]:
        """Modules that have to be there."""

    @property
    def backend(self) -> str:
        """What runs the files."""

    @property
    def precisions(self) -> tuple[Precision, ...]:
        """Of layers; the first is the floating point that it is fastest in, and the default for all."""

    def lower(self, module: nn.Module, spec: ComponentSpec, *, recipe: Recipe, folder: Path) -> Artifact:
        """Converts one component.

        Args:
            module: in evaluation mode.
            spec: its inputs and outputs.
            recipe: of `precisions` alone; calibrated, where its activations are static.
            folder: of the bundle; the files go below `folder / name`.

        Returns:
            What was written.

        Raises:
            ConversionError: the component cannot be exported or lowered.
        """
        ...


def choose_recipe(target: Target, recipe: str | Path | Recipe | None) -> Fitted:
    """The recipe asked for, or the target's default, as the target can have it.

    Raises:
        InputError: there is no such recipe, or the target lacks a precision of it; the message lists what it has.
    """
    backend = "" if target.backend in (target.name, "onnxruntime") else f" on {target.backend}"
    found = RECIPES[target.precisions[0]] if recipe is None else find_recipe(recipe)
    return fit_recipe(found, target.precisions, target=target.name + backend)


def require_libraries(target: Target) -> None:
    """Checks that the target's libraries are installed, without importing them.

    Raises:
        MissingDependencyError: one is not there; the message names the extra.
    """
    missing = [name for name in target.needs if importlib.util.find_spec(name) is None]
    if missing:
        raise MissingDependencyError(
            f"the {target.name} target needs {', '.join(missing)}; run: pip install 'edge-stickers[{target.extra}]'"
        )


def artifact(
    target: Target,
    spec: ComponentSpec,
    *,
    recipe: Recipe,
    entry: Path,
    folder: Path,
    started: float,
    beside: Sequence[Path] = (),
    **found: Any,
) -> Artifact:
    """The record of a component that lies on disk.

    Args:
        target: what it was lowered to.
        spec: its inputs and outputs, where the target has no others.
        recipe: that it was made by.
        entry: the file or folder that a runtime opens.
        folder: of the bundle.
        started: `time.perf_counter()` before the lowering.
        beside: files that no runtime opens.
        found: fields of `Artifact` that the target knows better: `delegate_calls` is 1 without.
    """
    inside = [entry] if entry.is_file() else sorted(path for path in entry.rglob("*") if path.is_file())
    inside += beside
    known: dict[str, Any] = {"inputs": spec.inputs, "outputs": spec.outputs, "delegate_calls": 1}
    return Artifact(
        component=spec.component,
        target=target.name,
        backend=target.backend,
        recipe=recipe.name,
        entry=entry.relative_to(folder),
        files=tuple(path.relative_to(folder) for path in inside),
        bytes=sum(path.stat().st_size for path in inside),
        seconds=time.perf_counter() - started,
        **(known | found),
    )
