"""Rewrites of exported programs: `prepare` gives XNNPACK a program that it takes whole."""

from __future__ import annotations

from torch.export import ExportedProgram

from edge_stickers.convert.passes.constants import fold_constants
from edge_stickers.convert.passes.decompose import decompose
from edge_stickers.convert.passes.masks import simplify_masks
from edge_stickers.convert.passes.views import simplify_views

__all__ = ["decompose", "fold_constants", "prepare", "simplify_masks", "simplify_views"]


def prepare(program: ExportedProgram) -> ExportedProgram:
    """All passes that XNNPACK needs, in their order.

    Args:
        program: from `export_component`; it is left as it is.

    Returns:
        A program with the same inputs and outputs.
    """
    return simplify_views(simplify_masks(fold_constants(decompose(program))))
