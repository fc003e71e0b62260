"""The verbs around a bundle: build, convert, verify, inspect."""

from __future__ import annotations

import json
import os
import pickle
import xml.etree.ElementTree as ElementTree
from math import prod

import pytest

from edge_stickers import build as build_module
from edge_stickers.bundle.reader import folder_sha256

COMPONENTS = ["text_encoder", "image_encoder", "unet", "decoder"]


def flip(path):
    """Changes one bit in the middle of a file."""
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


@pytest.fixture
def quick_build(torchscript_runtime, tiny_cases, monkeypatch):
    """The verbs `build` and `convert` with two golden cases."""
    build = build_module.build
    monkeypatch.setattr(build_module, "build", lambda *args, **options: build(*args, cases=tiny_cases, **options))


def test_build_writes_a_bundle_that_verify_passes(call, quick_build, tiny_model, tmp_path):
    out, junit = tmp_path / "bundle", tmp_path / "parity.xml"
    built = call("build", "--model", tiny_model, "--target", "onnx", "-o", out)
    assert (built.code, built.err) == (0, "")
    for words in (*COMPONENTS, "fp32", "passed", str(out / "report.html")):
        assert words in built.out

    checked = call("verify", out, "--junit", junit, "--json")
    assert (checked.code, checked.err) == (0, "")
    assert json.loads(checked.out)["passed"] is True
    suite = ElementTree.parse(junit).getroot()[0]
    assert (suite.get("name"), suite.get("tests"), suite.get("failures")) == ("onnx", "5", "0")


def test_convert_takes_part_of_the_components(call, quick_build, tiny_model, tmp_path):
    out = tmp_path / "part"
    asked = ["convert", "--model", tiny_model, "--target", "onnx", "--precision", "fp32", "--components", "decoder"]
    result = call(*asked, "-o", out, "--json")
    assert (result.code, result.err) == (0, "")
    report = json.loads(result.out)
    assert report["passed"] is True
    assert [row["component"] for row in report["components"]] == ["decoder"]


def test_a_dry_run_says_what_it_would_make(call, tiny_model, tmp_path):
    result = call("build", "--model", tiny_model, "--dry-run", "-o", tmp_path / "b", "--json")
    assert (result.code, result.err) == (0, "")
    rows = json.loads(result.out)["components"]
    asked = [(row["target"], row["component"]) for row in rows]
    assert asked == [(target, part) for target in ("executorch", "coreml", "onnx") for part in COMPONENTS]
    table = call("build", "--model", tiny_model, "--dry-run", "-o", tmp_path / "b")
    assert "would build" in table.out
    assert not (tmp_path / "b").exists()


def test_verify_that_fell_short_ends_with_one(call, torchscript_runtime, tiny_bundle, tmp_path, monkeypatch):
    from edge_stickers.runtimes import verify as verify_module

    junit = tmp_path / "parity.xml"
    floors = verify_module.Floors(frame_mean=1e6)
    monkeypatch.setattr(verify_module, "Floors", lambda: floors)
    result = call("verify", tiny_bundle, "--junit", junit)
    assert (result.code, result.err) == (1, "")
    assert "expected at least 1e+06" in result.out
    assert result.out.count("failed") == 1  # the clips'; the components keep their floors
    assert ElementTree.parse(junit).getroot()[0].get("failures") == "1"


def test_verify_where_nothing_can_run(call, torchscript_runtime, tiny_bundle, monkeypatch):
    from edge_stickers.runtimes import verify as verify_module

    reason = "x is not installed; run: pip install x"
    monkeypatch.setattr(verify_module, "availability", lambda name, backend="": reason)
    result = call("verify", tiny_bundle)
    assert result.code == 3
    assert result.out.count("not run") == 5
    assert result.err.count("\n") == 1
    assert f"could run here: {reason}" in result.err


@pytest.mark.parametrize("verb", ["verify", "inspect"])
def test_damaged_bundles(refused, bundle_copy, tmp_path, verb):
    program = bundle_copy / "onnx" / "decoder" / "model.ts"
    whole = program.read_bytes()
    flip(program)
    assert f"{program} was altered" in refused(verb, bundle_copy)
    program.write_bytes(whole[:-1])
    assert f"{program} has {len(whole) - 1} bytes" in refused(verb, bundle_copy)
    program.unlink()
    assert f"{program} cannot be read" in refused(verb, bundle_copy)
    program.write_bytes(whole)
    (bundle_copy / "manifest.json").write_text("{}")
    assert "manifest.json is damaged" in refused(verb, bundle_copy)
    assert not list(tmp_path.glob("*.xml"))


def test_folders_that_are_no_bundle(refused, tmp_path):
    assert "is no folder" in refused("verify", tmp_path / "missing")
    assert "manifest.json cannot be read" in refused("verify", tmp_path)
    assert "does not exist" in refused("inspect", tmp_path / "missing")
    assert "has neither manifest.json nor model_index.json" in refused("inspect", tmp_path)


def test_runtimes_that_a_bundle_has_not(refused, tiny_bundle):
    assert "no runtime named 'tflite'; known: " in refused("verify", tiny_bundle, "--runtime", "tflite")
    assert "has no target 'coreml', only onnx" in refused("verify", tiny_bundle, "--runtime", "coreml")


def test_builds_that_cannot_be(refused, tiny_model, tmp_path):
    before = tmp_path / "mine"
    before.mkdir()
    (before / "notes.txt").write_text("keep")
    assert "holds other files" in refused("build", "--model", tiny_model, "-o", before)
    assert "no target named 'tflite'; known: " in refused(
        "build", "--model", tiny_model, "--target", "tflite", "-o", tmp_path / "b"
    )
    line = refused("build", "--model", tmp_path / "none", "--target", "onnx", "-o", tmp_path / "b")
    assert "no model folder" in line
    asked = ["convert", "--model", tiny_model, "--target", "onnx", "--precision", "fp32", "--components", "vae"]
    assert "no component named 'vae'; known: text_encoder" in refused(*asked, "-o", tmp_path / "b")
    assert [path.name for path in tmp_path.iterdir()] == ["mine"]
    assert (before / "notes.txt").read_text() == "keep"


def test_a_model_with_weights_cut_short_leaves_the_older_bundle(refused, model_copy, bundle_copy):
    weights = next((model_copy / "vae").glob("*.safetensors"))
    weights.write_bytes(weights.read_bytes()[:-8])
    before = folder_sha256(bundle_copy)
    assert "cannot be loaded" in refused("build", "--model", model_copy, "--target", "onnx", "-o", bundle_copy)
    assert folder_sha256(bundle_copy) == before


def test_inspect_shows_a_bundle(call, tiny_bundle):
    report = json.loads(call("inspect", tiny_bundle, "--json").out)
    assert report["kind"] == "bundle"
    files = [path for path in tiny_bundle.rglob("*") if path.is_file()]
    assert report["checked_files"] == len(files) - 1  # all but the manifest
    manifest = (tiny_bundle / "manifest.json").stat().st_size
    assert report["bytes"] == sum(path.stat().st_size for path in files) - manifest
    shown = call("inspect", tiny_bundle)
    assert (shown.code, shown.err) == (0, "")
    for words in (*COMPONENTS, "all intact", "Twemoji", "CC-BY-4.0", "1, 2, 4, 8; 4 unless told otherwise"):
        assert words in shown.out


def test_inspect_counts_a_model(call, tiny_model, tiny_pipeline):
    report = json.loads(call("inspect", tiny_model, "--json").out)
    for name in ("unet", "vae", "text_encoder"):
        module = getattr(tiny_pipeline, name)
        part = report["components"][name]
        assert part["class"] == type(module).__name__
        assert part["parameters"] == sum(value.numel() for value in module.state_dict().values())
        assert part["dtypes"] == ["F32"]
    shown = call("inspect", tiny_model)
    assert (shown.code, shown.err) == (0, "")
    assert f"{report['components']['unet']['parameters']:,}" in shown.out


def test_inspect_reads_single_files(call, refused, tiny_model, tmp_path):
    weights = next((tiny_model / "vae").glob("*.safetensors"))
    report = json.loads(call("inspect", weights, "--json").out)
    assert report["parameters"] == sum(prod(tensor["shape"]) for tensor in report["tensors"].values()) > 1000
    short, harm = tmp_path / "short.safetensors", tmp_path / "harm.safetensors"
    short.write_bytes(weights.read_bytes()[:-1])
    assert "is no whole safetensors file" in refused("inspect", short)

    class Harm:
        def __reduce__(self):
            return (os.mkdir, (str(tmp_path / "harmed"),))

    harm.write_bytes(pickle.dumps(Harm()))
    assert "is no whole safetensors file" in refused("inspect", harm)
    assert not (tmp_path / "harmed").exists()
    for name, data, message in (
        ("a.pte", b"\0" * 16, "is no ExecuTorch program"),
        ("a.onnx", b"\xff" * 16, "is no ONNX file"),
        ("a.bin", b"\0", "is of no known kind"),
    ):
        (tmp_path / name).write_bytes(data)
        assert message in refused("inspect", tmp_path / name)


def test_inspect_lists_the_operators_of_an_onnx_file(call, tmp_path):
    onnx = pytest.importorskip("onnx", reason="the package onnx is not installed")
    from onnx import TensorProto, helper

    names = [helper.make_tensor_value_info(name, TensorProto.FLOAT, ["B", 3]) for name in ("x", "y")]
    nodes = [helper.make_node("Relu", ["x"], ["t"]), helper.make_node("Neg", ["t"], ["u"])]
    nodes.append(helper.make_node("Relu", ["u"], ["y"]))
    model = helper.make_model(helper.make_graph(nodes, "g", names[:1], names[1:]))
    onnx.save(model, tmp_path / "m.onnx")
    report = json.loads(call("inspect", tmp_path / "m.onnx", "--json").out)
    assert report["operators"] == {"Relu": 2, "Neg": 1}
    assert report["inputs"] == ["x (B, 3)"]
