"""What every target promises: names, files, parity where the machine can run it, and errors that help."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from dataclasses import FrozenInstanceError

import pytest
import torch

from edge_stickers.convert import convert
from edge_stickers.convert.parity import snr_db
from edge_stickers.convert.targets import TARGETS, target
from edge_stickers.convert.targets.coreml import read_package
from edge_stickers.errors import InputError, MissingDependencyError
from edge_stickers.models.components import component_modules, component_specs
from edge_stickers.models.layers import StillAttention, TextAttention
from edge_stickers.models.temporal import TemporalAttention

FLOOR_DB = 60.0
SMALL = ("text_encoder", "image_encoder", "decoder")


@pytest.fixture(scope="module")
def artifacts(tiny_pipeline, tmp_path_factory):
    """Converts each target once; the denoiser is in the slow tests."""
    folder, made = tmp_path_factory.mktemp("converted"), {}

    def get(name, components=SMALL):
        if (name, components) not in made:
            made[name, components] = convert(tiny_pipeline, targets=[name], components=components, folder=folder)
        return folder, made[name, components]

    return get


def run(artifact, folder, inputs):
    path = folder / artifact.entry
    if artifact.target == "onnx":
        import onnxruntime

        session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
        return session.run(
            None, {spec.name: value.numpy() for spec, value in zip(artifact.inputs, inputs, strict=True)}
        )[0]
    from executorch.runtime import Runtime

    program = Runtime.get().load_program(path)
    method = program.load_method("forward")  # points into `program`
    return method.execute(list(inputs))[0].numpy().copy()


def check_parity(artifact, folder, pipeline):
    spec, module = component_specs(pipeline)[artifact.component], component_modules(pipeline)[artifact.component]
    inputs = spec.example(seed=5)
    with torch.no_grad():
        expected = module(*inputs)
    assert snr_db(expected, run(artifact, folder, inputs)) > FLOOR_DB, artifact.component


@pytest.mark.parametrize("name", TARGETS)
def test_the_artifact_says_what_is_on_disk(artifacts, tiny_pipeline, name):
    folder, made = artifacts(name)
    assert [artifact.component for artifact in made] == list(SMALL)
    for artifact in made:
        assert artifact.entry in artifact.files or (folder / artifact.entry).is_dir()
        assert all(not path.is_absolute() for path in artifact.files)
        assert artifact.bytes == sum((folder / path).stat().st_size for path in artifact.files) > 0
        assert artifact.seconds > 0
        expected = component_specs(tiny_pipeline)[artifact.component]
        assert [tensor.name for tensor in artifact.inputs] == [tensor.name for tensor in expected.inputs]
        assert [tensor.shape for tensor in artifact.outputs] == [tensor.shape for tensor in expected.outputs]
        with pytest.raises(FrozenInstanceError):
            artifact.bytes = 0


@pytest.mark.parametrize("name", ["executorch", "onnx"])
def test_parity(artifacts, tiny_pipeline, name):
    folder, made = artifacts(name)
    for artifact in made:
        check_parity(artifact, folder, tiny_pipeline)


def test_executorch_delegates_all_but_what_makes_the_mask_and_looks_up_words(artifacts):
    _, made = artifacts("executorch")
    assert [artifact.entry.as_posix() for artifact in made] == [f"executorch/{name}_xnnpack_fp32.pte" for name in SMALL]
    text, *images = made
    assert all(artifact.undelegated == {} and artifact.delegate_calls == 1 for artifact in images)
    heavy = ("linear", "addmm", "bmm", "mm.", "convolution", "softmax", "layer_norm", "gelu", "mean")
    assert not [name for name in text.undelegated if any(word in name for word in heavy)]
    assert text.delegate_calls <= 3


def test_coreml_packages_have_integer_ids_and_float_images(artifacts):
    folder, (text, encoder, _) = artifacts("coreml")
    assert {tensor.dtype for tensor in text.inputs} == {"int32"}
    assert {tensor.dtype for tensor in (*text.outputs, *encoder.inputs, *encoder.outputs)} == {"float32"}
    assert text.entry.as_posix() == "coreml/TextEncoder.mlpackage"
    assert text.operators["scaled_dot_product_attention"] == 1
    assert text.operators["layer_norm"] == 3
    assert read_package(folder / text.entry)[2] == text.operators


def test_an_onnx_model_is_one_file(artifacts):
    _, made = artifacts("onnx")
    assert [path.as_posix() for artifact in made for path in artifact.files] == [
        f"onnx/{name}/model.onnx" for name in SMALL
    ]


@pytest.mark.slow
def test_the_denoiser_is_delegated_whole(artifacts, tiny_pipeline):
    folder, (artifact,) = artifacts("executorch", ("unet",))
    assert artifact.delegate_calls == 1
    assert artifact.undelegated == {}
    check_parity(artifact, folder, tiny_pipeline)


@pytest.mark.slow
def test_the_denoiser_in_onnx(artifacts, tiny_pipeline):
    folder, (artifact,) = artifacts("onnx", ("unet",))
    check_parity(artifact, folder, tiny_pipeline)


@pytest.mark.slow
def test_the_denoiser_in_coreml_keeps_every_attention_whole(artifacts, tiny_pipeline):
    kinds = (StillAttention, TextAttention, TemporalAttention)
    attentions = sum(isinstance(module, kinds) for module in tiny_pipeline.unet.modules())
    _, (artifact,) = artifacts("coreml", ("unet",))
    assert artifact.operators["scaled_dot_product_attention"] == attentions


def test_unknown_names_list_the_known_ones(tiny_pipeline, tmp_path):
    with pytest.raises(InputError, match="no target named 'tflite'; known: executorch, coreml, onnx"):
        target("tflite")
    with pytest.raises(InputError, match="no component named 'vae'; known: text_encoder"):
        convert(tiny_pipeline, targets=["onnx"], components=["vae"], folder=tmp_path)
    with pytest.raises(InputError, match="onnx has no precision 'fp16', which recipe fp16 asks for; it has fp32"):
        convert(tiny_pipeline, targets=["onnx"], recipe="fp16", folder=tmp_path)
    with pytest.raises(InputError, match="is no folder"):
        convert(tiny_pipeline, targets=["onnx"], folder=tmp_path / "gone")
    with pytest.raises(InputError, match="no target was named"):
        convert(tiny_pipeline, targets=[], folder=tmp_path)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("name", TARGETS)
def test_a_missing_library_names_the_extra(tiny_pipeline, tmp_path, monkeypatch, name):
    find_spec = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda n, *a: None if n in TARGETS[name].needs else find_spec(n, *a)
    )
    with pytest.raises(MissingDependencyError, match=rf"pip install 'edge-stickers\[{TARGETS[name].extra}\]'"):
        convert(tiny_pipeline, targets=[name], folder=tmp_path)


def test_importing_the_package_imports_no_vendor_and_no_torch():
    code = "import sys, edge_stickers.convert; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert not set(done.stdout.split()) & {"torch", "numpy", "executorch", "coremltools", "onnx"}


@pytest.mark.parametrize("name", TARGETS)
def test_converting_leaves_the_model_as_it_was(tiny_pipeline, tmp_path, name):
    tiny_pipeline.vae.latents_mean.fill_(0.25)
    before = {key: value.clone() for key, value in tiny_pipeline.vae.state_dict().items()}
    convert(tiny_pipeline, targets=[name], components=["image_encoder"], folder=tmp_path)
    for key, value in tiny_pipeline.vae.state_dict().items():
        assert torch.equal(value, before[key]), key
