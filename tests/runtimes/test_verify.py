"""Verification finds what is wrong, names what did not run, and outlives what it runs."""

from __future__ import annotations

import json
import shutil
import xml.etree.ElementTree as ElementTree
from pathlib import Path

import numpy as np
import pytest
import torch

from edge_stickers.bundle.reader import Bundle, file_entry
from edge_stickers.errors import BundleError, InputError
from edge_stickers.runtimes.outcome import ClipRow, ComponentRow, VerifyReport
from edge_stickers.runtimes.verify import Floors, flicker_difference, verify


@pytest.fixture
def replaced(torchscript_runtime, tiny_bundle, tmp_path):
    """A copy of the bundle in which one component is another program, the hashes being right."""

    def replace(component: str, change) -> Path:
        folder = Path(shutil.copytree(tiny_bundle, tmp_path / "bundle"))
        path = folder / "onnx" / component / "model.ts"
        change(path)
        manifest = json.loads((folder / "manifest.json").read_text())
        entry = file_entry(folder, path).model_dump()
        manifest["targets"]["onnx"]["components"][component]["files"] = [entry]
        (folder / "manifest.json").write_text(json.dumps(manifest))
        return folder

    return replace


class Off(torch.nn.Module):
    """Another module whose result is a little larger."""

    def __init__(self, inner: torch.nn.Module, factor: float) -> None:
        super().__init__()
        self.inner = inner
        self.factor = factor

    def forward(self, sample, timestep, context_kv, image_latents, motion_strength):
        return self.inner(sample, timestep, context_kv, image_latents, motion_strength) * self.factor


def scaled(factor: float):
    def change(path: Path) -> None:
        torch.jit.script(Off(torch.jit.load(path), factor)).save(str(path))

    return change


def status(report: VerifyReport) -> dict[str, str]:
    return {row.component: row.status for row in report.components} | {"clip": report.clips[0].status}


def test_an_intact_bundle_passes(torchscript_runtime, tiny_bundle):
    said: list[str] = []
    report = verify(tiny_bundle, threads=1, progress=said.append)
    assert report.passed
    assert report.ran
    assert set(status(report).values()) == {"passed"}
    assert report.clips[0].mean_psnr_db > 50
    assert set(report.clips[0].frames) == {"cat", "rocket"}
    assert {len(values) for values in report.clips[0].frames.values()} == {8}
    assert report.clips[0].flicker < 0.002
    assert "onnx unet" in said


def test_a_component_a_little_off_is_found_at_its_level(replaced):
    """A factor of 1.001 is a noise of 60 dB below the signal by definition."""
    report = verify(replaced("unet", scaled(1.0015)), threads=1)
    row = next(row for row in report.components if row.component == "unet")
    assert row.snr_db == pytest.approx(-20 * np.log10(0.0015), abs=0.1)
    assert not report.passed
    assert status(report) == {
        "text_encoder": "passed", "image_encoder": "passed", "unet": "failed", "decoder": "passed", "clip": "passed",
    }  # fmt: skip
    assert "dB SNR, expected at least 60" in row.reason


def test_floors_are_the_callers(replaced):
    folder = replaced("unet", scaled(1.0015))
    assert verify(folder, threads=1, floors=Floors(snr={"fp32": 50.0})).passed
    report = verify(folder, threads=1, floors=Floors(snr={}, frame_mean=150.0))
    assert status(report)["unet"] == "passed"
    assert "on average, expected at least 150" in report.clips[0].reason


@pytest.mark.parametrize("behaviour", ["garbage", "nan"])
def test_what_cannot_run_or_is_not_finite_is_a_failed_row(replaced, behaviour):
    change = scaled(float("nan")) if behaviour == "nan" else lambda path: path.write_bytes(b"no program")
    report = verify(replaced("unet", change), threads=1)
    assert status(report) == {
        "text_encoder": "passed", "image_encoder": "passed", "unet": "failed", "decoder": "passed", "clip": "failed",
    }  # fmt: skip
    assert all(row.reason for row in (report.components[2], report.clips[0]))
    json.dumps(report.to_json(), allow_nan=False)


def test_a_crash_is_a_failed_row(torchscript_runtime, tiny_bundle, tmp_path, monkeypatch):
    from edge_stickers.runtimes.base import RUNTIMES

    runtime = RUNTIMES["onnx"]
    was = runtime.opener
    object.__setattr__(runtime, "opener", "doubles:open_crashing_decoder")
    try:
        report = verify(tiny_bundle, threads=1)
    finally:
        object.__setattr__(runtime, "opener", was)
    assert status(report)["unet"] == "passed"
    assert status(report)["decoder"] == status(report)["clip"] == "failed"
    assert "crashed (signal 11) while running decoder" in report.components[3].reason


def test_what_this_machine_lacks_is_named(torchscript_runtime, tiny_bundle):
    from edge_stickers.runtimes.base import RUNTIMES

    runtime = RUNTIMES["onnx"]
    was = runtime.modules
    object.__setattr__(runtime, "modules", ("not_installed_anywhere",))
    try:
        report = verify(tiny_bundle)
    finally:
        object.__setattr__(runtime, "modules", was)
    assert report.passed
    assert not report.ran
    reasons = {row.reason for row in report.rows}
    assert reasons == {"not_installed_anywhere is not installed; run: pip install 'edge-stickers[onnx]'"}


def test_asking_for_what_is_not_there(tiny_bundle):
    with pytest.raises(BundleError, match="no target 'coreml', only onnx"):
        verify(tiny_bundle, ["coreml"])
    with pytest.raises(InputError, match="no runtime named 'tflite'"):
        verify(Bundle.open(tiny_bundle), ["tflite"])


def test_flicker_is_of_the_change_alone():
    still = np.full((8, 4, 2, 2), 0.5, np.float32)
    assert flicker_difference(still, still + 0.1) == pytest.approx(0.0, abs=1e-7)
    blinking = still.copy()
    blinking[::2] += 0.1
    assert flicker_difference(still, blinking) == pytest.approx(0.1, abs=1e-6)


def test_junit_counts_and_survives_any_text():
    rows = (
        ComponentRow("onnx", "unet", "int8", "passed", 31.25, None, "cat/3"),
        ComponentRow("onnx", "decoder", "int8", "failed", reason="bad \x00 <&> \ud800 byte"),
    )
    clips = (
        ClipRow("onnx", "int8", "passed", 36.0, 31.0, "cat/5", 0.01),
        ClipRow("coreml", "fp16", "not run", reason="coreml needs macOS"),
    )
    root = ElementTree.fromstring(VerifyReport("b", rows, clips).to_junit().split("\n", 1)[1])
    assert [(s.get("name"), s.get("tests"), s.get("failures"), s.get("skipped")) for s in root] == [
        ("onnx", "3", "1", "0"), ("coreml", "1", "0", "1"),
    ]  # fmt: skip
    assert root.find("testsuite/testcase/failure").get("message") == "bad ? <&> ? byte"
