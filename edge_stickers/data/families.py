"""The kinds of motion: one table of what each does, and the few numbers that fix one motion."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from edge_stickers.errors import InputError

Kind = Literal["rigid", "bend", "part", "effect", "still"]

FRAMES = 8


@dataclass(frozen=True, slots=True)
class Family:
    """A kind of motion.

    Attributes:
        kind: "rigid" moves the whole by a matrix, "bend" by a field, "part" moves a part, "effect" paints over.
        directions: The directions it must have one of; empty where it has none.
        max_cycles: How often at most it repeats within a clip without becoming a blur at 8 frames.
        has_amplitude: Whether its amplitude shows; a full turn is a full turn.
        part: The layer that moves, for "part", and the one an effect hangs on.
        weight: How often it is drawn, relative to the others.
    """

    kind: Kind
    directions: tuple[str, ...] = ()
    max_cycles: int = 1
    has_amplitude: bool = True
    part: str | None = None
    weight: float = 1.0


FAMILIES: dict[str, Family] = {
    "travel": Family("rigid", ("left", "right", "up", "down"), max_cycles=2, weight=3.0),
    "hop": Family("rigid", max_cycles=2, weight=2.0),
    "sway": Family("rigid", max_cycles=2, weight=1.6),
    "spin": Family("rigid", ("clockwise", "counter-clockwise"), max_cycles=2, has_amplitude=False, weight=3.0),
    "pulse": Family("rigid", max_cycles=2, weight=1.5),
    "shiver": Family("rigid", weight=1.0),
    "flip": Family("rigid", has_amplitude=False, weight=1.0),
    "fall": Family("rigid", ("left", "right"), weight=1.5),
    "jelly": Family("bend", max_cycles=2, weight=1.2),
    "blink": Family("part", max_cycles=2, has_amplitude=False, part="eyes", weight=6.0),
    "talk": Family("part", max_cycles=2, part="mouth", weight=7.0),
    "wave": Family("part", max_cycles=2, part="hand", weight=20.0),
    "hearts": Family("effect", weight=2.5),
    "sparkles": Family("effect", weight=2.5),
    "tears": Family("effect", part="eyes", weight=6.0),
    "still": Family("still", has_amplitude=False, weight=2.0),
}
RIGID: tuple[str, ...] = tuple(name for name, family in FAMILIES.items() if family.kind == "rigid")


@dataclass(frozen=True, slots=True)
class Motion:
    """All that fixes how a sticker moves; the same numbers give the same frames.

    Attributes:
        family: A name in `FAMILIES`.
        direction: One of the family's directions, as seen on the screen; None where it has none.
        amplitude: Strength in 0..1, what a model gets as `motion_strength`.
        cycles: Repetitions within the clip, 1 or 2.
        phase: Where in the loop the clip starts, 0..1; at 0 the first frame is the still.
        seed: Fixes where an effect paints; nothing else depends on it.
    """

    family: str
    direction: str | None = None
    amplitude: float = 1.0
    cycles: int = 1
    phase: float = 0.0
    seed: int = 0

    def __post_init__(self) -> None:
        """Checks the fields against the family.

        Raises:
            InputError: A value that the family does not know.
        """
        family = FAMILIES.get(self.family)
        if family is None:
            raise InputError(f"motion family is {self.family!r}, expected one of {', '.join(FAMILIES)}")
        if self.direction not in (family.directions or (None,)):
            known = ", ".join(family.directions) or "none"
            raise InputError(f"{self.family} has direction {self.direction!r}, expected {known}")
        if not 0.0 <= self.amplitude <= 1.0 or not 0.0 <= self.phase <= 1.0:
            raise InputError(f"amplitude {self.amplitude} and phase {self.phase} must lie in 0..1")
        if not 1 <= self.cycles <= family.max_cycles:
            raise InputError(f"{self.family} has {self.cycles} cycles, expected 1 to {family.max_cycles}")

    def times(self, frames: int = FRAMES) -> list[float]:
        """The time in the loop, 0..1, of each frame."""
        return [(self.phase + frame / frames) % 1.0 for frame in range(frames)]
