from __future__ import annotations

import pytest
import torch

from edge_stickers.data.families import FAMILIES
from edge_stickers.data.layers import split_layers
from edge_stickers.data.motion import RIGID, Motion, render
from edge_stickers.evaluation.moves import read_motion
from edge_stickers.evaluation.registration import register
from tests.evaluation.conftest import blur, dissolve, noisy

MOVES = [Motion(name, way, 0.6) for name in (*RIGID, "jelly") for way in FAMILIES[name].directions or (None,)]
FEW = [Motion("travel", "up", 0.6), Motion("hop", None, 0.6), Motion("spin", "counter-clockwise"), Motion("sway")]


def read(frames, still=None):
    still = frames[0] if still is None else still
    return read_motion(frames, still, register(frames, still))


@pytest.mark.parametrize("motion", MOVES, ids=lambda motion: f"{motion.family} {motion.direction}")
def test_reads_real_clips(plane, motion):
    reading = read(render(plane, motion))
    assert (reading.family, reading.direction) == (motion.family, motion.direction)
    assert reading.agrees(motion)


@pytest.mark.parametrize("spoil", [blur, dissolve, noisy])
@pytest.mark.parametrize("motion", FEW, ids=lambda motion: motion.family)
def test_reads_spoiled_clips(plane, motion, spoil):
    frames = render(plane, motion)
    assert read(spoil(frames), frames[0]).agrees(motion)


@pytest.mark.parametrize("spoil", [lambda frames: frames, blur, noisy])
def test_a_repeated_still_moves_as_told_only_when_told_to_hold_still(plane, spoil):
    still = render(plane, Motion("still"))[0]
    frames = spoil(still.repeat(8, 1, 1, 1))
    reading = read(frames, still)
    told = [motion for motion in MOVES if reading.agrees(motion)]
    assert not told
    assert reading.agrees(Motion("still")) or spoil is noisy


def test_the_wrong_direction_is_seen(plane):
    for family, asked, got in (("spin", "clockwise", "counter-clockwise"), ("travel", "left", "right")):
        reading = read(render(plane, Motion(family, got)))
        assert reading.family == family
        assert not reading.agrees(Motion(family, asked))


def test_shuffled_frames_are_no_spin(plane):
    frames = render(plane, Motion("spin", "clockwise"))[[0, 5, 2, 7, 1, 6, 3, 4]]
    assert not read(frames).agrees(Motion("spin", "clockwise"))


@pytest.mark.parametrize("family", ["blink", "talk", "hearts", "sparkles", "tears"])
def test_reads_what_changes_on_a_sticker_that_holds_still(folder, family):
    face = split_layers(folder / "1f600.svg", 128)
    assert read(render(face, Motion(family, None, 1.0 if FAMILIES[family].has_amplitude else 0.5))).family == family


def test_a_sticker_that_looks_the_same_when_turned_has_no_direction():
    cross = torch.zeros(4, 128, 128)
    cross[:, 28:100, 58:70] = cross[:, 58:70, 28:100] = 1
    frames = render(cross, Motion("spin", "clockwise"), margin=1.0)
    reading = read(frames)
    assert reading.agrees(Motion("spin", "clockwise"))
    assert reading.agrees(Motion("spin", "counter-clockwise"))
    assert not reading.agrees(Motion("flip"))
