"""What a runtime is to the rest of the package: sessions that map named arrays to named arrays."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Protocol

import numpy as np

from edge_stickers.bundle.manifest import TensorEntry
from edge_stickers.errors import InputError, MissingDependencyError, RuntimeFailedError
from edge_stickers.runtimes.framing import Array

CancelCheck = Callable[[], bool]
"""Asked while something runs; True stops it."""


class Session(Protocol):
    """One component, opened."""

    @property
    def inputs(self) -> tuple[TensorEntry, ...]:
        """What it takes, in order."""

    @property
    def outputs(self) -> tuple[TensorEntry, ...]:
        """What it gives, in order."""

    def run(self, inputs: Mapping[str, Array], *, cancel: CancelCheck | None = None) -> dict[str, Array]:
        """Runs it once; `inputs` holds exactly its inputs, of their shapes and dtypes.

        Raises:
            RuntimeFailedError: the runtime refused, or its process crashed.
            Cancelled: `cancel` said so.
        """

    def close(self) -> None:
        """Frees what it holds; calling it again does nothing."""


@dataclass(frozen=True, slots=True)
class Engine:
    """The components of one model in one runtime.

    Attributes:
        runtime: the runtime's name.
        sessions: by component.
        on_close: frees what the sessions share.
    """

    runtime: str
    sessions: Mapping[str, Session]
    on_close: Callable[[], None]

    def run(
        self, component: str, values: Mapping[str, Array], *, cancel: CancelCheck | None = None
    ) -> dict[str, Array]:
        """Runs a component on those of the values that it names as inputs.

        Args:
            component: one of `sessions`.
            values: named arrays; more than the component takes is fine.
            cancel: asked now and then.

        Returns:
            Its named outputs; floating ones as float32.

        Raises:
            InputError: a value is missing, or has another shape or a wider dtype.
            RuntimeFailedError: the runtime refused, crashed, or gave other shapes than the manifest says.
            Cancelled: `cancel` said so.
        """
        session = self.sessions[component]
        outputs = session.run({e.name: _fit(component, e, values) for e in session.inputs}, cancel=cancel)
        for entry in session.outputs:
            got = outputs[entry.name].shape
            if got != entry.shape:
                raise RuntimeFailedError(
                    f"{component} gave {entry.name} of shape {got}, expected {entry.shape}; build the bundle again"
                )
        return {name: array.astype(np.float32, copy=False) for name, array in outputs.items()}

    def close(self) -> None:
        """Closes every session and what they share."""
        for session in self.sessions.values():
            session.close()
        self.on_close()


def _fit(component: str, entry: TensorEntry, values: Mapping[str, Array]) -> Array:
    if entry.name not in values:
        raise InputError(f"{component} needs the input {entry.name!r}; got {', '.join(values) or 'none'}")
    array, dtype = values[entry.name], np.dtype(entry.dtype)
    if array.shape != entry.shape or not np.can_cast(array.dtype, dtype, casting="same_kind"):
        raise InputError(
            f"{component}: {entry.name} is {array.dtype} {array.shape}, expected {entry.dtype} {entry.shape}"
        )
    return array.astype(dtype, copy=False)


@dataclass(frozen=True, slots=True)
class Runtime:
    """A runtime that can open the components of a bundle's target of the same name.

    Attributes:
        name: of the runtime and of the target.
        modules: what must be importable.
        extra: of this package, to install them.
        opener: "module:function" that the child process calls; empty for PyTorch, which runs model folders, here.
    """

    name: str
    modules: tuple[str, ...]
    extra: str
    opener: str = ""


RUNTIMES: Mapping[str, Runtime] = MappingProxyType(
    {
        r.name: r
        for r in (
            Runtime("torch", ("torch", "diffusers", "transformers"), ""),
            Runtime(
                "executorch", ("executorch", "torch"), "executorch", "edge_stickers.runtimes.executorch:open_program"
            ),
            Runtime("onnx", ("onnxruntime",), "onnx", "edge_stickers.runtimes.onnx:open_program"),
            Runtime("coreml", ("coremltools", "torch"), "coreml", "edge_stickers.runtimes.coreml:open_program"),
        )
    }
)
"""In the order in which `auto` prefers them for a bundle."""
EMULATED = "executed on PyTorch, each result rounded as the program says; not run on a device"
"""What is said wherever a figure comes from an emulation."""
_DEVICE_BACKENDS = MappingProxyType({"coreml": "darwin", "vulkan": "android"})


def runtime(name: str) -> Runtime:
    """The runtime of that name.

    Raises:
        InputError: there is none; the message lists the known ones.
    """
    if name not in RUNTIMES:
        raise InputError(f"no runtime named {name!r}; known: {', '.join(RUNTIMES)}")
    return RUNTIMES[name]


def availability(name: str, *, backend: str = "") -> str | None:
    """Why a runtime cannot run on this machine, in a few words; None where it can.

    Args:
        name: of the runtime.
        backend: what the component was lowered to; some need a device.

    Raises:
        InputError: no such runtime.
    """
    needed = runtime(name)
    platform = _DEVICE_BACKENDS.get(backend) if name == "executorch" else None
    if platform is not None and platform != sys.platform:
        where = {"darwin": "macOS", "android": "an Android phone"}[platform]
        return f"{backend or name} needs {where}"
    missing = [module for module in needed.modules if importlib.util.find_spec(module) is None]
    if not missing:
        return None
    what = f"edge-stickers[{needed.extra}]" if needed.extra else "edge-stickers"
    return f"{missing[0]} is not installed; run: pip install '{what}'"


def is_emulated(name: str) -> bool:
    """Whether a runtime's programs are executed by something else here: Core ML's, anywhere but on macOS."""
    return name == "coreml" and sys.platform != "darwin"


def require(name: str, *, backend: str = "") -> Runtime:
    """The runtime of that name, if it can run here.

    Raises:
        MissingDependencyError: it cannot; the message says why.
    """
    reason = availability(name, backend=backend)
    if reason is not None:
        raise MissingDependencyError(f"the runtime {name} cannot run here: {reason}")
    return runtime(name)
