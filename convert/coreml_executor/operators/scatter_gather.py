"""Reading and writing at indices."""

from __future__ import annotations

import torch
from torch import Tensor

from edge_stickers.convert.coreml_executor.operators.arguments import Operator, integer

_REDUCTIONS = {"add": "sum", "mul": "prod", "max": "amax", "min": "amin"}


def gather(
    x: Tensor,
    indices: Tensor,
    axis: Tensor | None = None,
    batch_dims: Tensor | None = None,
    validate_indices: Tensor | None = None,
) -> Tensor:
    """Slices of x along an axis: D[:axis] + N[batch_dims:] + D[axis + 1:].

    Raises:
        ValueError: an index lies outside; an engine may read anything there.
    """
    over, shared = integer(axis, 0) % x.ndim, integer(batch_dims, 0)
    places = _checked(indices, x.shape[over])
    if shared == 0:
        flat = x.index_select(over, places.reshape(-1))
        return flat.reshape(*x.shape[:over], *places.shape, *x.shape[over + 1 :])
    # The leading dimensions belong together: their values are walked one by one.
    rows, wanted = x.flatten(0, shared - 1), places.flatten(0, shared - 1)
    step = torch.tensor(over - shared)
    picked = [gather(row, want, step) for row, want in zip(rows, wanted, strict=True)]
    return torch.stack(picked).reshape(*x.shape[:shared], *picked[0].shape)


def gather_along_axis(
    x: Tensor, indices: Tensor, axis: Tensor | None = None, validate_indices: Tensor | None = None
) -> Tensor:
    """The value at the index along one axis, at the same place along the others."""
    over = integer(axis, 0) % x.ndim
    return torch.take_along_dim(x, _checked(indices, x.shape[over]), over)


def gather_nd(
    x: Tensor, indices: Tensor, batch_dims: Tensor | None = None, validate_indices: Tensor | None = None
) -> Tensor:
    """Slices of x at index vectors, which are the last dimension of `indices`."""
    shared = integer(batch_dims, 0)
    if shared == 0:
        return x[_vectors(x, indices)]
    rows, wanted = x.flatten(0, shared - 1), indices.flatten(0, shared - 1)
    picked = [row[_vectors(row, want)] for row, want in zip(rows, wanted, strict=True)]
    return torch.stack(picked).reshape(*x.shape[:shared], *picked[0].shape)


def scatter(
    data: Tensor,
    indices: Tensor,
    updates: Tensor,
    axis: Tensor | None = None,
    mode: str = "add",
    validate_indices: Tensor | None = None,
) -> Tensor:
    """Slices of `updates` written into `data` along an axis."""
    over = integer(axis, 0) % data.ndim
    places = _checked(indices, data.shape[over])
    spread = places.reshape(-1, *([1] * (data.ndim - over - 1))).expand(updates.shape)
    return _scattered(data, spread, updates, over, mode)


def scatter_along_axis(
    data: Tensor,
    indices: Tensor,
    updates: Tensor,
    axis: Tensor | None = None,
    mode: str = "add",
    validate_indices: Tensor | None = None,
) -> Tensor:
    """Values of `updates` written into `data` at the index along one axis."""
    over = integer(axis, 0) % data.ndim
    return _scattered(data, _checked(indices, data.shape[over]), updates, over, mode)


def scatter_nd(
    data: Tensor, indices: Tensor, updates: Tensor, mode: str = "add", validate_indices: Tensor | None = None
) -> Tensor:
    """Slices of `updates` written into `data` at index vectors."""
    depth = indices.shape[-1]
    vectors = _vectors(data, indices)
    flat = torch.zeros(indices.shape[:-1], dtype=torch.int64)
    for size, part in zip(data.shape[:depth], vectors, strict=True):
        flat = flat * size + part
    rows = data.reshape(-1, *data.shape[depth:])
    wanted = updates.reshape(-1, *data.shape[depth:])
    return scatter(rows, flat.reshape(-1), wanted, mode=mode).reshape(data.shape)


def _scattered(data: Tensor, places: Tensor, updates: Tensor, axis: int, mode: str) -> Tensor:
    if mode == "update":
        return data.scatter(axis, places, updates)
    if mode in ("sub", "div"):
        return _scattered(
            data, places, -updates if mode == "sub" else 1 / updates, axis, {"sub": "add"}.get(mode, "mul")
        )
    return data.scatter_reduce(axis, places, updates, _REDUCTIONS[mode])


def _vectors(x: Tensor, indices: Tensor) -> tuple[Tensor, ...]:
    """The last dimension of the indices, taken apart."""
    return tuple(_checked(part, size) for part, size in zip(indices.unbind(-1), x.shape, strict=False))


def _checked(indices: Tensor, size: int) -> Tensor:
    """Indices as int64, counted from the start."""
    places = indices.to(torch.int64)
    if places.numel() and (int(places.min()) < -size or int(places.max()) >= size):
        raise ValueError(f"indices reach from {int(places.min())} to {int(places.max())}, expected 0 to {size - 1}")
    return torch.where(places < 0, places + size, places)


OPERATORS: dict[str, Operator] = {
    each.__name__: each for each in (gather, gather_along_axis, gather_nd, scatter, scatter_along_axis, scatter_nd)
}
