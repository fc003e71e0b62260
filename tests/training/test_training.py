from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from edge_stickers.errors import BundleError, InputError
from edge_stickers.training.loop import averaged, train
from edge_stickers.training.objectives import edge_loss, flow_loss, place_loss, psnr, reconstruction_loss
from edge_stickers.training.plan import StagePlan


class Line:
    """A stage that learns y = A x from noisy examples, examples and noise by number."""

    name = "line"

    def __init__(self) -> None:
        torch.manual_seed(0)
        self.model: nn.Module = nn.Sequential(nn.Linear(4, 8), nn.Tanh(), nn.Linear(8, 2))
        self.losses: list[float] = []

    def batch(self, indices: range, device: torch.device) -> Tensor:
        return torch.stack([torch.randn(4, generator=torch.Generator().manual_seed(i)) for i in indices]).to(device)

    def loss(self, model: nn.Module, batch: Tensor, generator: torch.Generator) -> tuple[Tensor, Mapping[str, Tensor]]:
        target = batch[:, :2] - batch[:, 2:] + 0.01 * torch.randn(len(batch), 2, generator=generator)
        loss = (model(batch) - target).square().mean()
        self.losses.append(float(loss.detach()))
        return loss, {}

    def sample(self, model: nn.Module, path: Path) -> None:
        path.write_text("drawn")


def plan(**changes: object) -> StagePlan:
    fields: dict[str, object] = {
        "steps": 30,
        "batch_size": 4,
        "learning_rate": 0.02,
        "warmup_steps": 5,
        "save_every": 10,
    }
    return StagePlan(**(fields | {"sample_every": 15, "precision": "no"} | changes))  # type: ignore[arg-type]


def test_a_killed_run_goes_on_to_the_digit(tmp_path: Path) -> None:
    whole, first, second = Line(), Line(), Line()
    average = train(whole, plan(), tmp_path / "whole")

    class Killed(Exception):
        pass

    straight = first.loss

    def dies(*arguments):  # killed in the middle of step 17; the checkpoint is of step 10
        if len(first.losses) == 17:
            raise Killed
        return straight(*arguments)

    first.loss = dies  # type: ignore[method-assign]
    with pytest.raises(Killed):
        train(first, plan(), tmp_path / "cut")
    resumed = train(second, plan(), tmp_path / "cut")
    assert first.losses == whole.losses[:17]
    assert second.losses == whole.losses[10:]
    for name, value in average.items():
        assert torch.equal(value, resumed[name])


def test_training_learns_and_leaves_its_traces(tmp_path: Path) -> None:
    stage = Line()
    train(stage, plan(steps=150, learning_rate=0.05), tmp_path)
    assert sum(stage.losses[-10:]) < 0.3 * sum(stage.losses[:10])
    assert list((tmp_path / "logs").iterdir())
    assert (tmp_path / "samples/000150.png").read_text() == "drawn"
    assert not list(tmp_path.glob("*.part"))


def test_a_damaged_checkpoint_is_named(tmp_path: Path) -> None:
    train(Line(), plan(steps=10), tmp_path)
    path = tmp_path / "checkpoint.safetensors"
    path.write_bytes(path.read_bytes()[:-20])
    with pytest.raises(BundleError, match="damaged"):
        train(Line(), plan(), tmp_path)


def test_the_average_is_put_in_and_taken_out() -> None:
    model = nn.Linear(2, 2)
    kept = model.weight.detach().clone()
    with averaged(model, {"weight": torch.zeros(2, 2)}):
        assert not model.weight.any()
    assert torch.equal(model.weight, kept)


def test_rates_warm_up_and_fall() -> None:
    rates = [plan(steps=100, warmup_steps=10).rate(step) for step in range(100)]
    assert rates.index(max(rates)) in (9, 10)
    assert rates[9:] == sorted(rates[9:], reverse=True)
    assert rates[-1] == pytest.approx(0.05 * max(rates), rel=0.05)


def test_plans_refuse_what_makes_no_sense() -> None:
    with pytest.raises(InputError, match="batch_size must be at least 1, got 0"):
        plan(batch_size=0)


def test_losses_fall_towards_the_target() -> None:
    target = torch.rand(2, 4, 16, 16)
    noise = torch.randn_like(target)
    for loss in (reconstruction_loss, edge_loss):
        values = [float(loss(target + scale * noise, target)) for scale in (0.0, 0.01, 0.1, 0.5)]
        assert values == sorted(values)
    assert psnr(target + 0.1, target) == pytest.approx(20.0, abs=1e-3)


def test_flow_loss_is_an_error_of_the_velocity() -> None:
    clean, noise = torch.randn(3, 2, 4, 5, 5), torch.randn(3, 2, 4, 5, 5)
    time, wrong = torch.tensor([0.5, 0.7, 1.0]), torch.randn(3, 2, 4, 5, 5)
    s = time.reshape(-1, 1, 1, 1, 1)
    noisy = (1 - s) * clean + s * noise
    velocity_error = ((noisy - wrong) / s - (noise - clean)).square().mean()
    torch.testing.assert_close(flow_loss(wrong, clean, time), velocity_error, atol=1e-4, rtol=1e-4)


def test_place_loss_is_zero_where_heads_look_as_the_motion_says_and_grows_with_the_distance() -> None:
    corners = torch.tensor([[-0.5, -0.5], [0.5, 0.5]])
    motion = torch.tensor([[[0.8, -0.6, 0.25], [0.6, 0.8, -0.5]]])[:, None]  # (B, F, 2, 3)
    maps = motion[:, :, None].repeat(1, 1, 2, 1, 1) * torch.tensor([1.0, 1.0, 4.0])  # shifts in cells of an 8 x 8 grid
    maps[..., 2] += corners
    losses = [
        float(place_loss(maps + shift * torch.tensor([0.0, 0.0, 1.0]), motion, corners, size=8, known=torch.ones(1)))
        for shift in (0.0, 0.5, 1.0, 3.0)
    ]
    assert losses[0] < 1e-10
    assert losses == sorted(losses)
    assert losses[3] == pytest.approx(2.5)  # Huber, three cells off
    assert float(place_loss(maps + 1.0, motion, corners, size=8, known=torch.zeros(1))) == 0.0
