"""The report of a bundle as one HTML page, without scripts and without anything from the network."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from edge_stickers.bundle.manifest import Manifest

_TEMPLATE = Path(__file__).with_name("report_template.html")


def render_report(manifest: Manifest, verified: dict[str, Any], components: Sequence[dict[str, Any]]) -> str:
    """The page.

    Args:
        manifest: of the bundle, its parity filled in.
        verified: `VerifyReport.to_json()`.
        components: of `BuildReport.to_json()`.

    Returns:
        HTML.
    """
    from jinja2 import Environment

    environment = Environment(autoescape=True, trim_blocks=True, lstrip_blocks=True)
    environment.filters["megabytes"] = lambda count: f"{count / 1e6:.2f} MB"
    environment.filters["db"] = lambda value: "equal" if value >= 200 else f"{value:.1f} dB"
    template = environment.from_string(_TEMPLATE.read_text(encoding="utf-8"))
    totals = {name: sum(part.bytes for part in target.components.values()) for name, target in manifest.targets.items()}
    rows = {(row["target"], row["component"]): row for row in verified["components"]}
    clips = {row["target"]: row for row in verified["clips"]}
    return template.render(
        manifest=manifest,
        rows=rows,
        clips=clips,
        totals=totals,
        built=[row for row in components if row["decisions"]],
        numerics=verified["numerics"],
        passed=verified["passed"],
    )
