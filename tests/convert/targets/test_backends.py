"""ExecuTorch's backends: each takes a component whole, and says that no device has run it."""

from __future__ import annotations

import xml.etree.ElementTree as ElementTree
from dataclasses import replace

import pytest
import torch

from edge_stickers.convert.export import export_component
from edge_stickers.convert.parity import snr_db
from edge_stickers.convert.passes import prepare, prepare_native, prepare_one_image
from edge_stickers.convert.targets import TARGETS
from edge_stickers.convert.targets.backends import BACKENDS, backend
from edge_stickers.errors import InputError
from edge_stickers.models.components import component_modules, component_specs
from edge_stickers.quantize.recipe import RECIPES
from edge_stickers.runtimes.base import availability

PARTS = ("image_encoder", "decoder", "unet")


@pytest.fixture(scope="module", params=PARTS)
def component(request, tiny_pipeline):
    return component_modules(tiny_pipeline)[request.param], component_specs(tiny_pipeline)[request.param]


@pytest.mark.parametrize("passes", [prepare, prepare_one_image, prepare_native])
def test_passes_change_no_number(component, passes):
    module, spec = component
    inputs = spec.example(seed=3)
    program = passes(export_component(module, spec))
    assert [node.name for node in program.graph.nodes if node.name in program.graph_signature.user_inputs] == [
        entry.name for entry in spec.inputs
    ]
    with torch.no_grad():
        assert snr_db(module(*inputs), program.module()(*inputs)) > 90


def test_one_image_leaves_no_convolution_of_a_batch(component):
    program = prepare_one_image(export_component(*component))
    convolutions = [n for n in program.graph.nodes if n.op == "call_function" and "conv" in str(n.target)]
    assert convolutions
    assert {node.args[0].meta["val"].shape[0] for node in convolutions} == {1}


@pytest.mark.slow
@pytest.mark.parametrize("name", ["coreml", "vulkan"])
def test_devices_backends_take_a_component_whole(tiny_pipeline, tmp_path, name):
    target = replace(TARGETS["executorch"], backend=name)
    module, spec = component_modules(tiny_pipeline)["decoder"], component_specs(tiny_pipeline)["decoder"]
    artifact = target.lower(module, spec, recipe=RECIPES["fp16"], folder=tmp_path)
    assert artifact.entry.as_posix() == f"executorch/decoder_{name}_fp16.pte"
    assert (artifact.delegate_calls, artifact.undelegated) == (1, {})
    assert "needs" in availability("executorch", backend=name)


def lower_with(extra, pipeline, part, folder):
    """A part for XNNPACK, with something beside it."""
    target = replace(TARGETS["executorch"], extras=(extra,))
    return target.lower(
        component_modules(pipeline)[part], component_specs(pipeline)[part], recipe=RECIPES["fp32"], folder=folder
    )


@pytest.mark.slow
def test_an_etrecord_lies_beside_its_program(tiny_pipeline, tmp_path):
    from executorch.devtools.etrecord import parse_etrecord

    artifact = lower_with("etrecord", tiny_pipeline, "image_encoder", tmp_path)
    program, record = artifact.files
    assert program == artifact.entry and record.suffix == ".etrecord"
    assert parse_etrecord(str(tmp_path / record)).edge_dialect_program is not None


@pytest.mark.slow
def test_a_picture_shows_what_each_delegate_has(tiny_pipeline, tmp_path):
    artifact = lower_with("picture", tiny_pipeline, "text_encoder", tmp_path)
    program, picture = artifact.files
    assert program == artifact.entry and picture.suffix == ".svg"
    said = [title.text for title in ElementTree.parse(tmp_path / picture).iter("{http://www.w3.org/2000/svg}title")]
    left = [text for text in said if "left to a portable kernel" in text]
    assert len(left) == sum(artifact.undelegated.values()) > 0  # embeddings
    assert len({text.split()[-1] for text in said if text not in left}) == artifact.delegate_calls
    assert any("linear" in text or "mm" in text for text in said if text not in left)


def test_unknown_backends_list_the_known_ones():
    with pytest.raises(InputError, match="no backend named 'metal'; known: xnnpack, coreml, vulkan"):
        backend("metal")
    assert {each.name for each in BACKENDS.values()} == set(BACKENDS)
