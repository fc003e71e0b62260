"""ExecuTorch, inside the child process."""

from __future__ import annotations

import importlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from edge_stickers.runtimes.framing import Array
from edge_stickers.runtimes.worker import Run


def open_program(path: Path, *, inputs: Sequence[str], outputs: Sequence[str], threads: int) -> Run:
    """Loads the method `forward` of a `.pte`.

    Args:
        path: the program.
        inputs: names of its inputs, in order.
        outputs: names of its outputs, in order.
        threads: of its thread pool.

    Returns:
        A function of named arrays.

    Raises:
        RuntimeError: ExecuTorch refuses the program.
    """
    import torch

    torch.set_num_threads(1)  # the runtime has its own pool
    # `executorch.runtime` would import the exporter, which takes seconds; these two are what it wraps.
    importlib.import_module("executorch.kernels.quantized")  # registers the kernels of quantised operators
    library: Any = importlib.import_module("executorch.extension.pybindings._portable_lib")

    if library._threadpool_get_thread_count() != threads:
        library._unsafe_reset_threadpool(threads)
    program: Any = library._load_program(str(path), program_verification=library.Verification.InternalConsistency)
    method = program.load_method("forward")

    def run(arrays: Mapping[str, Array]) -> dict[str, Array]:
        _ = program  # a method points into its program, which must live as long
        results = method([torch.from_numpy(np.ascontiguousarray(arrays[name])) for name in inputs])
        if len(results) != len(outputs):
            raise RuntimeError(f"{path.name} has {len(results)} outputs, the manifest names {len(outputs)}")
        return {name: result.numpy() for name, result in zip(outputs, results, strict=True)}

    return run
