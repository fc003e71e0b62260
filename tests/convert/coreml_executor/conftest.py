"""Packages made by coremltools, in fp32 and without its graph passes unless a test asks for them."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch

from edge_stickers.convert.coreml_executor import load_program


@pytest.fixture(scope="session")
def ct():
    return pytest.importorskip("coremltools", reason="the coreml extra is not installed")


@pytest.fixture(scope="session")
def saved(ct, tmp_path_factory):
    """Saves a program of the builder, or a model that was converted, and loads it."""

    def save(model, *, precision="fp32", passes=None):
        if not isinstance(model, ct.models.MLModel):
            model = ct.convert(
                model,
                minimum_deployment_target=ct.target.iOS18,
                compute_precision=ct.precision.FLOAT32 if precision == "fp32" else ct.precision.FLOAT16,
                pass_pipeline=passes or ct.PassPipeline.EMPTY,
                skip_model_load=True,
            )
        package = tmp_path_factory.mktemp("package") / "Model.mlpackage"
        model.save(str(package))
        return load_program(package)

    return save


@pytest.fixture(scope="session")
def converted(ct):
    """Converts a PyTorch module as coremltools alone does."""

    def convert(module, example, *, precision="fp32"):
        program = torch.export.export(module.eval(), example).run_decompositions({})
        return ct.convert(
            program,
            minimum_deployment_target=ct.target.iOS18,
            compute_precision=ct.precision.FLOAT32 if precision == "fp32" else ct.precision.FLOAT16,
            outputs=[ct.TensorType(name="out")],
            skip_model_load=True,
        )

    return convert


@pytest.fixture
def model_file():
    """The model file of a package, as its manifest has it."""

    def find(package):
        manifest = json.loads((package / "Manifest.json").read_text())
        return package / "Data" / manifest["itemInfoEntries"][manifest["rootModelIdentifier"]]["path"]

    return find


@pytest.fixture(scope="session")
def build(ct):
    """One program of many operators: each takes the builder and the named inputs, and makes one output."""
    from coremltools.converters.mil import Builder as mb
    from coremltools.converters.mil.mil import types

    def plain(var):
        """Outputs of a model are floats and int32."""
        return var if var.dtype in (types.fp32, types.int32) else mb.cast(x=var, dtype="int32")

    def make(wanted, inputs):
        specs = [
            mb.TensorSpec(shape=array.shape, dtype=types.int32 if array.dtype == np.int32 else types.fp32)
            for array in inputs.values()
        ]

        @mb.program(input_specs=specs, opset_version=ct.target.iOS18)
        def program(x, y, p, m, i, j, k, a):
            values = dict(zip("xypmijka", (x, y, p, m, i, j, k, a), strict=True))
            return tuple(
                mb.identity(x=plain(each(mb, values)), name=f"out{index}") for index, each in enumerate(wanted.values())
            )

        return program

    return make
