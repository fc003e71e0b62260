"""Values while a program runs: tensors, strings and lists of them, and how they are held.

Floats are float32 whatever their type, rounded where it is narrower. Integers are int32, or int64 where their type does
not fit; booleans are bool.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import numpy as np
import torch
from torch import Tensor

from edge_stickers.convert.coreml_executor.program import Constant
from edge_stickers.convert.coreml_executor.program import Literal as ProgramLiteral
from edge_stickers.convert.coreml_executor.types import ELEMENT_TYPES, ElementType

Precision = Literal["fp32", "fp16"]
"""fp32: floats are never rounded; fp16: they are where the program says so."""
Value = Tensor | str | Sequence["Value"]

FP16_MAX = float(torch.finfo(torch.float16).max)
"""65,504, the largest finite value of float16."""
FP16_SMALLEST = float(torch.finfo(torch.float16).smallest_normal * torch.finfo(torch.float16).eps)
"""The smallest value above zero of float16, a subnormal: 2 to the power of -24."""


def held(tensor: Tensor, element: ElementType, precision: Precision) -> Tensor:
    """A result as the program goes on with it.

    Args:
        tensor: any dtype.
        element: the declared type.
        precision: `fp32` leaves floats alone.

    Returns:
        The values rounded, cut or wrapped to the declared type.
    """
    kind = element.numpy.kind
    if kind == "f":
        exact = tensor.to(torch.float32)
        return exact.to(torch.float16).to(torch.float32) if rounds(element, precision) else exact
    if kind == "b":
        return tensor.to(torch.bool)
    wide = tensor.to(torch.int64)  # floats are cut towards zero
    if not element.packed:
        bits = element.bits or 64
        wide = _wrapped(wide, bits, element.signed) if bits < 64 else wide
    return wide.to(torch.int64 if element.name in ("int64", "uint32") else torch.int32)


def rounds(element: ElementType, precision: Precision) -> bool:
    """Whether values of this type are rounded to float16."""
    return precision == "fp16" and element.name == "fp16"


def from_literal(literal: ProgramLiteral) -> Value:
    """A constant as operators take it; weights of float16 are widened, which is exact."""
    if not isinstance(literal, Constant):
        return [from_literal(each) for each in literal]
    array = literal.read()
    if array.dtype.kind == "O":
        strings = [each.decode() if isinstance(each, bytes) else str(each) for each in array.reshape(-1)]
        return strings[0] if array.ndim == 0 else strings
    return held(torch.from_numpy(np.array(_signed(array))), literal.type.element, "fp32")


def to_array(tensor: Tensor, element: ElementType, precision: Precision) -> np.ndarray:
    """An output of the program, of its declared dtype; floats are float32 where nothing was rounded."""
    dtype = np.dtype(np.float32) if element.numpy.kind == "f" and not rounds(element, precision) else element.numpy
    return np.array(tensor.numpy(), dtype=dtype)


def element_of(dtype: str) -> ElementType:
    """The element type of a numpy dtype's name.

    Raises:
        KeyError: there is none.
    """
    return next(each for each in ELEMENT_TYPES.values() if each.numpy == np.dtype(dtype) and not each.packed)


def _wrapped(values: Tensor, bits: int, signed: bool) -> Tensor:
    values = values & ((1 << bits) - 1)
    return values - ((values >> (bits - 1)) << bits) if signed else values


def _signed(array: np.ndarray) -> np.ndarray:
    """Unsigned integers wider than a byte are known to few operators of PyTorch."""
    return array.astype(np.int64) if array.dtype.kind == "u" else array
