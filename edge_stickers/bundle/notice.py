"""The attributions that the weights need, and the NOTICE file that carries them."""

from __future__ import annotations

from pathlib import Path

from edge_stickers.bundle.manifest import Licence

LICENCES: tuple[Licence, ...] = (
    Licence(
        what="training data: Twemoji graphics",
        licence="CC-BY-4.0",
        credit="Copyright Twitter, Inc and other contributors, https://github.com/jdecked/twemoji",
    ),
    Licence(
        what="text encoder: a cut of sentence-transformers/all-MiniLM-L6-v2",
        licence="Apache-2.0",
        credit="The sentence-transformers authors, from MiniLM by Microsoft; layers and vocabulary were removed",
    ),
    Licence(
        what="golden.safetensors: sample stickers",
        licence="CC0-1.0",
        credit="Drawn for edge-stickers",
    ),
    Licence(what="all else", licence="Apache-2.0", credit="The edge-stickers authors"),
)
"""Of a student that was trained as this package trains by default."""


def notice_text(model: Path | None = None) -> str:
    """The NOTICE file.

    Args:
        model: the model folder; what its own NOTICE says comes first.
    """
    own = model / "NOTICE" if model is not None else None
    parts = [own.read_text(encoding="utf-8").strip()] if own is not None and own.is_file() else []
    parts.append("This bundle was made with edge-stickers. Keep this file with it.")
    parts += [f"{entry.what}\n  Licence: {entry.licence}\n  Credit: {entry.credit}" for entry in LICENCES]
    parts.append(
        "https://creativecommons.org/licenses/by/4.0/\nhttps://www.apache.org/licenses/LICENSE-2.0\n"
        "https://creativecommons.org/publicdomain/zero/1.0/"
    )
    return "\n\n".join(parts) + "\n"
