"""Recording golden tensors: real stickers through fp32 PyTorch."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

import edge_stickers
from edge_stickers.bundle.golden import CASES, Array, GoldenCase, to_bytes, write_golden
from edge_stickers.config import STILL_MARGIN
from edge_stickers.errors import InputError
from edge_stickers.models.tokens import tokenize
from edge_stickers.runtimes.base import Engine
from edge_stickers.runtimes.clip import ClipInputs, Hooks, run_clip
from edge_stickers.sampling.sampler import StepRow

if TYPE_CHECKING:
    from tokenizers import Tokenizer

STICKERS = Path(edge_stickers.__file__).parent / "assets" / "stickers"
"""Our own samples."""


def record_golden(
    path: Path,
    engine: Engine,
    tokenizer: Tokenizer,
    rows: Sequence[StepRow],
    *,
    cases: Sequence[GoldenCase] = CASES,
    stickers: Path = STICKERS,
    on_case: Callable[[int, int], None] | None = None,
) -> int:
    """Runs every case through PyTorch and writes `golden.safetensors`.

    Args:
        path: where to.
        engine: the reference, fp32.
        tokenizer: of the prompts.
        rows: the table of the default number of steps; without fresh noise (d = 0).
        cases: what to record.
        stickers: folder with `<case name>.svg` or `.png`.
        on_case: (cases done, cases in all).

    Returns:
        How many cases were written.

    Raises:
        InputError: a sticker is missing, or the table adds noise.
    """
    if any(row.d for row in rows):
        raise InputError("golden tensors need a table without fresh noise (d = 0); choose another scheduler")
    size = engine.sessions["image_encoder"].inputs[0].shape[-1]
    frame = engine.sessions["unet"].outputs[0].shape[0] // 2
    tensors: dict[str, Array] = {}
    for done, case in enumerate(cases):
        tensors |= _record(engine, tokenizer, rows, case, _find(stickers, case.name), size=size, frame=frame)
        if on_case is not None:
            on_case(done + 1, len(cases))
    return write_golden(path, tensors, cases, steps=len(rows), frame=frame)


def _record(
    engine: Engine,
    tokenizer: Tokenizer,
    rows: Sequence[StepRow],
    case: GoldenCase,
    still: Path,
    *,
    size: int,
    frame: int,
) -> dict[str, Array]:
    from edge_stickers.media import load_still

    image = to_bytes(load_still(still, size=size, margin=STILL_MARGIN))[None]
    ids, mask = tokenize(tokenizer, case.prompt)
    inputs = ClipInputs(
        image=image.astype(np.float32) / np.float32(255),
        input_ids=np.array([ids], np.int64),
        attention_mask=np.array([mask], np.int64),
        rows=rows,
        seed=case.seed,
        motion_strength=case.motion_strength,
    )
    tensors: dict[str, Array] = {}

    def keep(component: str, step: int, taken: dict[str, Array], given: dict[str, Array]) -> None:
        if component == "decoder":
            return
        produced = {key.rsplit("/", 1)[1] for key in tensors if "/out/" in key}
        for name, value in taken.items():
            if name not in produced and not (name == "sample" and step > 0):
                tensors[f"{case.name}/{component}/{step}/in/{name}"] = image if name == "image" else value
        for name, value in given.items():
            tensors[f"{case.name}/{component}/{step}/out/{name}"] = value

    frames = run_clip(engine, inputs, Hooks(on_call=keep))
    tensors[f"{case.name}/decoder/0/out/image"] = frames[frame : frame + 1].astype(np.float16)
    tensors[f"{case.name}/clip/0/out/image"] = to_bytes(frames)
    return tensors


def _find(folder: Path, name: str) -> Path:
    for suffix in (".svg", ".png"):
        if (path := folder / f"{name}{suffix}").is_file():
            return path
    raise InputError(f"{folder} has no sticker {name}.svg or {name}.png; reinstall edge-stickers")
