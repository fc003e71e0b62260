"""Constants: making them while a program is traced, and computing ahead what depends on constants alone."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.export import ExportedProgram


_NUMPY = {
    torch.float32: np.float32,
    torch.float16: np.float16,
    torch.float64: np.float64,
    torch.int64: np.int64,
    torch.int32: np.int32,
    torch.bool: np.bool_,
}


def constant(values: np.ndarray[Any, Any], dtype: torch.dtype) -> Tensor:
    """A tensor that the program being traced holds as data, rather than operators that would make it at run time.

    Args:
        values: any shape.
        dtype: of the tensor.

    Returns:
        The values as a tensor.
    """
    return torch.from_numpy(np.ascontiguousarray(values, dtype=_NUMPY[dtype]))


def fold_constants(program: ExportedProgram) -> ExportedProgram:
    """Replaces every operator whose inputs are all parameters, buffers or constants by its result.

    Args:
        program: in core operators.

    Returns:
        The same program, changed in place.
    """
    from executorch.exir.passes.constant_prop_pass import constant_prop_pass

    folded = constant_prop_pass(program, custom_skip_targets=set())
    for name, value in folded.constants.items():
        if isinstance(value, Tensor):
            folded.constants[name] = value.detach()
    return folded
