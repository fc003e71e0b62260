"""One clip from noise to frames: the same code for every runtime, and the shape that an app's code follows."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from edge_stickers.errors import BundleError, Cancelled
from edge_stickers.runtimes.base import CancelCheck, Engine
from edge_stickers.runtimes.framing import Array
from edge_stickers.sampling.noise import normal
from edge_stickers.sampling.sampler import StepRow, sample

FloatArray = npt.NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class ClipInputs:
    """All that determines a clip.

    Attributes:
        image: (1, 4, H, W) float32 in 0..1, premultiplied.
        input_ids: (1, T) int64.
        attention_mask: (1, T) int64.
        rows: the scheduler's table, N rows.
        seed: of the noise.
        motion_strength: 0..1.
    """

    image: FloatArray
    input_ids: npt.NDArray[np.int64]
    attention_mask: npt.NDArray[np.int64]
    rows: Sequence[StepRow]
    seed: int
    motion_strength: float


@dataclass(frozen=True, slots=True)
class Hooks:
    """What the caller wants to hear while a clip is made.

    Attributes:
        on_step: (steps done, steps in all).
        on_frame: (index, (4, H, W) float32 premultiplied), each frame once, in order.
        on_call: (component, step, inputs, outputs) after each call; golden tensors are recorded with it.
        cancel: asked before and during each call.
    """

    on_step: Callable[[int, int], None] | None = None
    on_frame: Callable[[int, FloatArray], None] | None = None
    on_call: Callable[[str, int, dict[str, Array], dict[str, Array]], None] | None = None
    cancel: CancelCheck | None = None


def run_clip(engine: Engine, clip: ClipInputs, hooks: Hooks | None = None) -> FloatArray:
    """Makes one clip.

    Args:
        engine: with all four components.
        clip: what to make.
        hooks: whom to tell.

    Returns:
        (F, 4, H, W) float32, premultiplied RGBA in 0..1.

    Raises:
        Cancelled: `hooks.cancel` said so.
        RuntimeFailedError: a component failed.
    """
    hooks = hooks or Hooks()

    def call(component: str, step: int, values: dict[str, Array]) -> dict[str, Array]:
        if hooks.cancel is not None and hooks.cancel():
            raise Cancelled("cancelled; nothing was written")
        outputs = engine.run(component, values, cancel=hooks.cancel)
        if hooks.on_call is not None:
            named = {e.name: values[e.name] for e in engine.sessions[component].inputs}
            hooks.on_call(component, step, named, outputs)
        return outputs

    known: dict[str, Array] = {
        "image": clip.image,
        "input_ids": clip.input_ids,
        "attention_mask": clip.attention_mask,
        "motion_strength": np.array([clip.motion_strength], np.float32),
    }
    for component in ("text_encoder", "image_encoder"):
        known |= call(component, 0, known)

    def predict(step: int, x: FloatArray, timestep: float) -> FloatArray:
        values = known | {"sample": x, "timestep": np.array([timestep], np.float32)}
        return call("unet", step, values)["noise_pred"]

    def stepped(index: int, _: FloatArray) -> None:
        if hooks.on_step is not None:
            hooks.on_step(index + 1, len(clip.rows))

    shape = next(e.shape for e in engine.sessions["unet"].inputs if e.name == "sample")
    latents = sample(
        predict,
        normal(shape, seed=clip.seed),
        clip.rows,
        fresh_noise=lambda step: normal((step + 2, *shape), seed=clip.seed)[step + 1],  # goes on where the first ended
        on_step=stepped,
    )
    return _decode(engine, latents, call, hooks)


def _decode(
    engine: Engine,
    latents: FloatArray,
    call: Callable[[str, int, dict[str, Array]], dict[str, Array]],
    hooks: Hooks,
) -> FloatArray:
    """(F, C, h, w) to (F, 4, H, W), as many frames at a time as the decoder takes."""
    batch = engine.sessions["decoder"].inputs[0].shape[0]
    if len(latents) % batch:
        raise BundleError(
            f"the decoder takes {batch} frames at a time, which does not divide {len(latents)}; rebuild it"
        )
    frames: list[FloatArray] = []
    for start in range(0, len(latents), batch):
        image = call("decoder", start // batch, {"latents": latents[start : start + batch]})["image"]
        for frame in image:
            if hooks.on_frame is not None:
                hooks.on_frame(len(frames), frame)
            frames.append(frame)
    return np.stack(frames)
