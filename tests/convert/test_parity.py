from __future__ import annotations

import math

import numpy as np
import pytest

from edge_stickers.convert.parity import psnr_db, snr_db


def test_snr_is_the_ratio_of_powers():
    signal = np.full((3, 5), 2.0)
    assert snr_db(signal, signal + 0.02) == pytest.approx(40.0)


def test_psnr_knows_the_peak():
    image = np.zeros((4, 7))
    assert psnr_db(image, image + 0.1) == pytest.approx(20.0)
    assert psnr_db(image, image + 25.5, peak=255.0) == pytest.approx(20.0)


@pytest.mark.parametrize("ratio", [snr_db, psnr_db])
def test_equal_is_infinite_and_not_finite_is_the_worst(ratio):
    signal = np.ones(4)
    assert ratio(signal, signal) == math.inf
    for bad in (math.nan, math.inf):
        assert ratio(signal, np.array([1.0, bad, 1.0, 1.0])) == -math.inf


@pytest.mark.parametrize("ratio", [snr_db, psnr_db])
def test_shapes_that_would_broadcast_are_refused(ratio):
    with pytest.raises(ValueError, match=r"shape \(1,\), expected the reference's \(4,\)"):
        ratio(np.ones(4), np.ones(1))


def test_half_precision_is_measured_in_double():
    signal = np.full(200_000, 60_000.0)
    assert snr_db(signal.astype(np.float16), signal.astype(np.float16) * np.float16(0.5)) == pytest.approx(
        6.02, abs=0.01
    )
