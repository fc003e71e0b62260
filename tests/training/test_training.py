from __future__ import annotations

import copy
from collections.abc import Mapping
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from torch import Tensor, nn

from edge_stickers.data.families import Motion
from edge_stickers.errors import BundleError, InputError
from edge_stickers.models.functional import smooth_basis
from edge_stickers.training.loop import averaged, train
from edge_stickers.training.motion import GRID, MotionStage, Sentences, field_loss, meaning_of, told_sources
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


def test_place_loss_is_zero_where_a_field_looks_as_the_motion_says_and_grows_with_the_distance() -> None:
    places = smooth_basis(8, 8, 2)
    field = torch.randn(1, 3, 2, places.shape[1]) * 0.1
    source = field @ places.t()
    losses = []
    for shift in (0.0, 0.05, 0.1, 0.25):
        moved = field.clone()
        moved[..., 2] += shift  # the term 1
        losses.append(float(place_loss(moved, source, places)))
    assert losses[0] < 1e-10
    assert losses == sorted(losses)
    assert losses[3] == pytest.approx(3.95, rel=0.02)  # four cells off in a grid of 32, less half of beta


@pytest.mark.parametrize("family", ["spin", "flip", "hop", "jelly", "wave", "talk"])
def test_a_field_can_tell_every_motion_of_a_whole_sticker(family: str) -> None:
    """The smooth functions and the harmonics in time reach the library's motions, within a fifth of a cell."""
    motion = Motion(family, "clockwise" if family == "spin" else None, 0.9)
    source = told_sources([motion], torch.device("cpu"))
    places = smooth_basis(GRID, GRID, 4)
    exact = torch.linalg.lstsq(places.expand(8, -1, -1), source[0].transpose(1, 2)).solution  # (F, terms, 2)
    assert float(field_loss(exact.transpose(1, 2), source)) < 0.15
    if family != "talk":
        still = torch.zeros(8, 2, 19)
        still[:, 0, 0] = still[:, 1, 1] = 1.0
        assert float(field_loss(still, source)) > 0.1


def test_sentences_that_move_nothing_still_differ_in_what_they_tell(tiny_pipeline) -> None:
    """Hearts and a blink have one field: the head's loss alone pulls what was understood of them apart."""
    stage = MotionStage(
        copy.deepcopy(tiny_pipeline.unet),
        tiny_pipeline.text_encoder,
        tiny_pipeline.tokenizer.backend_tokenizer,
        None,  # type: ignore[arg-type]
        None,  # type: ignore[arg-type]
    )
    motions = [Motion("hearts"), Motion("blink"), Motion("blink", cycles=2)]
    assert len({meaning_of(motion) for motion in motions}) == 3
    source = told_sources(motions, torch.device("cpu"))
    assert torch.equal(source[0], source[1])
    tokens = torch.randint(1, 90, (3, 32))
    batch = Sentences(tokens, torch.ones(3), torch.tensor([meaning_of(motion) for motion in motions]), source)
    stage.loss(stage.model, batch, torch.Generator())[0].backward()
    gradients = [p.grad for p in (*stage.model.field.hidden.parameters(), *stage.model.field_projection.parameters())]
    assert all(gradient is not None and gradient.abs().max() > 0 for gradient in gradients)


def test_the_motion_stage_learns_a_sentence(tiny_pipeline, tmp_path: Path) -> None:
    """Words and motions alone: after a few steps on two sentences their fields differ as the motions do."""
    unet = copy.deepcopy(tiny_pipeline.unet)
    sentences = ("the cat spins", "the cat moves up")
    motions = [Motion("spin", "clockwise"), Motion("travel", "up", 1.0)]

    class Source:
        def plan(self, index: int) -> SimpleNamespace:
            return SimpleNamespace(caption=sentences[index % 2], motion=motions[index % 2])

    stage = MotionStage(
        unet,
        tiny_pipeline.text_encoder,
        tiny_pipeline.tokenizer.backend_tokenizer,
        Source(),
        None,  # type: ignore[arg-type]
    )
    batch = stage.batch(range(4), torch.device("cpu"))
    with torch.no_grad():
        before, _ = stage.loss(stage.model, batch, torch.Generator())
    stage.sample = lambda model, path: None  # type: ignore[method-assign]
    train(stage, plan(steps=60, learning_rate=3e-3), tmp_path)
    with torch.no_grad():
        after, _ = stage.loss(stage.model, batch, torch.Generator())
    assert float(after) < 0.5 * float(before)
    assert stage.model.field is unet.field
