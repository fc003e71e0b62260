from __future__ import annotations

import errno
import io
import os
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

import edge_stickers
from edge_stickers.errors import InputError, RuntimeFailedError
from edge_stickers.media import Clip, load_still
from edge_stickers.media import encode as encode_module
from edge_stickers.media.canvas import premultiply, unpremultiply

SUFFIXES = (".webp", ".gif", ".png", ".apng")
CAT = Path(edge_stickers.__path__[0]) / "assets/stickers/cat.svg"


@pytest.fixture(scope="module")
def moving() -> np.ndarray:
    """Eight frames of a real sticker that travels: (8, 4, 96, 96)."""
    still = load_still(CAT, size=96, margin=0.15)
    return np.stack([np.roll(still, 2 * frame, axis=2) for frame in range(8)])


def read(path: Path) -> tuple[np.ndarray, list[float], int]:
    """Frames (F, H, W, 4) uint8, durations in ms, and the loop count (0 = endless)."""
    with Image.open(path) as image:
        frames, durations = [], []
        for index in range(image.n_frames):
            image.seek(index)
            frames.append(np.asarray(image.convert("RGBA")))
            durations.append(image.info["duration"])
        return np.stack(frames), durations, image.info["loop"]


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_round_trip_through_a_file(moving: np.ndarray, suffix: str, tmp_path: Path) -> None:
    clip = Clip.from_premultiplied(moving, duration_ms=120)
    path = clip.save(tmp_path / f"clip{suffix}")
    frames, durations, loop = read(path)
    assert frames.shape == (8, 96, 96, 4)
    assert durations == [120] * 8
    assert loop == 0
    back = premultiply(frames)
    difference = np.abs(np.moveaxis(back - moving, 1, -1))  # (F, H, W, 4)
    opaque = moving[:, 3] >= 1
    assert opaque.mean() > 0.2
    if suffix == ".gif":
        assert 10 * np.log10(1 / np.mean(difference[opaque] ** 2)) > 36
        assert set(np.unique(frames[..., 3])) <= {0, 255}
        np.testing.assert_array_equal(frames[..., 3] == 255, clip.frames[..., 3] >= 128)
    else:
        assert difference[opaque].max() <= 0.501 / 255  # colour rounds to half a step
        assert difference.max() <= 1.001 / 255  # colour times alpha: half a step each
        np.testing.assert_array_equal(frames[..., 3], clip.frames[..., 3])


@pytest.mark.parametrize("suffix", SUFFIXES)
@pytest.mark.parametrize("still_frames", [[0, 0, 0, 0], [0, 0, 1, 1], [0, 1, 1, 0]])
def test_equal_frames_are_all_kept(moving: np.ndarray, suffix: str, still_frames: list[int], tmp_path: Path) -> None:
    clip = Clip.from_premultiplied(moving[still_frames], duration_ms=70)
    frames, durations, loop = read(clip.save(tmp_path / f"clip{suffix}"))
    assert len(frames) == 4
    assert sum(durations) == 280
    assert loop == 0


@pytest.mark.parametrize("suffix", SUFFIXES)
@pytest.mark.parametrize("shape", [(1, 16, 16), (3, 1, 1), (2, 17, 5), (9, 3, 64)])
@pytest.mark.parametrize("alpha", [0, 100, 255])
def test_odd_shapes_and_flat_alpha(shape: tuple[int, int, int], alpha: int, suffix: str, tmp_path: Path) -> None:
    frames = np.random.default_rng(0).integers(0, 256, (*shape, 4), np.uint8)
    frames[..., 3] = alpha
    path = Clip(frames, 50).save(tmp_path / f"clip{suffix}")
    with Image.open(path) as image:
        assert image.size == shape[:0:-1]
        assert getattr(image, "n_frames", 1) == shape[0]
    if shape[0] > 1:
        back, durations, _ = read(path)
        assert sum(durations) == 50 * shape[0]
        if suffix != ".gif":
            np.testing.assert_array_equal(back[..., 3], alpha)


def test_frames_leave_no_trail(tmp_path: Path) -> None:
    frames = np.zeros((4, 8, 8, 4), np.uint8)
    for index in range(4):
        frames[index, index, index] = (10, 200, 30, 255)
    for suffix in SUFFIXES:
        back, _, _ = read(Clip(frames, 100).save(tmp_path / f"clip{suffix}"))
        np.testing.assert_array_equal(back[..., 3], frames[..., 3])


@given(duration=st.integers(20, 400), count=st.integers(1, 9))
@settings(max_examples=40, deadline=None, derandomize=True)
def test_gif_durations_add_up(duration: int, count: int) -> None:
    data = encode_module.gif_bytes(np.full((count, 2, 2, 4), 255, np.uint8), duration)
    with Image.open(io.BytesIO(data)) as image:
        total = 0
        for index in range(image.n_frames):
            image.seek(index)
            total += image.info["duration"]
    assert abs(total - duration * count) <= 5


def test_gif_of_few_colours_is_exact(tmp_path: Path) -> None:
    frames = np.random.default_rng(1).integers(0, 4, (3, 32, 32, 4)).astype(np.uint8) * 85
    frames[..., 3] = 255
    back, _, _ = read(Clip(frames, 100).save(tmp_path / "clip.gif"))
    np.testing.assert_array_equal(back, frames)


def test_large_webp_falls_to_lossy_colour_with_exact_alpha(
    monkeypatch: pytest.MonkeyPatch, moving: np.ndarray, tmp_path: Path
) -> None:
    clip = Clip.from_premultiplied(moving)
    lossless = clip.save(tmp_path / "lossless.webp").stat().st_size
    monkeypatch.setattr(encode_module, "WEBP_LOSSLESS_BYTES", 1000)
    path = clip.save(tmp_path / "lossy.webp")
    assert path.stat().st_size < lossless
    frames, durations, _ = read(path)
    np.testing.assert_array_equal(frames[..., 3], clip.frames[..., 3])
    assert durations == [100] * 8
    opaque = clip.frames[..., 3] == 255
    error = (frames.astype(float) - clip.frames)[opaque][:, :3]
    assert 10 * np.log10(255**2 / np.mean(error**2)) > 25


def test_unpremultiply_inverts_premultiply_where_anything_shows() -> None:
    straight = np.random.default_rng(2).integers(0, 256, (2, 20, 20, 4), np.uint8)
    straight[0, 0, :5, 3] = (0, 1, 2, 254, 255)
    back = unpremultiply(premultiply(straight))
    visible = straight[..., 3] > 0
    np.testing.assert_array_equal(back[visible], straight[visible])
    assert not back[~visible].any()


def test_model_excursions_are_clipped() -> None:
    frames = np.array([1.2, -0.1, 0.9, 0.5], np.float32).reshape(1, 4, 1, 1)
    np.testing.assert_array_equal(Clip.from_premultiplied(frames).frames[0, 0, 0], [255, 0, 255, 128])


def test_bad_frames_are_refused() -> None:
    with pytest.raises(RuntimeFailedError, match="NaN or infinity"):
        Clip.from_premultiplied(np.full((1, 4, 2, 2), np.nan, np.float32))
    with pytest.raises(InputError, match=r"expected \(F, 4, H, W\)"):
        Clip.from_premultiplied(np.zeros((4, 2, 2), np.float32))
    with pytest.raises(InputError, match=r"expected uint8 \(F, H, W, 4\)"):
        Clip(np.zeros((2, 4, 4, 3), np.uint8), 100)
    with pytest.raises(InputError, match=r"expected uint8 \(F, H, W, 4\)"):
        Clip(np.zeros((0, 4, 4, 4), np.uint8), 100)
    with pytest.raises(InputError, match="20 to 10000"):
        Clip(np.zeros((1, 4, 4, 4), np.uint8), 5)


def small() -> Clip:
    return Clip(np.full((2, 4, 4, 4), 200, np.uint8), 100)


def test_bad_destinations_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"expected one of \.webp, \.gif, \.png, \.apng"):
        small().save(tmp_path / "clip.mp4")
    with pytest.raises(InputError, match="no known suffix"):
        small().save(tmp_path / "clip")
    with pytest.raises(InputError, match="does not exist; expected an existing one; create it first"):
        small().save(tmp_path / "none" / "clip.webp")
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="does not exist"):
        small().save(tmp_path / "file" / "clip.webp")
    (tmp_path / "folder.webp").mkdir()
    with pytest.raises(InputError, match="is a folder"):
        small().save(tmp_path / "folder.webp")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file", "folder.webp"]


def test_overwriting_is_a_choice(tmp_path: Path) -> None:
    path = tmp_path / "CLIP.WEBP"
    path.write_text("old")
    with pytest.raises(InputError, match="exists already"):
        small().save(path, overwrite=False)
    assert path.read_text() == "old"
    small().save(path)
    assert path.read_bytes().startswith(b"RIFF")


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EDQUOT, errno.EIO])
def test_a_failed_write_leaves_what_was_there(code: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "clip.gif"
    path.write_text("old")

    def fail(descriptor: int) -> None:
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(InputError, match="could not be written") as caught:
        small().save(path)
    assert ("disk is full" in str(caught.value)) == (code != errno.EIO)
    assert path.read_text() == "old"
    assert [entry.name for entry in tmp_path.iterdir()] == ["clip.gif"]


def test_an_interrupt_leaves_no_temporary_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(descriptor: int) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "fsync", interrupt)
    with pytest.raises(KeyboardInterrupt):
        small().save(tmp_path / "clip.gif")
    assert list(tmp_path.iterdir()) == []


def test_file_mode_follows_the_umask(tmp_path: Path) -> None:
    before = os.umask(0o027)
    try:
        mode = small().save(tmp_path / "clip.gif").stat().st_mode & 0o777
    finally:
        os.umask(before)
    assert mode == 0o640


def test_contact_sheet_shows_every_frame_over_the_board() -> None:
    frames = np.zeros((3, 32, 48, 4), np.uint8)
    frames[1] = (255, 0, 0, 255)
    sheet = np.asarray(Clip(frames, 100).contact_sheet())
    assert sheet.shape == (32, 144, 3)
    assert (sheet[:, 48:96] == (255, 0, 0)).all()
    assert len(np.unique(sheet[:, :48].reshape(-1, 3), axis=0)) == 2
