"""One pruned student in one folder: measured, cut, taught by the one it was made of; a killed run goes on."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, ValidationError
from torch import Tensor

from edge_stickers.bundle.manifest import Count, Entry, Sha256, first_problem
from edge_stickers.bundle.reader import folder_sha256
from edge_stickers.data.dataset import ClipSource
from edge_stickers.data.stickers import fetch_twemoji, list_stickers
from edge_stickers.errors import InputError
from edge_stickers.media.write import write_atomically
from edge_stickers.models.autoencoder import COMPRESSION
from edge_stickers.models.pipeline import StickerPipeline, load_pipeline, save_pipeline
from edge_stickers.quantize.pruning.choose import choose_units
from edge_stickers.quantize.pruning.cut import cut, pruning_library
from edge_stickers.quantize.pruning.importance import CLIPS, measure_importance
from edge_stickers.quantize.pruning.structures import PARTS, Part, clip_flops, structures_of
from edge_stickers.quantize.recovery import RecoveryPlan, recover
from edge_stickers.quantize.runs import expect_apart, expect_same
from edge_stickers.sampling.sampler import DEFAULT_STEPS

DEFAULT_PARTS: tuple[Part, ...] = ("unet", "vae")
"""Nearly all operations; the text encoder has a hundredth of them."""
RECORD = "record.json"
PRUNED, MODEL, RUNS = "pruned", "model", "runs"
"""Folders of a run: the student as it was cut, the one that recovered, and what its training left."""


class PruneRequest(Entry):
    """What a run was asked for; a folder that holds a run of another request is not touched."""

    model_sha256: Sha256
    """Of the student's folder."""
    fraction: Annotated[float, Field(gt=0, lt=1)]
    """Share of the operations of each part that goes."""
    parts: Annotated[tuple[Part, ...], Field(min_length=1, strict=False)]
    importance_clips: Annotated[int, Field(ge=1, le=10_000)] = CLIPS
    """Clips that importance was measured on."""
    stickers_sha256: Sha256
    """Of the stickers that they show, which are also trained on."""


class Sizes(Entry):
    """What a student costs."""

    gflop: dict[str, float]
    """Of a clip of four steps, by part."""
    parameters: dict[str, Count]
    """By part."""
    kilobytes: Count
    """Of its weights in fp16."""

    @property
    def clip_gflop(self) -> float:
        """Of all parts together."""
        return sum(self.gflop.values())


class PruneRecord(Entry):
    """What went in and what came out."""

    schema_version: Literal[1] = 1
    asked: PruneRequest
    before: Sizes
    after: Sizes
    narrowed: dict[str, dict[str, Count]]
    """By part: the channels or heads that are left, as the configuration has them."""
    recovery: dict[str, Any] | None = None
    """The plan of the training that `model/` comes from; None where none has run to its end."""


def prune(
    model: Path,
    output: Path,
    *,
    fraction: float,
    parts: tuple[Part, ...] = DEFAULT_PARTS,
    stickers: Path | None = None,
    importance_clips: int = CLIPS,
    scores: Mapping[str, Tensor] | None = None,
    plan: RecoveryPlan | None = None,
    latents: Path | None = None,
    stop_after: float | None = None,
    cache: Path | None = None,
    on_clip: Callable[[int, int], None] = lambda _done, _all: None,
) -> PruneRecord:
    """Makes a student smaller, and, with a plan, teaches it until it does as well as it can.

    Args:
        model: folder of the student; it is only read.
        output: gets `pruned/` and, with a plan, `runs/` and `model/`, and says in `record.json` how they were made.
        fraction: share of the operations of each part that shall go, 0..1.
        parts: which parts.
        stickers: folder of SVG, PNG or WebP; Twemoji, fetched once, where None.
        importance_clips: how many clips importance is measured on.
        scores: of `measure_importance` on so many clips; measured where None.
        plan: of the training; None for none.
        latents: where its encoded clips are kept, so that several runs share them; in `runs/` where None.
        stop_after: seconds after which a stage of it saves and ends early.
        cache: where drawn stickers are kept; the user's cache folder where None.
        on_clip: (clips done, clips in all) while importance is measured.

    Returns:
        The record, also in the folder.

    Raises:
        InputError: more is asked for than a part has to give, or the folder holds a run of another request.
        MissingDependencyError: torch-pruning, Accelerate or npm is not installed.
    """
    expect_apart(model, output, PRUNED, MODEL, RUNS)
    folder = fetch_twemoji() if stickers is None else stickers
    list_stickers(folder, "train")  # says what is wrong with it
    try:
        asked = PruneRequest(
            model_sha256=folder_sha256(model),
            fraction=fraction,
            parts=parts,
            importance_clips=importance_clips,
            stickers_sha256=folder_sha256(folder),
        )
    except ValidationError as error:
        raise InputError(f"cannot prune so: {first_problem(error)}; expected a fraction such as 0.3") from None
    known = read_record(output)
    if known is not None:
        expect_same(asked.model_dump(), known.asked.model_dump(), where=output)
    pruning_library()  # says that it is missing before minutes of measuring
    teacher = load_pipeline(model)
    size = teacher.unet.config.sample_size * COMPRESSION
    source = ClipSource(folder, split="train", size=size, cache=cache)
    if known is None:
        structures = structures_of(teacher, steps=DEFAULT_STEPS)
        if scores is None:
            scores = measure_importance(teacher, structures, source=source, clips=importance_clips, on_clip=on_clip)
        goes = choose_units(
            structures,
            scores,
            totals=clip_flops(teacher, steps=DEFAULT_STEPS),
            fractions=dict.fromkeys(parts, fraction),
        )
        pruned = cut(teacher, goes)
        save_pipeline(pruned, output / PRUNED)
        narrowed = {name: dict(getattr(pruned, name).config.narrowed) for name in ("unet", "vae")}
        known = PruneRecord(asked=asked, before=sizes_of(teacher), after=sizes_of(pruned), narrowed=narrowed)
        _write(known, output)
    if plan is None:
        return known
    pruned = load_pipeline(output / PRUNED)
    held_out = ClipSource(folder, split="validation", size=size, seed=1, cache=cache)
    finished = recover(
        pruned,
        teacher,
        output / RUNS,
        parts=[part for part in parts if _narrower(part, pruned, teacher)],
        source=source,
        held_out=held_out,
        plan=plan,
        latents=latents,
        stop_after=stop_after,
    )
    save_pipeline(pruned, output / MODEL)
    done = known.model_copy(update={"recovery": asdict(plan) if finished else None})
    _write(done, output)
    return done


def read_record(folder: Path) -> PruneRecord | None:
    """What a folder says of the run it holds; None where it holds none.

    Raises:
        InputError: its record is none.
    """
    path = folder / RECORD
    if not path.is_file():
        return None
    try:
        return PruneRecord.model_validate_json(path.read_bytes())
    except ValidationError as error:
        raise InputError(f"{path} is no record of a pruning ({first_problem(error)}); choose another folder") from None


def sizes_of(pipeline: StickerPipeline) -> Sizes:
    """Operations, parameters and bytes of a student."""
    flops = clip_flops(pipeline, steps=DEFAULT_STEPS)
    parameters: dict[str, int] = {part: sum(p.numel() for p in getattr(pipeline, part).parameters()) for part in PARTS}
    return Sizes(
        gflop={part: round(flops[part] / 1e9, 3) for part in PARTS},
        parameters=parameters,
        kilobytes=2 * sum(parameters.values()) // 1000,
    )


def _narrower(part: Part, pruned: StickerPipeline, teacher: StickerPipeline) -> bool:
    """Whether a part is not what it was."""
    count, before = (sum(p.numel() for p in getattr(each, part).parameters()) for each in (pruned, teacher))
    return bool(count != before)


def _write(record: PruneRecord, folder: Path) -> None:
    values: Mapping[str, Any] = record.model_dump(mode="json")
    write_atomically(folder / RECORD, (json.dumps(values, indent=2) + "\n").encode())
