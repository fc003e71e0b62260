"""Holding a bundle against its golden tensors, on every runtime that this machine has."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from edge_stickers.bundle.golden import GOLDEN, Golden, to_bytes
from edge_stickers.bundle.manifest import ClipParity, ComponentEntry, Parity, TargetEntry
from edge_stickers.bundle.reader import Bundle
from edge_stickers.convert.parity import psnr_db, snr_db
from edge_stickers.errors import ConversionError, RuntimeFailedError
from edge_stickers.runtimes.base import EMULATED, RUNTIMES, Engine, availability, is_emulated
from edge_stickers.runtimes.base import runtime as known_runtime
from edge_stickers.runtimes.clip import ClipInputs, FloatArray, run_clip
from edge_stickers.runtimes.numerics import core_ml_numerics
from edge_stickers.runtimes.opening import CLIP_COMPONENTS, open_bundle
from edge_stickers.runtimes.outcome import ClipRow, ComponentRow, Numerics, Outcome, VerifyReport, capped


@dataclass(frozen=True, slots=True)
class Floors:
    """What counts as good enough, in dB.

    Attributes:
        snr: of a component, by recipe; a recipe that is not here is judged by its frames alone.
        frame_mean: PSNR of the final frames, over all cases.
        frame_worst: PSNR of the worst single frame.
    """

    snr: dict[str, float] = field(default_factory=lambda: {"fp32": 60.0, "fp16": 40.0})
    frame_mean: float = 35.0
    frame_worst: float = 30.0


def verify(
    bundle: Bundle | str | Path,
    runtimes: Sequence[str] | None = None,
    *,
    floors: Floors | None = None,
    threads: int | None = None,
    limit_s: float | None = 300.0,
    progress: Callable[[str], None] | None = None,
) -> VerifyReport:
    """Runs the golden inputs through every component of every target, and whole clips from noise to frames.

    Args:
        bundle: opened, or its folder.
        runtimes: which targets; None for all that the bundle has.
        floors: what is good enough; None for the defaults.
        threads: a runtime may use; None for all CPUs.
        limit_s: after which one call counts as hung.
        progress: told what is being run.

    Returns:
        A row for every component and one for the clips of every target. What could not run here says why, and a
        runtime that crashed is a failed row. Of Core ML components that no device ran, where float16 loses.

    Raises:
        BundleError: the bundle or its golden tensors are damaged, or it has no such target.
        InputError: no such runtime.
    """
    opened = bundle if isinstance(bundle, Bundle) else Bundle.open(bundle)
    for name in runtimes or ():
        known_runtime(name)
        opened.target(name)
    golden = Golden.open(opened.folder / GOLDEN, opened.scheduler.steps)
    components: list[ComponentRow] = []
    clips: list[ClipRow] = []
    for name in runtimes or tuple(opened.manifest.targets):
        check = _Check(opened, golden, name, floors or Floors(), threads, limit_s, progress or (lambda _: None))
        components += check.components()
        clips.append(check.clips())
        check.close()
    numerics: tuple[Numerics, ...] = ()
    if any(row.target == "coreml" and row.status != "not run" for row in components):
        with contextlib.suppress(ConversionError, RuntimeFailedError):  # its row has said so
            numerics = tuple(core_ml_numerics(opened, golden))
    return VerifyReport(str(opened.folder), tuple(components), tuple(clips), numerics)


class _Check:
    """One target of one bundle."""

    def __init__(
        self,
        bundle: Bundle,
        golden: Golden,
        name: str,
        floors: Floors,
        threads: int | None,
        limit_s: float | None,
        progress: Callable[[str], None],
    ) -> None:
        self.name = name
        self.target: TargetEntry = bundle.target(name)
        self.golden = golden
        self.floors = floors
        self.progress = progress
        self.reasons = {part: _reason(name, entry) for part, entry in self.target.components.items()}
        runnable = [part for part, reason in self.reasons.items() if reason is None]
        self.engine: Engine | None = (
            open_bundle(bundle, name, components=runnable, threads=threads, limit_s=limit_s) if runnable else None
        )
        self.broken: dict[str, str] = {}
        self.note = EMULATED if is_emulated(name) else ""

    def close(self) -> None:
        if self.engine is not None:
            self.engine.close()

    def components(self) -> Iterator[ComponentRow]:
        for part, entry in self.target.components.items():
            self.progress(f"{self.name} {part}")
            yield self._component(part, entry)

    def clips(self) -> ClipRow:
        missing = [part for part in CLIP_COMPONENTS if part not in self.target.components]
        reason = next(filter(None, self.reasons.values()), None)
        if missing:
            reason = f"the bundle has no {missing[0]} for it"
        if reason is not None or self.engine is None:
            return ClipRow(self.name, self.target.recipe, "not run", reason=reason or "nothing can run")
        if self.broken:
            part, why = next(iter(self.broken.items()))
            return ClipRow(self.name, self.target.recipe, "failed", reason=f"{part} failed: {why}")
        try:
            return self._clips(self.engine)
        except RuntimeFailedError as error:
            return ClipRow(self.name, self.target.recipe, "failed", reason=str(error))

    def _component(self, part: str, entry: ComponentEntry) -> ComponentRow:
        floor = self.floors.snr.get(entry.recipe)
        reason = self.reasons[part]
        if reason is not None or self.engine is None:
            return ComponentRow(self.name, part, entry.recipe, "not run", floor_db=floor, reason=reason or "")
        worst, where = math.inf, ""
        try:
            for call in self.golden.calls(part):
                inputs = call.inputs if call.frame is None else _batch(self.engine, part, call.inputs, call.frame)
                outputs = self.engine.run(part, inputs)
                for name, expected in call.outputs.items():
                    got = outputs[name]
                    if call.frame is not None:
                        index = call.frame % len(got)
                        got = got[index : index + 1]
                    value = snr_db(expected, got)
                    if value < worst or not where:
                        worst, where = value, f"{call.case}/{call.step}"
        except RuntimeFailedError as error:
            self.broken[part] = str(error)
            return ComponentRow(self.name, part, entry.recipe, "failed", floor_db=floor, reason=str(error))
        reason = ""
        if worst == -math.inf:
            reason = f"its output is not finite, or should be all zero ({where})"
        elif floor is not None and worst < floor:
            reason = f"{worst:.1f} dB SNR, expected at least {floor:g} ({where})"
        status: Outcome = "failed" if reason else "passed"
        return ComponentRow(self.name, part, entry.recipe, status, capped(worst), floor, where, reason or self.note)

    def _clips(self, engine: Engine) -> ClipRow:
        frames: dict[str, tuple[float, ...]] = {}
        flicker = 0.0
        for case in self.golden.cases:
            self.progress(f"{self.name} clip {case.name}")
            first, expected = self.golden.clip(case.name)
            inputs = ClipInputs(
                image=first["image"],
                input_ids=first["input_ids"],
                attention_mask=first["attention_mask"],
                rows=self.golden.rows,
                seed=case.seed,
                motion_strength=case.motion_strength,
            )
            reference = expected.astype(np.float32) / np.float32(255)
            got = run_clip(engine, inputs)
            if not np.isfinite(got).all():
                return ClipRow(self.name, self.target.recipe, "failed", reason=f"{case.name}: frames are not finite")
            rounded = to_bytes(got).astype(np.float32) / np.float32(255)
            pairs = zip(reference, rounded, strict=True)
            frames[case.name] = tuple(capped(psnr_db(a, b)) for a, b in pairs)
            flicker = max(flicker, flicker_difference(reference, rounded))
        values = [value for case in frames.values() for value in case]
        mean, (worst, where) = float(np.mean(values)), _worst(frames)
        reason = ""
        if mean < self.floors.frame_mean:
            reason = f"frames have {mean:.1f} dB PSNR on average, expected at least {self.floors.frame_mean:g}"
        elif worst < self.floors.frame_worst:
            reason = f"frame {where} has {worst:.1f} dB PSNR, expected at least {self.floors.frame_worst:g}"
        status: Outcome = "failed" if reason else "passed"
        return ClipRow(self.name, self.target.recipe, status, mean, worst, where, flicker, frames, reason or self.note)


def flicker_difference(reference: FloatArray, candidate: FloatArray) -> float:
    """Mean absolute error of the change from each frame to the next, the last to the first included.

    Args:
        reference: (F, 4, H, W) in 0..1.
        candidate: the same shape.

    Returns:
        0 where the candidate changes just as the reference does.
    """
    change = np.roll(candidate, -1, axis=0) - candidate - (np.roll(reference, -1, axis=0) - reference)
    return float(np.abs(change).mean())


def parity_of(row: ComponentRow) -> Parity | None:
    """A row as the manifest keeps it; None where it did not run."""
    return None if row.snr_db is None else Parity(snr_db=round(row.snr_db, 2), floor_db=row.floor_db)


def clip_parity_of(row: ClipRow) -> ClipParity | None:
    """A row as the manifest keeps it; None where it did not run."""
    if row.mean_psnr_db is None or row.worst_psnr_db is None or row.flicker is None:
        return None
    return ClipParity(
        mean_psnr_db=round(row.mean_psnr_db, 2),
        worst_psnr_db=round(row.worst_psnr_db, 2),
        flicker=round(row.flicker, 6),
    )


def _reason(name: str, entry: ComponentEntry) -> str | None:
    """Why it cannot run here; a target that is no runtime is one of a newer version."""
    return availability(name, backend=entry.backend) if name in RUNTIMES else f"no runtime named {name} is known here"


def _batch(engine: Engine, part: str, inputs: dict[str, FloatArray], frame: int) -> dict[str, FloatArray]:
    """Of all frames those that a decoder with a smaller batch takes along with the one that is compared."""
    size = engine.sessions[part].inputs[0].shape[0]
    start = frame // size * size
    return {name: value[start : start + size] for name, value in inputs.items()}


def _worst(frames: dict[str, tuple[float, ...]]) -> tuple[float, str]:
    return min((value, f"{case}/{index}") for case, values in frames.items() for index, value in enumerate(values))
