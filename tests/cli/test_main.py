"""Starting, help, and every way to fail that is no verb's own."""

from __future__ import annotations

import errno
import json
import shlex
import subprocess
import sys
from pathlib import Path

import click
import pytest

from edge_stickers import __version__, errors
from edge_stickers.cli import main
from edge_stickers.cli.main import VERBS, explain

LATER = ("bench", "review", "serve")
GROUPS = {"train": ("autoencoder", "denoiser", "student"), "data": ("fetch", "preview")}
COMMANDS = [(verb,) for verb in VERBS] + [(group, name) for group, names in GROUPS.items() for name in names]


def python(code, *arguments):
    return subprocess.run([sys.executable, "-c", code, *arguments], capture_output=True, text=True, check=False)


def edge_stickers(*arguments, **options):
    command = [sys.executable, "-m", "edge_stickers.cli.main", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False, **options)


def test_importing_the_package_costs_nothing():
    done = python("import time; a = time.process_time(); import edge_stickers; print(time.process_time() - a)")
    assert float(done.stdout) < 0.3


@pytest.mark.parametrize("arguments", ["--help", "--version", "animate --help", "train student --help", "build --help"])
def test_help_starts_without_anything_heavy(arguments):
    code = (
        "import sys, time\nfrom edge_stickers.cli.main import run\n"
        "run(sys.argv[1:])\n"
        "print(sorted({'torch', 'numpy', 'PIL', 'rich', 'pydantic', 'transformers', 'diffusers'} & set(sys.modules)))\n"
        "print(time.process_time())"
    )
    *_, heavy, seconds = python(code, *arguments.split()).stdout.splitlines()
    assert heavy == "[]"
    assert float(seconds) < 0.5


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_every_help_ends_with_examples_that_parse(call, command):
    result = call(*command, "--help")
    assert (result.code, result.err) == (0, "")
    assert "Examples:" in result.out
    examples = [line.strip() for line in result.out.split("Examples:")[1].splitlines()]
    examples = [line for line in examples if line.startswith("edge-stickers ")]
    assert examples
    for example in examples:
        _parses(example)


def _parses(example):
    """The example's options and arguments are known to its verb; nothing is run."""
    words = shlex.split(example.split(" > ")[0])[1:]
    command, context = main.cli, main.cli.make_context("edge-stickers", words[:1])
    while isinstance(command, click.Group):
        name, command, words = command.resolve_command(context, words)
        first = words[:1] if isinstance(command, click.Group) else words
        context = command.make_context(name, list(first), parent=context)


def test_help_lists_the_verbs_of_this_version_alone(call):
    shown = call("--help").out
    for verb in VERBS:
        assert f"\n  {verb} " in shown
    for verb in LATER:
        assert f"\n  {verb} " not in shown
    assert "Exit codes" in shown


def test_version(call):
    assert call("--version").out == f"edge-stickers {__version__}\n"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["anim"], "No such command 'anim'"),
        (["serve"], "No such command 'serve'"),
        (["animate", "--fps", "3"], "No such option '--fps'"),
        (["animate"], "Missing argument 'STILL'"),
        (["animate", "a.png", "--prompt", "x", "-o", "b.webp", "--runtime", "tflite"], "'tflite' is not one of"),
        (["animate", "a.png", "--prompt", "x", "-o", "b.webp", "--motion", "2"], "2.0 is not in the range"),
        (["animate", "a.png", "--prompt", "x", "-o", "b.webp", "--seed", "-1"], "-1 is not in the range"),
        (["animate", "a.png", "--prompt", "x", "-o", "b.webp", "--model", "m", "--bundle", "b"], "exclude each other"),
        (["build", "--target", ",", "-o", "b"], "expected names with commas between"),
        (["convert", "--model", "m", "--target", "onnx", "-o", "b"], "give one of --precision and --recipe"),
        (["train", "teacher"], "No such command 'teacher'"),
    ],
)
def test_usage_errors_are_one_line_with_a_hint(refused, arguments, message):
    line = refused(*arguments)
    assert message in line
    assert line.rstrip().endswith("--help")


@pytest.mark.parametrize(
    ("error", "code", "words"),
    [
        (errors.InputError("a\nb"), 2, "error: a b"),
        (errors.BundleError("x"), 2, "error: x"),
        (errors.MissingDependencyError("x"), 3, "error: x"),
        (errors.ConversionError("x"), 1, "error: x"),
        (errors.RuntimeFailedError("x"), 1, "error: x"),
        (KeyboardInterrupt(), 130, "interrupted"),
        (BrokenPipeError(errno.EPIPE, "Broken pipe"), 141, ""),
        (OSError(errno.ENOSPC, "No space left on device", "out"), 2, "error: out: the disk is full"),
        (PermissionError(errno.EACCES, "Permission denied", "out"), 2, "error: out: Permission denied"),
        (ModuleNotFoundError("No module named 'onnx'", name="onnx"), 3, "pip install 'edge-stickers[all]'"),
        (ModuleNotFoundError("x", name="edge_stickers.nowhere"), 70, "a bug in edge-stickers"),
        (ZeroDivisionError("division\nby zero"), 70, "(ZeroDivisionError: division by zero)"),
        (AssertionError(), 70, "(AssertionError)"),
    ],
)
def test_each_error_has_its_code_and_one_line(error, code, words):
    got, line = explain(error)
    assert got == code
    assert words in line
    assert "\n" not in line


def test_a_bug_shows_its_traceback_when_asked(call, monkeypatch):
    def broken(group, context, name):
        raise ZeroDivisionError("oh")

    monkeypatch.setattr(main.Verbs, "get_command", broken)
    quiet, loud = call("inspect", "x"), call("--debug", "inspect", "x")
    assert quiet.code == loud.code == 70
    assert quiet.err.count("\n") == 1
    assert "--debug" in quiet.err
    assert "Traceback" in loud.err
    assert "in broken" in loud.err


def test_json_on_a_full_disk_and_in_a_closed_pipe(tiny_model):
    if not Path("/dev/full").exists():
        pytest.skip("this system has no /dev/full")
    command = [sys.executable, "-m", "edge_stickers.cli.main", "inspect", str(tiny_model), "--json"]
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(command, stdout=full, stderr=subprocess.PIPE, text=True, check=False)
    assert (done.returncode, done.stderr) == (2, "error: the disk is full; free some space and try again\n")

    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    process.stdout.close()
    assert process.stderr.read() == ""
    process.stderr.close()
    assert process.wait() == 141


@pytest.mark.slow
def test_a_command_that_succeeds_says_nothing_on_standard_error(tiny_model, cat, tmp_path):
    out = tmp_path / "o.webp"
    done = edge_stickers(
        "animate", cat, "--prompt", "the cat hops", "--model", tiny_model, "--json", "-o", out, cwd=tmp_path
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert json.loads(done.stdout)["frames"] == 8
    assert [path.name for path in tmp_path.iterdir()] == ["o.webp"]
