"""ExecuTorch with the XNNPACK backend: one `.pte` a component."""

from __future__ import annotations

import contextlib
import gc
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import fx, nn
from torch.export import ExportedProgram

from edge_stickers.convert.export import export_component
from edge_stickers.convert.passes import prepare
from edge_stickers.convert.targets.base import Artifact, Precision, artifact, require_libraries
from edge_stickers.errors import ConversionError
from edge_stickers.spec import ComponentSpec


@dataclass(frozen=True, slots=True)
class ExecuTorchTarget:
    """Lowers to XNNPACK; what XNNPACK does not take runs on ExecuTorch's portable operators."""

    name: str = "executorch"
    extra: str = "executorch"
    needs: tuple[str, ...] = ("executorch", "torchao")
    backend: str = "xnnpack"
    precisions: tuple[Precision, ...] = ("fp32",)

    def lower(self, module: nn.Module, spec: ComponentSpec, *, precision: Precision, folder: Path) -> Artifact:
        """See `Target.lower`."""
        require_libraries(self)
        start = time.perf_counter()
        data, delegate_calls, undelegated = lower_to_xnnpack(prepare(export_component(module, spec)), spec.component)
        entry = folder / self.name / f"{spec.component}_{self.backend}_{precision}.pte"
        entry.parent.mkdir(exist_ok=True)
        entry.write_bytes(data)
        return artifact(
            self,
            spec,
            precision=precision,
            entry=entry,
            folder=folder,
            started=start,
            delegate_calls=delegate_calls,
            undelegated=undelegated,
        )


def lower_to_xnnpack(program: ExportedProgram, name: str) -> tuple[bytes, int, dict[str, int]]:
    """Partitions a prepared program for XNNPACK and serialises it.

    Args:
        program: from `edge_stickers.convert.passes.prepare`.
        name: of the component, for messages.

    Returns:
        The `.pte` file's content, the number of delegate calls, and the operators outside of them with their counts.

    Raises:
        ConversionError: ExecuTorch refuses the program.
    """
    from executorch.backends.xnnpack.partition.xnnpack_partitioner import XnnpackPartitioner
    from executorch.exir import EdgeCompileConfig, to_edge_transform_and_lower

    try:
        with torch.no_grad(), _no_garbage_collection():
            # The validity check costs a third of the time and finds nothing that the runtime would not refuse.
            manager = to_edge_transform_and_lower(
                program,
                partitioner=[XnnpackPartitioner()],
                compile_config=EdgeCompileConfig(_check_ir_validity=False),
            )
            nodes = [node for node in manager.exported_program().graph.nodes if node.op == "call_function"]
            data = bytes(manager.to_executorch().buffer)
    except Exception as error:
        reason = str(error).strip().splitlines()[0][:300] if str(error).strip() else type(error).__name__
        raise ConversionError(f"{name} cannot be lowered to XNNPACK: {reason}; see the cause above") from error
    names = [_operator(node) for node in nodes]
    undelegated = Counter(name for name in names if name not in ("getitem", "executorch_call_delegate"))
    return data, names.count("executorch_call_delegate"), dict(sorted(undelegated.items()))


@contextlib.contextmanager
def _no_garbage_collection() -> Iterator[None]:
    """Graphs of a thousand nodes are copied many times: looking for garbage among them takes a fifth of the time."""
    was = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was:
            gc.enable()


def _operator(node: fx.Node) -> str:
    """`aten.sin.default`, not the whole path of the edge dialect."""
    target: Any = node.target
    return str(getattr(target, "__name__", target))
