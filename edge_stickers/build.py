"""From a model folder to a bundle: load, convert, record golden tensors, verify, write it whole."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import edge_stickers
from edge_stickers.bundle.contents import MINIMUM, scheduler_of, tool_versions
from edge_stickers.bundle.golden import CASES, GOLDEN, GoldenCase
from edge_stickers.bundle.manifest import (
    ComponentEntry,
    FileEntry,
    Manifest,
    Sampling,
    Status,
    TargetEntry,
    tensor_entries,
    to_json,
)
from edge_stickers.bundle.notice import LICENCES, notice_text
from edge_stickers.bundle.reader import MANIFEST, Bundle, file_entry, folder_sha256
from edge_stickers.bundle.report import render_report
from edge_stickers.bundle.writer import check_out, replacing
from edge_stickers.config import FRAME_MS, MAX_TOKENS, STEP_COUNTS, STILL_MARGIN
from edge_stickers.errors import InputError
from edge_stickers.quantize.recipe import check_model, find_recipe
from edge_stickers.runtimes.base import RUNTIMES, availability, is_emulated
from edge_stickers.runtimes.outcome import ComponentRow, VerifyReport
from edge_stickers.runtimes.verify import Floors, clip_parity_of, parity_of, verify
from edge_stickers.sampling.sampler import DEFAULT_MOTION, DEFAULT_STEPS

if TYPE_CHECKING:
    from edge_stickers.convert.cache import ConversionCache
    from edge_stickers.convert.jobs import Conversion
    from edge_stickers.convert.targets.base import Artifact, Extra
    from edge_stickers.models.pipeline import StickerPipeline
    from edge_stickers.quantize.recipe import Recipe
    from edge_stickers.spec import Component

Name = TypeVar("Name", bound=str)
Progress = Callable[[str, float], None]
"""Told what is being done, and which share of the whole is done, 0..1."""
COMPONENT_NAMES: tuple[Component, ...] = ("text_encoder", "image_encoder", "unet", "decoder")


@dataclass(frozen=True, slots=True)
class BuiltComponent:
    """One component of one target.

    Attributes:
        target: and runtime.
        component: its name.
        backend: what it was lowered to; empty before that.
        recipe: by name; empty where the target's default would be taken.
        bytes: on disk.
        seconds: that lowering took, or the copy of an earlier one.
        reused: whether it was lowered before, from the same model with the same code and tools.
        delegate_calls: None where the target has no delegates.
        undelegated: operators left to the runtime's own kernels, with their number.
        decisions: what each rule of the recipe decided: precision, number of layers, the rule, why.
        mapped: what the recipe asked for and got otherwise, for the target has no such precision.
        not_run_here: why it cannot be verified on this machine; empty where it can.
    """

    target: str
    component: str
    backend: str = ""
    recipe: str = ""
    bytes: int = 0
    seconds: float = 0.0
    reused: bool = False
    delegate_calls: int | None = None
    undelegated: dict[str, int] | None = None
    decisions: tuple[dict[str, Any], ...] = ()
    mapped: tuple[str, ...] = ()
    not_run_here: str = ""


@dataclass(frozen=True, slots=True)
class BuildReport:
    """What was built, or would be.

    Attributes:
        model: the model folder.
        out: the bundle.
        dry_run: whether nothing was written.
        components: a row for each component of each target.
        verified: what verification found; None for a dry run.
        seconds: in all.
    """

    model: Path
    out: Path
    dry_run: bool
    components: tuple[BuiltComponent, ...]
    verified: VerifyReport | None
    seconds: float

    @property
    def passed(self) -> bool:
        """Whether nothing that ran here fell short."""
        return self.verified is None or self.verified.passed

    def to_json(self) -> dict[str, Any]:
        """Plain JSON values."""
        return {
            "passed": self.passed,
            "model": str(self.model),
            "out": str(self.out),
            "dry_run": self.dry_run,
            "seconds": round(self.seconds, 3),
            "components": [asdict(row) for row in self.components],
            "verified": None if self.verified is None else self.verified.to_json(),
        }


def build(
    model: Path | None,
    targets: Sequence[str],
    out: Path,
    *,
    recipe: str | Path | Recipe | None = None,
    backend: str | None = None,
    extras: Collection[Extra] = (),
    components: Sequence[str] | None = None,
    floors: Floors | None = None,
    cases: Sequence[GoldenCase] = CASES,
    threads: int | None = None,
    cache: ConversionCache | None = None,
    jobs: int | None = None,
    progress: Progress | None = None,
    dry_run: bool = False,
) -> BuildReport:
    """Converts a student for some targets, verifies what can run here, and writes the bundle.

    Nothing is at `out` until all is done; an older bundle there stays until then. A bundle that falls short is written
    too, marked as such: see `BuildReport.passed`.

    Args:
        model: a model folder; None for the default student.
        targets: "executorch", "coreml", "onnx".
        out: where the bundle goes.
        recipe: a key of `edge_stickers.quantize.recipe.RECIPES`, a recipe's file, or a recipe; None for each target's
            default. One that wants ranges and has none is calibrated first.
        backend: of ExecuTorch: "xnnpack", "coreml" or "vulkan"; None for the first.
        extras: what to keep beside each program of ExecuTorch: "etrecord", "picture".
        components: which to convert; None for all. A bundle without all of them makes no clips.
        floors: of parity; None for the defaults.
        cases: golden stickers.
        threads: a runtime may use while it is verified.
        cache: of earlier conversions; all is lowered anew where None.
        jobs: processes that lower at once; what processors and free memory allow where None.
        progress: told how far it is.
        dry_run: only says what would be done.

    Returns:
        The report, which is also in the bundle as `report.json` and `report.html`.

    Raises:
        InputError: a target, component or recipe is unknown, the recipe is another model's, or `out` cannot be written.
        BundleError: the model folder is damaged.
        ConversionError: a component cannot be lowered.
        MissingDependencyError: a converter is not installed.
    """
    start = time.monotonic()
    say = progress or (lambda _what, _share: None)
    folder = edge_stickers.default_student() if model is None else Path(model)
    names = _known(targets, tuple(name for name in RUNTIMES if name != "torch"), "target")
    parts = _known(COMPONENT_NAMES if components is None else components, COMPONENT_NAMES, "component")
    found = None if recipe is None else find_recipe(recipe)
    check_out(Path(out).absolute())
    if dry_run:
        planned = [
            BuiltComponent(name, part, recipe=found.name if found else "", not_run_here=availability(name) or "")
            for name in names
            for part in parts
        ]
        return BuildReport(folder, Path(out), True, tuple(planned), None, time.monotonic() - start)

    from edge_stickers.convert import convert
    from edge_stickers.models.pipeline import load_pipeline

    say("loading the model", 0.0)
    pipeline = load_pipeline(folder)
    if found is not None:
        check_model(found, folder_sha256(folder))
    with replacing(Path(out)) as part:
        say(f"converting for {', '.join(names)}", 0.02)
        artifacts = convert(
            pipeline,
            targets=names,
            components=parts,
            folder=part,
            recipe=found,
            backend=backend,
            extras=extras,
            cache=cache,
            jobs=jobs,
            on_clip=lambda done, of: say(f"calibrating, clip {done} of {of}", 0.02),
            on_done=shares(say, len(names) * len(parts)),
        )
        say("recording golden tensors", 0.7)
        manifest = _write_parts(part, folder, pipeline, artifacts, cases)
        say("verifying", 0.8)
        verified = verify(
            Bundle.open(part), floors=floors, threads=threads, progress=lambda what: say(f"verifying {what}", 0.8)
        )
        verified = replace(verified, bundle=str(out))  # where it will be
        manifest = _with_parity(manifest, verified)
        rows = tuple(built_component(artifact, part) for artifact in artifacts)
        report = BuildReport(folder, Path(out), False, rows, verified, time.monotonic() - start)
        _write_reports(part, manifest, report)
        say("done", 1.0)
    return report


def shares(say: Progress, count: int) -> Callable[[Conversion], None]:
    """Tells of each of `count` conversions, which take most of a build's time."""
    done = iter(range(1, count + 1))
    return lambda conversion: say(
        f"converted {conversion.spec.component} for {conversion.target.name}", 0.02 + 0.68 * next(done, count) / count
    )


def _write_parts(
    part: Path, model: Path, pipeline: StickerPipeline, artifacts: Sequence[Artifact], cases: Sequence[GoldenCase]
) -> Manifest:
    """Writes everything but the reports, and a manifest in which nothing is verified yet."""
    from edge_stickers.models.components import component_specs
    from edge_stickers.runtimes.opening import open_pipeline, shift_of
    from edge_stickers.runtimes.reference import record_golden
    from edge_stickers.sampling.schedule import tables

    specs = component_specs(pipeline)
    sample = specs["unet"].inputs[0].shape
    schedule = tables(STEP_COUNTS, shift=shift_of(pipeline))
    tokenizer = pipeline.tokenizer.backend_tokenizer
    tokenizer.no_padding()
    tokenizer.no_truncation()
    tokenizer.save(str(part / "tokenizer.json"), pretty=False)
    (part / "scheduler.json").write_text(to_json(scheduler_of(schedule, sample)), encoding="utf-8")
    (part / "NOTICE").write_text(notice_text(model), encoding="utf-8")
    record_golden(part / GOLDEN, open_pipeline(pipeline), tokenizer, schedule[DEFAULT_STEPS], cases=cases)
    targets: dict[str, dict[str, ComponentEntry]] = {}
    for artifact in artifacts:
        targets.setdefault(artifact.target, {})[artifact.component] = _entry(artifact, part)
    manifest = Manifest(
        schema_version=1,
        created_by=f"edge-stickers {edge_stickers.__version__}",
        model_sha256=folder_sha256(model),
        frames=sample[0],
        size=specs["image_encoder"].inputs[0].shape[-1],
        frame_duration_ms=FRAME_MS,
        max_tokens=MAX_TOKENS,
        still_margin=STILL_MARGIN,
        prediction_type="sample",
        sampling=Sampling(step_counts=STEP_COUNTS, default_steps=DEFAULT_STEPS, motion_strength=DEFAULT_MOTION),
        targets={name: _target(name, entries) for name, entries in targets.items()},
        files=tuple(file_entry(part, part / name) for name in ("tokenizer.json", "scheduler.json", "NOTICE", GOLDEN)),
        licences=LICENCES,
        tool_versions=tool_versions(),
    )
    (part / MANIFEST).write_text(to_json(manifest), encoding="utf-8")
    return manifest


def _entry(artifact: Artifact, part: Path) -> ComponentEntry:
    """A component's entry, before anything was run."""
    return ComponentEntry(
        files=tuple(files_of(artifact, part)),
        inputs=tensor_entries(artifact.inputs),
        outputs=tensor_entries(artifact.outputs),
        backend=artifact.backend,
        recipe=artifact.recipe,
        delegate_calls=artifact.delegate_calls,
        undelegated=dict(artifact.undelegated),
    )


def _target(name: str, entries: dict[str, ComponentEntry]) -> TargetEntry:
    runtime, systems = MINIMUM.get(name, (name, {}))
    recipes = sorted({entry.recipe for entry in entries.values()})
    return TargetEntry(
        recipe=recipes[0] if len(recipes) == 1 else "mixed",
        minimum_runtime=runtime,
        minimum_os=dict(systems),
        components=entries,
    )


def _with_parity(manifest: Manifest, verified: VerifyReport) -> Manifest:
    """The manifest with what verification found."""
    rows = {(row.target, row.component): row for row in verified.components}
    clips = {row.target: row for row in verified.clips}
    targets = {
        name: target.model_copy(
            update={
                "clip": clip_parity_of(clips[name]),
                "components": {
                    part: entry.model_copy(
                        update={
                            "status": _status(rows[name, part]),
                            "parity": parity_of(rows[name, part]),
                        }
                    )
                    for part, entry in target.components.items()
                },
            }
        )
        for name, target in manifest.targets.items()
    }
    return manifest.model_copy(update={"targets": targets})


def _status(row: ComponentRow) -> Status:
    """What the manifest says of a component."""
    if row.status == "failed":
        return "below floor"
    if row.status == "not run":
        return "lowered, not run on a device"
    return "emulated, not run on a device" if is_emulated(row.target) else "verified"


def _write_reports(part: Path, manifest: Manifest, report: BuildReport) -> None:
    assert report.verified is not None  # for the type checker
    contents = report.to_json()
    (part / "report.json").write_text(json.dumps(contents, indent=2) + "\n", encoding="utf-8")
    (part / "report.html").write_text(
        render_report(manifest, contents["verified"], contents["components"]), encoding="utf-8"
    )
    files = (*manifest.files, *(file_entry(part, part / name) for name in ("report.json", "report.html")))
    (part / MANIFEST).write_text(to_json(manifest.model_copy(update={"files": files})), encoding="utf-8")


def built_component(artifact: Artifact, part: Path) -> BuiltComponent:
    """A report's row of an artifact that lies in `part`."""
    return BuiltComponent(
        target=artifact.target,
        component=artifact.component,
        backend=artifact.backend,
        recipe=artifact.recipe,
        bytes=sum(file.bytes for file in files_of(artifact, part)),
        seconds=round(float(artifact.seconds), 3),
        reused=artifact.reused,
        delegate_calls=artifact.delegate_calls,
        undelegated=dict(artifact.undelegated or {}),
        decisions=tuple(asdict(each) for each in artifact.decisions),
        mapped=tuple(artifact.mapped),
        not_run_here=availability(artifact.target, backend=artifact.backend) or "",
    )


def files_of(artifact: Artifact, part: Path) -> list[FileEntry]:
    """Entries of an artifact's files; a folder (an `.mlpackage`) stands for all files in it."""
    entries = []
    for path in map(Path, artifact.files):
        whole = path if path.is_absolute() else part / path
        found = sorted(p for p in whole.rglob("*") if p.is_file()) if whole.is_dir() else [whole]
        entries += [file_entry(part, file) for file in found]
    return entries


def _known(given: Iterable[str], known: Sequence[Name], what: str) -> tuple[Name, ...]:
    """The names without repetition, in the order given."""
    names = tuple(dict.fromkeys(given))
    for name in names:
        if name not in known:
            raise InputError(f"no {what} named {name!r}; known: {', '.join(known)}")
    if not names:
        raise InputError(f"no {what} was named; choose from {', '.join(known)}")
    return tuple(entry for name in names for entry in known if entry == name)
