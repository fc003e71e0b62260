"""How values are held, and that the registry, the layering and the tests keep up with each other."""

from __future__ import annotations

import re
import subprocess
import sys
from dataclasses import FrozenInstanceError
from pathlib import Path

import numpy as np
import pytest
import torch

from edge_stickers.convert.coreml_executor import ExecutionReport, OperatorReport, OutputReport
from edge_stickers.convert.coreml_executor.operators import OPERATORS
from edge_stickers.convert.coreml_executor.types import ELEMENT_TYPES
from edge_stickers.convert.coreml_executor.values import FP16_MAX, FP16_SMALLEST, held


def test_floats_are_rounded_as_numpy_rounds_them_and_only_where_the_program_says_so():
    edges = [0.0, 1e-8, FP16_SMALLEST, FP16_SMALLEST / 2, 3e-8, 6.1e-5, 1 / 3, 2049.0, FP16_MAX, 65519.0, 65520.0, -1e9]
    values = torch.tensor(edges)
    rounded = held(values, ELEMENT_TYPES["fp16"], "fp16")
    with np.errstate(over="ignore"):
        expected = np.float32(edges).astype(np.float16).astype(np.float32)
    assert rounded.tolist() == expected.tolist()
    assert rounded.tolist() != values.tolist()
    assert held(values, ELEMENT_TYPES["fp16"], "fp32").tolist() == values.tolist()
    assert held(values, ELEMENT_TYPES["fp32"], "fp16").tolist() == values.tolist()
    assert (65504.0, float(np.finfo(np.float16).smallest_subnormal)) == (FP16_MAX, FP16_SMALLEST)


@pytest.mark.parametrize("name", ["int8", "uint8", "int16", "uint16", "int32", "uint32"])
def test_integers_are_cut_towards_zero_and_wrap(name):
    values = np.array([-2.7, 2.7, 127.0, 128.0, 255.0, 256.0, 65535.0, 65536.0, 70000.0])
    expected = values.astype(np.int64).astype(name)
    assert held(torch.from_numpy(values), ELEMENT_TYPES[name], "fp16").tolist() == expected.tolist()


def test_every_operator_is_tested():
    text = "".join(path.read_text() for path in Path(__file__).parent.glob("test_*.py"))
    words = set(re.findall(r"\w+", text))
    assert not {name for name in OPERATORS if name not in words and name.removeprefix("reduce_") not in words}


def test_importing_the_executor_imports_no_coremltools():
    code = "import sys, edge_stickers.convert.coreml_executor; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "coremltools" not in done.stdout.split()


def test_a_report_counts_by_operator_and_is_frozen():
    def row(operator, snr_db, *, overflowed=0, lost=0):
        return OperatorReport(operator, operator, "fp16", (1,), snr_db, overflowed, lost, 0)

    rows = (row("mul", float("inf"), lost=2), row("conv", 30.0, overflowed=3), row("mul", 60.0, lost=5))
    report = ExecutionReport(40.0, rows, (OutputReport("out", 50.0, 90.0),), rows[1])
    assert report.lost == {"mul": 7}
    assert report.overflowed == {"conv": 3}
    assert report.passed  # the output reaches the floor, though an operator on the way does not
    assert [each.operator for each in report.worst(2)] == ["conv", "mul"]
    assert report.to_json()["operators"][0]["snr_db"] == "inf"
    assert not ExecutionReport(40.0, rows, (), rows[1]).passed
    with pytest.raises(FrozenInstanceError):
        report.floor_db = 0.0
