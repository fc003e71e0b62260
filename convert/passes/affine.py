"""Products and sums with one number a channel, joined: on the small tensors rather than on the images."""

from __future__ import annotations

import torch
from torch import fx
from torch.export import ExportedProgram

from edge_stickers.convert.passes.graph import calls, finish, insert, replace, shape

aten = torch.ops.aten


def join_affine(program: ExportedProgram) -> ExportedProgram:
    """Turns (x * s + t) * m into x * (s * m) + t * m, and (x * s + t) + u into x * s + (t + u).

    x is an image (N, C, H, W), the others are (N, C, 1, 1) or (1, C, 1, 1): so a normalisation and the modulation
    that follows it cost one product and one sum of the image's size.

    Args:
        program: in core operators.

    Returns:
        The same program, changed in place.
    """
    for node in calls(program, aten.mul.Tensor, aten.add.Tensor):
        found = _image_and_number(node)
        if found is None:
            continue
        image, number = found
        inner = _image_and_number(image) if image.target is aten.add.Tensor and len(image.users) == 1 else None
        if inner is None:
            continue
        base, offset = inner
        if node.target is aten.add.Tensor:
            replace(node, insert(node, aten.add.Tensor, base, insert(node, aten.add.Tensor, offset, number)))
            continue
        product = _image_and_number(base) if base.target is aten.mul.Tensor and len(base.users) == 1 else None
        if product is not None:
            factor = insert(node, aten.mul.Tensor, product[1], number)
            scaled = insert(node, aten.mul.Tensor, product[0], factor)
            replace(node, insert(node, aten.add.Tensor, scaled, insert(node, aten.mul.Tensor, offset, number)))
    return finish(program)


def _image_and_number(node: fx.Node) -> tuple[fx.Node, fx.Node] | None:
    """The operands of a sum or product of an image and one number a channel."""
    if node.target not in (aten.mul.Tensor, aten.add.Tensor) or node.kwargs:
        return None
    operands = [argument for argument in node.args if isinstance(argument, fx.Node)]
    if len(operands) != 2:
        return None
    for image, number in (operands, operands[::-1]):
        small, full = shape(number), shape(image)
        if len(full) == len(small) == 4 and small[2:] == [1, 1] != full[2:] and small[1] == full[1] and full == shape(node):
            return image, number
    return None
