"""The command line called in this process, with what it printed."""

from __future__ import annotations

import logging
import shutil
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from edge_stickers.cli.main import run

CAT = Path(__file__).parents[2] / "edge_stickers" / "assets" / "stickers" / "cat.svg"


@pytest.fixture
def call(capsys):
    """Runs `edge-stickers ARGUMENTS` and returns `code`, `out` and `err`."""

    def run_it(*arguments):
        capsys.readouterr()
        logging.disable(logging.CRITICAL)  # as `main` does for the whole process
        if noisy := sys.modules.get("transformers.utils.logging"):
            noisy.disable_progress_bar()
        try:
            code = run([str(argument) for argument in arguments])
        finally:
            logging.disable(logging.NOTSET)
        captured = capsys.readouterr()
        return SimpleNamespace(code=code, out=captured.out, err=captured.err)

    return run_it


@pytest.fixture
def refused(call):
    """The same, for a user's mistake: one line on standard error, nothing on standard output; returns the line."""

    def run_it(*arguments, code=2):
        result = call(*arguments)
        assert result.code == code, result.err
        assert result.out == ""
        assert result.err.count("\n") == 1, result.err
        assert result.err.startswith("error: ")
        assert "Traceback" not in result.err
        assert "a bug in" not in result.err
        return result.err

    return run_it


@pytest.fixture
def model_copy(tiny_model, tmp_path):
    """A model folder that a test may damage."""
    return Path(shutil.copytree(tiny_model, tmp_path / "model"))


@pytest.fixture
def bundle_copy(tiny_bundle, tmp_path):
    """A bundle that a test may damage."""
    return Path(shutil.copytree(tiny_bundle, tmp_path / "bundle"))


@pytest.fixture
def cat():
    """A still."""
    return CAT


@pytest.fixture
def few(cat, tmp_path):
    """A folder with one sticker."""
    folder = tmp_path / "few"
    folder.mkdir()
    (folder / "cat.svg").write_bytes(cat.read_bytes())
    return folder
