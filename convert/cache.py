"""Conversions kept by what they were made from: the same weights, code, options and tools need no second lowering.

An entry is a folder named by its key, with the files as they lie in a bundle and `artifact.json`. Entries come into
being by a rename, so that two runs at once at worst do the same work twice.
"""

from __future__ import annotations

import contextlib
import hashlib
import importlib.metadata
import json
import os
import platform
import secrets
import shutil
import time
from collections.abc import Iterator
from dataclasses import asdict, replace
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any

from torch import fx, nn

from edge_stickers.bundle.reader import file_sha256
from edge_stickers.convert.targets.base import Artifact, Target
from edge_stickers.quantize.recipe import Recipe
from edge_stickers.spec import ComponentSpec, TensorSpec

LIMIT_BYTES = 2_000_000_000
"""What all entries together may take; those that were not used for longest go first."""
_RECORD = "artifact.json"
_TOOLS = ("torch", "diffusers", "transformers", "numpy", "executorch", "torchao", "coremltools", "onnx", "onnxscript")


class ConversionCache:
    """A folder of conversions.

    Args:
        folder: where it is or shall be; the user's cache folder where None.
        limit_bytes: of all entries together.
    """

    def __init__(self, folder: Path | None = None, *, limit_bytes: int = LIMIT_BYTES) -> None:
        if folder is None:
            from edge_stickers.data.stickers import cache_folder

            folder = cache_folder() / "conversions"
        self.folder, self.limit_bytes = folder, limit_bytes

    def take(self, key: str, folder: Path) -> Artifact | None:
        """Copies what was made with that key into a bundle.

        Args:
            key: see `conversion_key`.
            folder: of the bundle.

        Returns:
            What lies there now; None where it was not made yet, or cannot be read, or was altered.
        """
        start = time.perf_counter()
        with contextlib.suppress(OSError, ValueError, KeyError, TypeError):
            return replace(_take(self.folder / key, folder), seconds=time.perf_counter() - start, reused=True)
        return None

    def keep(self, key: str, artifact: Artifact, folder: Path) -> None:
        """Keeps a copy of what lies in a bundle; a cache that cannot be written is no error."""
        with contextlib.suppress(OSError):
            self._write(self.folder / key, artifact, folder)
            self._prune()

    def _write(self, entry: Path, artifact: Artifact, folder: Path) -> None:
        part = self.folder / f".{secrets.token_hex(6)}.part"
        try:
            for path in artifact.files:
                (part / path).parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(folder / path, part / path)
            hashes = {path.as_posix(): file_sha256(folder / path) for path in artifact.files}
            record = {"artifact": asdict(artifact), "sha256": hashes}
            (part / _RECORD).write_text(json.dumps(record, default=str), encoding="utf-8")
            shutil.rmtree(entry, ignore_errors=True)  # one that could not be read
            part.rename(entry)
        finally:
            shutil.rmtree(part, ignore_errors=True)

    def _prune(self) -> None:
        entries = sorted(
            (path for path in self.folder.iterdir() if path.is_dir()), key=lambda path: path.stat().st_mtime
        )
        sizes = {path: sum(file.stat().st_size for file in path.rglob("*") if file.is_file()) for path in entries}
        total = sum(sizes.values())
        for path in entries[:-1]:  # the newest stays, however large
            if total <= self.limit_bytes:
                break
            shutil.rmtree(path, ignore_errors=True)
            total -= sizes[path]


def conversion_key(target: Target, module: nn.Module, spec: ComponentSpec, recipe: Recipe) -> str:
    """Of all that a conversion depends on.

    Args:
        target: what it is lowered to.
        module: its weights and buffers, and the plain attributes and configurations of all its parts.
        spec: names, shapes and dtypes.
        recipe: with its ranges.

    Returns:
        SHA-256, 64 hexadecimal digits.
    """
    digest = hashlib.sha256(repr((target, recipe, spec)).encode())
    digest.update(repr((_code(), _versions(), platform.python_version())).encode())
    for name, part in module.named_modules():
        digest.update(repr((name, type(part).__qualname__, list(_attributes(part)))).encode())
    for name, value in sorted([*module.named_parameters(), *module.named_buffers()], key=lambda pair: pair[0]):
        values = value.detach().cpu().contiguous()
        digest.update(repr((name, values.dtype, tuple(values.shape))).encode())
        digest.update(values.numpy().tobytes())
    return digest.hexdigest()


def _attributes(part: nn.Module) -> Iterator[tuple[str, Any]]:
    """What a module's result depends on beside its tensors: numbers, names, and the configuration of a library's."""
    for name, value in sorted(vars(part).items()):
        # Where a model was read from is an attribute of some libraries' modules.
        if not name.startswith("_") and name != "name_or_path" and isinstance(value, bool | int | float | str | tuple):
            yield name, value
    if isinstance(part, fx.GraphModule):
        yield "code", part.code
    config = getattr(part, "config", None)
    if config is not None:
        values = config.to_dict() if hasattr(config, "to_dict") else dict(config)
        # `_name_or_path` and the like say where a model came from, not what it does.
        yield "config", sorted((str(key), repr(value)) for key, value in values.items() if not str(key).startswith("_"))


@cache
def _code() -> str:
    """Of the source of everything that takes part in a conversion."""
    digest = hashlib.sha256()
    for package in ("edge_stickers.convert", "edge_stickers.models", "edge_stickers.quantize"):
        root = files(package)
        for path in sorted(Path(str(root)).rglob("*.py")):
            digest.update(f"{package} {path.name}\n".encode() + path.read_bytes())
    return digest.hexdigest()


@cache
def _versions() -> dict[str, str]:
    found = {}
    for tool in _TOOLS:
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):
            found[tool] = importlib.metadata.version(tool)
    return found


def _take(entry: Path, folder: Path) -> Artifact:
    """Copies an entry's files into a bundle; raises where it is not there or not whole."""
    record = json.loads((entry / _RECORD).read_text(encoding="utf-8"))
    for name, sha256 in record["sha256"].items():
        if file_sha256(entry / name) != sha256:
            raise ValueError(f"{entry / name} was altered")
    for name in record["sha256"]:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(entry / name, folder / name)
    with contextlib.suppress(OSError):
        os.utime(entry)
    values = record["artifact"]
    tensors = {key: tuple(TensorSpec.from_json(each) for each in values[key]) for key in ("inputs", "outputs")}
    paths = {"entry": Path(values["entry"]), "files": tuple(map(Path, values["files"]))}
    return Artifact(**(values | tensors | paths))
