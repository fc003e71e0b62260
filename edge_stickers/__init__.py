"""Animated stickers by diffusion, on the user's own device.

    import edge_stickers

    with edge_stickers.load() as animator:
        animator.animate("cat.png", "the cat hops").save("cat.webp")

The names below are imported when they are first used, so that `import edge_stickers` itself costs nothing.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from edge_stickers.animator import Animator, default_student, load
    from edge_stickers.build import BuildReport
    from edge_stickers.build import build as build_bundle
    from edge_stickers.bundle.reader import Bundle
    from edge_stickers.media import Clip, load_still
    from edge_stickers.runtimes.outcome import VerifyReport
    from edge_stickers.runtimes.verify import verify

__version__ = "0.1.0"
__all__ = [
    "Animator",
    "BuildReport",
    "Bundle",
    "Clip",
    "VerifyReport",
    "__version__",
    "build_bundle",
    "default_student",
    "load",
    "load_still",
    "verify",
]

_HOMES = {
    "Animator": ("edge_stickers.animator", "Animator"),
    "BuildReport": ("edge_stickers.build", "BuildReport"),
    "Bundle": ("edge_stickers.bundle.reader", "Bundle"),
    "Clip": ("edge_stickers.media", "Clip"),
    "VerifyReport": ("edge_stickers.runtimes.outcome", "VerifyReport"),
    "build_bundle": ("edge_stickers.build", "build"),  # `edge_stickers.build` is the module
    "default_student": ("edge_stickers.animator", "default_student"),
    "load": ("edge_stickers.animator", "load"),
    "load_still": ("edge_stickers.media", "load_still"),
    "verify": ("edge_stickers.runtimes.verify", "verify"),
}


def __getattr__(name: str) -> Any:
    """Imports a public name from where it lives (PEP 562)."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    module, attribute = _HOMES[name]
    return getattr(importlib.import_module(module), attribute)


def __dir__() -> list[str]:
    """The public names, imported or not."""
    return sorted({*globals(), *__all__})
