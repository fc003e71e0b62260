"""ONNX: one self-contained `model.onnx` a component, for ONNX Runtime on servers, desktops and in browsers."""

from __future__ import annotations

import time
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import nn
from torch.export import ExportedProgram

from edge_stickers.convert.export import export_component, layers_in
from edge_stickers.convert.targets.base import Artifact, artifact, require_libraries
from edge_stickers.errors import ConversionError
from edge_stickers.quantize.pt2e import quantize_program
from edge_stickers.quantize.recipe import Precision, Recipe
from edge_stickers.spec import ComponentSpec

OPSET = 18
"""Of the operators; what every ONNX Runtime since 1.14 has, the browser's too."""


@dataclass(frozen=True, slots=True)
class OnnxTarget:
    """Exports with PyTorch's own exporter; ONNX Runtime fuses what it can when it loads the file.

    Layers in int8 are in QDQ form: QuantizeLinear and DequantizeLinear around a floating operator.
    """

    name: str = "onnx"
    extra: str = "onnx"
    needs: tuple[str, ...] = ("onnx", "onnxscript")
    backend: str = "onnxruntime"
    precisions: tuple[Precision, ...] = ("fp32", "w8a8", "w8a16")

    def lower(self, module: nn.Module, spec: ComponentSpec, *, recipe: Recipe, folder: Path) -> Artifact:
        """See `Target.lower`."""
        require_libraries(self)
        start = time.perf_counter()
        entry = folder / self.name / spec.component / "model.onnx"
        entry.parent.mkdir(parents=True, exist_ok=True)
        exported = export_component(module, spec)
        operators = _export(quantize_program(exported, recipe, spec.component), spec, entry)
        return artifact(
            self,
            spec,
            recipe=recipe,
            entry=entry,
            folder=folder,
            started=start,
            operators=operators,
            layers=layers_in(exported, spec.component),
        )


def _export(exported: ExportedProgram, spec: ComponentSpec, entry: Path) -> dict[str, int]:
    """Writes and checks the file; returns how often each operator occurs."""
    import onnx

    try:
        program = torch.onnx.export(
            exported,
            dynamo=True,
            opset_version=OPSET,
            input_names=[tensor.name for tensor in spec.inputs],
            output_names=[tensor.name for tensor in spec.outputs],
            verbose=False,
        )
        if program is None:
            raise ConversionError(f"{spec.component} cannot be exported to ONNX: the exporter returned nothing")
        program.save(str(entry), external_data=False)
        onnx.checker.check_model(str(entry), full_check=True)
    except ConversionError:
        raise
    except Exception as error:
        reason = str(error).strip().splitlines()[0][:300] if str(error).strip() else type(error).__name__
        raise ConversionError(f"{spec.component} cannot be exported to ONNX: {reason}; see the cause above") from error
    graph = onnx.load(str(entry), load_external_data=False).graph
    return dict(sorted(Counter(node.op_type for node in graph.node).items()))
