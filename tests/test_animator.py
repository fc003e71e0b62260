"""One code path for models and bundles: the same clip, the same errors."""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import edge_stickers
from edge_stickers.animator import animator_of
from edge_stickers.errors import BundleError, Cancelled, InputError, RuntimeFailedError

STILL = Path(edge_stickers.__file__).parent / "assets" / "stickers" / "cat.svg"


@pytest.fixture(scope="module")
def model(tiny_model):
    with edge_stickers.load(tiny_model) as animator:
        yield animator


@pytest.fixture(scope="module")
def bundle(tiny_bundle, torchscript_runtime):
    with edge_stickers.load(tiny_bundle, threads=1) as animator:
        yield animator


def test_a_bundle_gives_the_clip_of_its_model(model, bundle):
    assert (model.runtime, bundle.runtime) == ("torch", "onnx")
    ours, theirs = (a.animate(STILL, "the cat hops", seed=3, motion=0.8) for a in (model, bundle))
    assert ours.frames.shape == (8, 32, 32, 4)
    assert ours.duration_ms == 100
    assert np.abs(ours.frames.astype(int) - theirs.frames).max() <= 1


@pytest.mark.parametrize("change", [{"seed": 1}, {"steps": 2}, {"prompt": "the rocket spins"}])
def test_every_option_matters(model, change):
    first = model.animate(STILL, **({"prompt": "the cat hops", "seed": 0} | {}))
    again = model.animate(STILL, **({"prompt": "the cat hops", "seed": 0} | {}))
    other = model.animate(STILL, **({"prompt": "the cat hops", "seed": 0} | change))
    np.testing.assert_array_equal(first.frames, again.frames)
    assert (first.frames != other.frames).any()


def test_steps_and_frames_are_told_in_order(bundle):
    steps, frames = [], []
    clip = bundle.animate(
        STILL,
        "the cat hops",
        steps=2,
        on_step=lambda done, of: steps.append((done, of)),
        on_frame=lambda index, rgba: frames.append((index, rgba)),
    )
    assert steps == [(1, 2), (2, 2)]
    assert [index for index, _ in frames] == list(range(8))
    np.testing.assert_array_equal(np.stack([rgba for _, rgba in frames]), clip.frames)


@pytest.mark.parametrize("which", ["model", "bundle"])
def test_cancelling_stops_before_the_next_step_and_the_animator_lives(which, request):
    animator = request.getfixturevalue(which)
    done = []
    with pytest.raises(Cancelled):
        animator.animate(STILL, "the cat hops", on_step=lambda i, n: done.append(i), cancel=lambda: len(done) >= 2)
    assert done == [1, 2]
    assert len(animator.animate(STILL, "the cat hops", steps=1).frames) == 8


def test_two_threads_take_turns(bundle):
    alone = [bundle.animate(STILL, "the cat hops", seed=seed).frames for seed in (0, 1)]
    results: dict[int, np.ndarray] = {}

    def work(seed: int) -> None:
        results[seed] = bundle.animate(STILL, "the cat hops", seed=seed).frames

    threads = [threading.Thread(target=work, args=(seed,)) for seed in (0, 1)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for seed in (0, 1):
        np.testing.assert_array_equal(results[seed], alone[seed])


def test_waiting_for_the_turn_can_be_cancelled(model):
    began = threading.Event()
    held = threading.Thread(
        target=lambda: model.animate(STILL, "the cat hops", on_step=lambda i, n: (began.set(), time.sleep(0.3)))
    )
    held.start()
    began.wait(30)
    with pytest.raises(Cancelled):
        model.animate(STILL, "the cat hops", cancel=lambda: True)
    held.join()


def test_a_killed_process_is_an_error_and_then_works_again(bundle):
    import os
    import signal

    bundle.animate(STILL, "the cat hops", steps=1)

    def kill(done: int, steps: int) -> None:
        os.kill(bundle.engine.sessions["unet"].worker.pid, signal.SIGKILL)

    with pytest.raises(RuntimeFailedError, match=r"signal 9, perhaps out of memory\) while running"):
        bundle.animate(STILL, "the cat hops", on_step=kill)
    assert len(bundle.animate(STILL, "the cat hops", steps=1).frames) == 8


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"prompt": "  "}, "the prompt is empty"),
        ({"prompt": "hop " * 99}, "the prompt has 99 words"),
        ({"prompt": "hops", "motion": 1.5}, "motion is 1.5; expected 0"),
        ({"prompt": "hops", "motion": float("nan")}, "motion is nan"),
        ({"prompt": "hops", "steps": 3}, "no table for 3 steps; choose one of 1, 2, 4, 8"),
        ({"prompt": "hops", "seed": -1}, "the seed is -1"),
        ({"prompt": "hops", "still": Image.new("RGBA", (8, 8))}, "transparent"),
    ],
)
def test_what_cannot_be_used_is_said_in_one_line(bundle, options, message):
    with pytest.raises(InputError, match=message) as caught:
        bundle.animate(**({"still": STILL} | options))
    assert "\n" not in str(caught.value)


def test_a_model_takes_any_number_of_steps(model):
    assert len(model.animate(STILL, "the cat hops", steps=3).frames) == 8
    with pytest.raises(InputError, match="steps must be at least 1"):
        model.animate(STILL, "the cat hops", steps=0)


def test_loading_what_does_not_fit(tiny_model, tiny_bundle, tmp_path):
    with pytest.raises(BundleError, match="neither a bundle"):
        edge_stickers.load(tmp_path)
    with pytest.raises(InputError, match="no runtime named 'tflite'; known: torch, executorch"):
        edge_stickers.load(tiny_model, runtime="tflite")
    with pytest.raises(InputError, match=r"runs bundles, and .* build one: edge-stickers build"):
        edge_stickers.load(tiny_model, runtime="onnx")
    with pytest.raises(InputError, match="the runtime torch runs model folders"):
        edge_stickers.load(tiny_bundle, runtime="torch")
    with pytest.raises(InputError, match="got a int"):
        animator_of(3)


def test_importing_the_package_imports_nothing_heavy():
    """And running a bundle needs neither torch nor diffusers in this process."""
    code = (
        "import sys, edge_stickers; assert not {'numpy', 'torch', 'pydantic'} & set(sys.modules);"
        "edge_stickers.load, edge_stickers.Clip, edge_stickers.Bundle;"
        "import edge_stickers.runtimes.opening, edge_stickers.runtimes.clip;"
        "heavy = {'torch', 'diffusers', 'transformers', 'executorch', 'onnxruntime'} & set(sys.modules);"
        "assert not heavy, heavy; assert set(edge_stickers.__all__) <= set(dir(edge_stickers))"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=120)
    with pytest.raises(AttributeError, match="nothing"):
        edge_stickers.nothing  # noqa: B018
