"""ONNX Runtime, inside the child process."""

from __future__ import annotations

import importlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from edge_stickers.runtimes.framing import Array
from edge_stickers.runtimes.worker import Run


def open_program(path: Path, *, inputs: Sequence[str], outputs: Sequence[str], threads: int) -> Run:
    """Loads an ONNX model on the CPU.

    Args:
        path: `model.onnx`, its external data beside it.
        inputs: names of its inputs.
        outputs: names of its outputs.
        threads: that one operator may use.

    Returns:
        A function of named arrays.

    Raises:
        RuntimeError: the model's names are others.
    """
    onnxruntime: Any = importlib.import_module("onnxruntime")

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.log_severity_level = 3  # errors
    session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    has = {port.name for port in (*session.get_inputs(), *session.get_outputs())}
    missing = [name for name in (*inputs, *outputs) if name not in has]
    if missing:
        raise RuntimeError(f"{path} has no tensor {missing[0]}, only {', '.join(sorted(has))}")

    def run(arrays: Mapping[str, Array]) -> dict[str, Array]:
        results = session.run(list(outputs), {name: arrays[name] for name in inputs})
        return dict(zip(outputs, results, strict=True))

    return run
