"""Drawings of our own in the manner of flat emoji, so that no test needs a download."""

from __future__ import annotations

from pathlib import Path

import pytest

_OPEN = '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 36 36">'
FACE = (
    f'{_OPEN}<circle cx="18" cy="18" r="18" fill="#FFCC4D"/>'
    '<path fill="#664500" d="M9 21h18a9 8 0 01-18 0z"/><path fill="#FFF" d="M10 22h16v2H10z"/>'
    '<path fill="#664500" d="M12 10a3 3.5 0 1 0 0 7 3 3.5 0 1 0 0-7zm12 0a3 3.5 0 1 0 0 7 3 3.5 0 1 0 0-7z"/></svg>'
)
ARROW = f'{_OPEN}<path fill="#DD2E44" d="M18 2l10 14h-6v18h-8V16H8z"/><path fill="#000" d="M17 20h2v4h-2z"/></svg>'
HAND = (
    f'{_OPEN}<g fill="#EF9645"><path d="M10 4h16v20H10z"/><circle cx="18" cy="26" r="8"/></g>'
    '<path fill="#5DADEC" d="M2 30h4v4H2z"/></svg>'
)
FADED = (
    f'{_OPEN}<g opacity=".5"><circle cx="14" cy="18" r="10" fill="#F00"/>'
    '<circle cx="22" cy="18" r="10" fill="#00F"/></g>'
    '<circle cx="18" cy="6" r="3"/></svg>'
)
GRIMACE = (
    f'{_OPEN}<circle cx="18" cy="18" r="18" fill="#FFCC4D"/><path fill="#FFF" d="M11 21h14v8H11z"/>'
    '<path fill="#664500" d="M9 20h18v10H9zm3 2v6h5v-6zm7 0v6h5v-6z"/>'
    '<path fill="#664500" d="M12 10a3 3.5 0 1 0 0 7 3 3.5 0 1 0 0-7zm12 0a3 3.5 0 1 0 0 7 3 3.5 0 1 0 0-7z"/></svg>'
)
DRAWINGS = {"1f600": FACE, "1f4a3": ARROW, "1f44b": HAND, "1f436": FACE.replace("#FFCC4D", "#D99E82"), "1f335": FADED}
DRAWINGS["1f62c"] = GRIMACE


@pytest.fixture(scope="session")
def drawings(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of six SVG stickers."""
    folder = tmp_path_factory.mktemp("stickers")
    for key, svg in DRAWINGS.items():
        (folder / f"{key}.svg").write_text(svg)
    return folder
