from __future__ import annotations

import pytest
import torch
from torch import nn

from edge_stickers.convert.export import export_component
from edge_stickers.convert.lint import lint
from edge_stickers.errors import InputError
from edge_stickers.models.components import component_modules, component_specs


class Slow(nn.Module):
    def __init__(self):
        super().__init__()
        self.inner = Inner()
        self.conv = nn.Conv3d(2, 2, 3, padding=1)

    def forward(self, x, kernel):
        x = self.inner(x) + nn.functional.conv2d(x, kernel)
        return self.conv(x.reshape(1, 2, 1, 4, 6)).softmax(1) * self.conv.weight.cumsum(0).sum()


class Inner(nn.Module):
    def forward(self, x):
        return (x.cumsum(1) > 0).float() + x[:, :, :, ::2].repeat_interleave(2, 3)


@pytest.fixture(scope="module")
def findings():
    program = torch.export.export(Slow(), (torch.randn(1, 2, 4, 6), torch.randn(2, 2, 1, 1)), strict=False)
    return {(finding.operator, finding.module): finding.reason for finding in lint(program, "executorch")}


def test_each_slow_operator_is_named_with_its_module(findings):
    assert "portable" in findings["aten.cumsum.default", "inner"]
    assert "booleans" in findings["aten.gt.Scalar", "inner"]
    assert "step 1" in findings["aten.slice.Tensor", "inner"]
    assert "run time" in findings["aten.conv2d.default", ""]
    assert "time and place at once" in findings["aten.conv3d.default", "conv"]
    assert "last dimension" in findings["aten.softmax.int", ""]


def test_what_is_computed_ahead_is_not_named(findings):
    assert not [operator for operator, module in findings if operator == "aten.cumsum.default" and module != "inner"]
    assert not [
        operator for operator, _ in findings if operator in ("aten.repeat_interleave.self_int", "aten.sum.default")
    ]


@pytest.mark.parametrize("component", ["unet", "image_encoder", "decoder"])
def test_the_student_is_clean_for_xnnpack(tiny_pipeline, component):
    program = export_component(component_modules(tiny_pipeline)[component], component_specs(tiny_pipeline)[component])
    assert lint(program, "executorch") == []
    assert lint(program, "coreml") == []


def test_a_target_without_a_fast_path_is_refused():
    program = torch.export.export(nn.ReLU(), (torch.randn(2),))
    with pytest.raises(InputError, match="lint knows executorch, coreml"):
        lint(program, "onnx")
    with pytest.raises(InputError, match="no target named 'x'"):
        lint(program, "x")
