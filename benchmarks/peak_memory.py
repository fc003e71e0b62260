"""How much memory a clip takes beyond the runtime itself: peak of a process that makes one from an ExecuTorch bundle.

    python -m benchmarks.peak_memory build/android [more bundles]

Each bundle has a process of its own, which imports ExecuTorch's runtime, notes its peak, then loads the four programs
and makes a clip as `edge-stickers animate` does, but in this one process.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from pathlib import Path

from benchmarks.memory import peak_bytes

MODULE = "benchmarks.peak_memory"
"""This file, as a process of its own runs it."""


def measure(folder: Path, threads: int) -> tuple[int, int]:
    """Peak bytes of this process before and after a clip."""
    import importlib

    import numpy as np
    import torch

    from benchmarks.first_clip import first_clip
    from edge_stickers.bundle.reader import Bundle
    from edge_stickers.runtimes.base import Engine
    from edge_stickers.runtimes.clip import run_clip
    from edge_stickers.runtimes.executorch import open_program
    from edge_stickers.runtimes.opening import CLIP_COMPONENTS

    importlib.import_module("executorch.extension.pybindings._portable_lib")
    torch.zeros(1) + 1
    bundle = Bundle.open(folder)
    inputs = first_clip(bundle, bundle.manifest.sampling.default_steps)
    before = peak_bytes()

    class Session:
        """One program in this process."""

        def __init__(self, component: str) -> None:
            path, entry = bundle.program("executorch", component)
            self.inputs, self.outputs = entry.inputs, entry.outputs
            names = [[tensor.name for tensor in tensors] for tensors in (self.inputs, self.outputs)]
            self.program = open_program(path, inputs=names[0], outputs=names[1], threads=threads)

        def run(self, inputs: dict[str, np.ndarray], *, cancel: object = None) -> dict[str, np.ndarray]:
            return self.program(inputs)

        def close(self) -> None:
            pass

    engine = Engine("executorch", {name: Session(name) for name in CLIP_COMPONENTS}, lambda: None)  # type: ignore[misc]
    run_clip(engine, inputs)
    return before, peak_bytes()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("bundles", type=Path, nargs="+", help="with the target executorch")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--here", action="store_true", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.here:
        before, after = measure(arguments.bundles[0], arguments.threads)
        print(f"| {arguments.bundles[0]} | {before / 1e6:.0f} MB | {(after - before) / 1e6:.0f} MB |")
        return
    print("| bundle | the runtime, imported | and a clip |\n| --- | --- | --- |", flush=True)
    for folder in arguments.bundles:
        command = [sys.executable, "-m", MODULE, str(folder), "--threads", str(arguments.threads), "--here"]
        if subprocess.run(command, stderr=subprocess.DEVNULL).returncode:
            print(f"| {folder} | failed | |", flush=True)


if __name__ == "__main__":
    main()
