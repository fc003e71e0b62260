"""Core ML: one `.mlpackage` a component, an ML program for iOS 18. Converts on Linux, runs on Apple devices only."""

from __future__ import annotations

import contextlib
import copy
import io
import shutil
import time
from collections import Counter
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from torch import nn
from torch.export import ExportedProgram

from edge_stickers.convert.export import export_component, layers_in
from edge_stickers.convert.passes import prepare_native
from edge_stickers.convert.passes.decompose import name_inputs
from edge_stickers.convert.targets.base import Artifact, artifact, require_libraries
from edge_stickers.errors import ConversionError
from edge_stickers.quantize.pt2e import quantize_program
from edge_stickers.quantize.recipe import Precision, Recipe
from edge_stickers.spec import Component, ComponentSpec, TensorSpec

PACKAGES: dict[Component, str] = {
    "text_encoder": "TextEncoder",
    "image_encoder": "ImageEncoder",
    "unet": "Unet",
    "decoder": "Decoder",
    "context": "Context",
}
"""Names as Apple's own conversions have them."""
_ANGLES = ("sin", "cos")


@dataclass(frozen=True, slots=True)
class CoreMLTarget:
    """Keeps norms whole and attention as the one operator that iOS 18 has for it.

    Layers in int8 have `quantize` and `dequantize` around them and weights as `constexpr_blockwise_shift_scale`.
    """

    name: str = "coreml"
    extra: str = "coreml"
    needs: tuple[str, ...] = ("coremltools",)
    backend: str = "coreml"
    precisions: tuple[Precision, ...] = ("fp16", "fp32", "w8a8", "w8a16")

    def lower(self, module: nn.Module, spec: ComponentSpec, *, recipe: Recipe, folder: Path) -> Artifact:
        """See `Target.lower`. The artifact has not been run: that takes an Apple device."""
        require_libraries(self)
        start = time.perf_counter()
        # coremltools folds arithmetic into the weights that it is handed, in place: it gets its own.
        prepared = prepare_native(export_component(copy.deepcopy(module), spec))
        layers = layers_in(prepared, spec.component)
        model = _convert(prepared, spec, recipe)
        package = folder / self.name / f"{PACKAGES[spec.component]}.mlpackage"
        package.parent.mkdir(exist_ok=True)
        if package.exists():
            shutil.rmtree(package)
        model.save(str(package))
        inputs, outputs, operators = read_package(package)
        _compare(spec, inputs, outputs)
        return artifact(
            self,
            spec,
            recipe=recipe,
            entry=package,
            folder=folder,
            started=start,
            inputs=inputs,
            outputs=outputs,
            operators=operators,
            layers=layers,
        )


def read_package(package: Path) -> tuple[tuple[TensorSpec, ...], tuple[TensorSpec, ...], dict[str, int]]:
    """Reads a package back from disk.

    Args:
        package: the `.mlpackage` folder.

    Returns:
        Inputs, outputs, and how often each operator of the ML program occurs, constants left out.
    """
    import coremltools

    spec = coremltools.models.MLModel(str(package), skip_model_load=True).get_spec()
    block = next(iter(spec.mlProgram.functions["main"].block_specializations.values()))
    operators = Counter(operation.type for operation in block.operations if operation.type != "const")
    description = spec.description
    return _tensors(description.input), _tensors(description.output), dict(sorted(operators.items()))


def _convert(program: ExportedProgram, spec: ComponentSpec, recipe: Recipe) -> Any:
    import coremltools

    quantized = quantize_program(program, recipe, spec.component)
    if quantized is not program:
        program = quantized.run_decompositions({})  # it comes in the dialect of training
    name_inputs(program, [tensor.name for tensor in spec.inputs])
    try:
        with contextlib.redirect_stderr(io.StringIO()):  # its progress bars
            return coremltools.convert(
                program,
                convert_to="mlprogram",
                minimum_deployment_target=coremltools.target.iOS18,
                compute_precision=coremltools.transform.FP16ComputePrecision(_bears_float16)
                if recipe.otherwise == "fp16"
                else coremltools.precision.FLOAT32,
                outputs=[
                    coremltools.TensorType(name=tensor.name, dtype=np.dtype(tensor.dtype).type)
                    for tensor in spec.outputs
                ],
                skip_model_load=True,
            )
    except Exception as error:
        reason = str(error).strip().splitlines()[0][:300] if str(error).strip() else type(error).__name__
        raise ConversionError(
            f"{spec.component} cannot be converted to Core ML: {reason}; see the cause above"
        ) from error


def _bears_float16(operation: Any) -> bool:
    """Whether an operator may be rounded: an angle of hundreds of radians may not, and is a few numbers a step."""
    read_by = {reader.op_type for output in operation.outputs for reader in output.child_ops}
    return operation.op_type not in _ANGLES and not read_by & set(_ANGLES)


def _tensors(features: Any) -> tuple[TensorSpec, ...]:
    """Names, shapes and dtypes of a model's inputs or outputs."""
    from coremltools.proto import FeatureTypes_pb2

    array = FeatureTypes_pb2.ArrayFeatureType
    dtypes: dict[int, Any] = {array.FLOAT32: "float32", array.FLOAT16: "float16", array.INT32: "int32"}
    return tuple(
        TensorSpec(feature.name, tuple(feature.type.multiArrayType.shape), dtypes[feature.type.multiArrayType.dataType])
        for feature in features
    )


def _compare(spec: ComponentSpec, inputs: tuple[TensorSpec, ...], outputs: tuple[TensorSpec, ...]) -> None:
    """Holds a package's inputs and outputs against the specification; ids are int32 in Core ML."""
    for kind, got, expected in (("inputs", inputs, spec.inputs), ("outputs", outputs, spec.outputs)):
        wanted = {
            tensor.name: replace(tensor, dtype="int32" if tensor.dtype == "int64" else tensor.dtype)
            for tensor in expected
        }
        if {tensor.name: tensor for tensor in got} != wanted:
            raise ConversionError(
                f"the Core ML {kind} of {spec.component} are {got}, expected {tuple(wanted.values())}"
            )
