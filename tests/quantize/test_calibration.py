"""Calibration: every 8-bit layer seen, the same for the same stickers, and what clipping does."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from edge_stickers.convert.export import export_component
from edge_stickers.data.stickers import list_stickers
from edge_stickers.errors import InputError
from edge_stickers.models.components import component_modules, component_specs
from edge_stickers.quantize.calibration import _watched, calibrate
from edge_stickers.quantize.clips import STICKERS
from edge_stickers.quantize.recipe import RECIPES, Calibration


def asked(clipping="mse", clips=2):
    return RECIPES["int8"].model_copy(update={"calibration": Calibration(clips=clips, clipping=clipping)})


@pytest.fixture(scope="module")
def calibrated(tiny_pipeline):
    return calibrate(tiny_pipeline, asked(), model_sha256="0" * 64)


def test_every_static_layer_has_a_range_and_no_other(tiny_pipeline, calibrated):
    """As the programs have them: no part is asked for layers of another that it merely holds."""
    static = set()
    for component, module in component_modules(tiny_pipeline).items():
        for node in export_component(module, component_specs(tiny_pipeline)[component]).graph.nodes:
            custom = node.meta.get("custom") or {}
            layer = f"{component}/{custom.get('layer')}"
            if "operator" in custom and calibrated.precision(layer, custom["operator"]) == "w8a8":
                static.add(layer)
    assert len(static) > 20 and calibrated.ranges.keys() == static
    assert not calibrated.wants_ranges
    assert all(low < high for each in calibrated.ranges.values() for low, high in (each.input, each.output))


def test_the_same_stickers_give_the_same_ranges(tiny_pipeline, calibrated):
    seen = []
    again = calibrate(tiny_pipeline, asked(), model_sha256="0" * 64, on_clip=lambda done, of: seen.append((done, of)))
    assert again == calibrated
    assert seen == [(1, 2), (2, 2)]


def test_what_loses_least_is_within_what_was_seen(tiny_pipeline, calibrated):
    seen = calibrate(tiny_pipeline, asked("minmax")).ranges
    for name, each in calibrated.ranges.items():
        widths = [high - low for low, high in (each.input, each.output, seen[name].input, seen[name].output)]
        assert widths[0] <= widths[2] * 1.02 and widths[1] <= widths[3] * 1.02, name


def test_rare_values_far_out_are_cut_off_unless_all_that_was_seen_counts():
    part, values = (
        nn.Sequential(nn.Linear(1, 1)),
        torch.randn(200_000, 1, generator=torch.Generator().manual_seed(0)) ** 5,
    )
    found = {}
    for clipping in ("mse", "percentile", "minmax"):
        with _watched({"unet": part}, asked(clipping)) as ranges, torch.no_grad():
            part(values)
        found[clipping] = ranges()["unet/0"].input
    assert found["minmax"][1] == pytest.approx(float(values.max()), rel=0.02)
    assert found["mse"][1] < 0.9 * found["minmax"][1]
    low, high = found["percentile"]
    assert 0.99985 < float(((values >= low) & (values <= high)).float().mean()) < 0.99999  # of 99.99 %


def test_nothing_watches_a_layer_afterwards():
    layer = nn.Linear(1, 1)
    with pytest.raises(RuntimeError, match="halfway"), _watched({"unet": nn.Sequential(layer)}, asked()):
        raise RuntimeError("halfway")
    assert not layer._forward_hooks


def test_more_clips_never_narrow_what_was_seen(tiny_pipeline):
    few, many = (calibrate(tiny_pipeline, asked("minmax", clips)).ranges for clips in (2, 3))
    for name, each in few.items():
        assert each.input[1] <= many[name].input[1] * 1.01 + 1e-6, name


def test_the_stickers_inside_are_no_golden_ones():
    from edge_stickers.bundle.golden import CASES

    found = list_stickers(STICKERS)
    assert len(found) == 16
    golden = {next((STICKERS.parent / "stickers").glob(f"{case.name}.*")).read_bytes() for case in CASES}
    assert not {each.path.read_bytes() for each in found} & golden


def test_a_folder_of_one_sticker_is_refused(tiny_pipeline, tmp_path):
    (tmp_path / "one.svg").write_bytes((STICKERS / "rocket.svg").read_bytes())
    with pytest.raises(InputError, match="holds 1 stickers, a calibration takes two or more"):
        calibrate(tiny_pipeline, asked(), stickers=tmp_path)
