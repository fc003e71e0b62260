"""The shape of the tree: which way imports flow, where vendors are imported, how long a file is, what ships."""

from __future__ import annotations

import ast
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "edge_stickers"
LAYERS = (
    {"", "errors", "config", "spec"},
    {"models"},
    {"sampling"},
    {"media"},
    {"data"},
    {"evaluation"},
    {"training"},
    {"bundle"},
    {"quantize"},
    {"convert"},
    {"runtimes"},
    {"build", "build_video_unet", "animator", "evaluate_animator", "prune_sweep"},
    {"cli"},
)
"""A part imports from its own layer and from those before it; "" is the package itself, which imports lazily."""
VENDORS = {
    "executorch",
    "torchao",
    "coremltools",
    "sklearn",
    "onnx",
    "onnxscript",
    "onnxruntime",
    "optimum",
    "accelerate",
    "tensorboard",
    "emoji",
    "matplotlib",
    "torch_pruning",
}
"""What an extra brings: imported inside the functions that use it, so that all else works without."""
VENDOR_FILES = ("convert/targets/xnnpack.py",)
"""Files that are imported only where their vendor is known to be there, and so may import it on top."""
MAX_LINES = 400


def sources(folder=PACKAGE):
    """Python files, those behind the links `convert` and `quantize` included."""
    found = [path for path in folder.rglob("*.py")]
    for link in ("convert", "quantize"):
        if folder == PACKAGE and not any(path.is_relative_to(PACKAGE / link) for path in found):
            found += (PACKAGE / link).rglob("*.py")
    return sorted(found)


def name_of(path):
    return path.relative_to(PACKAGE).as_posix()


def imports(tree, *, top_only=False):
    """(line, module) of every import that runs; those under `if TYPE_CHECKING` do not."""
    pending = list(tree.body)
    while pending:
        node = pending.pop()
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"line {node.lineno}: relative import"
            yield node.lineno, node.module
            if node.module == "edge_stickers":
                yield from ((node.lineno, f"edge_stickers.{alias.name}") for alias in node.names)
        elif isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING":
            pending += node.orelse
        elif not (top_only and isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda)):
            pending += ast.iter_child_nodes(node)


def layer(part):
    found = [index for index, parts in enumerate(LAYERS) if part in parts]
    assert found, f"edge_stickers.{part} has no layer: give it one in LAYERS"
    return found[0]


def part_of(module):
    """`edge_stickers.data.svg` → `data`; a name that the package itself defines → "" (the package)."""
    words = module.split(".")
    if len(words) == 1:
        return ""
    there = (PACKAGE / words[1]).is_dir() or (PACKAGE / f"{words[1]}.py").is_file()
    return words[1] if there else ""


@pytest.mark.parametrize("path", sources(), ids=name_of)
def test_imports_flow_one_way(path):
    here = path.relative_to(PACKAGE).with_suffix("").parts[0].replace("__init__", "")
    wrong = [
        f"line {line} imports {module}"
        for line, module in imports(ast.parse(path.read_text()))
        if module.split(".")[0] == "edge_stickers" and layer(part_of(module)) > layer(here)
    ]
    assert not wrong, f"{name_of(path)}: {'; '.join(wrong)}"


@pytest.mark.parametrize("path", sources(), ids=name_of)
def test_vendors_are_imported_where_they_are_used(path):
    tree = ast.parse(path.read_text())
    wrong = [
        f"line {line}: {module}" for line, module in imports(tree, top_only=True) if module.split(".")[0] in VENDORS
    ]
    assert not wrong or name_of(path) in VENDOR_FILES, f"{name_of(path)}: {'; '.join(wrong)}"


def test_the_links_are_imported_through_the_package_alone():
    folders = [PACKAGE, *(ROOT / name for name in ("tests", "benchmarks", "apps", "optimum") if (ROOT / name).is_dir())]
    wrong = [
        f"{path}, line {line}: {module}"
        for folder in folders
        for path in sources(folder)
        for line, module in imports(ast.parse(path.read_text()))
        if module.split(".")[0] in ("convert", "quantize")
    ]
    assert not wrong


def test_the_links_point_at_the_folders_beside_the_package():
    for name in ("convert", "quantize"):
        assert (PACKAGE / name).is_symlink()
        assert (PACKAGE / name).resolve() == (ROOT / name).resolve()
        assert (ROOT / name / "__init__.py").is_file()


@pytest.mark.parametrize("path", sources(), ids=name_of)
def test_every_file_is_short_and_says_what_it_is_for(path):
    text = path.read_text()
    assert len(text.splitlines()) <= MAX_LINES
    tree = ast.parse(text)
    purpose = ast.get_docstring(tree)
    assert purpose
    assert "TODO" not in purpose
    assert path.stem not in ("utils", "helpers", "common")
    if len(tree.body) > 1:
        assert "from __future__ import annotations" in text


def imported_by(module):
    """Top-level names in `sys.modules` after importing a module in a fresh interpreter."""
    code = f"import sys, {module}; print(*{{name.split('.')[0] for name in sys.modules}})"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return set(done.stdout.split())


@pytest.mark.slow
def test_training_imports_no_converter_and_running_a_bundle_no_trainer():
    assert not imported_by("edge_stickers.training.loop") & {"executorch", "coremltools", "onnx", "onnxruntime"}
    heavy = {"torch", "diffusers", "transformers", "accelerate", "tensorboard", "emoji", "matplotlib"}
    assert not imported_by("edge_stickers.animator") & heavy


@pytest.mark.slow
def test_the_wheel_holds_the_package_and_nothing_else(tmp_path):
    tree = tmp_path / "tree"  # a copy, for building leaves files behind
    shutil.copytree(
        ROOT,
        tree,
        symlinks=True,
        ignore=lambda folder, names: {
            name for name in names if name in (".venv", ".git", "build", "node_modules") or name.endswith(".egg-info")
        },
    )
    options = ["--quiet", "--no-deps", "--no-build-isolation", "--wheel-dir", str(tmp_path)]
    done = subprocess.run(
        [sys.executable, "-m", "pip", "wheel", *options, str(tree)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr[-2000:]
    (wheel,) = tmp_path.glob("edge_stickers-*.whl")
    with zipfile.ZipFile(wheel) as archive:
        entries = {entry.filename: entry for entry in archive.infolist()}
        beside = {name.split("/")[0] for name in entries}
        assert {name for name in beside if name != "optimum"} == {
            "edge_stickers",
            next(name for name in beside if name.endswith(".dist-info")),
        }
        assert all(name.startswith("optimum/commands/register/") for name in entries if name.startswith("optimum/"))
        for path in sources():
            name = f"edge_stickers/{name_of(path)}"
            assert archive.read(name) == path.read_bytes(), name
            assert entries[name].external_attr >> 28 != 0o12, f"{name} is a link"
        for needed in ("py.typed", "assets/stickers/cat.svg"):
            assert f"edge_stickers/{needed}" in entries
        if (PACKAGE / "assets" / "student").is_dir():
            kept = {p.relative_to(ROOT).as_posix() for p in (PACKAGE / "assets" / "student").rglob("*") if p.is_file()}
            assert kept <= entries.keys()
        assert sum(name.endswith("licenses/LICENSE") for name in entries) == 1
