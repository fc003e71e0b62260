from __future__ import annotations

import pytest
import torch

from edge_stickers.data.motion import Motion, render
from edge_stickers.evaluation.metrics import alpha_shares, autoencoder_psnr, loop_closure, measure
from edge_stickers.evaluation.registration import register
from tests.evaluation.conftest import blur, dissolve, noisy


@pytest.fixture(scope="module")
def real(plane):
    return render(plane, Motion("travel", "right", 0.7))


@pytest.fixture(scope="module")
def good(real):
    return measure(real, real[0], register(real, real[0]))


def metrics_of(frames, still):
    return measure(frames, still, register(frames, still))


@pytest.mark.parametrize("spoil", [blur, noisy, dissolve])
def test_spoiled_frames_lose_identity_and_keep_their_motion(real, good, spoil):
    bad = metrics_of(spoil(real), real[0])
    assert bad.identity < good.identity - 6
    assert bad.identity_worst <= bad.identity <= bad.identity_nearest
    assert bad.motion == pytest.approx(good.motion, rel=0.1)


@pytest.mark.parametrize("spoil", [noisy, dissolve])
def test_boiling_surfaces_flicker_and_blurred_ones_do_not(real, good, spoil):
    assert metrics_of(spoil(real), real[0]).flicker > 2 * good.flicker
    assert metrics_of(blur(real), real[0]).flicker < 1.2 * good.flicker


def test_a_frozen_clip_has_no_motion_no_flicker_and_closes(real):
    frozen = metrics_of(real[:1].repeat(8, 1, 1, 1), real[0])
    assert (frozen.motion, frozen.flicker, frozen.loop) == (0, 0, 1)


def test_motion_is_in_pixels_of_a_256_canvas(good):
    # 0.35 of half a canvas at full strength; (1 - cos) / 2 has root mean square sqrt(3 / 8).
    assert good.motion == pytest.approx(0.35 * 0.7 * 128 * (3 / 8) ** 0.5, rel=0.02)


def test_a_clip_cut_short_does_not_loop(real):
    cut = torch.cat([real[:5], real[4:5].repeat(3, 1, 1, 1)])
    assert loop_closure(real) < 1.3
    assert loop_closure(cut) > 2


def test_alpha_tells_haze_from_holes(real):
    clean = alpha_shares(real, real)
    assert clean[0] < 1e-3
    assert clean[1] > 0.99
    haze = alpha_shares((real + 0.1).clamp(0, 1), real)
    assert haze[0] == pytest.approx(0.1, abs=0.01)
    assert alpha_shares(0.7 * real, real)[1] == pytest.approx(0.7, abs=0.01)


def test_autoencoder_psnr_is_of_each_picture():
    stills = [torch.full((4, 64, 64), value) for value in (0.2, 0.5)]
    psnr = autoencoder_psnr(lambda still: still + (0.1 if still[0, 0, 0] < 0.3 else 0.01), stills)
    assert psnr == pytest.approx([20, 40], abs=0.01)
    assert autoencoder_psnr(lambda still: still, stills) == [60, 60]
