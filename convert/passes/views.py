"""Views, permutations and copies: those that cancel each other go, and views move behind slices and concatenations."""

from __future__ import annotations

import math
from typing import cast

import torch
from torch import fx
from torch.export import ExportedProgram

from edge_stickers.convert.passes.graph import calls, erase, fake_tensor, finish, insert, replace, shape

aten = torch.ops.aten
VIEW, PERMUTE = aten.view_copy.default, aten.permute.default  # a copying view takes any strides
RANK = 4
"""The most dimensions that every backend takes."""
VIEWS = (
    VIEW,
    aten.view.default,
    aten.reshape.default,
    aten._unsafe_view.default,
    aten.flatten.using_ints,
    aten.unsqueeze.default,
    aten.squeeze.dim,
    aten.squeeze.dims,
    aten.squeeze.default,
)
COPIES = (
    aten.clone.default,
    aten.contiguous.default,
    aten.alias.default,
    aten.lift_fresh_copy.default,
    aten._to_copy.default,
    aten.to.dtype,
    aten.to.dtype_layout,
    aten.to.device,
    aten.dropout.default,
    aten.detach.default,
    aten.detach_.default,
)


def simplify_views(program: ExportedProgram) -> ExportedProgram:
    """Removes data movement that has no effect, until nothing is left to remove.

    Args:
        program: in core operators.

    Returns:
        The same program, changed in place.
    """
    drop_copies(program)
    for node in calls(program, *VIEWS):
        if node.target is not VIEW or -1 in node.args[1]:  # type: ignore[operator]
            replace(node, insert(node, VIEW, node.args[0], shape(node)))
    for node in calls(program, aten.transpose.int, aten.t.default, aten.numpy_T.default):
        order = list(range(len(shape(node))))
        first, second = (node.args[1], node.args[2]) if node.target is aten.transpose.int else (0, -1)
        order[first], order[second] = order[second], order[first]  # type: ignore[index]
        replace(node, insert(node, PERMUTE, node.args[0], order))
    changed = True
    while changed:
        changed = any(
            [
                _one(node)
                for node in calls(program, VIEW, PERMUTE, aten.slice.Tensor, aten.cat.default)
                if not node._erased
            ]
        )
    return finish(program)


def drop_copies(program: ExportedProgram) -> ExportedProgram:
    """Removes copies that change neither shape nor dtype, and checks of what is known when a program is exported.

    Args:
        program: in any operators.

    Returns:
        The same program, changed in place.
    """
    for node in calls(program, aten._assert_tensor_metadata.default):
        node.graph.erase_node(node)
    for node in calls(program, *COPIES):
        if fake_tensor(node).dtype == fake_tensor(node.args[0]).dtype:  # type: ignore[arg-type]
            replace(node, node.args[0])  # type: ignore[arg-type]
    return finish(program)


def _one(node: fx.Node) -> bool:
    """Simplifies one node; true where something changed."""
    match node.target:
        case aten.view_copy.default:
            return _view(node)
        case aten.permute.default:
            return _permute(node)
        case aten.slice.Tensor:
            return _slice_of_view(node)
        case _:
            return _cat_of_views(node)


def _view(node: fx.Node) -> bool:
    source: fx.Node = node.args[0]  # type: ignore[assignment]
    if shape(node) == shape(source):
        replace(node, source)
        return True
    if source.target is VIEW:
        node.update_arg(0, source.args[0])
        erase(source)
        return True
    return False


def _permute(node: fx.Node) -> bool:
    source: fx.Node = node.args[0]  # type: ignore[assignment]
    rank = len(shape(source))
    order = [d % rank for d in cast("list[int]", node.args[1])]
    if source.target is PERMUTE:
        inner = [d % rank for d in cast("list[int]", source.args[1])]
        replace(node, insert(node, PERMUTE, source.args[0], [inner[d] for d in order]))
        return True
    if source.target is VIEW and len(source.users) == 1:
        before: fx.Node = source.args[0]  # type: ignore[assignment]
        groups = merged_dimensions(shape(before), shape(source)) if before.target is PERMUTE else None
        if groups is not None:  # the view joins dimensions: it can follow the permutation as well
            moved_first = insert(node, PERMUTE, before, [d for place in order for d in groups[place]])
            replace(node, insert(node, VIEW, moved_first, shape(node)))
            return True
    if source.target is VIEW and 1 in shape(source) and all(user.target is VIEW for user in node.users):
        kept = [d for d in range(rank) if shape(source)[d] != 1]  # the view behind it then has nothing left to do
        flat = insert(node, VIEW, source.args[0], [shape(source)[d] for d in kept])
        moved_flat = insert(node, PERMUTE, flat, [kept.index(d) for d in order if d in kept])
        replace(node, insert(node, VIEW, moved_flat, shape(node)))
        return True
    moved = [d for d in order if shape(source)[d] != 1]
    if moved == sorted(moved):  # only dimensions of size 1 change places
        replace(node, insert(node, VIEW, source, shape(node)))
        return True
    return False


def _slice_of_view(node: fx.Node) -> bool:
    """A slice of a view becomes a view of a slice, where a dimension of the view is one of the tensor behind it."""
    source, dim, *bounds = node.args
    if not isinstance(source, fx.Node) or source.target is not VIEW:
        return False
    origin: fx.Node = source.args[0]  # type: ignore[assignment]
    if len(shape(origin)) > max(RANK, len(shape(source))):
        return False
    places = same_dimensions(shape(source), shape(origin), cast("int", dim) % len(shape(source)))
    if not places:
        return False
    replace(node, insert(node, VIEW, insert(node, aten.slice.Tensor, origin, places[0], *bounds), shape(node)))
    return True


def _cat_of_views(node: fx.Node) -> bool:
    """A concatenation of views becomes a view of a concatenation, where the tensors behind them can be joined alike."""
    parts: list[fx.Node] = list(node.args[0])  # type: ignore[arg-type]
    dim = cast("int", node.args[1]) % len(shape(node)) if len(node.args) > 1 else 0
    if any(part.target is not VIEW for part in parts):
        return False
    origins: list[fx.Node] = [part.args[0] for part in parts]  # type: ignore[misc]
    if max(len(shape(origin)) for origin in origins) > max(RANK, len(shape(node))):
        return False
    places = [same_dimensions(shape(part), shape(origin), dim) for part, origin in zip(parts, origins, strict=True)]
    for place in set(places[0]).intersection(*places[1:]):
        if len({(*shape(o)[:place], *shape(o)[place + 1 :]) for o in origins}) == 1:
            replace(node, insert(node, VIEW, insert(node, aten.cat.default, origins, place), shape(node)))
            return True
    return False


def merged_dimensions(origin: list[int], view: list[int]) -> list[list[int]] | None:
    """For each dimension of a view the neighbouring dimensions of the tensor that it joins, or None if it splits any.

    Args:
        origin: the shape of the tensor.
        view: the shape of the view.
    """
    groups: list[list[int]] = []
    place = 0
    for length in view:
        group: list[int] = []
        while math.prod(origin[d] for d in group) < length and place < len(origin):
            group.append(place)
            place += 1
        if math.prod(origin[d] for d in group) != length:
            return None
        groups.append(group)
    if groups:
        groups[-1] += range(place, len(origin))  # what is left has length 1
    return groups


def same_dimensions(view: list[int], origin: list[int], dim: int) -> list[int]:
    """The dimensions of a tensor that can stand for one dimension of its view: as long, with as much before them.

    Args:
        view: the shape of the view.
        origin: the shape of the tensor.
        dim: of the view.

    Returns:
        Dimensions of the tensor; more than one only where they have length 1.
    """
    before = math.prod(view[:dim])
    return [place for place, length in enumerate(origin) if length == view[dim] and math.prod(origin[:place]) == before]
