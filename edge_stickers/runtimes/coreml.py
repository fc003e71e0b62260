"""Core ML, inside the child process: itself on macOS, elsewhere an executor of its programs on PyTorch."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from edge_stickers.runtimes.framing import Array
from edge_stickers.runtimes.worker import Run


def open_program(path: Path, *, inputs: Sequence[str], outputs: Sequence[str], threads: int) -> Run:
    """Loads an `.mlpackage`.

    Args:
        path: the package.
        inputs: names of its inputs.
        outputs: names of its outputs.
        threads: for the executor; Core ML itself decides on its compute units.

    Returns:
        A function of named arrays.
    """
    predict = _core_ml(path) if sys.platform == "darwin" else _executor(path, threads)

    def run(arrays: Mapping[str, Array]) -> dict[str, Array]:
        results = predict({name: arrays[name] for name in inputs})
        return {name: np.asarray(results[name]) for name in outputs}

    return run


def _core_ml(path: Path) -> Run:
    coremltools: Any = importlib.import_module("coremltools")

    predict: Run = coremltools.models.MLModel(str(path)).predict
    return predict


def _executor(path: Path, threads: int) -> Run:
    import torch

    from edge_stickers.convert.coreml_executor import execute, load_program

    torch.set_num_threads(threads)
    program = load_program(path)
    return lambda arrays: execute(program, arrays)
