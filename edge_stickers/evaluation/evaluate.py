"""Evaluates whatever animates stickers: hands it tasks, registers what comes back, and says what it did."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from edge_stickers.data.families import FAMILIES, FRAMES
from edge_stickers.data.motion import affine
from edge_stickers.data.stickers import Split
from edge_stickers.errors import InputError
from edge_stickers.evaluation.draws import Draw, draw_tasks
from edge_stickers.evaluation.metrics import autoencoder_psnr, measure
from edge_stickers.evaluation.moves import read_motion
from edge_stickers.evaluation.registration import register
from edge_stickers.evaluation.report import ClipResult, EvaluationReport
from edge_stickers.evaluation.sheet import Sampled, write_sheet

FloatArray = npt.NDArray[np.float32]
Animate = Callable[[FloatArray, str, float, int], FloatArray]
"""(still (4, H, W), prompt, motion strength 0..1, seed) → frames (F, 4, H, W), premultiplied RGBA in 0..1."""
Reconstruct = Callable[[FloatArray], FloatArray]
"""(4, H, W) → (4, H, W): encoded and decoded."""


def evaluate(
    animate: Animate,
    *,
    source: Path,
    autoencoder: Reconstruct | None = None,
    clips: int = 240,
    seed: int = 0,
    split: Split | None = "test",
    size: int = 256,
    sheet: Path | None = None,
    reference: bool = True,
    cache: Path | None = None,
) -> EvaluationReport:
    """Evaluates on held-out stickers, every family in turn, and held-out sentences.

    Args:
        animate: What is evaluated; see `Animate`.
        source: Folder of stickers.
        autoencoder: Measured by itself on the same stills, where given.
        clips: Number of clips; 200 distinct stickers and more need as many.
        seed: Of the draw; clip `i` is made with seed `seed + i`.
        split: Which stickers; None takes all.
        size: Side of the frames in pixels.
        sheet: PNG to write a contact sheet to: the best, the worst and some other clips.
        reference: Whether to measure the motion library's own clips too.
        cache: Where drawn stickers are kept; the user's cache folder by default.

    Returns:
        The same for the same seed and model.

    Raises:
        InputError: No clips are asked for, the folder holds no sticker of the split, or the model's frames have
            another shape.
    """
    if clips < 1:
        raise InputError(f"clips is {clips}, expected at least 1")
    made: list[ClipResult] = []
    real: list[ClipResult] = []
    frozen: list[ClipResult] = []
    rebuilt: dict[str, float] = {}
    samples: list[Sampled] = []
    for draw in _with_progress(draw_tasks(source, clips, seed=seed, split=split, size=size, cache=cache), clips):
        answer = animate(draw.still.numpy(), draw.prompt, draw.motion.amplitude, seed + draw.index)
        frames = _frames(answer, draw.frames)
        made.append(judge(frames, draw))
        if reference:
            real.append(judge(draw.frames, draw))
        frozen.append(judge(draw.still.expand_as(draw.frames), draw))
        if autoencoder is not None and draw.sticker.key not in rebuilt:
            rebuilt[draw.sticker.key] = autoencoder_psnr(_on_tensors(autoencoder), [draw.still])[0]
        if sheet is not None:
            samples.append(Sampled.of(made[-1], frames))
    if sheet is not None:
        write_sheet(samples, sheet, seed=seed)
    return EvaluationReport(
        tuple(made), tuple(real), tuple(frozen), tuple(rebuilt.values()), seed=seed, split=split or "all"
    )


def judge(frames: Tensor, draw: Draw) -> ClipResult:
    """Registers, reads and measures one clip.

    Args:
        frames: (F, 4, S, S) premultiplied RGBA in 0..1.
        draw: What was asked for; it starts one of many fits and is compared with what was seen, no more.
    """
    motion, still = draw.motion, draw.still
    rigid = FAMILIES[motion.family].kind == "rigid"
    with torch.inference_mode():
        registration = register(frames, still, starts=affine(motion) if rigid else None)
        reading = read_motion(frames, still, registration)
        metrics = measure(frames, still, registration)
    seen = name_of(reading.family, reading.direction)
    told = name_of(motion.family, motion.direction)
    return ClipResult(draw.index, draw.sticker.key, draw.prompt, told, seen, reading.agrees(motion), metrics)


def name_of(family: str, direction: str | None) -> str:
    """A motion in one or two words, such as "travel left"."""
    return f"{family} {direction}" if direction else family


def _frames(answer: FloatArray, like: Tensor) -> Tensor:
    frames = torch.from_numpy(np.ascontiguousarray(answer, dtype=np.float32))
    if frames.shape != like.shape:
        raise InputError(
            f"the model gave frames of shape {tuple(frames.shape)}, expected {tuple(like.shape)} "
            f"({FRAMES} frames of premultiplied RGBA)"
        )
    if not torch.isfinite(frames).all():
        raise InputError("the model gave frames with values that are not finite: look for an overflow in its precision")
    return frames.clamp(0, 1)


def _on_tensors(reconstruct: Reconstruct) -> Callable[[Tensor], Tensor]:
    return lambda still: torch.from_numpy(reconstruct(still.numpy()))


def _with_progress(draws: Iterable[Draw], total: int) -> Iterable[Draw]:
    from rich.console import Console
    from rich.progress import track

    console = Console(stderr=True)
    return track(
        draws, description="evaluating", total=total, console=console, disable=not console.is_terminal, transient=True
    )
