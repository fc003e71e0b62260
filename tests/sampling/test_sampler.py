"""The loop does what a table says, on numpy and on tensors."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from edge_stickers.errors import InputError
from edge_stickers.sampling.sampler import sample
from edge_stickers.sampling.schedule import Row, rows


@pytest.mark.parametrize("make", [np.asarray, torch.tensor])
def test_each_row_is_a_linear_step(make):
    table = [Row(900.0, 0.5, 0.25), Row(400.0, 0.5, 1.0, c=-0.5, d=2.0)]
    seen = []

    def predict(step, x, timestep):
        seen.append((step, timestep))
        return x + 1.0

    out = sample(predict, make([4.0, 8.0]), table, fresh_noise=lambda step: make([10.0 * step, 0.0]))
    # x1 = .5 x + .25 (x + 1) = [3.25, 6.25]; x2 = .5 x1 + (x1 + 1) - .5 (x + 1) + 2 noise
    np.testing.assert_allclose(np.asarray(out), [0.5 * 3.25 + 4.25 - 2.5 + 20.0, 0.5 * 6.25 + 7.25 - 4.5])
    assert seen == [(0, 900.0), (1, 400.0)]


@pytest.mark.parametrize("steps", [1, 3, 8])
def test_a_perfect_model_is_reached_in_any_number_of_steps(steps):
    clean = np.linspace(-1, 1, 12, dtype=np.float32)
    noise = np.random.default_rng(0).standard_normal(12).astype(np.float32)
    out = sample(lambda step, x, timestep: clean, noise, rows(steps))
    assert out.dtype == np.float32
    np.testing.assert_allclose(out, clean, atol=1e-6)


@pytest.mark.parametrize(
    ("table", "message"),
    [
        ([], "no rows"),
        ([Row(1000.0, 0.0, 1.0, c=0.5)], "previous prediction"),
        ([Row(1000.0, 0.0, 1.0, d=0.5)], "adds noise"),
    ],
)
def test_tables_that_cannot_be_walked(table, message):
    with pytest.raises(InputError, match=message):
        sample(lambda step, x, timestep: x, np.zeros(2), table)
