"""There is never half a bundle."""

from __future__ import annotations

import errno
from pathlib import Path

import pytest

from edge_stickers.bundle.writer import replacing
from edge_stickers.errors import InputError


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def fill(folder: Path, text: str) -> None:
    for name in ("manifest.json", "scheduler.json"):
        (folder / name).write_text(text)


def test_it_appears_at_the_end_with_its_parents(tmp_path):
    out = tmp_path / "a" / "b"
    with replacing(out) as part:
        fill(part, "new")
        assert not out.exists()
        assert part.parent == out.parent  # a rename, not a copy over file systems
    assert (out / "manifest.json").read_text() == "new"
    assert names(out.parent) == ["b"]


def test_an_older_bundle_or_an_empty_folder_is_replaced(tmp_path):
    out = tmp_path / "b"
    out.mkdir()
    for text in ("first", "second"):
        with replacing(out) as part:
            fill(part, text)
            (part / text).touch()
    assert names(out) == ["manifest.json", "scheduler.json", "second"]
    assert names(tmp_path) == ["b"]


@pytest.mark.parametrize("error", [ValueError("x"), KeyboardInterrupt(), OSError(errno.ENOSPC, "No space")])
def test_a_failure_leaves_what_was_there(tmp_path, error):
    out = tmp_path / "b"
    with replacing(out) as part:
        fill(part, "old")
    with pytest.raises((type(error), InputError)), replacing(out) as part:
        fill(part, "new")
        raise error
    assert (out / "manifest.json").read_text() == "old"
    assert names(tmp_path) == ["b"]


@pytest.mark.parametrize(
    ("code", "message"), [(errno.ENOSPC, "the disk is full"), (errno.EROFS, "expected a writable")]
)
def test_disk_errors_are_one_line(tmp_path, code, message):
    with pytest.raises(InputError, match=message) as caught, replacing(tmp_path / "b"):
        raise OSError(code, "reason")
    assert "\n" not in str(caught.value)
    assert names(tmp_path) == []


def test_a_really_full_disk(tmp_path):
    """/dev/full refuses every write as a full disk does."""
    with pytest.raises(InputError, match="the disk is full"), replacing(tmp_path / "b") as part:
        (part / "model").symlink_to("/dev/full")
        (part / "model").write_bytes(b"x" * 2**20)
    assert names(tmp_path) == []


def test_other_peoples_folders_and_files_are_refused(tmp_path):
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "cat.png").touch()
    (tmp_path / "file").write_text("x")
    (tmp_path / "link").symlink_to(tmp_path / "photos")
    for name, message in (("photos", "holds other files"), ("file", "is no folder"), ("link", "is no folder")):
        with pytest.raises(InputError, match=message), replacing(tmp_path / name):
            raise AssertionError("never begun")
    assert names(tmp_path / "photos") == ["cat.png"]


def test_a_folder_filled_meanwhile_is_not_replaced(tmp_path):
    out = tmp_path / "b"
    with pytest.raises(InputError, match="holds other files"), replacing(out) as part:
        fill(part, "new")
        out.mkdir()
        (out / "photo.png").touch()
    assert names(tmp_path) == ["b"]
    assert names(out) == ["photo.png"]
