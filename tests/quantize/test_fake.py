"""Rounding in modules is the rounding of programs, leaves no trace, and lets gradients through."""

from __future__ import annotations

import copy

import pytest
import torch
from torch.nn.utils import parametrize

from edge_stickers.convert.export import export_component
from edge_stickers.convert.parity import snr_db
from edge_stickers.convert.passes import prepare
from edge_stickers.convert.targets.backends import backend, lower_program
from edge_stickers.errors import ConversionError
from edge_stickers.models.components import component_modules, component_specs
from edge_stickers.quantize.calibration import calibrate
from edge_stickers.quantize.fake import RoundedWeight, fake_quantized, round_dynamic, round_static
from edge_stickers.quantize.pt2e import quantize_program
from edge_stickers.quantize.recipe import RECIPES, Calibration, Recipe, Rule


@pytest.fixture(scope="module")
def student(tiny_pipeline):
    return copy.deepcopy(tiny_pipeline)


@pytest.fixture(scope="module")
def calibrated(student):
    everything = Recipe(
        name="mine", rules=(Rule(precision="w8a8"),), calibration=Calibration(clips=2, clipping="minmax")
    )
    return calibrate(student, everything)


def faked(student, recipe, component, inputs):
    """What a part gives in fp32 and with rounding, and in fp32 once more."""
    modules = component_modules(student)
    with torch.no_grad():
        plain = modules[component](*inputs)
        with fake_quantized(modules, recipe):
            rounded = modules[component](*inputs)
        assert torch.equal(plain, modules[component](*inputs))
    assert not any(parametrize.is_parametrized(layer) for layer in modules[component].modules())
    return plain, rounded


@pytest.mark.parametrize("precision", ["w8a8", "w8a16"])
@pytest.mark.parametrize("component", ["text_encoder", "image_encoder", "unet", "decoder"])
def test_modules_round_as_their_programs_do(student, calibrated, component, precision):
    recipe = calibrated.model_copy(update={"rules": (Rule(precision=precision),)})
    module, spec = component_modules(student)[component], component_specs(student)[component]
    inputs = spec.example(seed=3)
    plain, rounded = faked(student, recipe, component, inputs)
    with torch.no_grad():
        wanted = quantize_program(export_component(module, spec), recipe, component).module()(*inputs)
    assert snr_db(wanted, rounded) > snr_db(plain, rounded) + 12  # a rounding that falls the other way, no more


@pytest.mark.parametrize("component", ["text_encoder", "image_encoder", "decoder"])
def test_rows_and_images_have_scales_of_their_own_as_xnnpack_gives_them(student, component):
    from executorch.runtime import Runtime

    module, spec = component_modules(student)[component], component_specs(student)[component]
    inputs, recipe = spec.example(seed=3), Recipe(name="mine", rules=(Rule(precision="w8a8-dynamic"),))
    plain, rounded = faked(student, recipe, component, inputs)
    program = quantize_program(prepare(export_component(module, spec)), recipe, component)
    loaded = Runtime.get().load_program(lower_program(program, component, backend("xnnpack"), "fp32").data)
    (got,) = loaded.load_method("forward").execute(list(inputs))
    assert snr_db(plain, got) == pytest.approx(snr_db(plain, rounded), abs=1.5)  # each falls its own way, as far off


def test_one_layer_alone_costs_less_than_all(student, calibrated):
    modules, spec = component_modules(student), component_specs(student)["unet"]
    inputs = spec.example(seed=3)
    one = calibrated.model_copy(update={"rules": (Rule(layers="unet/unet.down.0.block.conv1", precision="w8a8"),)})
    with torch.no_grad():
        plain = modules["unet"](*inputs)
        errors = []
        for recipe in (one, calibrated):
            with fake_quantized(modules, recipe):
                errors.append(snr_db(plain, modules["unet"](*inputs)))
    assert errors[0] > errors[1]


def test_gradients_pass_what_is_within_the_range_and_no_other():
    values = torch.tensor([-3.0, -0.2, 0.1, 0.9, 2.0], requires_grad=True)
    round_static(values, (-1.0, 1.0)).sum().backward()
    assert values.grad.tolist() == [0, 1, 1, 1, 0]
    weight = torch.randn(4, 3, requires_grad=True)
    RoundedWeight(axis=0)(weight).sum().backward()
    assert weight.grad.tolist() == [[1.0] * 3] * 4


def test_what_is_rounded_is_within_half_a_step():
    values = torch.linspace(-2, 5, 1000)
    assert (round_dynamic(values) - values).abs().max() <= 7 / 255 / 2 + 1e-6
    images = torch.randn(3, 2, 4, 4) * torch.tensor([1.0, 10.0, 100.0]).reshape(3, 1, 1, 1)
    reach = images.amax((1, 2, 3)) - images.amin((1, 2, 3))
    assert ((round_dynamic(images) - images).abs().amax((1, 2, 3)) <= reach / 255 / 2 + 1e-6).all()
    weight = torch.randn(5, 7, 3, 3)
    for axis in (0, 1):
        steps = weight.abs().amax(dim=[each for each in range(4) if each != axis], keepdim=True) / 127
        assert ((RoundedWeight(axis=axis)(weight) - weight).abs() <= steps / 2 + 1e-6).all()


def test_a_layer_without_a_range_is_named_and_nothing_stays_rounded(student):
    modules = component_modules(student)
    with pytest.raises(ConversionError, match="no range of"), fake_quantized(modules, RECIPES["int8"]):
        pass
    assert not any(parametrize.is_parametrized(layer) for part in modules.values() for layer in part.modules())
