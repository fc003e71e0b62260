"""Runs saved Core ML ML programs on PyTorch, so that a package made on Linux is proven without a Mac.

>>> from edge_stickers.convert.coreml_executor import diagnose, execute, load_program
>>> program = load_program(Path("Unet.mlpackage"))  # doctest: +SKIP
>>> outputs = execute(program, inputs, precision="fp16")  # doctest: +SKIP

What it computes are the operators' definitions, each result rounded to the type that the program declares. What happens
inside one operator is float32: an engine that adds up in float16 loses more than is seen here.
"""

from __future__ import annotations

from edge_stickers.convert.coreml_executor.diagnosis import diagnose
from edge_stickers.convert.coreml_executor.interpreter import execute
from edge_stickers.convert.coreml_executor.package import load_program
from edge_stickers.convert.coreml_executor.program import Program
from edge_stickers.convert.coreml_executor.report import ExecutionReport, OperatorReport, OutputReport

__all__ = ["ExecutionReport", "OperatorReport", "OutputReport", "Program", "diagnose", "execute", "load_program"]
