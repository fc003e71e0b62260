from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from edge_stickers.errors import InputError
from edge_stickers.sampling.noise import normal, philox4x32


@pytest.mark.parametrize(
    ("counter", "key", "expected"),
    [
        ("00000000 00000000 00000000 00000000", "00000000 00000000", "6627e8d5 e169c58d bc57ac4c 9b00dbd8"),
        ("ffffffff ffffffff ffffffff ffffffff", "ffffffff ffffffff", "408f276d 41c83b0e a20bc7c6 6d5451fd"),
        ("243f6a88 85a308d3 13198a2e 03707344", "a4093822 299f31d0", "d16cfe09 94fdcceb 5001e420 24126ea1"),
    ],
)
def test_random123_known_answers(counter: str, key: str, expected: str) -> None:
    words = [np.array([int(word, 16) for word in text.split()], np.uint32) for text in (counter, key, expected)]
    np.testing.assert_array_equal(philox4x32(words[0][None], words[1])[0], words[2])


def reference_normal(index: int, seed: int) -> float:
    """The module's written definition, in plain Python integers and floats, one value at a time."""
    import math

    block = index // 4
    c, k = [block & 0xFFFFFFFF, block >> 32, 0, 0], [seed & 0xFFFFFFFF, seed >> 32]
    for _ in range(10):
        p0, p1 = 0xD2511F53 * c[0], 0xCD9E8D57 * c[2]
        c = [p1 >> 32 ^ c[1] ^ k[0], p1 & 0xFFFFFFFF, p0 >> 32 ^ c[3] ^ k[1], p0 & 0xFFFFFFFF]
        k = [(k[0] + 0x9E3779B9) % 2**32, (k[1] + 0xBB67AE85) % 2**32]
    u = [(word + 0.5) / 2**32 for word in c]
    first = 2 * (index % 4 // 2)
    turn = math.cos if index % 2 == 0 else math.sin
    return math.sqrt(-2 * math.log(u[first])) * turn(2 * math.pi * u[first + 1])


@pytest.mark.parametrize("seed", [0, 1, 2**32 - 1, 2**32, 2**64 - 1])
def test_matches_the_written_definition(seed: int) -> None:
    expected = [reference_normal(index, seed) for index in range(23)]
    np.testing.assert_allclose(normal(23, seed=seed), expected, atol=1e-6, rtol=0)


@pytest.mark.parametrize("length", [0, 1, 3, 4, 5, 127])
def test_longer_draw_begins_with_the_shorter(length: int) -> None:
    np.testing.assert_array_equal(normal(length, seed=7), normal(1000, seed=7)[:length])


def test_flat_index_is_row_major() -> None:
    drawn = normal((2, 3, 5), seed=3)
    assert drawn.dtype == np.float32
    np.testing.assert_array_equal(drawn.reshape(-1), normal(30, seed=3))


def test_both_halves_of_the_seed_count() -> None:
    assert len({normal(4, seed=seed).tobytes() for seed in (0, 1, 2**32, 2**63, 2**32 + 1)}) == 5


@pytest.mark.parametrize("seed", [-1, 2**64, 1.5, "7", None, True])
def test_seed_outside_the_range_is_refused(seed: object) -> None:
    with pytest.raises(InputError, match="whole number from 0 to 18446744073709551615"):
        normal(4, seed=seed)  # type: ignore[arg-type]


def test_numpy_seed_is_taken() -> None:
    np.testing.assert_array_equal(normal(8, seed=np.uint64(2**64 - 1)), normal(8, seed=2**64 - 1))


def test_distribution_is_standard_normal_and_uncorrelated() -> None:
    drawn = normal(200_000, seed=20240601).astype(np.float64)
    spread = 1 / np.sqrt(drawn.size)
    assert abs(drawn.mean()) < 4 * spread
    assert abs(drawn.var() - 1) < 4 * np.sqrt(2) * spread
    assert abs(stats.skew(drawn)) < 4 * np.sqrt(6) * spread
    assert abs(stats.kurtosis(drawn)) < 4 * np.sqrt(24) * spread
    assert stats.kstest(drawn, "norm").pvalue > 1e-3
    for lag in (1, 2, 3, 4):
        assert abs(np.mean(drawn[:-lag] * drawn[lag:])) < 4 * spread
