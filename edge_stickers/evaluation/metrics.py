"""How good a clip is: identity, motion, flicker, loop, transparency; and how good an autoencoder is."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as functional
from torch import Tensor

from edge_stickers.evaluation.alignment import warp
from edge_stickers.evaluation.registration import PSNR_CEILING, Registration, psnr_of
from edge_stickers.evaluation.trajectories import body_of, distance, invert

_SIDE = 128  # Side in pixels at which flicker is measured.
_THINNEST = 0.5  # Frames squeezed further than this are too thin to look at surfaces.
_STILL_JUMP = 1e-3  # Jumps, root mean square, that count as none.


@dataclass(frozen=True, slots=True)
class ClipMetrics:
    """What is measured on a clip, its still given.

    Attributes:
        identity: Registered PSNR, dB: frame against the still moved by the best affine map, whole canvas, peak 1,
            at most 60; mean over all frames but the first.
        identity_nearest: The same of the frame nearest to the still; all but the first.
        identity_worst: The same of the worst frame.
        first_frame: PSNR of frame 0 against the still, in place, dB.
        motion: Root mean square distance of the sticker's pixels from the still's, pixels of a 256 canvas.
        flicker: Root mean square second difference in time, around the loop, of what the frames show in the
            sticker's own coordinates, in 8-bit levels: surfaces that boil. Movement itself does not count.
        loop: Jump from the last frame to the first over the mean of the other jumps; about 1 where a clip loops.
        alpha_outside: Mean alpha where the moved still, dilated by 6 pixels, is empty.
        alpha_inside: Mean alpha where the moved still, eroded by 4 pixels, is opaque.
    """

    identity: float
    identity_nearest: float
    identity_worst: float
    first_frame: float
    motion: float
    flicker: float
    loop: float
    alpha_outside: float
    alpha_inside: float


def measure(frames: Tensor, still: Tensor, registration: Registration) -> ClipMetrics:
    """Measures a clip.

    Args:
        frames: (F, 4, S, S) premultiplied RGBA in 0..1.
        still: (4, S, S).
        registration: Of these frames to this still.
    """
    later = registration.psnr[1:]
    outside, inside = alpha_shares(frames, registration.moved(still))
    moves = distance(invert(registration.matrices), torch.eye(2, 3), body_of(still))
    return ClipMetrics(
        identity=float(later.mean()),
        identity_nearest=float(later.max()),
        identity_worst=float(later.min()),
        first_frame=float(psnr_of((frames[0] - still).square().mean())),
        motion=float(moves.mean().sqrt()),
        flicker=flicker(frames, still, registration.matrices),
        loop=loop_closure(frames),
        alpha_outside=outside,
        alpha_inside=inside,
    )


def flicker(frames: Tensor, still: Tensor, matrices: Tensor) -> float:
    """How much a sticker's surface boils, in 8-bit levels; see `ClipMetrics.flicker`.

    Args:
        frames: (F, 4, S, S).
        still: (4, S, S).
        matrices: (F, 2, 3) output to source coordinates.
    """
    side = min(_SIDE, frames.shape[-1])
    small = functional.interpolate(frames, size=(side, side), mode="area")
    shape = functional.interpolate(still[None], size=(side, side), mode="area")[0]
    maps = invert(matrices)
    back = torch.cat([warp(frame, back_map[None]) for frame, back_map in zip(small, maps, strict=True)])
    # What lay outside the canvas or was squeezed thin was not seen.
    thin = torch.linalg.svdvals(maps[..., :2]).amin(-1) < _THINNEST
    grid = functional.affine_grid(maps, [len(frames), 1, side, side], align_corners=False)
    seen = ((grid.abs().amax(-1) < 1) & ~thin[:, None, None])[:, None].float()
    second = back.roll(1, 0) - 2 * back + back.roll(-1, 0)
    both = seen * seen.roll(1, 0) * seen.roll(-1, 0) * (shape[None, 3:] > 0.1)
    total = both.sum() * 4
    return float(((second.square() * both).sum() / total.clamp_min(1)).sqrt() * 255)


def loop_closure(frames: Tensor) -> float:
    """The jump over the seam relative to the other jumps: (F, 4, S, S) → about 1 where a clip loops."""
    jumps = (frames.roll(-1, 0) - frames).square().mean((1, 2, 3)).sqrt()
    return float((jumps[-1] + _STILL_JUMP) / (jumps[:-1].mean() + _STILL_JUMP))


def alpha_shares(frames: Tensor, moved: Tensor) -> tuple[float, float]:
    """Mean alpha well outside and well inside the moved still.

    Args:
        frames: (F, 4, S, S).
        moved: (F, 4, S, S) the still as it lies in each frame.
    """
    alpha, shape = frames[:, 3:], moved[:, 3:]
    empty = functional.max_pool2d(shape, 13, 1, 6) < 0.02
    solid = -functional.max_pool2d(-shape, 9, 1, 4) > 0.98
    outside = (alpha * empty).sum() / empty.sum().clamp_min(1)
    inside = (alpha * solid).sum() / solid.sum() if solid.any() else torch.tensor(1.0)
    return float(outside), float(inside)


def autoencoder_psnr(autoencoder: Callable[[Tensor], Tensor], stills: Sequence[Tensor]) -> list[float]:
    """PSNR of each still after encoding and decoding.

    Args:
        autoencoder: (4, S, S) premultiplied RGBA in 0..1 to the same.
        stills: Held-out stickers.

    Returns:
        Decibels on premultiplied RGBA, peak 1, at most `PSNR_CEILING`, one a still.
    """
    return [min(PSNR_CEILING, float(psnr_of((autoencoder(still) - still).square().mean()))) for still in stills]
