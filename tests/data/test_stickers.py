"""Splits hold, names read well, downloads are checked."""

from __future__ import annotations

import io
import shutil
import tarfile
from pathlib import Path

import pytest

from edge_stickers.data import stickers
from edge_stickers.data.stickers import fetch_twemoji, group_of, list_stickers, split_of, sticker_name, unpack_twemoji
from edge_stickers.errors import InputError, MissingDependencyError


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ("1f44b", "1f44b-1f3ff"),
        ("1f469-1f3fb-200d-1f680", "1f469-200d-2695-fe0f"),
        ("1f3f3-fe0f-200d-1f308", "1f3f3-200d-1f308"),
        ("270b-1f3fc", "270b"),
    ],
)
def test_variants_share_a_split(first: str, second: str) -> None:
    assert group_of(first) == group_of(second)
    assert split_of(first) == split_of(second)


def test_flags_and_keycaps_are_groups_of_their_own() -> None:
    assert group_of("1f1eb-1f1f7") != group_of("1f1eb-1f1ee")
    assert group_of("31-20e3") != group_of("32-20e3")
    assert group_of("31-fe0f-20e3") == group_of("31-20e3")


def test_splits_have_their_shares() -> None:
    splits = [split_of(f"{point:x}") for point in range(0x1F300, 0x1F300 + 4000)]
    assert splits.count("train") / 4000 == pytest.approx(0.80, abs=0.02)
    assert splits.count("validation") / 4000 == pytest.approx(0.04, abs=0.01)
    assert splits.count("test") / 4000 == pytest.approx(0.16, abs=0.02)


def test_split_never_changes() -> None:
    # Fixed once: another hash would let test stickers into training.
    assert [split_of(key) for key in ("1f600", "1f4a3", "1f436")] == ["train", "test", "train"]


def test_names() -> None:
    assert sticker_name("1f600") == "grinning face"
    assert sticker_name("2764") == "red heart"
    assert sticker_name("my_Red-car") == "my red car"
    assert sticker_name("1f1e6").startswith("regional indicator")


def test_list_is_sorted_and_splits_add_up(tmp_path: Path) -> None:
    for point in range(0x1F600, 0x1F640):
        (tmp_path / f"{point:x}.svg").write_text("<svg/>")
    (tmp_path / "notes.txt").write_text("no sticker")
    everything = list_stickers(tmp_path)
    assert [sticker.key for sticker in everything] == sorted(sticker.key for sticker in everything)
    parts = [list_stickers(tmp_path, split) for split in ("train", "validation", "test")]
    assert sorted(s.key for part in parts for s in part) == [s.key for s in everything]


def test_missing_and_empty_folders_are_told(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="does not exist"):
        list_stickers(tmp_path / "nowhere")
    with pytest.raises(InputError, match="no SVG, PNG or WebP"):
        list_stickers(tmp_path)
    with pytest.raises(InputError, match="expected one of train"):
        list_stickers(tmp_path, "holdout")  # type: ignore[arg-type]


def test_a_changed_package_is_refused(tmp_path: Path) -> None:
    tarball = tmp_path / "package.tgz"
    with tarfile.open(tarball, "w:gz") as archive:
        content = b"<svg/>"
        entry = tarfile.TarInfo("package/1f600.svg")
        entry.size = len(content)
        archive.addfile(entry, io.BytesIO(content))
    with pytest.raises(InputError, match="sha512"):
        unpack_twemoji(tarball, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_no_npm_names_the_way_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "which", lambda _: None)
    with pytest.raises(MissingDependencyError, match=r"Node\.js.*--stickers FOLDER"):
        fetch_twemoji(tmp_path)


def test_a_second_fetch_needs_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "twemoji-svg-15.0.0").mkdir()
    monkeypatch.setattr(stickers.shutil, "which", lambda _: pytest.fail("npm was asked for"))
    assert fetch_twemoji(tmp_path) == tmp_path / "twemoji-svg-15.0.0"
