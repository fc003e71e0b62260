"""A program in float16 beside the same in float32, operator by operator."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import numpy as np
import torch
from torch import Tensor

from edge_stickers.convert.coreml_executor.interpreter import Step, bind, collect, steps
from edge_stickers.convert.coreml_executor.program import Constant, Program
from edge_stickers.convert.coreml_executor.report import ExecutionReport, OperatorReport, OutputReport
from edge_stickers.convert.coreml_executor.types import ELEMENT_TYPES
from edge_stickers.convert.coreml_executor.values import FP16_MAX, FP16_SMALLEST, from_literal, rounds
from edge_stickers.convert.parity import snr_db
from edge_stickers.errors import InputError

FLOOR_DB = 40.0
"""What float16 has to reach, as in `verify`."""


def diagnose(
    program: Program,
    inputs: Mapping[str, np.ndarray],
    reference: Mapping[str, np.ndarray] | None = None,
    *,
    floor_db: float = FLOOR_DB,
) -> ExecutionReport:
    """Runs a program in both precisions side by side.

    Args:
        program: from `load_program`.
        inputs: see `execute`.
        reference: outputs of the model that was converted, by name; some, all or none.
        floor_db: SNR below which an operator counts as wrong.

    Returns:
        SNR, overflows and losses of every operator, and SNR of the outputs against the reference.

    Raises:
        InputError: the inputs do not fit, or the reference has an output that the program lacks or of another shape.
        ConversionError: the program has operators that are not known here.
        RuntimeFailedError: an operation failed.
    """
    exact, rounded = bind(program, inputs, "fp32"), bind(program, inputs, "fp16")
    known = {spec.name for spec in program.outputs}
    wanted = {} if reference is None else dict(reference)
    if not set(wanted) <= known:
        raise InputError(f"the reference has {', '.join(wanted)}; {program.package.name} gives {', '.join(known)}")

    operators = list(_wrong_constants(program))
    for precise, step in zip(steps(program, exact, "fp32"), steps(program, rounded, "fp16"), strict=True):
        operators += _rows(precise, step)
    fp32, fp16 = collect(program, exact, "fp32"), collect(program, rounded, "fp16")
    for name, array in wanted.items():
        if np.shape(array) != fp32[name].shape:
            raise InputError(f"the reference {name} has shape {np.shape(array)}, expected {fp32[name].shape}")
    outputs = tuple(
        OutputReport(name, snr_db(array, fp16[name]), snr_db(array, fp32[name])) for name, array in wanted.items()
    )
    first = next((each for each in operators if each.wrong(floor_db)), None)
    return ExecutionReport(floor_db, tuple(operators), outputs, first)


def _rows(precise: Step, step: Step) -> Iterator[OperatorReport]:
    """One row for each output of an operation."""
    for index, output in enumerate(step.operation.outputs):
        narrow = rounds(output.type.element, "fp16")
        size = step.exact[index].abs() if narrow else torch.zeros(())
        right, got = precise.held[index], step.held[index]
        yield OperatorReport(
            name=output.name,
            operator=step.operation.kind,
            dtype=output.type.element.name,
            shape=tuple(got.shape),
            snr_db=_agreement(right, got),
            overflowed=int((size > FP16_MAX).sum()),
            lost=int(((size > 0) & (size < FP16_SMALLEST)).sum()),
            non_finite=_non_finite(got, right),
        )


def _wrong_constants(program: Program) -> Iterator[OperatorReport]:
    """Weights that were infinite or NaN when they were written."""
    narrow = (ELEMENT_TYPES["fp16"], ELEMENT_TYPES["fp32"])
    for name, literal in program.constants.items():
        if not isinstance(literal, Constant) or literal.type.element not in narrow:
            continue
        values = from_literal(literal)
        if isinstance(values, Tensor) and (count := _non_finite(values, values)):
            yield OperatorReport(
                name, "const", literal.type.element.name, tuple(values.shape), float("-inf"), count, 0, count
            )


def _agreement(right: Tensor, got: Tensor) -> float:
    """SNR where both are finite; minus infinity where only one is."""
    if not right.dtype.is_floating_point:
        return snr_db(right.numpy(), got.numpy())
    same = (right == got) & ~torch.isfinite(right)  # minus infinity in a mask
    return snr_db(right.masked_fill(same, 0.0).numpy(), got.masked_fill(same, 0.0).numpy())


def _non_finite(got: Tensor, right: Tensor) -> int:
    if not got.dtype.is_floating_point:
        return 0
    bad = torch.isnan(got) | torch.isposinf(got) | (torch.isneginf(got) & ~torch.isneginf(right))
    return int(bad.sum())
