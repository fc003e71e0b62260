"""Opening a bundle that nobody vouches for: every path, size and hash is checked before anything is used."""

from __future__ import annotations

import hashlib
import stat
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from edge_stickers.bundle.manifest import (
    ComponentEntry,
    FileEntry,
    Manifest,
    Scheduler,
    ScheduleRow,
    TargetEntry,
    read_json,
)
from edge_stickers.errors import BundleError, InputError

if TYPE_CHECKING:
    from tokenizers import Tokenizer

MANIFEST = "manifest.json"
REQUIRED = ("tokenizer.json", "scheduler.json", "NOTICE")
"""Without these nothing runs, or the licences are broken."""
_CHUNK = 2**20
_AGAIN = "build or download the bundle again"


@dataclass(frozen=True, slots=True)
class Bundle:
    """A bundle whose files were all checked.

    Attributes:
        folder: where it lies.
        manifest: what it says of itself.
        scheduler: the tables of steps.
    """

    folder: Path
    manifest: Manifest
    scheduler: Scheduler

    @classmethod
    def open(cls, folder: str | Path) -> Bundle:
        """Reads the manifest and checks every file against it.

        Raises:
            BundleError: a file is missing, altered, cut short, a link out of the folder, or of a newer version.
        """
        folder = Path(folder)
        if not folder.is_dir():
            raise BundleError(f"{folder} is no folder; expected a bundle that `edge-stickers build` wrote")
        manifest = read_json(_inside(folder, MANIFEST), Manifest)
        listed = manifest.all_files()
        names = [file.path for file in listed]
        missing = [name for name in REQUIRED if name not in names]
        if missing:
            raise BundleError(f"{folder} lists no {missing[0]}; expected a whole bundle; {_AGAIN}")
        for file in listed:
            _check(folder, file)
            if file.path.endswith(".safetensors"):
                _check_safetensors(folder / file.path)
        return cls(folder, manifest, read_json(folder / "scheduler.json", Scheduler))

    def target(self, name: str) -> TargetEntry:
        """One of its targets.

        Raises:
            BundleError: it has no such target; the message lists those it has.
        """
        if name not in self.manifest.targets:
            known = ", ".join(self.manifest.targets) or "none"
            raise BundleError(f"{self.folder} has no target {name!r}, only {known}; build it with --target {name}")
        return self.manifest.targets[name]

    def program(self, target: str, component: str) -> tuple[Path, ComponentEntry]:
        """The file or folder that a runtime opens for a component, and its entry.

        Raises:
            BundleError: the target or the component is not there.
        """
        components = self.target(target).components
        if component not in components:
            raise BundleError(
                f"{self.folder} has no {component} for {target}, only {', '.join(components)}; "
                "build it again with all components"
            )
        return self.folder / components[component].entry_path, components[component]

    def rows(self, steps: int) -> Sequence[ScheduleRow]:
        """The table for that many steps.

        Raises:
            InputError: it has none; the message lists the numbers that work.
        """
        rows = self.scheduler.steps.get(str(steps))
        if rows is None:
            known = ", ".join(sorted(self.scheduler.steps, key=int))
            raise InputError(f"this bundle has no table for {steps} steps; choose one of {known}")
        return rows

    def tokenizer(self) -> Tokenizer:
        """The tokenizer of its prompts.

        Raises:
            BundleError: tokenizer.json is damaged.
        """
        return read_tokenizer(self.folder / "tokenizer.json")


def read_tokenizer(path: Path) -> Tokenizer:
    """A tokenizer from its file, without padding or truncation (`tokenize` does both).

    Raises:
        BundleError: the file is damaged.
    """
    from tokenizers import Tokenizer

    try:
        tokenizer = Tokenizer.from_file(str(path))
    except Exception as error:  # the library raises plain Exception
        reason = " ".join(str(error).split())[:120]
        raise BundleError(f"{path} is no tokenizer ({reason}); {_AGAIN}") from None
    tokenizer.no_padding()
    tokenizer.no_truncation()
    return tokenizer


def file_sha256(path: Path) -> str:
    """SHA-256 of a file, in hexadecimal."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK):
            digest.update(chunk)
    return digest.hexdigest()


def folder_sha256(folder: Path) -> str:
    """SHA-256 over a folder's files in order of their names: each name, a newline, the file's hash, a newline."""
    digest = hashlib.sha256()
    for path in sorted(p for p in folder.rglob("*") if p.is_file()):
        digest.update(f"{path.relative_to(folder).as_posix()}\n{file_sha256(path)}\n".encode())
    return digest.hexdigest()


def file_entry(folder: Path, path: Path) -> FileEntry:
    """The manifest's entry of a file inside a folder."""
    return FileEntry(path=path.relative_to(folder).as_posix(), bytes=path.stat().st_size, sha256=file_sha256(path))


def _inside(folder: Path, name: str) -> Path:
    """The path, if following every link still ends inside the folder."""
    path = folder / name
    try:
        if not path.resolve().is_relative_to(folder.resolve()):
            raise BundleError(f"{path} is a link out of the bundle; expected plain files; {_AGAIN}")
    except (OSError, RuntimeError):  # a loop of links
        raise BundleError(f"{path} cannot be followed; expected plain files; {_AGAIN}") from None
    return path


def _check(folder: Path, file: FileEntry) -> None:
    path = _inside(folder, file.path)
    try:
        status = path.stat()
        if not stat.S_ISREG(status.st_mode):
            raise BundleError(f"{path} is no plain file; expected one; {_AGAIN}")
        if status.st_size != file.bytes:
            raise BundleError(f"{path} has {status.st_size} bytes, the manifest says {file.bytes}; {_AGAIN}")
        digest = file_sha256(path)
    except OSError as error:
        raise BundleError(f"{path} cannot be read ({error.strerror}); {_AGAIN}") from None
    if digest != file.sha256:
        raise BundleError(f"{path} was altered: its sha256 is {digest[:12]}…, not {file.sha256[:12]}…; {_AGAIN}")


def _check_safetensors(path: Path) -> None:
    """Whether it is what its name says: a pickle under that name is refused, unread."""
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(str(path), framework="numpy"):
            pass
    except (SafetensorError, OSError) as error:
        reason = " ".join(str(error).split())[:100]
        raise BundleError(f"{path} is no safetensors file ({reason}); {_AGAIN}") from None
