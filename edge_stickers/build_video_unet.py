"""A video UNet of diffusers by itself: converted, held against PyTorch, and written whole with its report."""

from __future__ import annotations

import json
import time
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from edge_stickers.build import BuildReport, Progress, built_component, files_of, shares
from edge_stickers.bundle.manifest import tensor_entries
from edge_stickers.bundle.writer import check_out, replacing
from edge_stickers.convert.parity import snr_db
from edge_stickers.errors import InputError, RuntimeFailedError
from edge_stickers.runtimes.base import EMULATED, availability, is_emulated, require
from edge_stickers.runtimes.outcome import ClipRow, ComponentRow, VerifyReport, capped
from edge_stickers.runtimes.process import Program, Worker, WorkerSession
from edge_stickers.runtimes.verify import Floors

if TYPE_CHECKING:
    from edge_stickers.convert.cache import ConversionCache
    from edge_stickers.convert.targets.base import Artifact, Extra
    from edge_stickers.models.video_unets import ClipShape, VideoUNet
    from edge_stickers.quantize.recipe import Recipe
    from edge_stickers.spec import ComponentSpec

TIMESTEPS = (981.0, 501.0, 21.0)
"""At which a program is held against PyTorch: the first, a middle and the last of a usual sampling run."""
NO_CLIP = "a denoiser alone makes no clip"


def build_video_unet(
    model: Path,
    targets: Sequence[str],
    out: Path,
    *,
    recipe: str | Path | Recipe | None = None,
    backend: str | None = None,
    extras: Collection[Extra] = (),
    shape: ClipShape | None = None,
    whole: bool = False,
    floors: Floors | None = None,
    cache: ConversionCache | None = None,
    jobs: int | None = None,
    progress: Progress | None = None,
) -> BuildReport:
    """Converts a video UNet of diffusers and compares what can run here with PyTorch.

    There are no golden clips of a model that this package did not train: parity is over seeded noise at three
    timesteps, each with another prompt, which says that the graph is the same and not how a clip will look.

    Args:
        model: a folder that `edge_stickers.models.video_unets.find_video_unet` finds one in.
        targets: keys of `edge_stickers.convert.targets.TARGETS`.
        out: where programs and `report.json` go; nothing is there until all is done.
        recipe: a key of `edge_stickers.quantize.recipe.RECIPES`, a recipe's file, or a recipe; None for each target's
            default.
        backend: of ExecuTorch: "xnnpack", "coreml" or "vulkan"; None for the first.
        extras: what to keep beside each program of ExecuTorch: "etrecord", "picture".
        shape: of the clip; programs take no other.
        whole: whether every step shall project the prompt again, in one program; else a second one, "context", makes
            of all conditions but the timestep what the steps of a clip share.
        floors: of parity; None for the defaults.
        cache: of earlier conversions; all is lowered anew where None.
        jobs: processes that lower at once; what processors and free memory allow where None.
        progress: told how far it is.

    Returns:
        The report, which is also in the folder.

    Raises:
        InputError: a target, recipe or shape is unknown, the recipe wants ranges, or `out` cannot be written.
        BundleError: the folder is damaged.
        ConversionError: the UNet cannot be lowered.
        MissingDependencyError: a converter is not installed.
    """
    from edge_stickers.convert.jobs import Conversion, convert_all
    from edge_stickers.convert.split import split_conditions
    from edge_stickers.convert.targets import target as find
    from edge_stickers.convert.targets.base import choose_recipe, require_libraries
    from edge_stickers.models.video_unets import ClipShape, find_video_unet, load_video_unet, video_unet_spec
    from edge_stickers.quantize.layers import check_layers, layers_of

    start = time.monotonic()
    say = progress or (lambda _what, _share: None)
    chosen = [find(name, backend=backend, extras=extras) for name in dict.fromkeys(targets)]
    fitted = [choose_recipe(each, recipe) for each in chosen]
    recipes = [each.recipe for each in fitted]
    if any(each.wants_ranges for each in recipes):
        raise InputError(
            f"recipe {recipes[0].name} has to be calibrated, and a video UNet alone makes no clips; expected one that "
            "has not, such as int8-dynamic"
        )
    for each in chosen:
        require_libraries(each)
    check_out(Path(out).absolute(), is_ours=_is_ours)
    folder = find_video_unet(model)
    if folder is None:
        raise InputError(f"{model} holds no video UNet of diffusers; expected its config.json, or unet/config.json")
    say("loading the model", 0.0)
    module = load_video_unet(folder)
    spec = video_unet_spec(module, shape or ClipShape())
    layers = layers_of({spec.component: module})
    for made_by in recipes:
        check_layers(made_by, layers)
    parts = [(module, spec)] if whole else list(split_conditions(module, spec))
    with replacing(Path(out), is_ours=_is_ours) as part:
        conversions = [
            Conversion(each, piece, named, suited.recipe, suited.mapped)
            for each, suited in zip(chosen, fitted, strict=True)
            for piece, named in parts
        ]
        say(f"converting {module.kind} for {', '.join(each.name for each in chosen)}", 0.02)
        artifacts = convert_all(conversions, part, cache=cache, jobs=jobs, on_done=shares(say, len(conversions)))
        say("verifying", 0.85)
        rows = _verify(module, spec, parts, artifacts, part, floors or Floors())
        clips = tuple(
            ClipRow(each.name, made_by.name, "not run", reason=NO_CLIP)
            for each, made_by in zip(chosen, recipes, strict=True)
        )
        built = tuple(built_component(artifact, part) for artifact in artifacts)
        verified = VerifyReport(str(out), rows, clips)
        report = BuildReport(model, Path(out), False, built, verified, time.monotonic() - start)
        contents = {"class": module.kind, **report.to_json(), "programs": [_program(a, part) for a in artifacts]}
        (part / "report.json").write_text(json.dumps(contents, indent=2) + "\n", encoding="utf-8")
        say("done", 1.0)
    return report


def _is_ours(folder: Path) -> bool:
    """Whether an older conversion of a video UNet lies there."""
    try:
        found: Any = json.loads((folder / "report.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return False
    return isinstance(found, dict) and "programs" in found and "class" in found


def _program(artifact: Artifact, part: Path) -> dict[str, Any]:
    """What an app needs to open a program, and to know that it is whole."""
    return {
        "target": artifact.target,
        "entry": artifact.entry.as_posix(),
        "inputs": [entry.to_json() for entry in artifact.inputs],
        "outputs": [entry.to_json() for entry in artifact.outputs],
        "files": [file.model_dump() for file in files_of(artifact, part)],
    }


def _verify(
    module: VideoUNet,
    spec: ComponentSpec,
    parts: Sequence[tuple[nn.Module, ComponentSpec]],
    artifacts: Sequence[Artifact],
    folder: Path,
    floors: Floors,
) -> tuple[ComponentRow, ...]:
    """Holds every program against the UNet as diffusers has it, on the same inputs."""
    from edge_stickers.models.video_unets import example_inputs

    cases = []
    for seed, timestep in enumerate(TIMESTEPS):
        inputs = example_inputs(spec, timestep, seed)
        values = dict(zip((entry.name for entry in spec.inputs), inputs, strict=True))
        with torch.inference_mode():
            values[spec.outputs[0].name] = module(*inputs)
            for piece, named in parts[:-1]:
                made = piece(*(values[entry.name] for entry in named.inputs))
                made = made if isinstance(made, tuple) else (made,)
                values |= dict(zip((entry.name for entry in named.outputs), made, strict=True))
        cases.append({name: value.numpy() for name, value in values.items()})
    return tuple(_row(artifact, folder, cases, floors.snr.get(artifact.recipe)) for artifact in artifacts)


def _row(artifact: Artifact, folder: Path, cases: Sequence[dict[str, Any]], floor: float | None) -> ComponentRow:
    name, recipe = artifact.target, artifact.recipe
    reason = availability(name, backend=artifact.backend)
    if reason is not None:
        return ComponentRow(name, artifact.component, recipe, "not run", floor_db=floor, reason=reason)
    inputs, outputs = tensor_entries(artifact.inputs), tensor_entries(artifact.outputs)
    worker = Worker(name, require(name, backend=artifact.backend).opener)
    session = WorkerSession(worker, Program(artifact.component, folder / artifact.entry, inputs, outputs))
    worst, where = float("inf"), ""
    try:
        for values, timestep in zip(cases, TIMESTEPS, strict=True):
            got = session.run({entry.name: values[entry.name].astype(entry.dtype) for entry in inputs})
            value = min(snr_db(values[entry.name], got[entry.name]) for entry in outputs)
            if value < worst or not where:
                worst, where = value, f"timestep {timestep:g}"
    except RuntimeFailedError as error:
        return ComponentRow(name, artifact.component, recipe, "failed", floor_db=floor, reason=str(error))
    finally:
        session.close()
    fell = floor is not None and worst < floor
    note = f"{worst:.1f} dB SNR, expected at least {floor:g} ({where})" if fell else ""
    note = note or (EMULATED if is_emulated(name) else "")
    return ComponentRow(
        name, artifact.component, recipe, "failed" if fell else "passed", capped(worst), floor, where, note
    )
