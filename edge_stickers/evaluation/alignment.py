"""Direct image alignment: Levenberg–Marquardt on the six numbers of an affine map, many problems at once."""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as functional
from torch import Tensor

_DAMPING = 1e-3
_DAMPING_RANGE = (1e-6, 1e4)
_EDGE = 0.04  # A pixel that differs this much from its neighbours says where things lie.


@dataclass(frozen=True, slots=True)
class _Points:
    target: Tensor  # (N, 4, K) what the frame shows.
    places: Tensor  # (N, K, 3) x, y, 1 in the frame.
    basis: Tensor  # (N, K, 6) xx, xy, x, yy, y, 1.


@dataclass(frozen=True, slots=True)
class _Normal:
    cost: Tensor  # (N,) Cauchy's cost.
    hessian: Tensor  # (N, 6, 6)
    gradient: Tensor  # (N, 6)


def warp(still: Tensor, matrices: Tensor) -> Tensor:
    """The still, moved.

    Args:
        still: (4, H, W) premultiplied RGBA.
        matrices: (N, 2, 3) output to source coordinates, as `affine_grid` takes them.

    Returns:
        (N, 4, H, W); outside the still lies nothing.
    """
    count, (channels, height, width) = matrices.shape[0], still.shape
    grid = functional.affine_grid(matrices.to(still), [count, 1, height, width], align_corners=False)
    # All in one tall image: the still is read in place, not copied for each problem.
    tall = functional.grid_sample(still[None], grid.flatten(0, 1)[None], mode="bilinear", align_corners=False)
    return tall.reshape(channels, count, height, width).transpose(0, 1)


def align(target: Tensor, still: Tensor, starts: Tensor, *, steps: int, softness: float, points: int) -> Tensor:
    """Moves a still onto targets.

    Args:
        target: (N, 4, S, S) premultiplied RGBA.
        still: (4, S, S), the same for all.
        starts: (N, 2, 3) where to start, output to source coordinates.
        steps: Number of Levenberg–Marquardt steps.
        softness: Differences of a pixel (norm over its four channels) much above this count little: what is painted
            over a sticker, or moves by itself, does not drag the fit along. The cost is Cauchy's.
        points: How many pixels to look at, K: some of those near an edge of the frame or of the moved still.

    Returns:
        (N, 2, 3) the best matrices met. Source: Lucas and Kanade 1981, in forward additive form.
    """
    stack = torch.cat([still, *_slopes(still)])  # (12, S, S)
    seen = _points(target, warp(still, starts), points)
    matrices = starts.clone()
    damping = torch.full_like(matrices[:, 0, 0], _DAMPING)
    state = _normal(stack, matrices, seen, softness)
    eye = torch.eye(6, dtype=matrices.dtype, device=matrices.device)
    for _ in range(steps):
        diagonal = state.hessian.diagonal(dim1=1, dim2=2)
        lift = damping[:, None] * diagonal + 1e-6 * diagonal.amax(1, keepdim=True) + 1e-9
        step = torch.linalg.solve(state.hessian + lift[:, :, None] * eye, state.gradient[..., None])
        tried = matrices + step.reshape(-1, 2, 3)
        after = _normal(stack, tried, seen, softness)
        better = after.cost < state.cost
        matrices = torch.where(better[:, None, None], tried, matrices)
        state = _Normal(
            torch.where(better, after.cost, state.cost),
            torch.where(better[:, None, None], after.hessian, state.hessian),
            torch.where(better[:, None], after.gradient, state.gradient),
        )
        damping = torch.where(better, damping * 0.2, damping * 8).clamp(*_DAMPING_RANGE)
    return matrices


def _normal(stack: Tensor, matrices: Tensor, seen: _Points, softness: float) -> _Normal:
    """The normal equations at (N, 2, 3) matrices."""
    count = len(matrices)
    grid = seen.places @ matrices.transpose(1, 2)  # (N, K, 2)
    read = functional.grid_sample(stack[None], grid[None], mode="bilinear", align_corners=False)[0]
    moved, along_x, along_y = read.transpose(0, 1).chunk(3, dim=1)  # (N, 4, K) each
    rest = seen.target - moved
    square = rest.square().sum(1) / softness**2  # (N, K)
    pairs = [(along_x, along_x), (along_x, along_y), (along_y, along_y), (along_x, rest), (along_y, rest)]
    products = torch.stack([torch.einsum("nck,nck->nk", first, second) for first, second in pairs], dim=1)
    sums = (products / (1 + square)[:, None]) @ seen.basis  # (N, 5, 6)
    blocks = sums[:, :3, [[0, 1, 2], [1, 3, 4], [2, 4, 5]]]  # (N, 3, 3, 3)
    top = torch.cat([blocks[:, 0], blocks[:, 1]], dim=2)
    bottom = torch.cat([blocks[:, 1], blocks[:, 2]], dim=2)
    gradient = sums[:, 3:][:, :, [2, 4, 5]].reshape(count, 6)
    return _Normal(torch.log1p(square).mean(1), torch.cat([top, bottom], dim=1), gradient)


def _points(target: Tensor, moved: Tensor, count: int) -> _Points:
    """K pixels of each problem, drawn evenly from those near an edge, the same at every call."""
    side = target.shape[-1]
    near = torch.maximum(_edges(target), _edges(moved)).flatten(1) > _EDGE  # (N, P)
    lot = torch.rand(near.shape[1], generator=torch.Generator().manual_seed(0)).to(target)
    index = (near + lot).topk(min(count, near.shape[1]), dim=1, sorted=False).indices  # (N, K)
    x, y = ((index % side) * 2 + 1) / side - 1, ((index // side) * 2 + 1) / side - 1
    one = torch.ones_like(x)
    return _Points(
        target.flatten(2).gather(2, index[:, None].expand(-1, 4, -1)),
        torch.stack([x, y, one], dim=-1).to(target),
        torch.stack([x * x, x * y, x, y * y, y, one], dim=-1).to(target),
    )


def _edges(images: Tensor) -> Tensor:
    """(N, S, S): the largest step to a neighbour, spread to the next pixel."""
    paint = images.sum(1) / 2  # (N, S, S)
    down = functional.pad((paint[:, 1:] - paint[:, :-1]).abs(), (0, 0, 0, 1))
    right = functional.pad((paint[:, :, 1:] - paint[:, :, :-1]).abs(), (0, 1))
    return functional.max_pool2d(torch.maximum(down, right)[:, None], 3, 1, 1)[:, 0]


def _slopes(image: Tensor) -> tuple[Tensor, Tensor]:
    """Slopes of (C, H, W) along x and y, a unit being half the canvas."""
    padded = functional.pad(image[None], (1, 1, 1, 1))[0]
    along_x = (padded[:, 1:-1, 2:] - padded[:, 1:-1, :-2]) * (image.shape[-1] / 4)
    along_y = (padded[:, 2:, 1:-1] - padded[:, :-2, 1:-1]) * (image.shape[-2] / 4)
    return along_x, along_y
