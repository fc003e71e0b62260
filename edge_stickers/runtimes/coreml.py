"""Core ML, inside the child process, on macOS alone."""

from __future__ import annotations

import importlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from edge_stickers.runtimes.framing import Array
from edge_stickers.runtimes.worker import Run


def open_program(path: Path, *, inputs: Sequence[str], outputs: Sequence[str], threads: int) -> Run:
    """Loads an `.mlpackage` on whatever compute units Core ML chooses.

    Args:
        path: the package.
        inputs: names of its inputs.
        outputs: names of its outputs.
        threads: not used; Core ML decides.

    Returns:
        A function of named arrays.
    """
    coremltools: Any = importlib.import_module("coremltools")

    model = coremltools.models.MLModel(str(path))

    def run(arrays: Mapping[str, Array]) -> dict[str, Array]:
        results = model.predict({name: arrays[name] for name in inputs})
        return {name: np.asarray(results[name]) for name in outputs}

    return run
