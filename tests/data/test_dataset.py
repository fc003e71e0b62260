"""Clips come by number, the same whoever asks."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from PIL import Image

from edge_stickers.data.dataset import ClipSource
from edge_stickers.data.families import FAMILIES
from edge_stickers.data.preview import preview
from edge_stickers.data.stickers import split_of
from edge_stickers.errors import InputError


@pytest.fixture(scope="module")
def source(drawings: Path, tmp_path_factory: pytest.TempPathFactory) -> ClipSource:
    """Clips of 64 pixels from all five drawings."""
    return ClipSource(drawings, split=None, size=64, seed=3, cache=tmp_path_factory.mktemp("cache"))


def test_a_clip_depends_on_its_number_alone(source: ClipSource) -> None:
    batch = source.batch([7, 3, 5])
    for row, index in enumerate((7, 3, 5)):
        clip = source.clip(index)
        assert clip.caption == batch.captions[row]
        assert clip.motion == batch.motions[row] and clip.sticker == batch.stickers[row]
        assert torch.allclose(clip.frames, batch.frames[row], atol=1e-6)


def test_many_clips_hold_what_they_promise(source: ClipSource) -> None:
    seen = set()
    for start in range(0, 96, 16):
        batch = source.batch(range(start, start + 16))
        assert batch.stills.shape == (16, 4, 64, 64) and batch.frames.shape == (16, 8, 4, 64, 64)
        assert torch.equal(batch.stills, batch.frames[:, 0])
        assert bool((batch.frames >= 0).all()) and bool((batch.frames <= 1 + 1e-5).all())
        assert float(batch.stills[:, 3].amax((1, 2)).min()) > 0.4
        seen |= {motion.family for motion in batch.motions}
    assert len(seen) > 10 and seen <= set(FAMILIES)


def test_other_seed_other_clips(drawings: Path, source: ClipSource, tmp_path: Path) -> None:
    other = ClipSource(drawings, split=None, size=64, seed=4, cache=tmp_path)
    assert [source.clip(i).caption for i in range(5)] != [other.clip(i).caption for i in range(5)]


def test_only_the_split_is_used(drawings: Path, tmp_path: Path) -> None:
    train = ClipSource(drawings, split="train", size=16, cache=tmp_path)
    assert train.stickers and all(split_of(sticker.key) == "train" for sticker in train.stickers)
    assert "1f4a3" not in {sticker.key for sticker in train.stickers}


def test_empty_split_is_told(tmp_path: Path) -> None:
    folder = tmp_path / "one"
    folder.mkdir()
    Image.new("RGBA", (4, 4), "red").save(folder / "1f4a3.png")
    with pytest.raises(InputError, match="train split"):
        ClipSource(folder, split="train", size=16, cache=tmp_path / "cache")


def test_stills_are_moved_art(source: ClipSource) -> None:
    stills = source.stills(0, 12)
    assert stills.shape == (12, 4, 64, 64)
    assert torch.equal(stills, source.stills(0, 12))
    assert not torch.equal(stills, source.stills(1, 12))
    assert bool((stills[:, :3] <= stills[:, 3:] + 1e-5).all())


def test_preview_writes_both_files(drawings: Path, tmp_path: Path) -> None:
    sheet, grid = preview(drawings, tmp_path / "out", 3, 0, None, cache=tmp_path / "cache")
    with Image.open(sheet) as image:
        assert image.size[0] == 8 * 128
    with Image.open(grid) as image:
        assert image.n_frames == 8  # type: ignore[attr-defined]
    with pytest.raises(InputError, match="expected 1 to 256"):
        preview(drawings, tmp_path, 0)
