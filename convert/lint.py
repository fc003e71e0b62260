"""Names, before minutes of lowering, each operator that would fall off a target's fast path, with its module."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from torch import nn
from torch.export import ExportedProgram

from edge_stickers.convert.export import export_component
from edge_stickers.convert.legality import CHECKS, Objection, constants, module_of, operator_name
from edge_stickers.convert.targets import target as find_target
from edge_stickers.errors import InputError
from edge_stickers.spec import ComponentSpec

if TYPE_CHECKING:
    from edge_stickers.models.video_unets import ClipShape


@dataclass(frozen=True, slots=True)
class Finding:
    """One operator that a target does not take, or takes only slowly."""

    operator: str
    """As PyTorch names it, for instance `aten.cumsum.default`."""
    module: str
    """Path of the module that called it, for instance `unet.down.0.still`; empty for the component itself."""
    reason: str
    """What the target would do with it."""
    mend: str
    """What to write instead."""
    count: int
    """How often this module calls it."""


def lint(program: ExportedProgram, target: str) -> list[Finding]:
    """Checks an exported program against what a target takes.

    Args:
        program: from `export_component`.
        target: a key of `edge_stickers.convert.targets.TARGETS`.

    Returns:
        One finding for each module, operator and reason, in the order of the program; empty where all is well.

    Raises:
        InputError: no such target, or none that can be linted.
    """
    find_target(target)
    check = CHECKS.get(target)
    if check is None:
        raise InputError(f"{target} takes every operator PyTorch exports; lint knows {', '.join(CHECKS)}")
    found: Counter[tuple[str, str, Objection]] = Counter()
    constant = constants(program)
    for node in program.graph.nodes:
        if node.op != "call_function" or node in constant:  # those are computed ahead
            continue
        objection = check(node, constant)
        if objection is not None:
            found[operator_name(node), module_of(node), objection] += 1
    return [
        Finding(operator, module, objection.reason, objection.mend, count)
        for (operator, module, objection), count in found.items()
    ]


def export_model(folder: Path, *, shape: ClipShape | None = None) -> dict[str, ExportedProgram]:
    """Exports every component of a model.

    Args:
        folder: a student's, or that of a video UNet of diffusers.
        shape: of the clip, for a video UNet.

    Returns:
        Programs by component.

    Raises:
        InputError: a shape that the UNet cannot take.
        BundleError: the folder is damaged, or holds neither.
        ConversionError: a component cannot be exported.
    """
    return {spec.component: export_component(module, spec) for module, spec in _parts(folder, shape)}


def _parts(folder: Path, shape: ClipShape | None) -> list[tuple[nn.Module, ComponentSpec]]:
    from edge_stickers.models.components import component_modules, component_specs
    from edge_stickers.models.pipeline import load_pipeline
    from edge_stickers.models.video_unets import ClipShape, find_video_unet, load_video_unet, video_unet_spec

    place = find_video_unet(folder)
    if place is not None:
        unet = load_video_unet(place)
        return [(unet, video_unet_spec(unet, shape or ClipShape()))]
    pipeline = load_pipeline(folder)
    modules, specs = component_modules(pipeline), component_specs(pipeline)
    return [(modules[name], specs[name]) for name in modules]
