"""One still and one sentence; and all that may be wrong with them."""

from __future__ import annotations

import errno
import json
import os
import pickle
import struct
import zlib

import pytest
from PIL import Image

BEFORE = b"what was there before"


@pytest.fixture
def output(tmp_path):
    """A file that must survive every mistake."""
    path = tmp_path / "out" / "clip.webp"
    path.parent.mkdir()
    path.write_bytes(BEFORE)
    return path


@pytest.fixture
def animate(refused, tiny_model, output):
    """Calls `animate` with something wrong, and looks that nothing was written; returns the line."""

    def call(still, prompt="the cat hops", *arguments, model=tiny_model, code=2):
        line = refused("animate", still, "--prompt", prompt, "--model", model, *arguments, "-o", output, code=code)
        assert output.read_bytes() == BEFORE
        assert list(output.parent.iterdir()) == [output]
        return line

    return call


def png(width, height, data=b""):
    """A PNG of that size, whose pixels are not there."""

    def chunk(kind, body):
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    header = struct.pack(">IIBBBBB", width, height, 8, 6, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(data)) + chunk(b"IEND", b"")


@pytest.mark.parametrize("suffix", [".webp", ".gif", ".png"])
def test_eight_looping_frames_with_transparency(call, tiny_model, cat, tmp_path, suffix):
    out = tmp_path / f"clip{suffix}"
    result = call("animate", cat, "--prompt", "the cat hops", "--model", tiny_model, "--steps", 1, "-o", out)
    assert (result.code, result.err) == (0, "")
    assert "8 frames of 32x32, made by torch" in result.out
    with Image.open(out) as image:
        assert (image.size, image.n_frames, image.info["loop"]) == ((32, 32), 8, 0)
        assert image.convert("RGBA").getextrema()[3][0] < 255


def test_json_says_what_was_written(call, torchscript_runtime, tiny_bundle, cat, tmp_path):
    out = tmp_path / "clip.webp"
    asked = ["animate", cat, "--prompt", "the cat hops", "--bundle", tiny_bundle, "--runtime", "onnx", "--seed", "7"]
    result = call(*asked, "--json", "-o", out)
    assert (result.code, result.err) == (0, "")
    report = json.loads(result.out)
    expected = {"output": str(out), "bytes": out.stat().st_size, "runtime": "onnx", "seed": 7, "frames": 8}
    assert expected.items() <= report.items()


def test_the_same_seed_gives_the_same_file_and_another_does_not(call, tiny_model, cat, tmp_path):
    def bytes_of(seed):
        out = tmp_path / "clip.webp"
        call("animate", cat, "--prompt", "the cat hops", "--model", tiny_model, "--seed", seed, "-o", out)
        return out.read_bytes()

    assert bytes_of(1) == bytes_of(1) != bytes_of(2)


def test_stills_that_are_none(animate, tmp_path):
    still = tmp_path / "still.png"
    assert "does not exist" in animate(still)
    assert "is a folder" in animate(tmp_path)
    still.write_text("no picture")
    assert "not a picture of a known format" in animate(still)
    still.write_bytes(b"")
    assert "is empty" in animate(still)
    still.write_bytes(png(60_000, 60_000))
    assert "60000 x 60000 pixels; expected at most 64 megapixels" in animate(still)


def test_a_still_cut_short(animate, tmp_path):
    still = tmp_path / "still.png"
    Image.effect_noise((64, 64), 80).convert("RGBA").save(still)
    still.write_bytes(still.read_bytes()[:1000])
    assert "damaged or cut short" in animate(still)


def test_a_still_that_moves(animate, tmp_path):
    still = tmp_path / "still.gif"
    frames = [Image.new("RGB", (8, 8), colour) for colour in ("red", "blue")]
    frames[0].save(still, save_all=True, append_images=frames[1:])
    assert "is an animation; expected a still" in animate(still)


def test_prompts_that_do_not_fit(animate, cat):
    assert "the prompt is empty" in animate(cat, "")
    assert "the prompt is empty" in animate(cat, "  \n ")
    assert "the prompt has 5000 words" in animate(cat, "cat " * 5000)


def test_outputs_that_cannot_be(refused, call, tiny_model, cat, tmp_path):
    def to(output):
        return refused("animate", cat, "--prompt", "the cat hops", "--model", tiny_model, "-o", output)

    assert "has no known suffix; expected one of .webp, .gif, .png, .apng" in to(tmp_path / "clip.mp4")
    assert "does not exist; expected an existing one" in to(tmp_path / "missing" / "clip.webp")
    (tmp_path / "folder.webp").mkdir()
    assert "is a folder; expected a file name" in to(tmp_path / "folder.webp")
    assert [path.name for path in tmp_path.iterdir()] == ["folder.webp"]


def test_a_full_disk(animate, cat, monkeypatch):
    def full(_descriptor):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    assert "the disk is full" in animate(cat)


def test_folders_that_are_none(animate, refused, cat, tmp_path, tiny_model):
    assert "is no folder; expected one with model_index.json" in animate(cat, model=tmp_path / "missing")
    (tmp_path / "empty").mkdir()
    assert "has no model_index.json" in animate(cat, model=tmp_path / "empty")
    line = refused("animate", cat, "--prompt", "x", "--bundle", tiny_model, "-o", tmp_path / "c.webp")
    assert "has no manifest.json; expected one; was --model meant?" in line


def test_a_runtime_that_does_not_fit(animate, cat):
    assert "the runtime onnx runs bundles" in animate(cat, "the cat hops", "--runtime", "onnx")


def test_weights_cut_short(animate, cat, model_copy):
    weights = model_copy / "unet" / "diffusion_pytorch_model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-100])
    assert f"{model_copy / 'unet'} cannot be loaded" in animate(cat, model=model_copy)


def test_a_pickle_named_safetensors_is_not_opened(animate, cat, model_copy, tmp_path):
    class Harm:
        def __reduce__(self):
            return (os.mkdir, (str(tmp_path / "harm"),))

    for name in ("unet", "vae", "text_encoder"):
        weights = next((model_copy / name).glob("*.safetensors"))
        whole = weights.read_bytes()
        weights.write_bytes(pickle.dumps(Harm()))
        assert f"{model_copy / name} cannot be loaded" in animate(cat, model=model_copy)
        weights.write_bytes(whole)
    assert not (tmp_path / "harm").exists()


def test_a_bundle_with_one_byte_changed(refused, cat, bundle_copy, tmp_path):
    program = bundle_copy / "onnx" / "unet" / "model.ts"
    data = bytearray(program.read_bytes())
    data[len(data) // 2] ^= 1
    program.write_bytes(data)
    out = tmp_path / "clip.webp"
    line = refused("animate", cat, "--prompt", "the cat hops", "--bundle", bundle_copy, "-o", out)
    assert f"{program} was altered" in line
    assert not out.exists()
