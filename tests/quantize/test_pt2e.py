"""Programs in int8: near the floating ones, rounded where the recipe says so and nowhere else, run by ExecuTorch."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
import torch
from torch import nn

from edge_stickers.convert.export import export_component
from edge_stickers.convert.parity import snr_db
from edge_stickers.convert.passes import prepare
from edge_stickers.convert.targets.backends import backend, lower_program
from edge_stickers.errors import ConversionError
from edge_stickers.quantize.fake import fake_quantized
from edge_stickers.quantize.pt2e import quantize_program
from edge_stickers.quantize.recipe import Range, Recipe, Rule
from edge_stickers.spec import ComponentSpec, TensorSpec

SPEC = ComponentSpec("unet", (TensorSpec("x", (3, 6, 9, 7)),), (TensorSpec("y", (3, 5, 18, 14)),))


class Block(nn.Module):
    """Everything that stands around a layer: norms, a cut projection whose part is scaled, layouts back and forth."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.first = nn.Conv2d(6, 12, 3, padding=1)
        self.norm = nn.GroupNorm(3, 12)
        self.qkv = nn.Linear(12, 36)
        self.second = nn.Conv2d(12, 12, 1)
        self.up = nn.ConvTranspose2d(12, 5, 4, stride=2, padding=1)

    def forward(self, x):
        h = torch.nn.functional.silu(self.norm(self.first(x)))
        tokens = h.reshape(3, 12, 63).permute(0, 2, 1)
        query, key, value = self.qkv(tokens).chunk(3, dim=2)
        tokens = torch.nn.functional.scaled_dot_product_attention(query, key, value)
        return self.up(h + self.second(tokens.permute(0, 2, 1).reshape(3, 12, 9, 7)))


def recipe(precision, **fields):
    rules = (Rule(layers="unet/second", precision="fp32"), Rule(precision=precision))
    return Recipe(name="mine", rules=rules, **fields)


@pytest.fixture(scope="module")
def block():
    module = Block().eval()
    nn.init.normal_(module.norm.weight)
    return module, prepare(export_component(module, SPEC))


@pytest.fixture(scope="module")
def ranges(block):
    """Of what really flows, by layer."""
    module, found = block[0], {}

    def keep(name):
        def look(_, given, made):
            limits = [(float(each.min()), float(each.max())) for each in (given[0], made)]
            found[f"unet/{name}"] = Range(input=limits[0], output=limits[1])

        return look

    hooks = [layer.register_forward_hook(keep(name)) for name, layer in module.named_children() if name != "norm"]
    with torch.no_grad():
        module(*SPEC.example())
    for hook in hooks:
        hook.remove()
    return found


def rounded(program):
    return Counter(str(node.target).split(".")[1] for node in program.graph.nodes if "quantize" in str(node.target))


@pytest.mark.parametrize("precision", ["w8a8", "w8a8-dynamic"])
def test_int8_is_near_and_one_delegate_runs_it(block, ranges, precision):
    module, program = block
    quantized = quantize_program(program, recipe(precision, ranges=ranges if precision == "w8a8" else {}), "unet")
    x = SPEC.example()
    with torch.no_grad():
        expected, simulated = module(*x), quantized.module()(*x)
    assert 25 < snr_db(expected, simulated) < 70  # rounded, and not far off

    lowered = lower_program(quantized, "unet", backend("xnnpack"), "fp32")
    assert (lowered.delegate_calls, lowered.undelegated) == (1, {})
    from executorch.runtime import Runtime

    loaded = Runtime.get().load_program(lowered.data)
    (got,) = loaded.load_method("forward").execute(list(x))
    assert snr_db(simulated, np.asarray(got)) > 30  # both round, each in its own order
    assert snr_db(expected, np.asarray(got)) > 25


def test_static_rounds_around_each_layer_and_dynamic_before_it(block, ranges):
    static = rounded(quantize_program(block[1], recipe("w8a8", ranges=ranges), "unet"))
    dynamic = rounded(quantize_program(block[1], recipe("w8a8-dynamic"), "unet"))
    layers = 5  # `first`, three parts of `qkv`, `up`; not `second`
    assert static["dequantize_per_channel"] == dynamic["dequantize_per_channel"] == layers
    assert dynamic["quantize_per_tensor"] < static["quantize_per_tensor"]


def test_the_range_of_a_scaled_part_is_scaled(block, ranges):
    """The scale of attention went into the query's weights, so its output has another scale than key and value."""
    quantized = quantize_program(block[1], recipe("w8a8", ranges=ranges), "unet")
    outputs = [
        user.args[1]
        for node in quantized.graph.nodes
        if node.target is torch.ops.aten.linear.default
        for user in node.users
        if "quantize_per_tensor" in str(user.target)
    ]
    assert sorted(outputs)[1:] == pytest.approx([max(outputs)] * 2)
    assert min(outputs) == pytest.approx(max(outputs) * 12**-0.5, rel=1e-3)


class LookUp(nn.Module):
    """A large table, a small one, and a layer."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.words, self.kinds, self.out = nn.Embedding(700, 16), nn.Embedding(3, 16), nn.Linear(16, 4)

    def forward(self, ids):
        return self.out(self.words(ids) + self.kinds(ids.clamp(max=2)))


@pytest.mark.parametrize("precision", ["w8a16", "w8a8-dynamic", "w8a8"])
def test_a_large_table_is_kept_in_int8_and_read_row_by_row(precision):
    module = LookUp().eval()
    spec = ComponentSpec("text_encoder", (TensorSpec("input_ids", (1, 9), "int64"),), (TensorSpec("y", (1, 9, 4)),))
    recipe = Recipe(name="mine", rules=(Rule(operators="embedding", precision=precision),))
    program = quantize_program(prepare(export_component(module, spec)), recipe, "text_encoder")
    tables = {tuple(value.shape): value.dtype for value in program.state_dict.values() if value.dim() == 2}
    assert tables[700, 16] == torch.int8 and tables[700, 1] == tables[3, 16] == torch.float32
    ids = torch.randint(0, 700, (1, 9))
    with torch.no_grad():
        plain, got = module(ids), program.module()(ids)
        with fake_quantized({"text_encoder": module}, recipe):
            torch.testing.assert_close(module(ids), got)
    assert 35 < snr_db(plain, got) < 70
    lowered = lower_program(program, "text_encoder", backend("xnnpack"), "fp32")
    assert len(lowered.data) < 700 * 16 * 2

    from executorch.runtime import Runtime

    loaded = Runtime.get().load_program(lowered.data)
    assert snr_db(got, loaded.load_method("forward").execute([ids])[0]) > 90


def test_a_program_without_int8_layers_is_left_alone(block):
    only_floats = Recipe(name="mine", rules=(Rule(layers="decoder/*", precision="w8a8"),))
    assert quantize_program(block[1], only_floats, "unet") is block[1]


def test_a_layer_without_a_range_is_named(block, ranges):
    known = {name: each for name, each in ranges.items() if name != "unet/up"}
    with pytest.raises(ConversionError, match="recipe mine has no range of unet/up; calibrate"):
        quantize_program(block[1], recipe("w8a8", ranges=known), "unet")


def test_wider_ranges_round_coarser(block, ranges):
    """Twice the range is twice the step, six decibels less; twenty times cannot be as good."""
    x = SPEC.example()
    with torch.no_grad():
        expected = block[0](*x)
        errors = []
        for factor in (1.0, 4.0, 20.0):
            wider = {
                name: Range(
                    input=tuple(factor * limit for limit in each.input),
                    output=tuple(factor * limit for limit in each.output),
                )
                for name, each in ranges.items()
            }
            program = quantize_program(block[1], recipe("w8a8", ranges=wider), "unet")
            errors.append(snr_db(expected, program.module()(*x)))
    assert errors[0] > errors[1] + 6 > errors[2] + 12
