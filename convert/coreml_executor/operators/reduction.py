"""Reductions along axes; all axes where none are given."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from edge_stickers.convert.coreml_executor.operators.arguments import Operator, flag, integer, integers

_Reduce = Callable[[Tensor, list[int], bool], Tensor]


def _along_axes(function: _Reduce) -> Operator:
    def reduce(x: Tensor, axes: Tensor | None = None, keep_dims: Tensor | None = None) -> Tensor:
        over = list(range(x.ndim)) if axes is None else [axis % x.ndim for axis in integers(axes)]
        return function(x, over, flag(keep_dims))

    return reduce


def _along_axis(function: Callable[[Tensor, int, bool], Tensor]) -> Operator:
    def reduce(
        x: Tensor, axis: Tensor | None = None, keep_dims: Tensor | None = None, output_dtype: str = "int32"
    ) -> Tensor:
        return function(x, integer(axis, -1), flag(keep_dims))

    return reduce


def _product(x: Tensor, axes: list[int], keep: bool) -> Tensor:
    for axis in sorted(axes, reverse=True):
        x = x.prod(axis, keepdim=keep)
    return x


def _mean(x: Tensor, axes: list[int], keep: bool) -> Tensor:
    return (x if x.dtype.is_floating_point else x.to(torch.float64)).mean(axes, keepdim=keep)


OPERATORS: dict[str, Operator] = {
    "reduce_argmax": _along_axis(lambda x, axis, keep: x.argmax(axis, keepdim=keep)),
    "reduce_argmin": _along_axis(lambda x, axis, keep: x.argmin(axis, keepdim=keep)),
    "reduce_l1_norm": _along_axes(lambda x, axes, keep: x.abs().sum(axes, keepdim=keep)),
    "reduce_l2_norm": _along_axes(lambda x, axes, keep: x.square().sum(axes, keepdim=keep).sqrt()),
    "reduce_log_sum": _along_axes(lambda x, axes, keep: x.sum(axes, keepdim=keep).log()),
    "reduce_log_sum_exp": _along_axes(lambda x, axes, keep: x.logsumexp(axes, keepdim=keep)),
    "reduce_max": _along_axes(lambda x, axes, keep: x.amax(axes, keepdim=keep)),
    "reduce_mean": _along_axes(_mean),
    "reduce_min": _along_axes(lambda x, axes, keep: x.amin(axes, keepdim=keep)),
    "reduce_prod": _along_axes(_product),
    "reduce_sum": _along_axes(lambda x, axes, keep: x.sum(axes, keepdim=keep)),
    "reduce_sum_square": _along_axes(lambda x, axes, keep: x.square().sum(axes, keepdim=keep)),
}
