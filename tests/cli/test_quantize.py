"""`edge-stickers quantize`, and the bundles that its recipes make."""

from __future__ import annotations

import json

import pytest

import edge_stickers.build as build_module
from edge_stickers.quantize.recipe import find_recipe

EXECUTORCH = ("--target", "executorch", "--no-cache", "--components", "decoder")


@pytest.fixture(autouse=True)
def tiny_golden(tiny_cases, monkeypatch):
    """The tiny tokenizer takes few prompts."""
    build = build_module.build
    monkeypatch.setattr(build_module, "build", lambda *args, **options: build(*args, cases=tiny_cases, **options))


def test_a_calibrated_recipe_makes_a_part_and_fits_no_other_model(call, refused, tiny_model, model_copy, tmp_path):
    recipe = tmp_path / "int8.json"
    done = call("quantize", "--model", tiny_model, "--clips", "2", "-o", recipe, "--json")
    assert done.code == 0, done.err
    assert json.loads(done.out)["layers"] == len(find_recipe(recipe).ranges) > 10
    built = call("convert", "--model", tiny_model, "--recipe", recipe, *EXECUTORCH, "-o", tmp_path / "b", "--json")
    assert built.code == 0, built.err
    (row,) = json.loads(built.out)["components"]
    assert (row["recipe"], row["delegate_calls"], row["undelegated"]) == ("int8", 1, {})
    assert (tmp_path / "b" / "executorch" / "decoder_xnnpack_int8.pte").is_file()

    config = model_copy / "scheduler" / "scheduler_config.json"
    config.write_text(config.read_text() + "\n")
    line = refused("convert", "--model", model_copy, "--recipe", recipe, *EXECUTORCH, "-o", tmp_path / "c")
    assert "has the ranges of another model" in line
    assert not (tmp_path / "c").exists()


def test_what_a_recipe_cannot_say_is_one_line(refused, tiny_model, tmp_path):
    asked = ("convert", "--model", tiny_model, *EXECUTORCH, "-o", tmp_path / "b")
    assert "known: fp32, fp16, int8, int8-dynamic" in refused(*asked, "--recipe", "int7")
    path = tmp_path / "recipe.json"
    path.write_text(json.dumps({"name": "mine", "rules": [{"layers": "unet/nothing", "precision": "w8a8-dynamic"}]}))
    assert "no layer fits 'unet/nothing'" in refused(*asked, "--recipe", path)
    path.write_text(json.dumps({"name": "mine", "otherwise": "fp16"}))
    assert "executorch on xnnpack has no precision 'fp16'" in refused(*asked, "--recipe", path)
    line = refused("quantize", "--model", tiny_model, "--stickers", tmp_path / "none", "-o", tmp_path / "r.json")
    assert str(tmp_path / "none") in line
    assert not (tmp_path / "r.json").exists() and not (tmp_path / "b").exists()


def test_a_mixed_recipe_is_chosen_and_built(call, refused, tiny_model, tmp_path, monkeypatch):
    from edge_stickers.quantize import sensitivity

    monkeypatch.setitem(sensitivity.measure_sensitivity.__kwdefaults__, "clips", 1)
    recipe = tmp_path / "mixed.json"
    asked = ("quantize", "--model", tiny_model, "--recipe", "mixed", "--clips", "2", "-o", recipe)
    done = call(*asked, "--min-psnr", "60", "--json")
    assert done.code == 0, done.err
    report = json.loads(done.out)
    assert report["psnr_db"] >= 60 and sum(report["layers"].values()) == len(find_recipe(recipe).rules)
    assert (tmp_path / "mixed.sensitivity.json").is_file()
    again = call(*asked, "--max-mb", "0.7")  # nothing is measured again
    assert again.code == 0 and "weights 0." in again.out
    built = call("convert", "--model", tiny_model, "--recipe", recipe, *EXECUTORCH, "-o", tmp_path / "b", "--json")
    assert built.code == 0, built.err
    (row,) = json.loads(built.out)["components"]
    assert any("alone: " in each["because"] for each in row["decisions"])

    missed = call(*asked, "--max-mb", "0.001")
    assert missed.code == 1 and "no recipe is as small as 0.001 MB" in missed.err and missed.err.count("\n") == 1


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--recipe", "mixed"), "needs a target: --min-psnr, such as 38, or --max-mb"),
        (("--min-psnr", "38"), "are for --recipe mixed"),
        (("--steps", "3"), "--plan, --steps and --training-stickers are for --recover"),
        (("--recipe", "fp16", "--recover", "run"), "recipe fp16 has no layer in int8"),
        (("--recipe", "mixed", "--recover", "run"), "choose the mixed recipe first"),
    ],
)
def test_options_that_do_not_go_together(refused, tiny_model, tmp_path, monkeypatch, options, message):
    monkeypatch.chdir(tmp_path)
    assert message in refused("quantize", "--model", tiny_model, *options, "-o", "r.json")
    assert not list(tmp_path.iterdir())


def test_a_mixed_recipe_without_its_file(refused, tiny_model, tmp_path):
    line = refused("convert", "--model", tiny_model, *EXECUTORCH, "-o", tmp_path / "b", "--recipe", "mixed")
    assert "make its file first: edge-stickers quantize --recipe mixed --min-psnr 38" in line
