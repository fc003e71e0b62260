"""The parts of a manifest that do not depend on a runtime: scheduler, targets' needs, versions of the tools."""

from __future__ import annotations

import importlib.metadata
import platform
from collections.abc import Mapping, Sequence
from types import MappingProxyType

from edge_stickers.bundle.manifest import Noise, Scheduler, ScheduleRow
from edge_stickers.sampling.sampler import StepRow

UPDATE = "x = a * x + b * noise_pred + c * previous_noise_pred + d * noise, with the model called at timestep"
NOISE = (
    "Philox4x32-10: block i encrypts the counter words (i mod 2^32, i div 2^32, 0, 0) under the key words "
    "(seed mod 2^32, seed div 2^32) into words w0..w3. u = (w + 0.5) / 2^32 in 64-bit floats. Box-Muller: "
    "z0 = sqrt(-2 ln u0) cos(2 pi u1), z1 = sqrt(-2 ln u0) sin(2 pi u1), z2 and z3 likewise of u2, u3; rounded to "
    "32-bit floats they are the values of flat row-major indices 4i..4i+3. The first sample takes the first F*C*h*w "
    "values; the noise of step k (from 0), where d is not 0, takes as many from index (k + 1)*F*C*h*w on."
)
MINIMUM: Mapping[str, tuple[str, Mapping[str, str]]] = MappingProxyType(
    {
        "executorch": (
            "ExecuTorch 1.4",
            {"android": "8.0 (API 26)", "ios": "17.0", "macos": "12.0", "linux": "glibc 2.28"},
        ),
        "coreml": ("Core ML 7", {"ios": "17.0", "macos": "14.0"}),
        "onnx": (
            "ONNX Runtime 1.22",
            {
                "android": "7.0 (API 24)",
                "ios": "15.1",
                "macos": "13.4",
                "linux": "glibc 2.28",
                "browser": "WebAssembly SIMD",
            },
        ),
    }
)
"""Runtime and systems that a target needs at least, as their makers state them."""
_TOOLS = (
    "torch",
    "diffusers",
    "transformers",
    "numpy",
    "executorch",
    "torchao",
    "coremltools",
    "onnx",
    "onnxscript",
    "onnxruntime",
)


def scheduler_of(tables: Mapping[int, Sequence[StepRow]], shape: Sequence[int]) -> Scheduler:
    """`scheduler.json` of a model.

    Args:
        tables: rows by number of steps.
        shape: of the sample, (F, C, h, w).
    """
    steps = {
        str(count): tuple(ScheduleRow(timestep=r.timestep, a=r.a, b=r.b, c=r.c, d=r.d) for r in rows)
        for count, rows in tables.items()
    }
    noise = Noise(algorithm="philox4x32-10", transform="box-muller", shape=tuple(shape), documentation=NOISE)
    return Scheduler(schema_version=1, update=UPDATE, noise=noise, steps=steps)


def tool_versions() -> dict[str, str]:
    """Versions of what is installed and took part."""
    found = {"python": platform.python_version()}
    for name in _TOOLS:
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found
