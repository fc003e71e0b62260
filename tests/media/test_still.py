from __future__ import annotations

import io
import os
import struct
import warnings
import zlib
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image, ImageCms

import edge_stickers
from edge_stickers.errors import InputError
from edge_stickers.media import load_still

STICKERS = sorted((Path(edge_stickers.__path__[0]) / "assets/stickers").glob("*.svg"))


def encoded(image: Image.Image, kind: str = "PNG", **options: object) -> bytes:
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


def sticker(width: int = 60, height: int = 40) -> Image.Image:
    """A disc whose colour and alpha vary; transparent pixels carry a loud colour that must never show."""
    y, x = np.mgrid[:height, :width]
    radius = np.hypot((x - width / 2) / (width / 2), (y - height / 2) / (height / 2))
    alpha = np.clip((1 - radius) * 1020, 0, 255)
    pixels = np.stack((x * 255 / width, y * 255 / height, 0 * x + 90, alpha), axis=-1)
    pixels[alpha == 0] = (255, 0, 255, 0)
    return Image.fromarray(pixels.astype(np.uint8))


def test_straight_colours_become_premultiplied_exactly() -> None:
    still = load_still(sticker(32, 32), size=32)
    straight = np.asarray(sticker(32, 32)).astype(np.float64) / 255
    np.testing.assert_allclose(still[3], straight[..., 3], atol=1e-6)
    np.testing.assert_allclose(still[:3], np.moveaxis(straight[..., :3] * straight[..., 3:], -1, 0), atol=1e-6)
    assert still.dtype == np.float32


@pytest.mark.parametrize(("width", "height"), [(60, 40), (40, 60), (1, 1), (700, 3), (1500, 900), (3000, 2800)])
def test_any_size_and_aspect_is_centred_with_its_ratio(width: int, height: int) -> None:
    still = load_still(Image.new("RGBA", (width, height), (200, 100, 50, 255)), size=64)
    rows, columns = np.flatnonzero(still[3].any(1)), np.flatnonzero(still[3].any(0))
    assert (len(rows), len(columns)) == (
        max(1, round(64 * height / max(width, height))),
        max(1, round(64 * width / max(width, height))),
    )
    for indices in (rows, columns):
        assert abs(indices[0] - (63 - indices[-1])) <= 1
    visible = still[:, still[3] > 0]
    np.testing.assert_allclose(
        visible.T, np.tile([200 / 255, 100 / 255, 50 / 255, 1], (visible.shape[1], 1)), atol=1e-5
    )


@pytest.mark.parametrize("width", [24, 60, 400, 2500])
def test_hidden_colours_never_bleed_into_edges(width: int) -> None:
    pixels = np.zeros((width, width, 4), np.uint8)
    pixels[:] = (255, 0, 255, 0)
    pixels[width // 4 : width // 2 + 1, width // 4 : width // 2 + 1] = (0, 255, 0, 255)
    still = load_still(Image.fromarray(pixels), size=50)
    assert still[0].max() < 1e-5
    assert still[2].max() < 1e-5
    np.testing.assert_allclose(still[1], still[3], atol=1e-5)


@pytest.mark.parametrize(
    "mode", ["1", "L", "LA", "P", "RGB", "RGBA", "CMYK", "I;16", "I", "F", "YCbCr", "HSV", "LAB", "PA"]
)
def test_every_colour_mode_shows_the_same_grey(mode: str) -> None:
    level = 255 if mode == "1" else 120
    grey = Image.new("L", (16, 16), level)
    if mode in ("I;16", "I"):
        image = Image.fromarray(np.full((16, 16), level * 257, np.uint16 if mode == "I;16" else np.int32))
    elif mode == "LAB":
        transform = ImageCms.buildTransform(ImageCms.createProfile("sRGB"), ImageCms.createProfile("LAB"), "RGB", "LAB")
        image = ImageCms.applyTransform(grey.convert("RGB"), transform)
    elif mode == "PA":
        image = grey.convert("LA").convert("PA")
    else:
        image = grey.convert("RGB").convert(mode) if mode in ("CMYK", "YCbCr", "HSV") else grey.convert(mode)
    assert image.mode == mode
    still = load_still(image, size=16)
    np.testing.assert_allclose(still[:3], level / 255, atol=3 / 255)
    np.testing.assert_array_equal(still[3], 1)


@pytest.mark.parametrize(
    ("kind", "options", "tolerance"),
    [
        ("PNG", {}, 1e-6),
        ("WEBP", {"lossless": True, "exact": True}, 1e-6),
        ("WEBP", {"quality": 95}, 0.2),
        ("GIF", {}, 0.3),
        ("BMP", {}, 1e-6),
        ("JPEG", {"quality": 97}, 0.2),
    ],
)
def test_file_formats_agree_on_opaque_pixels(
    kind: str, options: dict[str, object], tolerance: float, tmp_path: Path
) -> None:
    image = sticker(64, 64) if kind not in ("JPEG", "BMP") else sticker(64, 64).convert("RGB")
    path = tmp_path / f"still.{kind.lower()}"
    path.write_bytes(encoded(image, kind, **options))
    opaque = np.asarray(sticker(64, 64))[..., 3] == 255
    expected = load_still(image, size=64)[:, opaque]
    for source in (path, str(path), path.read_bytes()):
        assert np.abs(load_still(source, size=64)[:, opaque] - expected).max() <= tolerance


def test_palette_and_key_colour_transparency() -> None:
    palette = Image.new("P", (4, 4), 0)
    palette.putpalette([255, 0, 0, 0, 255, 0])
    palette.putpixel((1, 2), 1)
    still = load_still(encoded(palette, transparency=0), size=4)
    assert still[3].sum() == 1
    np.testing.assert_array_equal(still[:, 2, 1], [0, 1, 0, 1])
    deep = np.full((4, 4), 1000, np.uint16)
    deep[0, 0] = 40_000
    still = load_still(encoded(Image.fromarray(deep), transparency=1000), size=4)
    assert still[3].sum() == 1
    np.testing.assert_allclose(still[0, 0, 0], 40_000 / 65_535, atol=1 / 255)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_orientation_is_applied(orientation: int) -> None:
    upright = Image.new("RGB", (32, 32), "white")
    upright.paste((255, 0, 0), (0, 0, 16, 16))  # red at the top left when upright
    turns = {2: 0, 3: 3, 4: 1, 5: 5, 6: 2, 7: 6, 8: 4}  # the inverse of what a viewer applies
    stored = upright.transpose(Image.Transpose(turns[orientation])) if orientation > 1 else upright
    exif = Image.Exif()
    exif[0x0112] = orientation
    still = load_still(encoded(stored, exif=exif), size=32)
    np.testing.assert_array_equal(still[1] < 0.5, np.asarray(upright)[..., 1] < 128)


def test_colour_profile_is_applied_and_a_damaged_one_ignored() -> None:
    image = Image.new("RGB", (8, 8), (200, 60, 60))
    lab_like = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    np.testing.assert_allclose(
        load_still(encoded(image, icc_profile=lab_like), size=8), load_still(image, size=8), atol=0.01
    )
    np.testing.assert_array_equal(
        load_still(encoded(image, icc_profile=b"junk" * 50), size=8), load_still(image, size=8)
    )


@pytest.mark.parametrize("margin", [0.05, 0.1, 0.3])
@pytest.mark.parametrize("box", [(0, 0, 100, 100), (10, 40, 30, 50), (60, 0, 100, 90)])
def test_margin_trims_scales_and_centres(margin: float, box: tuple[int, int, int, int]) -> None:
    image = Image.new("RGBA", (100, 100))
    image.paste((0, 0, 255, 255), box)
    still = load_still(image, size=200, margin=margin)
    rows, columns = np.flatnonzero(still[3].any(1)), np.flatnonzero(still[3].any(0))
    assert max(len(rows), len(columns)) == round(200 * (1 - 2 * margin))
    assert len(rows) / len(columns) == pytest.approx((box[3] - box[1]) / (box[2] - box[0]), rel=0.05)
    for indices in (rows, columns):
        assert abs(indices[0] - (199 - indices[-1])) <= 1


@pytest.mark.parametrize("width", [16, 90, 256, 5000])
def test_scaling_leaves_no_halo(width: int) -> None:
    image = Image.new("RGBA", (width, width))
    image.paste((20, 20, 20, 255), (width // 4, width // 4, 3 * width // 4, 3 * width // 4))
    alpha = load_still(image, size=64)[3]
    reach = max(1, 64 // width * 2) + 1  # one target pixel, or a source pixel where enlarged
    outside = np.ones((64, 64), bool)
    outside[16 - reach : 48 + reach, 16 - reach : 48 + reach] = False
    assert alpha[outside].max() == 0
    assert alpha[16 + reach : 48 - reach, 16 + reach : 48 - reach].min() >= 1 - 1e-6


def test_the_given_picture_is_left_alone() -> None:
    image = sticker()
    before = image.tobytes()
    load_still(image, margin=0.1)
    assert image.tobytes() == before


def png_header(width: int, height: int) -> bytes:
    def chunk(kind: bytes, payload: bytes) -> bytes:
        return struct.pack(">I", len(payload)) + kind + payload + struct.pack(">I", zlib.crc32(kind + payload))

    header = struct.pack(">IIBBBBB", width, height, 8, 6, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(bytes(100))) + chunk(b"IEND", b"")
    )


def oversized_gif_frame() -> bytes:
    """A small screen, and a frame that claims 60,000 x 60,000 pixels."""
    data = bytearray(encoded(Image.new("P", (4, 4), 1), "GIF"))
    frame = data.index(b",\0\0\0\0\4\0\4\0")
    data[frame + 5 : frame + 9] = struct.pack("<HH", 60_000, 60_000)
    return bytes(data)


def animation(kind: str) -> bytes:
    frames = [Image.new("RGB", (8, 8), colour) for colour in ("red", "blue")]
    return encoded(frames[0], kind, save_all=True, append_images=frames[1:])


@pytest.mark.parametrize(
    ("data", "match"),
    [
        (b"", "is empty"),
        (b"just some text", "not a picture of a known format"),
        (b"\x00" * 100, "not a picture of a known format"),
        (b"\x89PNG\r\n\x1a\n", "damaged or cut short"),
        (b"\xff\xd8\xff\xe0", "damaged or cut short"),
        (encoded(sticker())[:300], "damaged or cut short"),
        (encoded(sticker().convert("RGB"), "JPEG")[:500], "damaged or cut short"),
        (encoded(sticker(), "WEBP")[:300], "damaged or cut short"),
        (encoded(sticker(200, 200), "GIF")[:1500], "damaged or cut short"),
        (png_header(60_000, 60_000), "60000 x 60000 pixels; expected at most 64 megapixels"),
        (png_header(10_000, 9_500), "expected at most 64 megapixels"),
        (png_header(0, 10), "damaged or cut short"),
        (encoded(Image.new("RGBA", (8, 8))), "fully transparent"),
        (b"%PDF-1.4", "not a picture"),
        (oversized_gif_frame(), "too many pixels; expected at most 64 megapixels"),
        (bytes(50 * 2**20 + 1), "has 50 MB; expected at most 50 MB"),
    ],
)
def test_bad_contents_are_refused_in_one_line(data: bytes, match: str) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(InputError, match=match) as caught:
            load_still(data)
    assert "\n" not in str(caught.value)
    assert "; expected" in str(caught.value)


@pytest.mark.parametrize("kind", ["GIF", "PNG", "WEBP"])
def test_an_animation_is_refused(kind: str) -> None:
    with pytest.raises(InputError, match="is an animation; expected a still picture; extract one frame"):
        load_still(animation(kind))
    with pytest.raises(InputError, match="is an animation"):
        load_still(Image.open(io.BytesIO(animation(kind))))


def test_bad_paths_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(InputError, match="does not exist"):
        load_still(tmp_path / "none.png")
    with pytest.raises(InputError, match="is a folder"):
        load_still(str(tmp_path))
    with pytest.raises(InputError, match="is an address; expected a file; download it first"):
        load_still("https://example.org/cat.png")
    with pytest.raises(InputError, match="is no path"):
        load_still("a\0b.png")
    with pytest.raises(InputError, match="cannot be read"):
        load_still("x" * 5000)
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(InputError, match="is no ordinary file"):
        load_still(tmp_path / "pipe")
    big = tmp_path / "big.png"
    with big.open("wb") as file:
        file.truncate(60 * 2**20)
    with pytest.raises(InputError, match="has 60 MB; expected at most 50 MB"):
        load_still(big)

    def deny(path: Path) -> bytes:
        raise PermissionError(13, "Permission denied", str(path))

    locked = tmp_path / "locked.png"
    locked.write_bytes(encoded(sticker()))
    monkeypatch.setattr(Path, "read_bytes", deny)
    with pytest.raises(InputError, match="may not be read; expected a readable file; change its permissions"):
        load_still(locked)


@pytest.mark.parametrize(
    "options", [{"size": 0}, {"size": 2.5}, {"size": 9999}, {"margin": 0.5}, {"margin": -0.1}, {"margin": float("nan")}]
)
def test_options_out_of_range_are_refused(options: dict[str, float]) -> None:
    with pytest.raises(InputError, match="expected"):
        load_still(sticker(), **options)  # type: ignore[arg-type]


def mutate(data: bytes, edits: list[tuple[int, int, int]], cut: int) -> bytes:
    """Overwrites, inserts or deletes single bytes, then cuts the end off."""
    mutated = bytearray(data)
    for position, value, kind in edits:
        where = position % max(1, len(mutated))
        if kind == 0:
            mutated[where : where + 1] = bytes([value])
        elif kind == 1:
            mutated.insert(where, value)
        else:
            del mutated[where : where + value]
    return bytes(mutated[: len(mutated) - cut % (len(mutated) + 1)])


RASTERS = [
    encoded(sticker()),
    encoded(sticker().quantize(16)),
    encoded(sticker(), "WEBP", lossless=True),
    encoded(sticker(), "WEBP", quality=80),
    encoded(sticker().convert("RGB"), "JPEG"),
    encoded(sticker(), "GIF"),
]
EDITS = st.lists(st.tuples(st.integers(0, 2**16), st.integers(0, 255), st.integers(0, 2)), min_size=0, max_size=6)
CUTS = st.one_of(st.just(0), st.integers(0, 400))


def check_mutation(data: bytes) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        try:
            still = load_still(data, size=48, margin=0.1)
        except InputError as error:
            assert "\n" not in str(error)
            return
    assert still.shape == (4, 48, 48)
    assert np.isfinite(still).all()
    assert still.min() >= 0
    assert still.max() <= 1
    assert (still[:3] <= still[3]).all()


@settings(max_examples=400, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow])
@given(original=st.sampled_from(RASTERS), edits=EDITS, cut=CUTS)
def test_mutated_rasters_give_a_picture_or_an_input_error(
    original: bytes, edits: list[tuple[int, int, int]], cut: int
) -> None:
    check_mutation(mutate(original, edits, cut))


@settings(max_examples=40, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow])
@given(original=st.sampled_from(STICKERS), edits=EDITS, cut=CUTS)
def test_mutated_svgs_give_a_picture_or_an_input_error(
    original: Path, edits: list[tuple[int, int, int]], cut: int
) -> None:
    check_mutation(mutate(original.read_bytes(), edits, cut))
