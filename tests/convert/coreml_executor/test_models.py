"""Whole modules, converted by coremltools alone, against PyTorch."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F

from edge_stickers.convert.coreml_executor import diagnose, execute
from edge_stickers.convert.coreml_executor.diagnosis import FLOOR_DB
from edge_stickers.convert.parity import snr_db

EXACT_DB = 100.0
"""float32 in another order of summation; a bundle is held to 60."""


class Convolutions(nn.Module):
    """Plain, strided, dilated, depthwise and transposed, with batch, group and instance norms."""

    def __init__(self):
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv2d(3, 8, 3, padding=1),
            nn.BatchNorm2d(8),
            nn.SiLU(),
            nn.Conv2d(8, 16, 4, stride=2, padding=1),
            nn.GroupNorm(4, 16),
            nn.GELU(),
            nn.Conv2d(16, 16, 3, padding=2, dilation=2, groups=16),
            nn.InstanceNorm2d(16, affine=True),
            nn.ReLU(),
            nn.ConvTranspose2d(16, 8, 4, stride=2, padding=1),
            nn.Hardswish(),
        )
        self.last = nn.Conv1d(8, 4, 3, padding=1)
        self.deep = nn.Conv3d(3, 2, (3, 1, 1), padding=(1, 0, 0))

    def forward(self, x):
        clips = self.deep(x[None].transpose(1, 2))[0].transpose(0, 1)
        return self.last(self.body(x).mean(2)), clips


class Attention(nn.Module):
    """Embedding, LayerNorm, attention (fused, masked and by hand), softmax, einsum."""

    def __init__(self):
        super().__init__()
        self.words = nn.Embedding(11, 16)
        self.norm = nn.LayerNorm(16)
        self.project = nn.Linear(16, 48)
        self.out = nn.Linear(16, 16, bias=False)

    def forward(self, ids):
        x = self.words(ids)
        q, k, v = (each.unflatten(-1, (2, 8)).transpose(1, 2) for each in self.project(self.norm(x)).chunk(3, -1))
        mask = (ids > 2)[:, None, None]
        fused = F.scaled_dot_product_attention(q, k, v, attn_mask=mask)
        weights = torch.einsum("bhqd,bhkd->bhqk", q, k).mul(8**-0.5).softmax(-1)
        both = fused + torch.tanh(weights @ v)
        return x + self.out(both.transpose(1, 2).flatten(2))


class Resizing(nn.Module):
    """Up, down and padded, with the arithmetic of a time embedding."""

    def forward(self, x, timestep):
        up = F.interpolate(x, scale_factor=2.0, mode="nearest")
        smooth = F.interpolate(x, scale_factor=2.0, mode="bilinear", align_corners=False)
        corners = F.interpolate(x, size=(12, 16), mode="bilinear", align_corners=True)
        pooled = F.interpolate(F.avg_pool2d(F.max_pool2d(up, 3, 1, 1), 2), scale_factor=2.0, mode="nearest")
        angles = timestep[:, None] * torch.exp(torch.arange(4) * -0.5)
        wave = torch.cat([angles.sin(), angles.cos()], -1).mean().clamp(-1.0, 1.0)
        padded = F.pad(smooth, (1, 1, 0, 0), mode="replicate")[..., 1:-1].abs().sqrt()
        shuffled = F.pixel_shuffle(F.pixel_unshuffle(corners, 2), 2)
        return torch.where(up > 0, up, padded) + shuffled.roll(1, -1) * wave + pooled.rsqrt().nan_to_num(0.0, 0.0, 0.0)


class Wide(nn.Module):
    """The middle layer's results are far past what float16 holds."""

    def __init__(self):
        super().__init__()
        self.first, self.wide, self.last = nn.Linear(8, 8), nn.Linear(8, 8), nn.Linear(8, 8)
        nn.init.constant_(self.wide.weight, 6e4)

    def forward(self, x):
        return self.last(torch.tanh(self.wide(torch.relu(self.first(x)) + 1.0) * 1e-5))


MODELS = {
    "convolutions": (Convolutions, lambda: (torch.randn(2, 3, 8, 8),)),
    "attention": (Attention, lambda: (torch.tensor([[3, 1, 4, 1, 5, 9], [2, 6, 5, 3, 5, 8]], dtype=torch.int32),)),
    "resizing": (Resizing, lambda: (torch.rand(1, 4, 6, 8) + 0.1, torch.tensor([3.0]))),
}


def prepared(name):
    torch.manual_seed(0)
    kind, example = MODELS[name]
    module = kind().eval()
    for each in module.modules():
        if isinstance(each, nn.BatchNorm2d):
            nn.init.uniform_(each.running_mean, -0.5, 0.5)
            nn.init.uniform_(each.running_var, 0.5, 2.0)
    return module, example()


def arrays(program, tensors):
    return {spec.name: tensor.numpy() for spec, tensor in zip(program.inputs, tensors, strict=True)}


@pytest.fixture(scope="module")
def program_of(ct, saved, converted):
    made = {}

    def get(name, precision):
        if (name, precision) not in made:
            module, example = prepared(name)
            exported = torch.export.export(module, example).run_decompositions({})
            model = ct.convert(
                exported,
                minimum_deployment_target=ct.target.iOS18,
                compute_precision=getattr(ct.precision, precision),
                skip_model_load=True,
            )
            made[name, precision] = saved(model)
        return made[name, precision]

    return get


@pytest.mark.parametrize("name", MODELS)
def test_a_model_in_float32_is_the_module(program_of, name):
    module, example = prepared(name)
    program = program_of(name, "FLOAT32")
    with torch.no_grad():
        expected = module(*example)
    outputs = execute(program, arrays(program, example))  # it declares no float16: nothing is rounded
    for value, spec in zip(expected if isinstance(expected, tuple) else (expected,), program.outputs, strict=True):
        assert snr_db(value, outputs[spec.name]) > EXACT_DB


@pytest.mark.parametrize("name", MODELS)
def test_a_model_in_float16_is_near_the_module_and_nearer_when_nothing_is_rounded(program_of, name):
    module, example = prepared(name)
    program = program_of(name, "FLOAT16")
    with torch.no_grad():
        expected = module(*example)
    expected = expected if isinstance(expected, tuple) else (expected,)
    reference = {spec.name: value.numpy() for spec, value in zip(program.outputs, expected, strict=True)}
    report = diagnose(program, arrays(program, example), reference)
    assert report.passed
    assert len(report.outputs) == len(expected)
    for output in report.outputs:
        assert FLOOR_DB < output.snr_db < EXACT_DB  # float16 was felt
        assert output.fp32_snr_db > output.snr_db
    assert len(report.operators) >= len(program.operations)
    assert report.worst(1)[0].snr_db == min(each.snr_db for each in report.operators)


def test_a_layer_that_overflows_float16_is_named(ct, saved, converted):
    torch.manual_seed(0)
    module, x = Wide().eval(), torch.rand(2, 8)
    program = saved(converted(module, (x,), precision="fp16"))
    inputs = arrays(program, (x,))
    report = diagnose(program, inputs, {"out": module(x).detach().numpy()})
    wrong = report.first_wrong
    assert wrong is not None
    assert wrong.operator == "linear"
    made_by = {operation.name: operation for operation in program.operations}[wrong.name]
    (weight,) = (name for name in made_by.reads() if "weight" in name)
    assert program.constants[weight].read().max() == np.float16(6e4)
    assert wrong.overflowed == wrong.non_finite == 16  # every one of 2 × 8
    assert report.overflowed["linear"] == 16
    assert report.outputs[0].fp32_snr_db > 60  # in float32 the same program is right
    assert report.to_json()["first_wrong"]["operator"] == "linear"


def test_values_below_the_smallest_of_float16_are_counted(ct, saved):
    from coremltools.converters.mil import Builder as mb

    @mb.program(input_specs=[mb.TensorSpec(shape=(4,))], opset_version=ct.target.iOS18)
    def program(x):
        small = mb.mul(x=mb.cast(x=x, dtype="fp16"), y=np.float16(1e-4))
        return mb.cast(x=mb.mul(x=small, y=np.float16(1e-4), name="tiny"), dtype="fp32", name="out")

    report = diagnose(saved(program), {"x": np.float32([1.0, 0.0, 8.0, -1.0])})
    assert report.lost == {"mul": 2}  # 1e-8 twice; 8e-8 is a subnormal and 0 was never there
    assert report.overflowed == {}
    assert report.first_wrong.name == "tiny"
    assert not report.passed


def test_an_infinite_weight_is_named_and_a_mask_of_minus_infinity_is_not(ct, saved):
    from coremltools.converters.mil import Builder as mb

    @mb.program(input_specs=[mb.TensorSpec(shape=(1, 2))], opset_version=ct.target.iOS18)
    def program(x):
        mask = mb.const(val=np.float32([[0.0, -np.inf]]), name="mask")
        weight = mb.const(val=np.float32([[1.0, np.inf], [2.0, 3.0]]), name="weight")
        return mb.linear(x=mb.softmax(x=mb.add(x=x, y=mask)), weight=weight, name="out")

    report = diagnose(saved(program), {"x": np.float32([[1.0, 2.0]])})
    assert report.first_wrong.operator == "const"
    assert report.first_wrong.name.startswith("weight")
    assert [each.name for each in report.operators if each.non_finite] == [report.first_wrong.name, "out"]


def test_steps_are_watched_and_memory_is_freed(ct, saved):
    from coremltools.converters.mil import Builder as mb

    from edge_stickers.convert.coreml_executor.interpreter import bind, steps

    @mb.program(input_specs=[mb.TensorSpec(shape=(3,))], opset_version=ct.target.iOS18)
    def program(x):
        for _ in range(20):
            x = mb.exp(x=mb.mul(x=x, y=-1.0))
        return x

    loaded, inputs = saved(program), {"x": np.float32([0.1, 0.2, 0.3])}
    kinds = []
    execute(loaded, inputs, watch=lambda step: kinds.append(step.operation.kind))
    assert kinds == ["mul", "exp"] * 20
    values = bind(loaded, inputs, "fp32")
    assert max(len(values) for _ in steps(loaded, values, "fp32")) <= 2
    assert list(values) == [loaded.outputs[0].name]


def test_a_fully_masked_query_gives_nan_as_the_formula_has_it(ct, saved):
    from coremltools.converters.mil import Builder as mb

    @mb.program(input_specs=[mb.TensorSpec(shape=(1, 2, 4))], opset_version=ct.target.iOS18)
    def program(x):
        mask = np.array([[True, True], [False, False]])
        return mb.scaled_dot_product_attention(query=x, key=x, value=x, attn_mask=mask, name="out")

    out = execute(saved(program), {"x": np.ones((1, 2, 4), np.float32)})["out"]
    assert np.isfinite(out[0, 0]).all()
    assert np.isnan(out[0, 1]).all()
