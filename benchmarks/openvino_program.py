"""OpenVINO inside the child process that every contender gets: reads a bundle's ONNX files, int8 in QDQ form, too."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

Arrays = Mapping[str, np.ndarray]


def open_program(path: Path, *, inputs: Sequence[str], outputs: Sequence[str], threads: int) -> object:
    """Compiles one component for the CPU.

    Args:
        path: the ONNX file.
        inputs: names of its inputs.
        outputs: the name of its output.
        threads: OpenVINO may use.

    Returns:
        A function of named arrays.
    """
    import openvino

    options = {"INFERENCE_NUM_THREADS": threads, "PERFORMANCE_HINT": "LATENCY", "INFERENCE_PRECISION_HINT": "f32"}
    compiled = openvino.Core().compile_model(str(path), "CPU", options)

    def run(arrays: Arrays) -> dict[str, np.ndarray]:
        made = compiled({name: arrays[name] for name in inputs})
        return {outputs[0]: np.array(made[outputs[0]])}

    return run
