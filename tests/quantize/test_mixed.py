"""Effects of layers on frames, and recipes that are chosen from them to meet a target."""

from __future__ import annotations

import copy
import json

import pytest
import torch

from edge_stickers.errors import ConversionError, InputError
from edge_stickers.quantize import sensitivity as module
from edge_stickers.quantize.clips import ClipMaker, clip_tasks
from edge_stickers.quantize.mixed import choose_mixed, decibels
from edge_stickers.quantize.recipe import Calibration, Recipe, Rule
from edge_stickers.quantize.sensitivity import TRIED, effect_of, measure_sensitivity, read_sensitivity

SHA = "0" * 64
ASKED = {"model_sha256": SHA, "calibration": Calibration(clips=2), "clips": 1}


@pytest.fixture(scope="module")
def student(tiny_pipeline):
    return copy.deepcopy(tiny_pipeline)


@pytest.fixture(scope="module")
def kept(tmp_path_factory):
    return tmp_path_factory.mktemp("sensitivity") / "effects.json"


@pytest.fixture(scope="module")
def sensitivity(student, kept):
    return measure_sensitivity(student, path=kept, **ASKED)


def test_every_layer_that_runs_has_an_effect_in_each_precision(sensitivity):
    assert sensitivity.measured and len(sensitivity.layers) > 40
    assert {name.split("/")[0] for name in sensitivity.layers} == {"text_encoder", "image_encoder", "unet", "decoder"}
    assert "unet/unet.context_projection" not in sensitivity.layers  # it runs with the text encoder
    for layer in sensitivity.layers.values():
        assert set(layer.effects) == set(TRIED) and layer.weights > 0
        assert all(0 <= each.mse <= each.worst_mse for each in layer.effects.values())


def test_from_the_changed_part_on_is_the_same_as_from_the_start(student):
    """The shortcut that sensitivity takes."""
    maker, task = ClipMaker(student), next(clip_tasks(student, 1))
    before = maker.make(task)
    for component in ("text_encoder", "image_encoder", "unet", "decoder"):
        maker.modules[component].register_forward_hook(lambda _m, _i, out: out * 1.1)
        whole, short = maker.make(task), maker.make(task, known=before, changed=component)
        assert torch.equal(whole.frames, short.frames), component
        assert not torch.equal(whole.frames, before.frames)
        before = whole
    for component in maker.modules.values():
        component._forward_hooks.clear()


def test_a_run_that_was_cut_off_goes_on(student, sensitivity, tmp_path, monkeypatch):
    path, told = tmp_path / "effects.json", []

    def stop(what, done, _of):
        told.append(what)
        if done == 3 * module.SAVE_EVERY + 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        measure_sensitivity(student, path=path, on_progress=stop, **ASKED)
    known = read_sensitivity(path)
    assert sum(bool(layer.effects) for layer in known.layers.values()) == 3 * module.SAVE_EVERY
    told.clear()
    done = measure_sensitivity(student, path=path, on_progress=lambda what, _done, _of: told.append(what), **ASKED)
    assert len(told) == len(sensitivity.layers) - 3 * module.SAVE_EVERY
    assert done == sensitivity == read_sensitivity(path)


def test_a_file_of_something_else_is_refused_and_left_alone(student, kept, sensitivity, tmp_path):
    with pytest.raises(InputError, match=r"asked for otherwise \(model_sha256 000000000000, now 111111111111\)"):
        measure_sensitivity(student, path=kept, **{**ASKED, "model_sha256": "1" * 64})
    with pytest.raises(InputError, match=r"calibration clips=2 .*, now clips=3"):
        measure_sensitivity(student, path=kept, **{**ASKED, "calibration": Calibration(clips=3)})
    other = tmp_path / "other.json"
    other.write_text(json.dumps({"schema_version": 1}))
    with pytest.raises(InputError, match="keeps no sensitivity"):
        measure_sensitivity(student, path=other, **ASKED)
    assert other.read_text() == '{"schema_version": 1}'


def frames_psnr(student, sensitivity, recipe):
    maker = ClipMaker(student)
    tasks = list(clip_tasks(student, sensitivity.clips))
    rounded = tuple(rule for rule in recipe.rules if rule.precision != "float")
    return effect_of(maker, tasks, [maker.make(each) for each in tasks], recipe.model_copy(update={"rules": rounded}))


def operations(sensitivity, mixed, precision="w8a8"):
    return sum(sensitivity.layers[rule.layers].gflop for rule in mixed.recipe.rules if rule.precision == precision)


def test_a_mixed_recipe_meets_its_target_and_a_higher_one_costs_more(student, sensitivity):
    everything = Recipe(name="all", rules=(Rule(precision="w8a8"),), ranges=sensitivity.ranges)
    base = decibels(frames_psnr(student, sensitivity, everything).mse)
    low, high = (choose_mixed(student, sensitivity, min_psnr=base + more) for more in (3, 10))
    for mixed, more in ((low, 3), (high, 10)):
        measured = frames_psnr(student, sensitivity, mixed.recipe)
        assert measured == mixed.effect
        assert mixed.mean_psnr_db >= base + more and decibels(measured.worst_mse) >= base + more - 5
        assert {rule.layers for rule in mixed.recipe.rules} == set(sensitivity.layers)
        assert mixed.recipe.ranges.keys() == {r.layers for r in mixed.recipe.rules if r.precision == "w8a8"}
        assert all("dB in w8a8" in rule.because for rule in mixed.recipe.rules)
    assert operations(sensitivity, high) < operations(sensitivity, low)
    assert low.recipe == Recipe.model_validate_json(low.recipe.model_dump_json())


def test_the_effect_is_that_of_the_recipe_even_where_trials_run_out(student, sensitivity, monkeypatch):
    from edge_stickers.quantize import mixed

    monkeypatch.setattr(mixed, "_MOST_ROUNDS", 2)
    monkeypatch.setattr(mixed, "HEADROOM_DB", 30.0)  # what two trials do not reach
    everything = Recipe(name="all", rules=(Rule(precision="w8a8"),), ranges=sensitivity.ranges)
    base = decibels(frames_psnr(student, sensitivity, everything).mse)
    found = choose_mixed(student, sensitivity, min_psnr=base - 1)
    assert frames_psnr(student, sensitivity, found.recipe) == found.effect


def test_patterns_of_several_parts_are_made_from_the_start(student, sensitivity):
    effects = [
        frames_psnr(student, sensitivity, Recipe(name="mine", rules=(Rule(layers=layers, precision="w8a16"),)))
        for layers in ("text_encoder/*", "text*")
    ]
    assert effects[0] == effects[1] and effects[0].mse > 0


def test_a_size_is_kept_to_with_the_layers_that_matter_least(student, sensitivity):
    floats = (
        sum(p.numel() for part in (student.unet, student.vae, student.text_encoder) for p in part.parameters()) * 4e-6
    )
    large, small = (choose_mixed(student, sensitivity, max_mb=share * floats) for share in (0.8, 0.5))
    assert large.megabytes <= 0.8 * floats and small.megabytes <= 0.5 * floats
    assert large.effect.mse < small.effect.mse
    both = choose_mixed(student, sensitivity, max_mb=0.5 * floats, min_psnr=small.mean_psnr_db - 3)
    assert both.megabytes <= 0.5 * floats and both.mean_psnr_db >= small.mean_psnr_db - 3


def test_what_cannot_be_met_says_what_can(student, sensitivity):
    with pytest.raises(ConversionError, match=r"no recipe is as small as 0\.001 MB: with every layer in int8"):
        choose_mixed(student, sensitivity, max_mb=0.001)
    floats = (
        sum(p.numel() for part in (student.unet, student.vae, student.text_encoder) for p in part.parameters()) * 4e-6
    )
    with pytest.raises(ConversionError, match=r"no mixed recipe reaches 190 dB within .* MB: the best has \d+\.\d dB"):
        choose_mixed(student, sensitivity, max_mb=0.3 * floats, min_psnr=190)
    with pytest.raises(InputError, match="needs a target"):
        choose_mixed(student, sensitivity)
    name = next(iter(sensitivity.layers))
    layers = {**sensitivity.layers, name: sensitivity.layers[name].model_copy(update={"effects": {}})}
    with pytest.raises(InputError, match="some layers were not measured"):
        choose_mixed(student, sensitivity.model_copy(update={"layers": layers}), min_psnr=30)
