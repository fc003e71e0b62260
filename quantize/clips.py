"""Whole clips in PyTorch, part by part: what calibration watches and what precisions are tried on."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

import edge_stickers
from edge_stickers.config import STEP_COUNTS, STILL_MARGIN
from edge_stickers.data.captions import caption
from edge_stickers.data.families import FAMILIES
from edge_stickers.data.stickers import list_stickers
from edge_stickers.errors import InputError
from edge_stickers.evaluation.draws import draw_motion
from edge_stickers.media import load_still
from edge_stickers.models.components import component_modules, component_specs
from edge_stickers.models.pipeline import StickerPipeline
from edge_stickers.models.tokens import tokenize
from edge_stickers.sampling.noise import normal
from edge_stickers.sampling.sampler import DEFAULT_STEPS, sample
from edge_stickers.sampling.schedule import tables

STICKERS = Path(edge_stickers.__file__).parent / "assets" / "calibration"
"""Sixteen stickers of the training split; see the README there."""


@dataclass(frozen=True, slots=True)
class ClipTask:
    """What a clip is made of."""

    image: Tensor
    """(1, 4, H, W)."""
    tokens: tuple[Tensor, Tensor]
    """Ids and mask, (1, T) int64 each."""
    strength: Tensor
    """(1,)."""
    noise: Tensor
    """(F, C, h, w)."""


@dataclass(frozen=True, slots=True)
class ClipParts:
    """What the parts of a student made on the way to a clip."""

    context: Tensor
    still: Tensor
    latents: Tensor
    frames: Tensor
    """(F, 4, H, W) in 0..1."""


def clip_tasks(pipeline: StickerPipeline, clips: int, *, stickers: Path = STICKERS) -> Iterator[ClipTask]:
    """Tasks that have every family of motion take its turn, each with another prompt, strength and noise.

    Args:
        pipeline: the student.
        clips: how many.
        stickers: a folder of stills; those that the student is held against later should not be among them.

    Raises:
        InputError: the folder holds no two stills.
    """
    found = list_stickers(stickers)
    if len(found) < 2:
        raise InputError(f"{stickers} holds {len(found)} stickers, a calibration takes two or more; choose another")
    specs, families = component_specs(pipeline), list(FAMILIES)
    size = specs["image_encoder"].inputs[0].shape[-1]
    for index in range(clips):
        rng, sticker = np.random.default_rng(index), found[index % len(found)]
        motion = draw_motion(families[index % len(families)], rng)
        ids, mask = tokenize(pipeline.tokenizer.backend_tokenizer, caption(motion, sticker.name, rng))
        yield ClipTask(
            image=torch.from_numpy(load_still(sticker.path, size=size, margin=STILL_MARGIN))[None],
            tokens=(torch.tensor([ids]), torch.tensor([mask])),
            strength=torch.tensor([motion.amplitude], dtype=torch.float32),
            noise=torch.from_numpy(np.asarray(normal(specs["unet"].inputs[0].shape, seed=index))),
        )


class ClipMaker:
    """Makes clips of a student in its default number of steps.

    Args:
        pipeline: the student.
        modules: its parts, by component, where the caller has changed them; made of the pipeline where None.
    """

    def __init__(self, pipeline: StickerPipeline, modules: Mapping[Any, nn.Module] | None = None) -> None:
        scheduler: Any = pipeline.scheduler
        self.modules = component_modules(pipeline) if modules is None else modules
        self.rows = tables(STEP_COUNTS, shift=float(scheduler.config.shift))[DEFAULT_STEPS]

    def make(self, task: ClipTask, *, known: ClipParts | None = None, changed: str = "text_encoder") -> ClipParts:
        """A clip; where it was made before, from the part on that has changed since.

        Args:
            task: what it is made of.
            known: what was made of the same task before; None where nothing was.
            changed: the component that is not what it was then.
        """
        fresh, modules = known is None, self.modules
        with torch.inference_mode():
            if known is None or changed == "text_encoder":
                context = modules["text_encoder"](*task.tokens)
            else:
                context = known.context
            still = modules["image_encoder"](task.image) if known is None or changed == "image_encoder" else known.still
            if fresh or changed != "decoder":
                latents = self._latents(task, context, still)
            else:
                assert known is not None
                latents = known.latents
            return ClipParts(context, still, latents, modules["decoder"](latents))

    def _latents(self, task: ClipTask, context: Tensor, still: Tensor) -> Tensor:
        def predict(_: int, x: Tensor, timestep: float) -> Tensor:
            made: Tensor = self.modules["unet"](x, torch.tensor([timestep]), context, still, task.strength)
            return made

        return sample(predict, task.noise, self.rows)
