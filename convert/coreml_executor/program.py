"""An ML program in memory: operations in order, with their constants left in the file until they are read."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from edge_stickers.convert.coreml_executor.types import Array, ValueType, unpack
from edge_stickers.spec import TensorSpec


@dataclass(frozen=True, slots=True)
class Constant:
    """A value that the program brings along."""

    type: ValueType
    data: Array
    """Of `type`, or the packed bytes; for weights a view of the mapped file."""

    def read(self) -> Array:
        """The values, of `type.element.numpy` and of the declared shape."""
        element = self.type.element
        values = unpack(self.data, element, self.type.elements) if element.packed else self.data
        return values.reshape(tuple(size or 0 for size in self.type.shape))


Literal = Constant | tuple["Literal", ...]
"""A constant, or a list or tuple of them."""
Argument = str | Literal
"""The name of a value, or one that stands in the operation itself."""


@dataclass(frozen=True, slots=True)
class Output:
    """A value that an operation makes."""

    name: str
    type: ValueType


@dataclass(frozen=True, slots=True)
class Operation:
    """One operation."""

    kind: str
    """The operator: `conv`, `add` ..."""
    inputs: Mapping[str, tuple[Argument, ...]]
    """By parameter; more than one argument where the parameter is a list, such as the `values` of `concat`."""
    outputs: tuple[Output, ...]

    @property
    def name(self) -> str:
        """Of its first output."""
        return self.outputs[0].name if self.outputs else self.kind

    def reads(self) -> set[str]:
        """Names of the values that it reads."""
        return {each for arguments in self.inputs.values() for each in arguments if isinstance(each, str)}


@dataclass(frozen=True, slots=True)
class Program:
    """The function `main` of a package."""

    package: Path
    opset: str
    """Such as `CoreML8`, which is iOS 18."""
    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]
    operations: tuple[Operation, ...] = field(repr=False)
    """In order, constants left out."""
    constants: Mapping[str, Literal] = field(repr=False)
    """By name."""

    def operators(self) -> dict[str, int]:
        """How often each operator occurs, constants left out."""
        return dict(sorted(Counter(operation.kind for operation in self.operations).items()))

    def last_readers(self) -> dict[str, int]:
        """By value, the index of the last operation that reads it; outputs of the program have none."""
        kept = {spec.name for spec in self.outputs}
        last: dict[str, int] = {}
        for index, operation in enumerate(self.operations):
            for output in operation.outputs:
                last[output.name] = index  # dropped at once where nothing reads it
            for name in operation.reads():
                last[name] = index
        return {name: index for name, index in last.items() if name not in kept}
