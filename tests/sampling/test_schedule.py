from __future__ import annotations

import pytest
import torch

from edge_stickers.errors import InputError
from edge_stickers.sampling.schedule import TRAIN_TIMESTEPS, add_noise, rows, times


@pytest.mark.parametrize("steps", [1, 2, 3, 4, 8, 50])
@pytest.mark.parametrize("shift", [1.0, 3.0])
def test_a_perfect_model_ends_at_the_clean_latent(steps: int, shift: float) -> None:
    clean, noise = torch.randn(3, 4), torch.randn(3, 4)
    x = noise
    for row in rows(steps, shift=shift):
        expected = add_noise(clean, noise, torch.tensor([row.timestep / TRAIN_TIMESTEPS] * 3))
        torch.testing.assert_close(x, expected, atol=1e-5, rtol=1e-5)  # stays on the straight path
        x = row.a * x + row.b * clean
    torch.testing.assert_close(x, clean, atol=1e-6, rtol=1e-6)


def test_times_fall_from_one_to_zero_and_shift_moves_them_to_the_noise() -> None:
    plain, shifted = times(8), times(8, shift=3.0)
    for grid in (plain, shifted):
        assert grid[0] == 1.0
        assert grid[-1] == 0.0
        assert list(grid) == sorted(grid, reverse=True)
    assert all(shifted[1:-1] > plain[1:-1])


def test_no_steps_are_refused() -> None:
    with pytest.raises(InputError, match="at least 1, got 0"):
        rows(0)


def test_rows_agree_with_the_euler_scheduler_of_diffusers() -> None:
    from diffusers import FlowMatchEulerDiscreteScheduler

    scheduler = FlowMatchEulerDiscreteScheduler(shift=1.0)
    scheduler.set_timesteps(sigmas=list(times(4)[:-1]))
    x = y = torch.randn(2, 3)
    for row, timestep in zip(rows(4), scheduler.timesteps, strict=True):
        predicted = torch.sin(x + row.timestep / 1000)
        assert row.timestep == pytest.approx(float(timestep))
        y = scheduler.step((x - predicted) / (row.timestep / 1000), timestep, x).prev_sample
        x = row.a * x + row.b * predicted
        torch.testing.assert_close(x, y, atol=1e-5, rtol=1e-5)
