"""What an evaluation found: numbers with intervals, as JSON, Markdown or a table on the terminal."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass, field, fields
from typing import TYPE_CHECKING, Any

import numpy as np

from edge_stickers.data.families import FAMILIES
from edge_stickers.evaluation.metrics import ClipMetrics

if TYPE_CHECKING:
    from rich.table import Table

SCHEMA_VERSION = 1
METRICS = tuple(field.name for field in fields(ClipMetrics))
_RIGID = ("as_told", "identity", "identity_nearest", "identity_worst")
"""What is also shown over the rigid families alone."""
NOTES = (
    "Registered PSNR: each frame against the still moved by the best affine map, premultiplied RGBA, whole canvas, "
    "peak 1, at most 60 dB; frame 0 is left out.",
    "Moved as told: family and direction of the library motion nearest to the registered trajectory.",
    "Told apart only in part: a wave of a hand sticker reads as sway and passes as either; two hops and two short "
    "travels upwards in one clip differ by a stretch of 3 %; stickers that look the same when turned have none.",
    "Alpha is measured on all families but effects, which paint outside the sticker.",
)


@dataclass(frozen=True, slots=True)
class ClipResult:
    """One clip.

    Attributes:
        index: Number of the task.
        sticker: Key of the sticker.
        prompt: The sentence.
        told: Family and direction asked for, such as "travel left".
        seen: What was seen, the same way.
        as_told: Whether they agree.
        metrics: All else that was measured.
    """

    index: int
    sticker: str
    prompt: str
    told: str
    seen: str
    as_told: bool
    metrics: ClipMetrics

    @property
    def family(self) -> str:
        """The family asked for."""
        return self.told.split()[0]


@dataclass(frozen=True, slots=True)
class Interval:
    """A mean and its bootstrap 95 % interval over clips."""

    mean: float
    low: float
    high: float

    def __str__(self) -> str:
        return f"{self.mean:.3g} [{self.low:.3g}, {self.high:.3g}]"


@dataclass(frozen=True, slots=True)
class EvaluationReport:
    """All results.

    Attributes:
        clips: What the model made.
        reference: The same tasks done by the motion library itself: the most that can be scored.
        frozen: The same tasks answered by the still, eight times: what doing nothing scores.
        autoencoder_psnr: PSNR in dB of each held-out still after encoding and decoding; empty where none was given.
        seed: Of the draw.
        split: Of the stickers.
        phrasings: Of the sentences.
    """

    clips: tuple[ClipResult, ...]
    reference: tuple[ClipResult, ...]
    frozen: tuple[ClipResult, ...]
    autoencoder_psnr: tuple[float, ...] = ()
    seed: int = 0
    split: str = "test"
    phrasings: str = "held_out"
    notes: tuple[str, ...] = field(default=NOTES)

    def totals(self, which: str = "clips") -> dict[str, Interval]:
        """Means and intervals of "clips", "reference" or "frozen"."""
        return summarise(getattr(self, which))

    def families(self, which: str = "clips") -> dict[str, dict[str, Interval]]:
        """The same, family by family."""
        results: tuple[ClipResult, ...] = getattr(self, which)
        names = [name for name in FAMILIES if any(result.family == name for result in results)]
        return {name: summarise([result for result in results if result.family == name]) for name in names}

    def rigid(self, which: str = "clips") -> dict[str, Interval]:
        """The same over the families that move a sticker as a whole, where it has to stay the same sticker."""
        return summarise([result for result in getattr(self, which) if FAMILIES[result.family].kind == "rigid"])

    def confusion(self, which: str = "clips") -> dict[str, dict[str, int]]:
        """How often each told motion was seen as each."""
        table: dict[str, Counter[str]] = {}
        for result in getattr(self, which):
            table.setdefault(result.told, Counter())[result.seen] += 1
        return {told: dict(seen.most_common()) for told, seen in sorted(table.items())}

    def to_json(self) -> str:
        """Everything, with a schema version."""
        data: dict[str, Any] = {
            "schema_version": SCHEMA_VERSION,
            "seed": self.seed,
            "split": self.split,
            "phrasings": self.phrasings,
            "stickers": len({result.sticker for result in self.clips}),
            "notes": self.notes,
            "autoencoder_psnr": asdict(_interval(self.autoencoder_psnr)) if self.autoencoder_psnr else None,
        }
        for which in ("clips", "reference", "frozen"):
            data[which] = {
                "totals": _plain(self.totals(which)),
                "rigid": _plain(self.rigid(which)),
                "families": {name: _plain(values) for name, values in self.families(which).items()},
                "confusion": self.confusion(which),
                "results": [asdict(result) for result in getattr(self, which)],
            }
        return json.dumps(data, indent=1)

    def to_markdown(self) -> str:
        """Totals, families and notes."""
        lines = [f"{len(self.clips)} clips of {len({r.sticker for r in self.clips})} stickers, split {self.split}.", ""]
        lines += _markdown(*self._totals_table())
        if self.autoencoder_psnr:
            lines += [
                "",
                f"Autoencoder: {_interval(self.autoencoder_psnr)} dB on {len(self.autoencoder_psnr)} stickers.",
            ]
        lines += ["", *_markdown(*self._family_table()), "", *(f"- {note}" for note in self.notes), ""]
        return "\n".join(lines)

    def tables(self) -> list[Table]:
        """Totals and families, for the terminal."""
        from rich.table import Table

        made = []
        for title, (header, rows) in (("totals", self._totals_table()), ("families", self._family_table())):
            table = Table(*header, title=title)
            for row in rows:
                table.add_row(*row)
            made.append(table)
        return made

    def _totals_table(self) -> tuple[list[str], list[list[str]]]:
        groups = ("clips", "reference", "frozen")
        totals, rigid = [self.totals(which) for which in groups], [self.rigid(which) for which in groups]
        rows = [[name, *(str(column.get(name, "-")) for column in totals)] for name in ("as_told", *METRICS)]
        rows += [[f"{name}, rigid families", *(str(column.get(name, "-")) for column in rigid)] for name in _RIGID]
        return ["measure", "model", "real clips", "frozen still"], rows

    def _family_table(self) -> tuple[list[str], list[list[str]]]:
        shown = ("as_told", "identity", "identity_nearest", "identity_worst", "motion", "flicker")
        real = self.families("reference")
        rows = []
        for name, values in self.families().items():
            count = sum(result.family == name for result in self.clips)
            told = f"{real[name]['as_told'].mean:.2f}" if name in real else "-"
            rows.append([name, str(count), *(f"{values[key].mean:.3g}" for key in shown), told])
        return ["family", "clips", *shown, "as_told, real"], rows


def summarise(results: Sequence[ClipResult]) -> dict[str, Interval]:
    """Means with intervals of everything measured; what no clip has is left out."""
    measures: dict[str, Callable[[ClipResult], float]] = {"as_told": lambda result: float(result.as_told)}
    measures |= {name: lambda result, name=name: getattr(result.metrics, name) for name in METRICS}  # type: ignore[misc]
    summary = {}
    for name, measure in measures.items():
        chosen = [r for r in results if not name.startswith("alpha") or FAMILIES[r.family].kind != "effect"]
        if chosen:
            summary[name] = _interval([measure(result) for result in chosen])
    return summary


def _interval(values: Iterable[float], draws: int = 2000) -> Interval:
    data = np.asarray(list(values), np.float64)
    picks = np.random.default_rng(0).integers(len(data), size=(draws, len(data)))
    low, high = np.percentile(data[picks].mean(1), (2.5, 97.5))
    return Interval(float(data.mean()), float(low), float(high))


def _plain(values: dict[str, Interval]) -> dict[str, dict[str, float]]:
    return {name: asdict(value) for name, value in values.items()}


def _markdown(header: list[str], rows: list[list[str]]) -> list[str]:
    return [f"| {' | '.join(row)} |" for row in (header, ["---"] * len(header), *rows)]
