"""The README's commands and its Python are run, or where they take minutes, parsed as the command line parses them."""

from __future__ import annotations

import re
import shlex
import shutil
from pathlib import Path

import pytest
from PIL import Image

from edge_stickers.cli.main import cli, run

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text()
DOCS = README + "".join(path.read_text() for path in sorted((ROOT / "docs").glob("*.md")))
"""The README, and the pages that it points to."""
CAT = ROOT / "edge_stickers/assets/stickers/cat.svg"


def blocks(language: str, text: str = DOCS) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", text, flags=re.DOTALL)


COMMANDS = [line.split("#")[0].strip() for block in blocks("sh") for line in block.splitlines()]
VERBS = [line for line in COMMANDS if line.startswith("edge-stickers ")]


def test_there_are_commands_to_run() -> None:
    assert len(VERBS) >= 8
    assert "make demo" in COMMANDS
    assert "make test" in COMMANDS


@pytest.mark.parametrize("line", VERBS)
def test_every_command_parses(line: str) -> None:
    import click

    command: click.Command = cli
    words = shlex.split(line)[1:]
    context = click.Context(cli)
    while isinstance(command, click.Group):
        found = command.get_command(context, words[0])
        assert found is not None, words[0]
        command, words = found, words[1:]
    known = {option for parameter in command.params for option in (*parameter.opts, *parameter.secondary_opts)}
    for word in words:
        if word.startswith("-"):
            assert word in known, f"{line}: no option {word}"


def test_the_python_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    (code,) = blocks("python")
    code = code.replace('load("build/android")', "load()").replace(str(CAT.relative_to(ROOT)), str(CAT))
    monkeypatch.chdir(tmp_path)
    exec(compile(code, "README.md", "exec"), {})
    assert Image.open(tmp_path / "cat.webp").n_frames == 8
    assert capsys.readouterr().out.count("frame") == 8


def test_the_animate_command_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    line = next(line for line in VERBS if " animate " in line).replace("--bundle build/android ", "")
    shutil.copy(CAT, tmp_path / "cat.svg")
    monkeypatch.chdir(tmp_path)
    assert run(shlex.split(line)[1:]) == 0
    assert Image.open(tmp_path / "cat.webp").n_frames == 8


def test_pictures_are_there() -> None:
    for source in re.findall(r'src="([^"]+)"', README):
        assert (ROOT / source).is_file(), source
