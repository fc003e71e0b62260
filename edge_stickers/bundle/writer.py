"""Writing a bundle whole or not at all: into a folder beside its place, renamed at the end."""

from __future__ import annotations

import contextlib
import errno
import secrets
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

from edge_stickers.bundle.reader import MANIFEST
from edge_stickers.errors import InputError

_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
_REFUSED = {errno.EACCES, errno.EPERM, errno.EROFS}


@contextlib.contextmanager
def replacing(out: Path, *, is_ours: Callable[[Path], bool] | None = None) -> Iterator[Path]:
    """A new folder to write to, which takes the place of `out` when the block ends well.

    When the block fails, for whatever reason, the new folder is removed and what was at `out` is untouched.

    Args:
        out: where the finished folder goes; its parent is made where missing.
        is_ours: whether a non-empty folder that exists there may be replaced; where None, one with a manifest may.

    Raises:
        InputError: `out` is a file or someone else's folder, the disk is full, or it is not writable.
    """
    out = Path(out).absolute()
    check_out(out, is_ours=is_ours)
    with _disk_errors(out):
        out.parent.mkdir(parents=True, exist_ok=True)
        part = out.with_name(f".{out.name}.{secrets.token_hex(4)}.part")
        part.mkdir()
        try:
            yield part
            check_out(out, is_ours=is_ours)  # it may have come into being meanwhile
            _swap(part, out)
        finally:
            shutil.rmtree(part, ignore_errors=True)


def check_out(out: Path, *, is_ours: Callable[[Path], bool] | None = None) -> None:
    """Whether a folder may be written there: nothing, an empty folder, or an older bundle.

    Raises:
        InputError: it may not.
    """
    ours = is_ours or _has_manifest
    try:
        if out.is_symlink() or (out.exists() and not out.is_dir()):
            raise InputError(f"{out} is no folder; expected a new one; choose another name")
        if out.is_dir() and any(out.iterdir()) and not ours(out):
            raise InputError(f"{out} holds other files; expected a new folder or an older bundle; choose another name")
    except OSError as error:
        raise InputError(f"{out} cannot be used ({error.strerror}); choose another folder") from None


def _has_manifest(folder: Path) -> bool:
    return (folder / MANIFEST).is_file() and (folder / "scheduler.json").is_file()


def _swap(part: Path, out: Path) -> None:
    """Puts `part` at `out`; if that fails half-way the old folder comes back."""
    if not out.exists():
        part.rename(out)
        return
    old = out.with_name(f".{out.name}.{secrets.token_hex(4)}.old")
    out.rename(old)
    try:
        part.rename(out)
    except BaseException:
        old.rename(out)
        raise
    shutil.rmtree(old, ignore_errors=True)


@contextlib.contextmanager
def _disk_errors(out: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        if error.errno in _FULL:
            raise InputError(f"{out} could not be written: the disk is full; free some space and try again") from None
        if error.errno in _REFUSED:
            reason = error.strerror
            raise InputError(f"{out} could not be written ({reason}); expected a writable folder") from None
        raise
