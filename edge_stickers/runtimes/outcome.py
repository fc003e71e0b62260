"""What `verify` found: rows, as JSON and as JUnit."""

from __future__ import annotations

import json
import re
import xml.etree.ElementTree as ElementTree
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

CAP_DB = 200.0
"""Stands for infinity, which JSON has no number for."""
Outcome = Literal["passed", "failed", "not run"]
_ILLEGAL = re.compile(r"[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


@dataclass(frozen=True, slots=True)
class ComponentRow:
    """One component of one target, over every golden case and step.

    Attributes:
        target: and runtime.
        component: its name.
        recipe: precision.
        status: what came of it.
        snr_db: of the worst case and step; None where it did not run; 200 stands for equal.
        floor_db: below which it failed; None where only the frames count.
        worst_case: "case/step".
        reason: why it failed or did not run, or how it ran where that was not on the runtime itself.
    """

    target: str
    component: str
    recipe: str
    status: Outcome
    snr_db: float | None = None
    floor_db: float | None = None
    worst_case: str = ""
    reason: str = ""


@dataclass(frozen=True, slots=True)
class ClipRow:
    """Whole clips of one target, from noise to frames.

    Attributes:
        target: and runtime.
        recipe: precision.
        status: what came of it.
        mean_psnr_db: over all frames of all cases.
        worst_psnr_db: of the worst frame.
        worst_frame: "case/index".
        flicker: mean absolute error of the change from frame to frame, of the worst case.
        frames: PSNR of each frame, by case.
        reason: why it failed or did not run, or how it ran where that was not on the runtime itself.
    """

    target: str
    recipe: str
    status: Outcome
    mean_psnr_db: float | None = None
    worst_psnr_db: float | None = None
    worst_frame: str = ""
    flicker: float | None = None
    frames: dict[str, tuple[float, ...]] = field(default_factory=dict)
    reason: str = ""


@dataclass(frozen=True, slots=True)
class WorstOperator:
    """One of the operators that are furthest from float32.

    Attributes:
        name: of the value that it makes.
        operator: as Core ML names it.
        snr_db: of its float16 result against its float32 result.
    """

    name: str
    operator: str
    snr_db: float


@dataclass(frozen=True, slots=True)
class Numerics:
    """A component of a Core ML target, run in float16 and in float32 side by side on a golden call.

    Attributes:
        component: its name.
        case: "case/step" of the call.
        operators: how many ran.
        first_wrong: the first operator below the floor of float16, or not finite; empty where none is.
        worst: the furthest from float32, worst first.
        overflowed: values past 65,504, by operator.
        lost: values other than zero below the smallest of float16, by operator.
    """

    component: str
    case: str
    operators: int
    first_wrong: str
    worst: tuple[WorstOperator, ...]
    overflowed: dict[str, int] = field(default_factory=dict)
    lost: dict[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class VerifyReport:
    """Everything that was checked, and what could not be.

    Attributes:
        bundle: its folder.
        components: a row for each component of each target.
        clips: a row for each target.
        numerics: where float16 loses, of each Core ML component that an executor ran in a device's place.
    """

    bundle: str
    components: tuple[ComponentRow, ...]
    clips: tuple[ClipRow, ...]
    numerics: tuple[Numerics, ...] = ()

    @property
    def passed(self) -> bool:
        """Whether nothing failed; what did not run has not failed."""
        return all(row.status != "failed" for row in self.rows)

    @property
    def ran(self) -> bool:
        """Whether anything ran at all."""
        return any(row.status != "not run" for row in self.rows)

    @property
    def rows(self) -> list[ComponentRow | ClipRow]:
        """All rows: target by target, its components and then its clips."""
        rows: list[ComponentRow | ClipRow] = []
        for clip in self.clips:
            rows += [row for row in self.components if row.target == clip.target]
            rows.append(clip)
        return rows

    def to_json(self) -> dict[str, Any]:
        """Plain JSON values."""
        rows: dict[str, Any] = json.loads(json.dumps(asdict(self)))
        return {"passed": self.passed, "ran": self.ran, **rows}

    def to_junit(self) -> str:
        """JUnit XML: a suite for each target, a case for each component and one for the clips."""
        root = ElementTree.Element("testsuites", name="edge-stickers verify")
        for clip in self.clips:
            rows = [row for row in self.rows if row.target == clip.target]
            suite = ElementTree.SubElement(
                root,
                "testsuite",
                name=clip.target,
                tests=str(len(rows)),
                failures=str(sum(row.status == "failed" for row in rows)),
                errors="0",
                skipped=str(sum(row.status == "not run" for row in rows)),
            )
            for row in rows:
                _case(suite, row)
        ElementTree.indent(root)
        return '<?xml version="1.0" encoding="UTF-8"?>\n' + ElementTree.tostring(root, encoding="unicode") + "\n"


def capped(value: float) -> float:
    """Decibels that JSON can hold."""
    return max(-CAP_DB, min(CAP_DB, value))


def _case(suite: ElementTree.Element, row: ComponentRow | ClipRow) -> None:
    name = row.component if isinstance(row, ComponentRow) else "clip"
    case = ElementTree.SubElement(suite, "testcase", classname=f"{row.target}.{row.recipe}", name=name)
    reason = _ILLEGAL.sub("?", row.reason)
    if row.status == "failed":
        ElementTree.SubElement(case, "failure", message=reason)
    elif row.status == "not run":
        ElementTree.SubElement(case, "skipped", message=reason)
    elif isinstance(row, ComponentRow):
        ElementTree.SubElement(case, "system-out").text = f"SNR {row.snr_db:.1f} dB"
    else:
        text = f"PSNR mean {row.mean_psnr_db:.1f} dB, worst {row.worst_psnr_db:.1f} dB ({row.worst_frame})"
        ElementTree.SubElement(case, "system-out").text = text
