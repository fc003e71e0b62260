"""Seeded Gaussian noise that is the same in every language: Philox4x32-10 and Box-Muller.

The definition, complete, so that an app can repeat it:

1. Block i (i = 0, 1, 2, ...) is `philox4x32` of the counter words (i mod 2^32, i div 2^32, 0, 0) under the key words
   (seed mod 2^32, seed div 2^32), 10 rounds. It gives four unsigned 32-bit words w0, w1, w2, w3.
2. Each word becomes u = (w + 0.5) / 2^32, a 64-bit float strictly between 0 and 1.
3. In 64-bit floats, (u0, u1) and (u2, u3) give two Box-Muller pairs:
   z0 = sqrt(-2 ln u0) cos(2 pi u1), z1 = sqrt(-2 ln u0) sin(2 pi u1), and z2, z3 likewise from u2, u3.
4. z0..z3, rounded to 32-bit floats, are the normals of flat (row-major) indices 4i .. 4i+3. A draw whose length is no
   multiple of four drops the rest of its last block.

So the value at a flat index depends on the seed and that index alone: a longer draw begins with the shorter one.
The integers are bit-equal everywhere; the normals agree to 1e-6, since `ln`, `sin` and `cos` may differ in a last bit.
"""

from __future__ import annotations

import math
import operator
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from edge_stickers.errors import InputError

_MULTIPLIERS = (np.uint64(0xD2511F53), np.uint64(0xCD9E8D57))
_WEYL = (0x9E3779B9, 0xBB67AE85)  # golden ratio and sqrt(3) - 1, added to the key after each round
_LOW = np.uint64(0xFFFFFFFF)
_WORD_BITS = np.uint64(32)


def philox4x32(
    counter: npt.NDArray[np.uint32], key: npt.NDArray[np.uint32], *, rounds: int = 10
) -> npt.NDArray[np.uint32]:
    """Encrypts counters into random words.

    Args:
        counter: (N, 4) uint32, one counter a row, lowest word first.
        key: (2,) uint32, lowest word first.
        rounds: how often the words are mixed; 10 is the published generator.

    Returns:
        (N, 4) uint32, uniform words.

    Source:
        Salmon et al., "Parallel Random Numbers: As Easy as 1, 2, 3" (SC 2011), section 4.3; Random123's philox.h.
    """
    c0, c1, c2, c3 = (counter[:, column].astype(np.uint64) for column in range(4))
    k0, k1 = int(key[0]), int(key[1])
    for _ in range(rounds):
        product0, product1 = _MULTIPLIERS[0] * c0, _MULTIPLIERS[1] * c2  # 32 × 32 bits never leave 64
        c0, c1, c2, c3 = (
            (product1 >> _WORD_BITS) ^ c1 ^ np.uint64(k0),
            product1 & _LOW,
            (product0 >> _WORD_BITS) ^ c3 ^ np.uint64(k1),
            product0 & _LOW,
        )
        k0, k1 = (k0 + _WEYL[0]) & 0xFFFFFFFF, (k1 + _WEYL[1]) & 0xFFFFFFFF
    return np.stack((c0, c1, c2, c3), axis=1).astype(np.uint32)


def normal(shape: int | Sequence[int], *, seed: int) -> npt.NDArray[np.float32]:
    """Draws standard normals; the same seed gives the same values on every platform (see the module's definition).

    Args:
        shape: the array's shape; its row-major flat index selects the value.
        seed: 0 to 2^64 - 1.

    Returns:
        float32 array of that shape, mean 0, variance 1.

    Raises:
        InputError: the seed is no integer in that range.
    """
    dimensions = (shape,) if isinstance(shape, int) else tuple(shape)
    count = math.prod(dimensions)
    block = np.arange(-(-count // 4), dtype=np.uint64)  # ceil(count / 4) blocks of four normals
    counter = np.zeros((block.size, 4), np.uint32)
    counter[:, 0], counter[:, 1] = block & _LOW, block >> _WORD_BITS
    uniform = (philox4x32(counter, _key(seed)).astype(np.float64) + 0.5) / 2.0**32  # (blocks, 4)
    radius = np.sqrt(-2.0 * np.log(uniform[:, 0::2]))  # (blocks, 2)
    angle = 2.0 * np.pi * uniform[:, 1::2]
    pairs = np.stack((radius * np.cos(angle), radius * np.sin(angle)), axis=-1)  # (blocks, 2, 2) = z0 z1, z2 z3
    return pairs.astype(np.float32).reshape(-1)[:count].reshape(dimensions)


def _key(seed: int) -> npt.NDArray[np.uint32]:
    """Splits a seed into the (2,) uint32 key, lowest word first."""
    try:
        number = operator.index(seed)
    except TypeError:
        number = -1
    if isinstance(seed, bool) or not 0 <= number < 2**64:
        raise InputError(f"the seed is {seed!r}; it has to be a whole number from 0 to {2**64 - 1}; pass such a number")
    return np.array((number & 0xFFFFFFFF, number >> 32), np.uint32)
