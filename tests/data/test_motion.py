"""Motions loop, start at the still, and go where they say."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as functional
from torch import Tensor

from edge_stickers.data.effects import paint_effect
from edge_stickers.data.layers import Layers, split_layers
from edge_stickers.data.motion import (
    FAMILIES,
    RIGID,
    Motion,
    affine,
    place,
    placement,
    render,
    render_batch,
    sample_motion,
)
from edge_stickers.data.transforms import affine_grid
from edge_stickers.errors import InputError


def _all_motions() -> list[Motion]:
    return [
        Motion(name, direction, amplitude, cycles)
        for name, family in FAMILIES.items()
        for direction in family.directions or (None,)
        for amplitude, cycles in ((1.0, 1), (0.4, family.max_cycles))
    ]


def _centre(frame: Tensor) -> tuple[float, float]:
    """Centre of mass of (4, S, S), coordinates -1..1."""
    alpha, size = frame[3], frame.shape[-1]
    axis = (torch.arange(size) * 2 + 1) / size - 1
    return float((alpha.sum(0) * axis).sum() / alpha.sum()), float((alpha.sum(1) * axis).sum() / alpha.sum())


@pytest.fixture(scope="module")
def face(drawings: Path) -> Layers:
    """A face with eyes and mouth."""
    return split_layers(drawings / "1f600.svg", 64)


@pytest.fixture(scope="module")
def hand(drawings: Path) -> Layers:
    """A hand that can wave."""
    return split_layers(drawings / "1f44b.svg", 64)


@pytest.mark.parametrize("motion", _all_motions(), ids=str)
def test_first_frame_is_the_still_and_something_moves(motion: Motion, face: Layers, hand: Layers) -> None:
    layers = hand if motion.family == "wave" else face
    frames = render(layers, motion)
    still = place(layers.image[None], placement(0.82)[None])[0]
    assert frames.shape == (8, 4, 64, 64)
    assert float((frames[0] - still).abs().max()) < 1e-6
    assert bool((frames >= -1e-6).all()) and bool((frames <= 1 + 1e-5).all())
    assert bool((frames[:, :3] <= frames[:, 3:] + 1e-5).all())
    moved = float((frames - still).abs().amax())
    assert moved == 0 if motion.family == "still" else moved > 0.05


@pytest.mark.parametrize("motion", _all_motions(), ids=str)
def test_half_a_phase_is_half_a_clip_later(motion: Motion, face: Layers, hand: Layers) -> None:
    layers = hand if motion.family == "wave" else face
    later = Motion(motion.family, motion.direction, motion.amplitude, motion.cycles, phase=0.5)
    rolled = render(layers, motion).roll(-4, dims=0)
    assert float((render(layers, later) - rolled).abs().max()) < 2e-2


@pytest.mark.parametrize("motion", [m for m in _all_motions() if m.family in RIGID], ids=str)
def test_no_jump_at_the_seam(motion: Motion) -> None:
    # From the last frame to the first is no farther than the largest step elsewhere.
    corners = torch.tensor([[-0.5, -0.5, 1], [0.5, -0.5, 1], [0.5, 0.5, 1.0]]).T
    inverse = torch.linalg.inv(torch.cat([affine(motion), torch.tensor([0, 0, 1.0]).expand(8, 1, 3)], 1))
    points = inverse @ corners
    steps = (points.roll(-1, 0) - points).norm(dim=1).amax(-1)
    assert float(steps[7]) <= float(steps[:7].max()) * 1.01


@pytest.mark.parametrize(("direction", "x", "y"), [("left", -1, 0), ("right", 1, 0), ("up", 0, -1), ("down", 0, 1)])
def test_travel_goes_where_it_says(direction: str, x: int, y: int) -> None:
    still = torch.zeros(4, 64, 64)
    still[:, 24:40, 24:40] = 1
    middle = _centre(render(still, Motion("travel", direction, 0.8), margin=1.0)[4])
    assert middle == pytest.approx((0.28 * x, 0.28 * y), abs=0.01)


@pytest.mark.parametrize(("direction", "side"), [("clockwise", 1), ("counter-clockwise", -1)])
def test_spin_turns_as_seen_on_the_screen(direction: str, side: int) -> None:
    still = torch.zeros(4, 64, 64)
    still[:, 4:12, 28:36] = 1  # Twelve o'clock.
    frames = render(still, Motion("spin", direction), margin=1.0)
    assert _centre(frames[2]) == pytest.approx((0.75 * side, 0.0), abs=0.03)
    assert _centre(frames[4]) == pytest.approx((0.0, 0.75), abs=0.03)


@pytest.mark.parametrize(("direction", "side"), [("right", 1), ("left", -1)])
def test_fall_brings_the_head_to_that_side(direction: str, side: int) -> None:
    still = torch.zeros(4, 64, 64)
    still[:, 10:14, 30:34] = 1
    x, y = _centre(render(still, Motion("fall", direction), margin=1.0)[4])
    assert side * x > 0.3 and y > -0.5


def test_hop_rises_and_stands_on_the_floor() -> None:
    still = torch.zeros(4, 64, 64)
    still[:, 20:60, 24:40] = 1
    frames = render(still, Motion("hop", amplitude=1.0), margin=1.0)
    lowest = [int(torch.nonzero(frame[3].amax(1) > 0.5).max()) for frame in frames]
    assert lowest[4] < lowest[0] - 5
    assert abs(lowest[1] - lowest[0]) <= 2


def test_blink_shuts_the_eyes_and_nothing_else(face: Layers) -> None:
    frames = render(face, Motion("blink"), margin=1.0)
    changed = (frames[4] - frames[0]).abs().amax(0) > 0.1
    rows = torch.nonzero(changed.any(1))
    assert int(rows.min()) >= 16 and int(rows.max()) <= 32  # The eyes lie in rows 18 to 30.


def test_talk_opens_the_mouth_and_nearly_shuts_it(face: Layers) -> None:
    frames = render(face, Motion("talk", amplitude=1.0))
    dark = ((frames[:, :3].amax(1) < 0.5) & (frames[:, 3] > 0.9))[:, 34:].sum((1, 2))  # below the eyes
    still, widest, narrowest = int(dark[0]), int(dark.max()), int(dark.min())
    assert widest > 1.3 * still and narrowest < 0.6 * still


@pytest.mark.parametrize("family", ["hearts", "sparkles", "tears"])
def test_effects_are_opaque_but_for_their_edges(family: str) -> None:
    """What comes and goes does so by its size: half transparent, it would lose its colour in an autoencoder."""
    alpha = paint_effect(torch.zeros(4, 256, 256), Motion(family))[:, 3]
    core = -functional.max_pool2d(-(alpha > 0.02).float(), 5, 1, 2) > 0
    assert core.any() and float((alpha[core] > 0.9).float().mean()) > 0.99


def test_parts_are_asked_for(drawings: Path) -> None:
    with pytest.raises(InputError, match="hand is a layer"):
        render(split_layers(drawings / "1f4a3.svg", 32), Motion("wave"))


def test_batch_is_the_same_as_one_by_one(face: Layers) -> None:
    motions = [Motion("spin", "clockwise"), Motion("jelly", amplitude=0.7), Motion("still"), Motion("fall", "left")]
    put = torch.stack([placement(scale) for scale in (0.7, 0.8, 0.9, 0.82)])
    together = render_batch(face.image.expand(4, 4, 64, 64).contiguous(), motions, placements=put)
    for clip, motion, scale in zip(together, motions, (0.7, 0.8, 0.9, 0.82), strict=True):
        assert torch.allclose(clip, render(face, motion, margin=scale), atol=1e-5)


def test_matrices_take_a_placed_still_to_its_frames(face: Layers) -> None:
    # The same motion of a still that has its margin already: one resampling more, the same geometry.
    motion = Motion("sway", amplitude=0.8)
    frames = render(face, motion)
    again = render_batch(frames[:1], [motion])[0]
    assert torch.equal(again[0], frames[0])
    assert float((again - frames).abs().mean()) < 0.01


def test_jelly_stands_on_its_base_whatever_the_margin(face: Layers) -> None:
    frames = render(face, Motion("jelly"), margin=0.88)
    top, bottom = frames[:, :, :20], frames[:, :, 54:]
    assert float((top[3] - top[0]).abs().mean()) > 4 * float((bottom[3] - bottom[0]).abs().mean())


def test_effects_follow_their_seed(face: Layers) -> None:
    first, same, other = (render(face, Motion("hearts", seed=seed)) for seed in (1, 1, 2))
    assert torch.equal(first, same)
    assert not torch.equal(first, other)


def test_grid_matches_torch() -> None:
    theta = torch.randn(3, 2, 3, generator=torch.Generator().manual_seed(0))
    expected = functional.affine_grid(theta, [3, 1, 31, 31], align_corners=False)
    assert torch.allclose(affine_grid(theta, 31), expected, atol=1e-5)


def test_wrong_motions_are_told() -> None:
    with pytest.raises(InputError, match="expected one of travel"):
        Motion("teleport")
    with pytest.raises(InputError, match="expected left, right"):
        Motion("travel")
    with pytest.raises(InputError, match="expected none"):
        Motion("hop", "left")
    with pytest.raises(InputError, match="cycles"):
        Motion("flip", cycles=2)
    with pytest.raises(InputError, match="amplitude"):
        Motion("hop", amplitude=1.5)
    with pytest.raises(InputError, match="not a rigid motion"):
        affine(Motion("jelly"))


def test_sampled_motions_suit_the_sticker() -> None:
    rng = np.random.default_rng(0)
    plain = [sample_motion(rng) for _ in range(2000)]
    assert all(FAMILIES[motion.family].part is None for motion in plain)
    assert {motion.family for motion in plain} == {n for n, family in FAMILIES.items() if family.part is None}
    assert sum(motion.family in RIGID for motion in plain) / 2000 > 0.5
    assert all(motion.phase == 0 and 0.2 <= motion.amplitude <= 1 for motion in plain)
    assert "blink" in {sample_motion(rng, ("base", "eyes")).family for _ in range(200)}
