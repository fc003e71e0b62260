"""An animator as evaluation sees it."""

from __future__ import annotations

import numpy as np

from edge_stickers.animator import animator_of
from edge_stickers.evaluate_animator import animate_with, rebuilt


def test_stills_reach_the_model_as_they_lie_in_their_canvas(tiny_pipeline):
    animator = animator_of(tiny_pipeline)
    seen = []
    encoder = animator.engine.sessions["image_encoder"]
    run = encoder.run

    def watched(inputs, *, cancel=None):
        seen.append(inputs["image"])
        return run(inputs, cancel=cancel)

    encoder.run = watched
    still = np.zeros((4, 32, 32), np.float32)
    still[:, 3:9, 20:30] = np.array([0.5, 0.25, 0.0, 1.0], np.float32)[:, None, None]
    frames = animate_with(animator, 1)(still, "the cat hops", 0.5, 0)
    assert np.abs(seen[0][0] - still).max() <= 1 / 255
    assert frames.shape == (8, 4, 32, 32)
    assert (frames[:, :3] <= frames[:, 3:] + 1e-6).all()  # premultiplied
    assert rebuilt(animator, still).shape == (4, 32, 32)
