"""ExecuTorch's backends: which passes a program goes through for each, and the partitioner that takes it."""

from __future__ import annotations

import contextlib
import gc
import io
from collections import Counter
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

import torch
from torch.export import ExportedProgram

from edge_stickers.convert.legality import operator_name
from edge_stickers.convert.passes import prepare, prepare_native, prepare_one_image
from edge_stickers.convert.picture import draw_delegates
from edge_stickers.convert.targets.base import Extra
from edge_stickers.errors import ConversionError, InputError
from edge_stickers.quantize.recipe import FloatPrecision, Precision


@dataclass(frozen=True, slots=True)
class Backend:
    """One delegate of ExecuTorch."""

    name: str
    precisions: tuple[Precision, ...]
    """The first one is the default."""
    passes: Callable[[ExportedProgram], ExportedProgram]
    """Puts a program into the form that it takes whole."""
    partitioner: Callable[[FloatPrecision], Any]
    """Makes the partitioner; imports its library."""
    settled: bool = False
    """Whether `passes` leave nothing but operators that the backend takes or that ExecuTorch takes apart everywhere."""


@dataclass(frozen=True, slots=True)
class Lowered:
    """A program, serialised."""

    data: bytes
    """Of the `.pte`."""
    delegate_calls: int
    """Pieces that the graph was cut into for the backend."""
    undelegated: dict[str, int] = field(default_factory=dict)
    """Operators outside of them, with their number."""
    etrecord: bytes | None = None
    """For ExecuTorch's Inspector; None where not asked for."""
    picture: str | None = None
    """SVG of the graph by delegate; None where not asked for."""


def lower_program(
    program: ExportedProgram,
    name: str,
    backend: Backend,
    precision: FloatPrecision,
    *,
    extras: Collection[Extra] = (),
) -> Lowered:
    """Partitions a program and serialises it.

    Args:
        program: in the form that `backend.passes` gives it.
        name: of the component, for messages.
        backend: what it is lowered to.
        precision: of what is not quantised; one of the backend's.
        extras: what to make beside it.

    Raises:
        ConversionError: ExecuTorch refuses the program.
    """
    try:
        with torch.no_grad(), _no_garbage_collection(), contextlib.redirect_stderr(io.StringIO()):  # progress bars
            manager = _delegate(program, backend, precision, record="etrecord" in extras)
            edge = manager.exported_program().graph_module
            nodes = [node for node in edge.graph.nodes if node.op == "call_function"]
            drawn = draw_delegates(f"{name} on {backend.name}", edge) if "picture" in extras else None
            made = manager.to_executorch()
    except Exception as error:
        reason = str(error).strip().splitlines()[0][:300] if str(error).strip() else type(error).__name__
        raise ConversionError(f"{name} cannot be lowered to {backend.name}: {reason}; see the cause above") from error
    record = io.BytesIO()
    if "etrecord" in extras:
        made.get_etrecord().save(record)
    names = [operator_name(node) for node in nodes]
    undelegated = Counter(name for name in names if name not in ("getitem", "executorch_call_delegate"))
    return Lowered(
        bytes(made.buffer),
        names.count("executorch_call_delegate"),
        dict(sorted(undelegated.items())),
        record.getvalue() if "etrecord" in extras else None,
        drawn,
    )


def _delegate(program: ExportedProgram, backend: Backend, precision: FloatPrecision, *, record: bool) -> Any:
    """The program with the backend's pieces in it, as an edge program manager."""
    from executorch.exir import EdgeCompileConfig, to_edge, to_edge_transform_and_lower

    partitioner = backend.partitioner(precision)
    kept = []
    if backend.settled:
        names = {node.target for node in program.graph.nodes if node.op == "call_function"}
        kept = [each for each in partitioner.ops_to_not_decompose(program)[0] if each in names]
    # The validity check costs a third of the time and finds nothing that the runtime would not refuse.
    config = EdgeCompileConfig(_check_ir_validity=False, preserve_ops=kept)
    if backend.settled:
        return to_edge(program, compile_config=config, generate_etrecord=record).to_backend(partitioner)
    # Traces the program three times more, to find of each operator in each place whether the backend keeps it whole.
    return to_edge_transform_and_lower(
        program, partitioner=[partitioner], compile_config=config, generate_etrecord=record
    )


def _xnnpack(precision: FloatPrecision) -> Any:
    from edge_stickers.convert.targets.xnnpack import WholePartitioner

    return WholePartitioner()


def _coreml(precision: FloatPrecision) -> Any:
    import coremltools
    from executorch.backends.apple.coreml.compiler.coreml_preprocess import CoreMLBackend
    from executorch.backends.apple.coreml.partition.coreml_partitioner import CoreMLPartitioner

    precisions = {"fp16": coremltools.precision.FLOAT16, "fp32": coremltools.precision.FLOAT32}
    return CoreMLPartitioner(
        compile_specs=CoreMLBackend.generate_compile_specs(
            minimum_deployment_target=coremltools.target.iOS18, compute_precision=precisions[precision]
        )
    )


def _vulkan(precision: FloatPrecision) -> Any:
    from executorch.backends.vulkan.partitioner.vulkan_partitioner import VulkanPartitioner

    return VulkanPartitioner({"force_fp16": precision == "fp16"})


BACKENDS = MappingProxyType(
    {
        each.name: each
        for each in (
            Backend("xnnpack", ("fp32", "w8a8", "w8a8-dynamic"), prepare, _xnnpack, settled=True),
            Backend("coreml", ("fp16", "fp32"), prepare_native, _coreml),
            Backend("vulkan", ("fp16", "fp32"), prepare_one_image, _vulkan),
        )
    }
)
"""By name. XNNPACK runs on any CPU; programs for the other two are lowered here and run on devices alone."""


def backend(name: str) -> Backend:
    """The backend of that name.

    Raises:
        InputError: no such backend; the message lists the known ones.
    """
    if name not in BACKENDS:
        raise InputError(f"no backend named {name!r}; known: {', '.join(BACKENDS)}")
    return BACKENDS[name]


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
