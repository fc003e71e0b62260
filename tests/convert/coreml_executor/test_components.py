"""The four parts of a student, through the project's own Core ML target."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from edge_stickers.convert import convert
from edge_stickers.convert.coreml_executor import diagnose, load_program
from edge_stickers.convert.coreml_executor.operators import OPERATORS
from edge_stickers.models.components import component_modules, component_specs
from edge_stickers.spec import COMPONENTS

FLOORS_DB = {"fp32": 100.0, "fp16": 40.0}


@pytest.mark.parametrize("precision", FLOORS_DB)
def test_a_package_is_the_module(ct, tiny_pipeline, tmp_path, precision):
    modules, specs = component_modules(tiny_pipeline), component_specs(tiny_pipeline)
    for artifact in convert(tiny_pipeline, targets=["coreml"], folder=tmp_path, recipe=precision):
        spec = specs[artifact.component]
        example = spec.example(seed=5)
        with torch.no_grad():
            expected = modules[artifact.component](*example)
        program = load_program(tmp_path / artifact.entry)
        assert program.operators() == artifact.operators
        assert program.inputs == artifact.inputs
        assert program.outputs == artifact.outputs
        assert set(program.operators()) <= set(OPERATORS)
        inputs = {each.name: value.numpy() for each, value in zip(spec.inputs, example, strict=True)}
        report = diagnose(program, inputs, {program.outputs[0].name: expected.numpy()})
        (output,) = report.outputs
        assert output.snr_db > FLOORS_DB[precision], artifact.component
        assert not any(each.non_finite for each in report.operators)
        if precision == "fp16":
            assert np.isfinite(min(each.snr_db for each in report.operators))  # something was rounded
            assert output.fp32_snr_db > output.snr_db
    assert artifact.component == COMPONENTS[-1]
