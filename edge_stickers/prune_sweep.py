"""The curve of pruning: size, speed and quality of a student pruned more and more, as a table and a picture."""

from __future__ import annotations

import importlib.util
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Literal

from edge_stickers.animator import animator_of
from edge_stickers.bundle.golden import CASES
from edge_stickers.bundle.manifest import Count, Entry
from edge_stickers.data.dataset import ClipSource
from edge_stickers.data.stickers import fetch_twemoji, list_stickers
from edge_stickers.errors import InputError, MissingDependencyError
from edge_stickers.evaluate_animator import evaluate_animator
from edge_stickers.evaluation.report import Interval
from edge_stickers.media.write import write_atomically
from edge_stickers.models.autoencoder import COMPRESSION
from edge_stickers.models.pipeline import StickerPipeline, load_pipeline
from edge_stickers.quantize.pruning.choose import choose_units
from edge_stickers.quantize.pruning.importance import measure_importance
from edge_stickers.quantize.pruning.prune import MODEL, PRUNED, Sizes, prune, sizes_of
from edge_stickers.quantize.pruning.structures import Part, clip_flops, structures_of
from edge_stickers.quantize.recovery import RecoveryPlan
from edge_stickers.runtimes.reference import STICKERS
from edge_stickers.sampling.sampler import DEFAULT_STEPS

ROUNDS = 5
"""Clips that each student makes for its time, all of them in turn."""
MEASURES = ("as_told", "identity", "flicker")
"""Of `evaluate`: share of clips that move as told; PSNR in dB against the moved still; RMS second difference."""


class SweepPoint(Entry):
    """One student of the curve."""

    fraction: float
    """Of each part's operations that was asked to go; 0 for the student itself."""
    sizes: Sizes
    time: float
    """Of a clip in PyTorch on this machine, as a multiple of the student's own: median of rounds."""
    quality: dict[str, Interval]
    """By name of `MEASURES`."""


class SweepReport(Entry):
    """The curve."""

    schema_version: Literal[1] = 1
    clips: Count
    """That each student was evaluated on."""
    recovered: bool
    """Whether the pruned ones were trained after they had been cut."""
    points: tuple[SweepPoint, ...]

    def rows(self) -> tuple[list[str], list[list[str]]]:
        """Names of columns, and a row a point."""
        header = ["pruned", "GFLOP a clip", "M parameters", "MB in fp16", "time", *MEASURES]
        return header, [
            [
                f"{point.fraction:.0%}",
                f"{point.sizes.clip_gflop:.1f}",
                f"{sum(point.sizes.parameters.values()) / 1e6:.2f}",
                f"{point.sizes.kilobytes / 1e3:.1f}",
                f"{point.time:.2f}",
                *(str(point.quality[name]) for name in MEASURES),
            ]
            for point in self.points
        ]

    def to_markdown(self) -> str:
        """The table, and what it is of."""
        header, rows = self.rows()
        lines = [f"| {' | '.join(row)} |" for row in (header, ["---"] * len(header), *rows)]
        trained = "after recovery" if self.recovered else "as they were cut, not trained since"
        return "\n".join([*lines, "", f"{self.clips} held-out clips each; pruned students {trained}.", ""])


def prune_sweep(
    model: Path,
    output: Path,
    fractions: Sequence[float],
    *,
    parts: tuple[Part, ...],
    stickers: Path | None = None,
    plan: RecoveryPlan | None = None,
    clips: int = 56,
    cache: Path | None = None,
    on_progress: Callable[[str, int, int], None] = lambda _what, _done, _all: None,
) -> SweepReport:
    """Prunes by each of several fractions, evaluates and times what comes out; goes on where it was cut off.

    Args:
        model: folder of the student.
        output: gets a run of `prune` a fraction, and the curve as `sweep.json`, `sweep.md` and `sweep.png`.
        fractions: shares of the operations of each part that shall go, 0..1.
        parts: which parts.
        stickers: folder of SVG, PNG or WebP; Twemoji where None.
        plan: of the training after each cut; None for none.
        clips: that each student is evaluated on, held-out ones.
        cache: where drawn stickers are kept.
        on_progress: (what is done now, steps done, steps in all).

    Raises:
        InputError: a fraction is not between 0 and 1, or more than a part has to give.
        MissingDependencyError: what pruning or training needs is not installed.
    """
    if not fractions or any(not 0 < each < 1 for each in fractions):
        raise InputError(f"cannot sweep over {list(fractions)}; expected fractions between 0 and 1, such as 0.2,0.4")
    chosen = sorted(set(fractions))
    require_drawing()
    source = fetch_twemoji() if stickers is None else stickers
    list_stickers(source, "test")
    total = 2 * len(chosen) + 3
    on_progress("measuring importance", 0, total)
    teacher = load_pipeline(model)
    structures = structures_of(teacher, steps=DEFAULT_STEPS)
    clip_source = ClipSource(source, split="train", size=teacher.unet.config.sample_size * COMPRESSION, cache=cache)
    scores = measure_importance(teacher, structures, source=clip_source)
    totals = clip_flops(teacher, steps=DEFAULT_STEPS)
    for fraction in chosen:  # what cannot be had is said before anything is trained
        choose_units(structures, scores, totals=totals, fractions=dict.fromkeys(parts, fraction))
    students: dict[float, Path] = {0.0: model}
    for index, fraction in enumerate(chosen):
        on_progress(f"pruning by {fraction:.0%}", index + 1, total)
        folder = output / f"{fraction:g}"
        prune(
            model, folder, fraction=fraction, parts=parts, stickers=source, scores=scores, plan=plan,
            latents=output / "latents", cache=cache,
        )  # fmt: skip
        students[fraction] = folder / (PRUNED if plan is None else MODEL)
    loaded = {fraction: load_pipeline(folder) for fraction, folder in students.items()}
    quality = {}
    for index, (fraction, student) in enumerate(loaded.items()):
        on_progress(f"evaluating {fraction:.0%}", len(chosen) + 1 + index, total)
        quality[fraction] = _quality(student, source, clips, cache)
    on_progress("timing", total - 1, total)
    times = _times(loaded)
    report = SweepReport(
        clips=clips,
        recovered=plan is not None,
        points=tuple(
            SweepPoint(
                fraction=fraction, sizes=sizes_of(student), time=times[fraction] / times[0.0], quality=quality[fraction]
            )
            for fraction, student in loaded.items()
        ),
    )
    write_atomically(output / "sweep.json", (report.model_dump_json(indent=2) + "\n").encode())
    write_atomically(output / "sweep.md", report.to_markdown().encode())
    draw_sweep(report, output / "sweep.png")
    return report


def _quality(student: StickerPipeline, source: Path, clips: int, cache: Path | None) -> dict[str, Interval]:
    """What `evaluate` says of held-out clips."""
    with animator_of(student) as animator:
        report = evaluate_animator(animator, source=source, clips=clips, reference=False, cache=cache)
    totals = report.totals()
    return {name: totals[name] for name in MEASURES}


def _times(students: Mapping[float, StickerPipeline]) -> dict[float, float]:
    """Median seconds of a clip; every round runs all students, so that a slow minute is slow for all."""
    still = STICKERS / f"{CASES[0].name}.svg"
    seconds: dict[float, list[float]] = {fraction: [] for fraction in students}
    animators = {fraction: animator_of(student) for fraction, student in students.items()}
    for index in range(ROUNDS + 1):
        for fraction, animator in animators.items():
            started = time.perf_counter()
            animator.animate(still, CASES[0].prompt)
            if index:  # the first warms up
                seconds[fraction].append(time.perf_counter() - started)
    return {fraction: statistics.median(values) for fraction, values in seconds.items()}


def require_drawing() -> None:
    """Whether matplotlib is there.

    Raises:
        MissingDependencyError: it is not.
    """
    if importlib.util.find_spec("matplotlib") is None:
        raise MissingDependencyError("drawing needs matplotlib; run: pip install 'edge-stickers[train]'")


def draw_sweep(report: SweepReport, path: Path) -> None:
    """The curve as a picture: each measure over the operations of a clip, with its interval.

    Raises:
        MissingDependencyError: matplotlib is not installed.
    """
    require_drawing()
    from matplotlib.figure import Figure

    labels = {"as_told": "clips that move as told", "identity": "identity, dB", "flicker": "flicker"}
    picture = Figure(figsize=(12, 4), layout="constrained")
    axes = picture.subplots(1, len(MEASURES) + 1)
    work = [point.sizes.clip_gflop for point in report.points]
    for axis, name in zip(axes, MEASURES, strict=False):
        means = [point.quality[name].mean for point in report.points]
        low = [mean - point.quality[name].low for mean, point in zip(means, report.points, strict=True)]
        high = [point.quality[name].high - mean for mean, point in zip(means, report.points, strict=True)]
        axis.errorbar(work, means, yerr=[low, high], marker="o", capsize=3)
        axis.set_ylabel(labels[name])
    axes[-1].plot(work, [point.time for point in report.points], marker="o")
    axes[-1].set_ylabel("time of a clip, PyTorch")
    axes[-1].set_ylim(bottom=0)
    for axis in axes:
        axis.set_xlabel("GFLOP a clip")
        axis.set_xlim(left=0)
        axis.grid(alpha=0.3)
    axes[0].set_title(f"{report.clips} clips each, 95 % intervals", fontsize="small")
    picture.savefig(path, dpi=120)
