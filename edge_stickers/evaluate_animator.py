"""Evaluation of whatever an animator runs: a model folder, a bundle, a student in memory."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from edge_stickers.animator import Animator
from edge_stickers.data.stickers import Split
from edge_stickers.evaluation.report import EvaluationReport

if TYPE_CHECKING:
    from edge_stickers.evaluation.evaluate import Animate, FloatArray


def evaluate_animator(
    animator: Animator,
    *,
    source: Path,
    clips: int,
    seed: int = 0,
    steps: int | None = None,
    split: Split | None = "test",
    sheet: Path | None = None,
    reference: bool = True,
    cache: Path | None = None,
) -> EvaluationReport:
    """Evaluates an animator, its autoencoder included; see `edge_stickers.evaluation.evaluate`.

    Args:
        animator: its margin is set to none, for the stills of an evaluation lie in their canvas already.
        source: folder of stickers.
        clips: number of clips.
        seed: of tasks and noise.
        steps: of denoising; None for the animator's default.
        split: which stickers; None takes all.
        sheet: PNG to draw the best, worst and other clips into.
        reference: whether to measure the motion library's own clips, too.
        cache: where drawn stickers are kept.
    """
    from edge_stickers.evaluation.evaluate import evaluate

    return evaluate(
        animate_with(animator, steps),
        source=source,
        autoencoder=lambda still: rebuilt(animator, still),
        clips=clips,
        seed=seed,
        split=split,
        size=animator.settings.size,
        sheet=sheet,
        reference=reference,
        cache=cache,
    )


def animate_with(animator: Animator, steps: int | None) -> Animate:
    """The animator as `evaluate` calls it: stills that lie in their canvas already, and frames as floats."""
    from PIL import Image

    from edge_stickers.media.canvas import premultiply, unpremultiply

    animator.settings = replace(animator.settings, margin=0.0)

    def animate(still: FloatArray, prompt: str, motion: float, seed: int) -> FloatArray:
        picture = Image.fromarray(unpremultiply(still[None])[0])
        clip = animator.animate(picture, prompt, steps=steps, seed=seed, motion=motion)
        return premultiply(clip.frames)

    return animate


def rebuilt(animator: Animator, still: FloatArray) -> FloatArray:
    """(4, H, W) encoded and decoded; a decoder takes as many frames as it was built for."""
    latents = animator.engine.run("image_encoder", {"image": still[None]})["image_latents"]
    frames = animator.engine.sessions["decoder"].inputs[0].shape[0]
    image: FloatArray = animator.engine.run("decoder", {"latents": latents.repeat(frames, axis=0)})["image"][0]
    return image
