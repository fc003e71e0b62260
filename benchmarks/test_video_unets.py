"""Diffusers' video UNets, small and randomly initialised: PyTorch eager, ExecuTorch, ONNX Runtime, in one run.

    python -m pytest benchmarks/test_video_unets.py [--rounds 10] [-k UNetMotionModel]

The weights mean nothing; the layers, their number and their order are the real classes' own. Lowering each for XNNPACK
takes a minute or two.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from benchmarks.alternation import Alternation, Contender
from edge_stickers.build_video_unet import build_video_unet
from edge_stickers.bundle.manifest import tensor_entries
from edge_stickers.models.video_unets import VIDEO_UNETS, ClipShape, example_inputs, load_video_unet, video_unet_spec
from edge_stickers.runtimes.base import runtime
from edge_stickers.runtimes.framing import Array
from edge_stickers.runtimes.process import Program, Worker, WorkerSession
from edge_stickers.spec import ComponentSpec
from tests.video_unets import video_unet

WIDTHS = (64, 128)
SHAPE = ClipShape(frames=8, height=32, width=32, tokens=77)
OPENERS = {"executorch": runtime("executorch").opener, "onnx": runtime("onnx").opener}


@pytest.mark.parametrize("kind", VIDEO_UNETS)
def test_video_unet(kind: str, compare: Callable[..., object], tmp_path: Path) -> None:
    folder = tmp_path / "unet"
    video_unet(kind, widths=WIDTHS, size=32).save_pretrained(folder)
    # One program each, as eager has it: what the steps of a clip share is no contender's gain.
    report = build_video_unet(folder, list(OPENERS), tmp_path / "out", shape=SHAPE, whole=True)
    assert report.passed
    spec = video_unet_spec(load_video_unet(folder), SHAPE)
    values = zip(spec.inputs, example_inputs(spec, 501.0, 0), strict=True)
    inputs = {entry.name: value.numpy() for entry, value in values}
    programs = json.loads((tmp_path / "out" / "report.json").read_text())["programs"]
    places = {program["target"]: tmp_path / "out" / program["entry"] for program in programs}
    contenders = [_contender("PyTorch eager fp32", "benchmarks.eager:open_program", folder, spec, inputs)]
    for row in report.components:
        title = f"{row.target} ({row.delegate_calls} delegate calls, {sum((row.undelegated or {}).values())} outside)"
        contenders.append(_contender(title, OPENERS[row.target], places[row.target], spec, inputs))
    compare(f"{kind}, widths {WIDTHS}", Alternation(contenders), rates=None)


def _contender(title: str, opener: str, path: Path, spec: ComponentSpec, inputs: Mapping[str, Array]) -> Contender:
    entries = tensor_entries(spec.inputs), tensor_entries(spec.outputs)
    session = WorkerSession(Worker(title, opener), Program("unet", path, *entries))

    def run() -> float:
        session.run(inputs)
        return session.worker.seconds

    return Contender(title, run, 0.0)
