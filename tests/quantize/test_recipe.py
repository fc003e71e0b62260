"""Recipes: which rule decides, what a file may say, and what it may not."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from edge_stickers.convert.targets import TARGETS, target
from edge_stickers.convert.targets.base import choose_recipe
from edge_stickers.errors import InputError
from edge_stickers.quantize.layers import check_layers
from edge_stickers.quantize.mapping import Decision, decisions_of
from edge_stickers.quantize.recipe import RECIPES, Range, Recipe, Rule, find_recipe


def own(*rules, **fields):
    return Recipe(name="mine", rules=tuple(Rule(**rule) for rule in rules), **fields)


def test_the_first_rule_that_fits_decides_and_else_the_rest():
    recipe = own(
        {"layers": "unet/*.norm", "precision": "fp32"},
        {"operators": "conv*", "precision": "w8a8"},
        {"layers": "unet/*", "precision": "w8a8-dynamic"},
        otherwise="fp16",
    )
    assert recipe.precision("unet/unet.a.norm", "conv2d") == "fp32"
    assert recipe.precision("decoder/vae.a", "conv_transpose2d") == "w8a8"
    assert recipe.precision("unet/unet.a", "linear") == "w8a8-dynamic"
    assert recipe.precision("decoder/vae.a", "linear") == "fp16"
    assert recipe.precisions == ("fp16", "fp32", "w8a8", "w8a8-dynamic")


@pytest.mark.parametrize("name", RECIPES)
def test_a_recipe_survives_its_file(name, tmp_path):
    recipe = RECIPES[name].model_copy(update={"ranges": {"unet/a": Range(input=(-1.5, 2.0), output=(0.0, 0.0))}})
    path = tmp_path / "recipe.json"
    path.write_text(recipe.model_dump_json())
    assert find_recipe(path) == recipe


def test_only_static_ranges_have_to_be_found():
    assert {name for name, recipe in RECIPES.items() if recipe.wants_ranges} == {"int8"}
    found = RECIPES["int8"].model_copy(update={"ranges": {"unet/a": Range(input=(0.0, 1.0), output=(0.0, 1.0))}})
    assert not found.wants_ranges


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"rules": [{"precision": "int4"}]}, "rules.0.precision"),
        ({"rules": [{"precision": "fp32", "module": "*"}]}, "rules.0.module"),
        ({"calibration": {"clips": 1}}, "calibration.clips"),
        ({"ranges": {"unet/a": {"input": [2, 1], "output": [0, 1]}}}, "from 2 to 1 is empty"),
        ({"ranges": {"unet/a": {"input": [0], "output": [0, 1]}}}, "ranges.unet/a.input"),
        ({"schema_version": 2}, "schema_version"),
        ({"name": "../up"}, "name"),
    ],
)
def test_a_file_that_is_wrong_says_where(change, message, tmp_path):
    path = tmp_path / "recipe.json"
    path.write_text(json.dumps({"name": "mine"} | change))
    with pytest.raises(InputError, match=message) as caught:
        find_recipe(path)
    assert "\n" not in str(caught.value)


@given(st.binary(max_size=200))
def test_no_file_of_bytes_does_anything_but_be_refused(tmp_path_factory, data):
    path = tmp_path_factory.mktemp("fuzz") / "recipe.json"
    path.write_bytes(data)
    with pytest.raises(InputError, match="is no recipe"):
        find_recipe(path)


def test_an_unknown_name_lists_the_known_ones():
    with pytest.raises(InputError, match=r"no recipe named 'int7'.*known: fp32, fp16, int8, int8-dynamic"):
        find_recipe("int7")


def test_what_a_target_nearly_has_is_mapped_and_what_it_lacks_is_refused_by_name():
    fitted = choose_recipe(TARGETS["onnx"], "int8-dynamic")
    assert fitted.mapped == ("w8a8-dynamic became w8a16, which onnx has",)
    assert fitted.recipe.precisions == ("fp32", "w8a16")
    assert choose_recipe(TARGETS["executorch"], "int8-weight").recipe.precisions == ("fp32", "w8a8-dynamic")
    with pytest.raises(InputError, match=r"onnx has no precision 'fp16', which recipe fp16 asks for; it has"):
        choose_recipe(TARGETS["onnx"], "fp16")
    with pytest.raises(
        InputError, match=r"executorch on vulkan has no precision 'w8a8-dynamic', which recipe int8 asks for"
    ):
        choose_recipe(target("executorch", backend="vulkan"), "int8")


def test_float_is_what_a_target_is_fastest_in():
    assert choose_recipe(TARGETS["coreml"], None).recipe.name == "fp16"
    for name, floating in (("executorch", "fp32"), ("coreml", "fp16"), ("onnx", "fp32")):
        fitted = choose_recipe(TARGETS[name], "int8")
        assert fitted.recipe.otherwise == floating
        assert fitted.recipe.precision("unet/unet.read.to_base", "conv2d") == floating
        assert fitted.recipe.precision("decoder/vae.decoder.0", "conv2d") == "w8a8"
        assert not any("float" in each for each in fitted.mapped)


def test_floating_layers_have_one_precision():
    beside = own({"layers": "unet/*", "precision": "fp32"}, otherwise="fp16")
    with pytest.raises(
        InputError, match="has layers in fp32 beside fp16; coreml computes all floating layers in one prec"
    ):
        choose_recipe(TARGETS["coreml"], beside)
    exact = own({"layers": "unet/*", "precision": "float"}, {"precision": "w8a8"}, otherwise="fp32")
    assert choose_recipe(TARGETS["coreml"], exact).recipe.precisions == ("fp32", "w8a8")


def test_tables_alone_want_no_ranges():
    assert not own({"operators": "embedding", "precision": "w8a8"}).wants_ranges
    assert own({"operators": "linear", "precision": "w8a8"}).wants_ranges


def test_every_layer_is_accounted_to_the_rule_that_decides():
    layers = {"unet/unet.read.a": "conv2d", "unet/a": "linear", "unet/b": "linear", "text_encoder/a": "linear"}
    decided = decisions_of(RECIPES["int8"], layers)
    assert sum(each.layers for each in decided) == len(layers)
    assert [(each.precision, each.layers) for each in decided] == [("float", 1), ("w8a8-dynamic", 1), ("w8a8", 2)]
    assert "reads the still's latent" in decided[0].because and decided[2].rule == "* linear"
    assert decisions_of(RECIPES["fp32"], layers)[0] == Decision("fp32", 4, "")
    volumes = decisions_of(RECIPES["int8"], {"unet/a": "", "unet/b": "linear"})
    assert [(each.precision, each.layers) for each in volumes] == [("float", 1), ("w8a8", 1)]


def test_a_rule_that_fits_no_layer_names_some_that_resemble_it():
    recipe = own({"layers": "unet/unet.conv_inn", "precision": "fp32"})
    with pytest.raises(InputError, match=r"no layer fits 'unet/unet\.conv_inn'; .* such as unet/unet\.conv_in"):
        check_layers(recipe, ["unet/unet.conv_in", "decoder/vae.a"])
    check_layers(RECIPES["int8"], ["unet/a"])  # ours are for many models


def test_a_rule_cannot_be_changed_under_a_program():
    with pytest.raises(ValidationError):
        RECIPES["int8"].rules[0].precision = "fp32"
