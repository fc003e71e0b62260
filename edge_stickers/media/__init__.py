"""Pictures in, animations out: stills of any common format become tensors, frames become looping files."""

from __future__ import annotations

from edge_stickers.media.read import load_still
from edge_stickers.media.write import Clip

__all__ = ["Clip", "load_still"]
