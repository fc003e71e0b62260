"""Convolutions of one, two and three spatial dimensions."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor
from torch.nn import functional as F

from edge_stickers.convert.coreml_executor.operators.arguments import Operator, integer, integers

_CONV = {1: F.conv1d, 2: F.conv2d, 3: F.conv3d}
_CONV_TRANSPOSE = {1: F.conv_transpose1d, 2: F.conv_transpose2d, 3: F.conv_transpose3d}


def conv(
    x: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    strides: Tensor | None = None,
    pad_type: str = "valid",
    pad: Tensor | None = None,
    dilations: Tensor | None = None,
    groups: Tensor | None = None,
) -> Tensor:
    """Convolution: (B, C_in, *D), (C_out, C_in / groups, *K) → (B, C_out, *D_out)."""
    rank = x.ndim - 2
    steps, spread = _each(strides, rank), _each(dilations, rank)
    around = padding(x.shape[2:], weight.shape[2:], steps, spread, pad_type=pad_type, pad=pad)
    padded, even = _pad(x, around)
    return _CONV[rank](padded, weight, bias, steps, even, spread, integer(groups, 1))


def conv_transpose(
    x: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    pad: Tensor | None = None,
    output_shape: Tensor | None = None,
    pad_type: str = "valid",
    strides: Tensor | None = None,
    dilations: Tensor | None = None,
    groups: Tensor | None = None,
) -> Tensor:
    """Transposed convolution: (B, C_in, *D), (C_in, C_out / groups, *K) → (B, C_out, *D_out)."""
    rank = x.ndim - 2
    steps, spread = _each(strides, rank), _each(dilations, rank)
    # All of it first, then cut: padding of a transposed convolution removes from its result.
    whole = _CONV_TRANSPOSE[rank](x, weight, bias, steps, 0, 0, integer(groups, 1), spread)
    asked = None if output_shape is None else integers(output_shape)[2:]
    before = [0] * rank
    if pad_type == "custom" and pad is not None:
        before = integers(pad)[::2]
        sizes = [size - sum(integers(pad)[2 * i : 2 * i + 2]) for i, size in enumerate(whole.shape[2:])]
    elif pad_type == "same":
        sizes = [size * step for size, step in zip(x.shape[2:], steps, strict=True)]
        before = [max(0, full - size) // 2 for full, size in zip(whole.shape[2:], asked or sizes, strict=True)]
    else:
        sizes = list(whole.shape[2:])
    return _cut(whole, before, asked or sizes, bias)


def padding(
    size: Sequence[int],
    kernel: Sequence[int],
    strides: Sequence[int],
    dilations: Sequence[int],
    *,
    pad_type: str,
    pad: Tensor | None,
) -> list[tuple[int, int]]:
    """Elements to add before and after each spatial dimension.

    Args:
        size: of the input.
        kernel: of the window.
        strides: of the window.
        dilations: of the window.
        pad_type: `valid`, `custom`, `same` (an odd one more goes after) or `same_lower` (before).
        pad: before and after each dimension in turn, for `custom`.

    Raises:
        ValueError: an unknown `pad_type`, or `custom` without `pad`.
    """
    if pad_type == "valid":
        return [(0, 0)] * len(size)
    if pad_type == "custom" and pad is not None:
        values = integers(pad)
        return list(zip(values[::2], values[1::2], strict=True))
    if pad_type not in ("same", "same_lower"):
        raise ValueError(f"pad_type {pad_type!r} is not known, or has no pad")
    around = []
    for length, window, step, spread in zip(size, kernel, strides, dilations, strict=True):
        total = max(0, step * (-(-length // step)) - length + (window - 1) * spread + 1 - step)
        less, more = total // 2, total - total // 2
        around.append((more, less) if pad_type == "same_lower" else (less, more))
    return around


def _each(value: Tensor | None, rank: int) -> list[int]:
    return [1] * rank if value is None else integers(value)


def _pad(x: Tensor, around: Sequence[tuple[int, int]]) -> tuple[Tensor, list[int]]:
    """Uneven padding is added; even padding is left to the convolution, which does it without a copy."""
    if all(before == after for before, after in around):
        return x, [before for before, _ in around]
    return F.pad(x, [each for pair in reversed(around) for each in pair]), [0] * len(around)


def _cut(whole: Tensor, before: Sequence[int], sizes: Sequence[int], bias: Tensor | None) -> Tensor:
    """The part of the result that is asked for; where it is larger than the whole, only the bias reaches there."""
    missing = [max(0, start + size - full) for start, size, full in zip(before, sizes, whole.shape[2:], strict=True)]
    if any(missing):
        plain = whole if bias is None else whole - bias.reshape(-1, *([1] * len(sizes)))
        whole = F.pad(plain, [each for extra in reversed(missing) for each in (0, extra)])
        whole = whole if bias is None else whole + bias.reshape(-1, *([1] * len(sizes)))
    for axis, (start, size) in enumerate(zip(before, sizes, strict=True)):
        whole = whole.narrow(axis + 2, start, size)
    return whole


OPERATORS: dict[str, Operator] = {each.__name__: each for each in (conv, conv_transpose)}
