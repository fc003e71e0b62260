"""The element types of the ML program format, and how their values lie in bytes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import numpy as np

Array = np.ndarray[Any, np.dtype[Any]]


@dataclass(frozen=True, slots=True)
class ElementType:
    """One element type."""

    name: str
    """As `cast` and `quantize` spell it."""
    proto: int
    """Number in `MILSpec.DataType`."""
    bits: int
    """That one value takes in the weights file; 0 where it cannot lie there."""
    numpy: np.dtype[Any]
    """That holds the values unpacked."""
    blob: int | None = None
    """Number in the weights file's header; None where it cannot lie there."""

    @property
    def packed(self) -> bool:
        """Several values share a byte."""
        return 0 < self.bits < 8

    @property
    def signed(self) -> bool:
        """Integers below zero are possible."""
        return bool(self.numpy.kind == "i")


def _types(*rows: tuple[str, int, int, str, int | None]) -> Mapping[str, ElementType]:
    return MappingProxyType({row[0]: ElementType(row[0], row[1], row[2], np.dtype(row[3]), row[4]) for row in rows})


ELEMENT_TYPES = _types(
    ("bool", 1, 0, "bool", None),
    ("string", 2, 0, "object", None),
    ("fp16", 10, 16, "float16", 1),
    ("fp32", 11, 32, "float32", 2),
    ("fp64", 12, 0, "float64", None),
    ("int8", 21, 8, "int8", 4),
    ("int16", 22, 16, "int16", 6),
    ("int32", 23, 32, "int32", 14),
    ("int64", 24, 0, "int64", None),
    ("int4", 25, 4, "int8", 8),
    ("uint8", 31, 8, "uint8", 3),
    ("uint16", 32, 16, "uint16", 7),
    ("uint32", 33, 32, "uint32", 15),
    ("uint4", 35, 4, "uint8", 11),
    ("uint2", 36, 2, "uint8", 10),
    ("uint1", 37, 1, "uint8", 9),
    ("uint6", 38, 6, "uint8", 13),
    ("uint3", 39, 3, "uint8", 12),
)
"""By name. Numbers as in MIL.proto and MILBlob/Blob/BlobDataType.hpp of coremltools."""
BY_PROTO = MappingProxyType({each.proto: each for each in ELEMENT_TYPES.values()})
"""By `ElementType.proto`."""


@dataclass(frozen=True, slots=True)
class ValueType:
    """What a value is declared to be."""

    element: ElementType
    shape: tuple[int | None, ...]
    """None where a dimension is known at run time only."""

    @property
    def elements(self) -> int:
        """How many, where all dimensions are known."""
        count = 1
        for size in self.shape:
            count *= size or 0
        return count

    def __str__(self) -> str:
        return f"{self.element.name} ({', '.join('?' if size is None else str(size) for size in self.shape)})"


def unpack(packed: Array, element: ElementType, count: int) -> Array:
    """The values of a type narrower than a byte; the first one is in the lowest bits, and values cross bytes.

    Args:
        packed: bytes, uint8, at least `count * element.bits / 8` of them.
        element: what they hold.
        count: of values.

    Returns:
        `count` values of `element.numpy`.
    """
    bits = np.unpackbits(packed, count=count * element.bits, bitorder="little").reshape(count, element.bits)
    values = bits @ (1 << np.arange(element.bits)).astype(np.int64)
    if element.signed:
        values -= (values >> (element.bits - 1)) << element.bits
    return np.asarray(values.astype(element.numpy))
