"""Where float16 loses in a Core ML program: named by component and operator, and only where there is such a program."""

from __future__ import annotations

import copy
import sys

import pytest
import torch

from edge_stickers.build import build
from edge_stickers.bundle.golden import GOLDEN, Golden
from edge_stickers.bundle.reader import Bundle
from edge_stickers.models.pipeline import save_pipeline
from edge_stickers.runtimes.numerics import core_ml_numerics
from edge_stickers.runtimes.verify import verify

pytestmark = pytest.mark.skipif(sys.platform == "darwin", reason="Core ML itself runs there")
PARTS = ("text_encoder", "image_encoder", "decoder")


@pytest.fixture(scope="module")
def core_ml_bundle(tiny_pipeline, tiny_cases, tmp_path_factory):
    """Builds a Core ML bundle without the denoiser of a student whose image encoder was changed."""

    def make(change):
        folder = tmp_path_factory.mktemp("numerics")
        pipeline = copy.deepcopy(tiny_pipeline)
        with torch.no_grad():
            change(pipeline.vae)
        save_pipeline(pipeline, folder / "model", half=False)
        return build(folder / "model", ["coreml"], folder / "bundle", components=PARTS, cases=tiny_cases, threads=1)

    return make


@pytest.mark.slow
def test_a_sound_student_loses_little(core_ml_bundle):
    report = core_ml_bundle(lambda vae: None)
    found = {each.component: each for each in report.verified.numerics}
    assert list(found) == list(PARTS)
    assert all(each.operators > 3 and not each.overflowed for each in found.values())
    assert all(each.worst[0].snr_db <= each.worst[-1].snr_db for each in found.values())
    page = (report.out / "report.html").read_text()
    assert "operator by operator" in page
    assert verify(report.out, threads=1).numerics == report.verified.numerics


@pytest.mark.slow
def test_an_overflow_is_named_where_it_happens(core_ml_bundle):
    def enlarge(vae):
        next(vae.encoder.parameters()).mul_(1e6)

    report = core_ml_bundle(enlarge)
    found = {each.component: each for each in report.verified.numerics}["image_encoder"]
    assert found.overflowed.get("conv", 0) > 0
    assert found.first_wrong.startswith(("conv", "const", "cast"))


def test_a_bundle_without_core_ml_has_nothing_to_look_at(tiny_bundle):
    bundle = Bundle.open(tiny_bundle)
    assert list(core_ml_numerics(bundle, Golden.open(tiny_bundle / GOLDEN, bundle.scheduler.steps))) == []
