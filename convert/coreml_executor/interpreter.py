"""Execution of a program, operation by operation."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from edge_stickers.convert.coreml_executor.operators import OPERATORS
from edge_stickers.convert.coreml_executor.program import Argument, Operation, Program
from edge_stickers.convert.coreml_executor.values import Precision, Value, element_of, from_literal, held, to_array
from edge_stickers.errors import ConversionError, InputError, RuntimeFailedError
from edge_stickers.spec import TensorSpec


@dataclass(frozen=True, slots=True)
class Step:
    """What one operation did."""

    operation: Operation
    exact: tuple[Tensor, ...]
    """Its results before they were rounded, one for each output."""
    held: tuple[Tensor, ...]
    """As the program goes on with them."""


def execute(
    program: Program,
    inputs: Mapping[str, np.ndarray],
    *,
    precision: Precision = "fp16",
    watch: Callable[[Step], None] | None = None,
) -> dict[str, np.ndarray]:
    """Runs a program once.

    Args:
        program: from `load_program`.
        inputs: exactly the program's inputs, of their shapes, and of dtypes of the same kind.
        precision: `fp16` rounds each result to the type that the program declares; `fp32` never rounds floats.
        watch: called with every step as it is done.

    Returns:
        The program's outputs, of their dtypes; with `fp32`, floats are float32.

    Raises:
        InputError: an input is missing, unknown, or of another shape or kind.
        ConversionError: the program has operators that are not known here.
        RuntimeFailedError: an operation failed, or gave another shape than the program declares.
    """
    values = bind(program, inputs, precision)
    for step in steps(program, values, precision):
        if watch is not None:
            watch(step)
    return collect(program, values, precision)


def bind(program: Program, inputs: Mapping[str, np.ndarray], precision: Precision) -> dict[str, Tensor]:
    """The inputs as tensors, checked; see `execute`."""
    unknown = [f"{kind} ({count})" for kind, count in program.operators().items() if kind not in OPERATORS]
    if unknown:
        raise ConversionError(
            f"{program.package.name} has operators that cannot be executed here: {', '.join(unknown)}; "
            "add them to convert/coreml_executor/operators, or rewrite the model without them"
        )
    expected = [spec.name for spec in program.inputs]
    if set(inputs) != set(expected):
        raise InputError(
            f"{program.package.name} got the inputs {', '.join(inputs) or 'none'}, "
            f"expected exactly {', '.join(expected) or 'none'}"
        )
    return {spec.name: _bound(program, spec, np.asarray(inputs[spec.name]), precision) for spec in program.inputs}


def steps(program: Program, values: dict[str, Tensor], precision: Precision) -> Iterator[Step]:
    """Runs the operations in order, one for each `next`.

    Args:
        program: from `load_program`.
        values: from `bind`; results are added, and dropped when nothing reads them any more.
        precision: see `execute`.

    Yields:
        What each operation did.
    """
    last = program.last_readers()
    for index, operation in enumerate(program.operations):
        exact = _apply(program, operation, values)
        kept = tuple(
            held(tensor, output.type.element, precision)
            for tensor, output in zip(exact, operation.outputs, strict=True)
        )
        values.update((output.name, tensor) for output, tensor in zip(operation.outputs, kept, strict=True))
        yield Step(operation, exact, kept)
        for name in (*operation.reads(), *(output.name for output in operation.outputs)):
            if last.get(name) == index:
                values.pop(name, None)


def collect(program: Program, values: Mapping[str, Tensor], precision: Precision) -> dict[str, np.ndarray]:
    """The program's outputs, once all steps are done."""
    outputs = {}
    for spec in program.outputs:
        value = _value(program, spec.name, values)
        if not isinstance(value, Tensor):
            raise RuntimeFailedError(f"{program.package.name} gives {spec.name}, which is no tensor")
        outputs[spec.name] = to_array(value, element_of(spec.dtype), precision)
    return outputs


def _bound(program: Program, spec: TensorSpec, array: np.ndarray, precision: Precision) -> Tensor:
    dtype = np.dtype(spec.dtype)
    fits = len(array.shape) == len(spec.shape) and all(
        size in (0, got) for size, got in zip(spec.shape, array.shape, strict=True)
    )
    if not fits or not np.can_cast(array.dtype, dtype, casting="same_kind"):
        raise InputError(
            f"{program.package.name}: {spec.name} is {array.dtype} {array.shape}, expected {spec.dtype} {spec.shape}"
        )
    return held(torch.from_numpy(np.array(array, dtype=dtype)), element_of(spec.dtype), precision)


def _apply(program: Program, operation: Operation, values: Mapping[str, Tensor]) -> tuple[Tensor, ...]:
    arguments = {
        key: [_value(program, each, values) for each in each_input] for key, each_input in operation.inputs.items()
    }
    named = {key: each[0] if len(each) == 1 else each for key, each in arguments.items() if each}
    try:
        with torch.inference_mode():
            result = OPERATORS[operation.kind](**named)
    except Exception as error:  # whatever PyTorch says about sizes and types
        reason = next(iter(str(error).strip().splitlines()), type(error).__name__)[:200]
        raise RuntimeFailedError(f"{_where(program, operation)} cannot be computed: {reason}") from error
    results = result if isinstance(result, tuple) else (result,)
    shapes = [tuple(each.shape) for each in results]
    declared = [output.type.shape for output in operation.outputs]
    if not _agree(shapes, declared):
        raise RuntimeFailedError(f"{_where(program, operation)} gives {shapes}, the program declares {declared}")
    return results


def _value(program: Program, argument: Argument, values: Mapping[str, Tensor]) -> Value:
    if not isinstance(argument, str):
        return from_literal(argument)
    if argument in values:
        return values[argument]
    return from_literal(program.constants[argument])  # read each time: it is in memory only while it is used


def _agree(shapes: list[tuple[int, ...]], declared: list[tuple[int | None, ...]]) -> bool:
    return len(shapes) == len(declared) and all(
        len(shape) == len(wanted) and all(size in (None, got) for size, got in zip(wanted, shape, strict=True))
        for shape, wanted in zip(shapes, declared, strict=True)
    )


def _where(program: Program, operation: Operation) -> str:
    return f"{program.package.name}: {operation.kind} {operation.name!r}"
