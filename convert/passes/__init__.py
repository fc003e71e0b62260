"""Rewrites of exported programs: for each kind of backend the passes that give it a program that it takes whole."""

from __future__ import annotations

from torch.export import ExportedProgram

from edge_stickers.convert.passes.constants import fold_constants
from edge_stickers.convert.passes.decompose import NATIVE, ONE_IMAGE, decompose, name_inputs
from edge_stickers.convert.passes.masks import simplify_masks
from edge_stickers.convert.passes.projections import fold_projections
from edge_stickers.convert.passes.ranks import fold_ranks
from edge_stickers.convert.passes.views import drop_copies, simplify_views

__all__ = [
    "decompose",
    "fold_constants",
    "fold_projections",
    "fold_ranks",
    "prepare",
    "prepare_native",
    "prepare_one_image",
    "simplify_masks",
    "simplify_views",
]


def prepare(program: ExportedProgram) -> ExportedProgram:
    """For XNNPACK, which has neither norms nor attention.

    Args:
        program: from `export_component`; it is left as it is.

    Returns:
        A program with the same inputs and outputs.
    """
    return fold_projections(_simplify(fold_constants(decompose(program))))


def prepare_one_image(program: ExportedProgram) -> ExportedProgram:
    """The same for backends that convolve one image at a time, as Vulkan's does.

    Args:
        program: from `export_component`; it is left as it is.

    Returns:
        A program with the same inputs and outputs.
    """
    return fold_projections(_simplify(fold_constants(decompose(decompose(program), ONE_IMAGE))))


def prepare_native(program: ExportedProgram) -> ExportedProgram:
    """For Core ML, which has norms and attention of its own.

    Args:
        program: from `export_component`; it is left as it is.

    Returns:
        A program with the same inputs and outputs.
    """
    names = program.graph_signature.user_inputs
    native = drop_copies(decompose(program, NATIVE).run_decompositions({}))
    return name_inputs(_simplify(fold_constants(native)), names)


def _simplify(program: ExportedProgram) -> ExportedProgram:
    """What is left to do once nothing but the operators of a backend are there."""
    return simplify_views(fold_ranks(simplify_views(simplify_masks(program))))
