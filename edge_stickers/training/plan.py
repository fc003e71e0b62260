"""The training plan: what a stage does, how long, and how often it saves."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, Literal

from edge_stickers.errors import InputError

StageName = Literal["autoencoder", "motion", "denoiser"]
STAGES: tuple[StageName, ...] = ("autoencoder", "motion", "denoiser")
"""In the order in which a student is trained."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StagePlan:
    """One stage of training."""

    steps: int
    """Optimiser steps in all."""
    batch_size: int
    """Examples of a step in each process."""
    learning_rate: float
    """Peak of the schedule: linear warm-up, then a cosine down to a twentieth."""
    warmup_steps: int = 200
    """Steps of linear warm-up."""
    weight_decay: float = 0.01
    """Decoupled weight decay (AdamW)."""
    clip_norm: float = 1.0
    """Largest norm of the gradient."""
    ema_decay: float = 0.999
    """Decay of the averaged weights, which are the ones that ship; early steps use (1 + n) / (10 + n) where smaller."""
    save_every: int = 500
    """Steps between checkpoints."""
    sample_every: int = 1000
    """Steps between pictures of what the model makes."""
    log_every: int = 20
    """Steps between log lines."""
    seed: int = 0
    """Of the initial weights, the examples and the noise."""
    precision: Literal["auto", "no", "bf16"] = "auto"
    """`auto` is bf16 on a GPU that has it and on CPUs with AMX or AVX512-BF16, else fp32."""

    def __post_init__(self) -> None:
        for name in ("steps", "batch_size", "save_every", "sample_every", "log_every"):
            if getattr(self, name) < 1:
                raise InputError(f"{name} must be at least 1, got {getattr(self, name)}")
        if not 0.0 < self.learning_rate < 1.0:
            raise InputError(f"learning_rate must lie between 0 and 1, got {self.learning_rate}")
        if not 0.0 <= self.ema_decay < 1.0:
            raise InputError(f"ema_decay must lie in 0..1, got {self.ema_decay}")

    def rate(self, step: int) -> float:
        """The learning rate of a step, a pure function of the step so that a resumed run has the same one."""
        import math

        if step < self.warmup_steps:
            return self.learning_rate * (step + 1) / self.warmup_steps
        progress = min(1.0, (step - self.warmup_steps) / max(1, self.steps - self.warmup_steps))
        return self.learning_rate * (0.05 + 0.95 * 0.5 * (1.0 + math.cos(math.pi * progress)))

    def to_json(self) -> dict[str, Any]:
        """Plain JSON values."""
        return asdict(self)


AUTOENCODER_PLAN = StagePlan(steps=6000, batch_size=16, learning_rate=2e-3)
"""The default student's autoencoder: 96,000 crops of 128 pixels."""
MOTION_PLAN = StagePlan(
    steps=3000, batch_size=128, learning_rate=2e-3, weight_decay=0.05, ema_decay=0.995, precision="no"
)
"""The default student's motion field: 384,000 sentences."""
DENOISER_PLAN = StagePlan(steps=12_500, batch_size=4, learning_rate=1.2e-3, ema_decay=0.998)
"""The default student's denoiser: 50,000 clips."""
