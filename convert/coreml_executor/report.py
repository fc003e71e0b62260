"""What a run in float16 shows: how far each operator is from float32, and what did not fit."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class OperatorReport:
    """One output of one operation, or a constant that is wrong in itself."""

    name: str
    """Of the value."""
    operator: str
    """`conv`, `add` ...; `const` for a constant."""
    dtype: str
    """Declared element type."""
    shape: tuple[int, ...]
    snr_db: float
    """Against the same program in float32: what this and all operators before it lost."""
    overflowed: int
    """Values past 65,504 before they were rounded to float16."""
    lost: int
    """Values other than zero below the smallest subnormal of float16, 2 to the power of -24."""
    non_finite: int
    """NaN, plus infinity, and minus infinity where float32 has none (masks are full of it)."""

    def wrong(self, floor_db: float) -> bool:
        """Whether it is below a floor, or not finite."""
        return self.non_finite > 0 or self.snr_db < floor_db


@dataclass(frozen=True, slots=True)
class OutputReport:
    """One output of the program."""

    name: str
    snr_db: float
    """Of the float16 run against the reference."""
    fp32_snr_db: float
    """Of the float32 run against the reference: what the conversion itself lost."""


@dataclass(frozen=True, slots=True)
class ExecutionReport:
    """A run of a program in both precisions."""

    floor_db: float
    operators: tuple[OperatorReport, ...]
    """In order."""
    outputs: tuple[OutputReport, ...]
    """Those that a reference was given for."""
    first_wrong: OperatorReport | None
    """The first one below the floor, or not finite."""

    @property
    def overflowed(self) -> dict[str, int]:
        """By operator, values past the largest of float16; those without any left out."""
        return self._count(lambda each: each.overflowed)

    @property
    def lost(self) -> dict[str, int]:
        """By operator, values lost below the smallest of float16; those without any left out."""
        return self._count(lambda each: each.lost)

    @property
    def passed(self) -> bool:
        """Every output reaches the floor; without a reference, every operator does."""
        if self.outputs:
            return all(each.snr_db >= self.floor_db for each in self.outputs)
        return self.first_wrong is None

    def worst(self, count: int = 5) -> tuple[OperatorReport, ...]:
        """The operators with the lowest SNR, lowest first."""
        return tuple(sorted(self.operators, key=lambda each: each.snr_db)[:count])

    def to_json(self) -> dict[str, Any]:
        """Plain JSON values; infinite SNR, which JSON lacks, as text."""
        values: dict[str, Any] = _json(asdict(self))
        return values | {"overflowed": self.overflowed, "lost": self.lost, "passed": self.passed}

    def _count(self, number: Callable[[OperatorReport], int]) -> dict[str, int]:
        counts: Counter[str] = Counter()
        for each in self.operators:
            counts[each.operator] += number(each)
        return {name: count for name, count in sorted(counts.items()) if count}


def _json(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _json(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [_json(each) for each in value]
    if isinstance(value, float) and abs(value) == float("inf"):
        return "inf" if value > 0 else "-inf"
    return value
