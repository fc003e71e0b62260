"""The command inside optimum's own command line."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

CLI = Path(sys.executable).with_name("optimum-cli")


def optimum(*arguments):
    return subprocess.run([CLI, "export", *map(str, arguments)], capture_output=True, text=True, check=False)


@pytest.mark.slow
@pytest.mark.skipif(not CLI.exists(), reason="optimum is not installed")
def test_optimum_knows_the_command_and_a_mistake_is_one_line(tmp_path):
    listed = optimum("--help")
    assert "edge-stickers" in listed.stdout and "ExecuTorch" in listed.stdout
    refused = optimum(
        "edge-stickers", "--model", tmp_path, "--target", "onnx", "--precision", "fp32", "-o", tmp_path / "o"
    )
    assert refused.returncode == 2 and not (tmp_path / "o").exists()
    assert refused.stderr.splitlines()[-1].startswith(f"error: {tmp_path} is no model folder")
