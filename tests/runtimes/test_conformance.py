"""Every runtime that is installed gives what PyTorch gives, through the converter that a user gets."""

from __future__ import annotations

import numpy as np
import pytest

from edge_stickers.build import build
from edge_stickers.bundle.manifest import tensor_entries
from edge_stickers.bundle.reader import Bundle
from edge_stickers.runtimes.base import EMULATED, RUNTIMES, availability, is_emulated
from edge_stickers.runtimes.opening import open_bundle, open_pipeline

TARGETS = [name for name in RUNTIMES if name != "torch"]
PARTS = ("image_encoder", "decoder")
"""Lowering a UNet, a tiny one too, takes minutes; whole bundles are verified where they are built."""
pytestmark = pytest.mark.slow  # lowering alone takes longer than ten seconds


@pytest.fixture(scope="module", params=TARGETS)
def built(request, tiny_model, tiny_cases, tmp_path_factory):
    """The report and the folder of a bundle for one target."""
    name = request.param
    reason = availability(name)
    if reason is not None:
        pytest.skip(f"{name}: {reason}")
    if RUNTIMES[name].opener.startswith("doubles"):
        pytest.skip(f"{name} is replaced in this session; run this file by itself")
    out = tmp_path_factory.mktemp(name) / "bundle"
    return build(tiny_model, [name], out, components=PARTS, cases=tiny_cases, threads=1), out, name


def test_every_component_passes(built):
    report, _, name = built
    assert report.verified is not None
    note = EMULATED if is_emulated(name) else ""
    assert [(row.status, row.reason) for row in report.verified.components] == [("passed", note)] * 2


def test_the_manifest_says_what_ran_where(built):
    _, out, name = built
    entries = Bundle.open(out).target(name).components.values()
    assert {entry.status for entry in entries} == {"emulated, not run on a device" if is_emulated(name) else "verified"}


def test_names_shapes_and_order_are_those_of_the_model(built, tiny_pipeline):
    from edge_stickers.models.components import component_specs

    _, out, name = built
    specs = component_specs(tiny_pipeline)
    for component in PARTS:
        spec = specs[component]
        _, entry = Bundle.open(out).program(name, component)
        assert [(e.name, e.shape) for e in entry.inputs] == [(e.name, e.shape) for e in tensor_entries(spec.inputs)]
        assert [(e.name, e.shape) for e in entry.outputs] == [(e.name, e.shape) for e in tensor_entries(spec.outputs)]


def test_a_component_keeps_no_state_between_calls(built, tiny_pipeline):
    _, out, name = built
    reference = open_pipeline(tiny_pipeline)
    engine = open_bundle(Bundle.open(out), name, components=("decoder",), threads=1)
    try:
        noise = np.random.default_rng(0)
        shape = reference.sessions["decoder"].inputs[0].shape
        first, second = (noise.standard_normal(shape, dtype=np.float32) for _ in range(2))
        for latents in (first, second, first):
            expected = reference.run("decoder", {"latents": latents})["image"]
            got = engine.run("decoder", {"latents": latents})["image"]
            np.testing.assert_allclose(got, expected, atol=5e-3 if name == "coreml" else 1e-3)  # fp16 and fp32
    finally:
        engine.close()
