"""Packages and inputs that are wrong: one line of the project's own errors, that says what and where."""

from __future__ import annotations

import json
import shutil
import sys

import numpy as np
import pytest

from edge_stickers.convert.coreml_executor import diagnose, execute, load_program
from edge_stickers.errors import (
    BundleError,
    ConversionError,
    EdgeStickersError,
    InputError,
    MissingDependencyError,
    RuntimeFailedError,
)


@pytest.fixture(scope="module")
def intact(ct, saved):
    from coremltools.converters.mil import Builder as mb

    weight = np.random.default_rng(0).standard_normal((32, 16)).astype(np.float32)

    @mb.program(input_specs=[mb.TensorSpec(shape=(2, 16))], opset_version=ct.target.iOS18)
    def program(x):
        return mb.relu(x=mb.linear(x=x, weight=weight, name="first"), name="out")

    return saved(program)


@pytest.fixture
def package(intact, tmp_path):
    return shutil.copytree(intact.package, tmp_path / "Model.mlpackage")


@pytest.fixture
def edit(model_file):
    """Changes the model's message in place."""
    from coremltools.proto.Model_pb2 import Model

    def change(package, function):
        path, message = model_file(package), Model()
        message.ParseFromString(path.read_bytes())
        main = message.mlProgram.functions["main"]
        function(message, next(iter(main.block_specializations.values())))
        path.write_bytes(message.SerializeToString())
        return package

    return change


def refused(package, match, kind=BundleError):
    with pytest.raises(kind, match=match) as caught:
        load_program(package)
    assert "\n" not in str(caught.value)


def weights_of(package):
    (found,) = package.rglob("weight.bin")
    return found


def test_the_intact_one_loads(intact):
    assert [(spec.name, spec.shape, spec.dtype) for spec in intact.inputs] == [("x", (2, 16), "float32")]
    assert [(spec.name, spec.shape, spec.dtype) for spec in intact.outputs] == [("out", (2, 32), "float32")]
    assert intact.operators() == {"linear": 1, "relu": 1}
    assert intact.opset == "CoreML8"


def test_missing_parts(package, tmp_path, model_file):
    refused(tmp_path / "gone.mlpackage", "Manifest.json cannot be read: No such file.*expected the folder")
    weights = weights_of(package)
    weights.rename(weights.with_suffix(".was"))
    refused(package, "weight.bin cannot be read: No such file")
    model_file(package).unlink()
    refused(package, "names com.apple.CoreML/model.mlmodel, which is not there")


@pytest.mark.parametrize(
    "content",
    [
        "",
        "{",
        "[]",
        "{}",
        '{"rootModelIdentifier": "a", "itemInfoEntries": {"a": 3}}',
        '{"rootModelIdentifier": "a", "itemInfoEntries": {"a": {"path": "a\\u0000"}}}',
    ],
)
def test_a_damaged_manifest(package, content):
    (package / "Manifest.json").write_text(content)
    refused(package, "Manifest.json names no model; convert the model again")


def test_a_manifest_that_leaves_the_package(package, tmp_path):
    (tmp_path / "elsewhere").write_bytes(b"")
    manifest = json.loads((package / "Manifest.json").read_text())
    manifest["itemInfoEntries"][manifest["rootModelIdentifier"]]["path"] = "../../elsewhere"
    (package / "Manifest.json").write_text(json.dumps(manifest))
    refused(package, "outside the package")


@pytest.mark.parametrize("cut", [1, 7, 0.5])
def test_a_model_cut_off(package, model_file, cut):
    path = model_file(package)
    data = path.read_bytes()
    path.write_bytes(data[: -cut if cut >= 1 else int(len(data) * cut)])
    refused(package, "convert the model again")


def test_garbage_for_a_model(package, model_file):
    model_file(package).write_bytes(b"\xff" * 400)
    refused(package, "is no Core ML model")
    model_file(package).write_bytes(b"")
    refused(package, "holds nothing, expected an mlProgram")


def test_flipped_bytes_never_end_in_a_foreign_error(package, model_file):
    path, rng = model_file(package), np.random.default_rng(0)
    data = np.frombuffer(path.read_bytes(), np.uint8)
    outcomes = set()
    for _ in range(150):
        broken = data.copy()
        broken[rng.integers(0, len(data), 3)] ^= rng.integers(1, 256, 3).astype(np.uint8)
        path.write_bytes(broken.tobytes())
        try:
            execute(load_program(package), {"x": np.ones((2, 16), np.float32)})
            outcomes.add("ran")
        except EdgeStickersError as error:
            outcomes.add(type(error).__name__)
            assert "\n" not in str(error)
    assert "BundleError" in outcomes


def test_damaged_weights(package):
    path = weights_of(package)
    data = path.read_bytes()
    path.write_bytes(data[:-100])
    refused(package, "first.*the weights are cut off")
    path.write_bytes(data[:20])
    refused(package, "have 20 bytes, expected a header of 64")
    path.write_bytes(data[:4] + b"\x07" + data[5:])
    refused(package, "of version 7, expected 2")
    path.write_bytes(data[:64] + bytes(64) + data[128:])
    refused(package, "no blob starts at byte 64")
    path.write_bytes(data[:68] + b"\x01" + data[69:])
    refused(package, r"stored as type 1, expected 2 \(fp32\)")


def weight_of(block):
    operation = next(
        each for each in block.operations if each.type == "const" and each.attributes["val"].HasField("blobFileValue")
    )
    return operation.attributes["val"].blobFileValue


@pytest.mark.parametrize(
    ("change", "match"),
    [
        (lambda m, b: setattr(weight_of(b), "offset", 10**9), "starts at byte 1000000000"),
        (lambda m, b: setattr(weight_of(b), "offset", 72), "no blob starts at byte 72"),
        (lambda m, b: setattr(weight_of(b), "fileName", "@model_path/../../../other.bin"), "outside the package"),
        (lambda m, b: b.outputs.append("nowhere"), "gives nowhere, which no operation makes"),
        (lambda m, b: b.operations.reverse(), "which nothing before it makes"),
        (lambda m, b: setattr(b.operations[-1].inputs["x"].arguments[0], "name", "out"), "reads 'out' as out.x, which"),
        (lambda m, b: setattr(b.operations[-1].outputs[0], "name", "x"), "makes 'x' twice"),
        (lambda m, b: setattr(b.operations[-1].outputs[0].type.tensorType, "dataType", 0), "element type 0"),
        (lambda m, b: m.mlProgram.functions["other"].CopyFrom(m.mlProgram.functions.pop("main")), "expected main"),
        (lambda m, b: setattr(m.mlProgram.functions["main"], "opset", "CoreML99"), "no block for its opset CoreML99"),
        (lambda m, b: m.neuralNetwork.SetInParent(), "holds neuralNetwork, expected an mlProgram"),
    ],
)
def test_inconsistent_programs(package, edit, change, match):
    refused(edit(package, change), match)


def test_an_unknown_operator_is_named(package, edit):
    program = load_program(edit(package, lambda m, b: setattr(b.operations[-1], "type", "random_normal")))
    with pytest.raises(ConversionError, match=r"cannot be executed here: random_normal \(1\); add them"):
        execute(program, {"x": np.ones((2, 16), np.float32)})


def test_an_operation_that_fails_is_named(package, edit):
    def widen(message, block):
        block.operations[-1].outputs[0].type.tensorType.dimensions[1].constant.size = 33

    program = load_program(edit(package, widen))
    with pytest.raises(RuntimeFailedError, match=r"relu 'out' gives \[\(2, 32\)\], the program declares \[\(2, 33\)\]"):
        execute(program, {"x": np.ones((2, 16), np.float32)})

    def rename(message, block):
        block.operations[-1].inputs["beta"].CopyFrom(block.operations[-1].inputs["x"])

    program = load_program(edit(package, rename))
    with pytest.raises(RuntimeFailedError, match=r"relu 'out' cannot be computed: .*beta"):
        execute(program, {"x": np.ones((2, 16), np.float32)})


def test_wrong_inputs(intact):
    x = np.ones((2, 16), np.float32)
    for inputs, match in (
        ({}, "got the inputs none, expected exactly x"),
        ({"x": x, "y": x}, "got the inputs x, y, expected exactly x"),
        ({"x": x[:1]}, r"x is float32 \(1, 16\), expected float32 \(2, 16\)"),
        ({"x": x.astype(complex)}, r"x is complex128 \(2, 16\), expected float32"),
        ({"x": np.array([["a"] * 16] * 2)}, "x is <U1"),
    ):
        with pytest.raises(InputError, match=match):
            execute(intact, inputs)
    with pytest.raises(InputError, match=r"the reference has noise_pred; Model\.mlpackage gives out"):
        diagnose(intact, {"x": x}, {"noise_pred": x})
    with pytest.raises(InputError, match=r"the reference out has shape \(2, 16\), expected \(2, 32\)"):
        diagnose(intact, {"x": x}, {"out": x})


def test_without_coremltools_the_extra_is_named(package, monkeypatch):
    monkeypatch.setitem(sys.modules, "coremltools.proto.Model_pb2", None)
    refused(package, r"pip install 'edge-stickers\[coreml\]'", MissingDependencyError)
