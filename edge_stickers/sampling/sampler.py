"""The denoising loop. It needs +, * and a table of rows, so it runs on numpy arrays and on tensors alike."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Protocol, TypeVar

from edge_stickers.errors import InputError

DEFAULT_STEPS = 4
"""Steps where the caller names none; the student is trained for any number."""
DEFAULT_MOTION = 0.5
"""Motion strength where the caller names none, 0..1."""

Latents = TypeVar("Latents", bound=Any)


class StepRow(Protocol):
    """What the loop reads of a row of `scheduler.json` (`edge_stickers.sampling.schedule.Row` is one)."""

    @property
    def timestep(self) -> float:
        """Time at which the model is called."""

    @property
    def a(self) -> float:
        """Factor of the sample."""

    @property
    def b(self) -> float:
        """Factor of the prediction."""

    @property
    def c(self) -> float:
        """Factor of the step before's prediction."""

    @property
    def d(self) -> float:
        """Factor of fresh noise."""


def sample(
    predict: Callable[[int, Latents, float], Latents],
    noise: Latents,
    rows: Sequence[StepRow],
    *,
    fresh_noise: Callable[[int], Latents] | None = None,
    on_step: Callable[[int, Latents], None] | None = None,
) -> Latents:
    """Walks from noise to latents: x ← a·x + b·noise_pred + c·previous noise_pred + d·noise, once a row.

    Args:
        predict: the model: (step index, sample (F, C, h, w), timestep) to noise_pred of the same shape.
        noise: (F, C, h, w), standard normal.
        rows: N rows, the noisiest first.
        fresh_noise: standard normals of the sample's shape for a step, asked for only where a row's d is not zero.
        on_step: called after each step with its index and the sample.

    Returns:
        (F, C, h, w), clean latents.

    Raises:
        InputError: the table is empty, or needs a previous prediction or noise that there is not.
    """
    if not rows:
        raise InputError("the scheduler's table has no rows; expected one for each step")
    x: Any = noise
    previous: Any = None
    for index, row in enumerate(rows):
        prediction: Any = predict(index, x, row.timestep)
        x = row.a * x + row.b * prediction
        if row.c:
            if previous is None:
                raise InputError("the first row of the scheduler's table uses a previous prediction; expected c = 0")
            x = x + row.c * previous
        if row.d:
            if fresh_noise is None:
                raise InputError(f"row {index} of the scheduler's table adds noise (d = {row.d}), and none was given")
            x = x + row.d * fresh_noise(index)
        previous = prediction
        if on_step is not None:
            on_step(index, x)
    result: Latents = x
    return result
