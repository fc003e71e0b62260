"""Opening models and bundles: an engine for each, wired by the names in the manifest."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from edge_stickers.bundle.manifest import tensor_entries
from edge_stickers.bundle.reader import Bundle
from edge_stickers.errors import InputError, MissingDependencyError
from edge_stickers.runtimes.base import RUNTIMES, Engine, Session, availability, require
from edge_stickers.runtimes.process import Program, Worker, WorkerSession

if TYPE_CHECKING:
    from edge_stickers.models.pipeline import StickerPipeline

CLIP_COMPONENTS = ("text_encoder", "image_encoder", "unet", "decoder")
"""What a clip needs, in the order in which it passes them."""


def open_pipeline(pipeline: StickerPipeline) -> Engine:
    """A student in PyTorch, in this process."""
    from edge_stickers.models.components import component_modules, component_specs
    from edge_stickers.runtimes.torch import TorchSession

    specs = component_specs(pipeline)
    sessions: dict[str, Session] = {
        name: TorchSession(module, tensor_entries(specs[name].inputs), tensor_entries(specs[name].outputs))
        for name, module in component_modules(pipeline).items()
    }
    return Engine("torch", sessions, lambda: None)


def shift_of(pipeline: StickerPipeline) -> float:
    """How a student's steps are spaced; see `edge_stickers.sampling.schedule.times`."""
    scheduler: Any = pipeline.scheduler  # diffusers makes `config` at run time
    return float(scheduler.config.shift)


def open_bundle(
    bundle: Bundle,
    runtime: str = "auto",
    *,
    components: Iterable[str] = CLIP_COMPONENTS,
    threads: int | None = None,
    limit_s: float | None = None,
) -> Engine:
    """The components of one target of a bundle, in a child process that starts with the first call.

    Args:
        bundle: an opened bundle.
        runtime: its name, or "auto" for the first that the bundle has and this machine can run.
        components: which ones.
        threads: the runtime may use; None for all CPUs.
        limit_s: after which a call counts as hung; None for never.

    Raises:
        InputError: no such runtime.
        MissingDependencyError: it cannot run here.
        BundleError: the bundle lacks the target or a component.
    """
    name = choose_runtime(bundle) if runtime == "auto" else runtime
    if name == "torch":
        raise InputError(
            f"the runtime torch runs model folders, and {bundle.folder} is a bundle; "
            f"choose one of {', '.join(bundle.manifest.targets)}"
        )
    needed = require(name)
    programs = []
    for component in components:
        path, entry = bundle.program(name, component)
        needed = require(name, backend=entry.backend)
        programs.append(Program(component, path, entry.inputs, entry.outputs))
    worker = Worker(name, needed.opener, threads=threads, limit_s=limit_s)
    sessions: dict[str, Session] = {program.component: WorkerSession(worker, program) for program in programs}
    return Engine(name, sessions, worker.close)


def choose_runtime(bundle: Bundle) -> str:
    """The first runtime that the bundle has a target for and that can run here.

    Raises:
        MissingDependencyError: there is none; the message says what each lacks.
    """
    reasons = []
    for name in (name for name in RUNTIMES if name in bundle.manifest.targets):
        entries = bundle.manifest.targets[name].components.values()
        reason = next(filter(None, (availability(name, backend=entry.backend) for entry in entries)), None)
        if reason is None:
            return name
        reasons.append(f"{name}: {reason}")
    raise MissingDependencyError(f"no target of {bundle.folder} can run here: {'; '.join(reasons) or 'it has none'}")
