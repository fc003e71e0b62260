"""Contenders timed side by side: every round runs each of them once, in an order drawn anew."""

from __future__ import annotations

import json
import os
import platform
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from importlib.metadata import PackageNotFoundError, version
from typing import Any

import numpy as np

RESAMPLES = 2000
PAUSE_S = 0.05
"""Before each run: threads of the contender before may still spin, waiting for work."""


@dataclass(frozen=True, slots=True)
class Contender:
    """One of those that are compared."""

    name: str
    run: Callable[[], float]
    """Runs it once and returns the seconds that it took."""
    gflop: float
    """Operations of one run; 0 where not counted."""
    precision: str = "fp32"
    """Of its convolutions: which of the machine's rates it is held against."""


@dataclass(frozen=True, slots=True)
class Row:
    """What came out for one contender."""

    name: str
    median_ms: float
    p10_ms: float
    p90_ms: float
    ratio: float
    """Its time as a multiple of the first contender's, round by round: the median."""
    ratio_low: float
    ratio_high: float
    """95 % bootstrap interval of `ratio`."""
    gflops: float
    share: float | None
    """Of the machine's rate of convolutions in its precision; None where not counted."""


class Alternation:
    """Collects seconds of contenders in rounds.

    Args:
        contenders: the first is what the others are compared with.
    """

    def __init__(self, contenders: Sequence[Contender]) -> None:
        self.contenders = list(contenders)
        self.seconds: dict[str, list[float]] = {c.name: [] for c in contenders}
        self._rng = np.random.default_rng(0)

    def warm_up(self, rounds: int = 2) -> None:
        """Runs everybody without counting."""
        for _ in range(rounds):
            for contender in self.contenders:
                contender.run()

    def round(self) -> None:
        """Runs everybody once, warm."""
        for index in self._rng.permutation(len(self.contenders)):  # so that nobody always follows the same one
            contender = self.contenders[index]
            time.sleep(PAUSE_S)
            contender.run()  # uncounted: caches and threads are its own then
            self.seconds[contender.name].append(contender.run())

    def rows(self, rates: Mapping[str, float] | None) -> list[Row]:
        """A row a contender.

        Args:
            rates: GFLOP a second of the machine, by precision; None where they are what was measured.
        """
        base = np.array(self.seconds[self.contenders[0].name])
        rng = np.random.default_rng(0)
        rows = []
        for contender in self.contenders:
            seconds = np.array(self.seconds[contender.name])
            ratios = seconds / base
            medians = np.median(rng.choice(ratios, (RESAMPLES, len(ratios))), axis=1)
            median = float(np.median(seconds))
            gflops = contender.gflop / median
            p10, p90 = (float(q) for q in np.quantile(seconds, (0.1, 0.9)))
            low, high = (float(q) for q in np.quantile(medians, (0.025, 0.975)))
            share = gflops / rates[contender.precision] if rates and contender.gflop else None
            rows.append(
                Row(
                    contender.name,
                    1e3 * median,
                    1e3 * p10,
                    1e3 * p90,
                    float(np.median(ratios)),
                    low,
                    high,
                    gflops,
                    share,
                )
            )
        return rows


def machine() -> dict[str, Any]:
    """What the figures were measured on."""
    versions = {}
    for package in ("torch", "executorch", "onnxruntime", "numpy"):
        try:
            versions[package] = version(package)
        except PackageNotFoundError:
            versions[package] = "not installed"
    model = platform.processor() or platform.machine()
    try:
        with open("/proc/cpuinfo", encoding="utf-8") as file:  # noqa: PTH123 - not a file of the project
            model = next((line.split(":")[1].strip() for line in file if line.startswith("model name")), model)
    except OSError:
        pass
    return {"cpu": model, "threads": len(os.sched_getaffinity(0)), "os": platform.platform(), "versions": versions}


def record(tables: Mapping[str, Sequence[Row]]) -> str:
    """All tables of a run as JSON."""
    return json.dumps(
        {
            "schema_version": 1,
            "standing": "measured",
            "machine": machine(),
            "tables": {name: [asdict(row) for row in rows] for name, rows in tables.items()},
        },
        indent=2,
    )
