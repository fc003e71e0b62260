"""The child process: what goes in comes out, and whatever happens there, the parent lives and says what it was."""

from __future__ import annotations

import io
import os
import time
from pathlib import Path

import numpy as np
import pytest

from edge_stickers.bundle.manifest import TensorEntry
from edge_stickers.errors import Cancelled, InputError, RuntimeFailedError
from edge_stickers.runtimes.base import Engine
from edge_stickers.runtimes.framing import read_message, write_message
from edge_stickers.runtimes.process import Program, Worker, WorkerSession

X = np.arange(6, dtype=np.float32).reshape(2, 3)


@pytest.fixture
def start(tmp_path, monkeypatch):
    """Opens a program of the given behaviour; closes its process at the end."""
    monkeypatch.syspath_prepend(Path(__file__).parent)
    workers = []

    def opened(behaviour: str, *, worker: Worker | None = None, **options) -> Engine:
        path = tmp_path / behaviour.replace(" ", "_")
        path.write_text(behaviour)
        port = TensorEntry(name="x", shape=(2, 3), dtype="float32")
        out = TensorEntry(name="y", shape=(2, 3), dtype="float32")
        worker = worker or Worker("fake", "doubles:open_numpy", **options)
        workers.append(worker)
        session = WorkerSession(worker, Program(behaviour, path, (port,), (out,)))
        return Engine("fake", {"unet": session}, worker.close)

    yield opened
    for worker in workers:
        worker.close()


@pytest.mark.parametrize(
    "array",
    [
        np.array(3.5, np.float32),
        np.zeros((0, 4), np.int64),
        np.arange(24, dtype=np.float16).reshape(2, 3, 4).transpose(2, 0, 1),
        np.array([[1, -(2**62)]], np.int64),
    ],
)
def test_frames_carry_any_array(array):
    stream = io.BytesIO()
    write_message(stream, {"n": 1}, {"a": array, "b": X})
    stream.seek(0)
    header, tensors = read_message(stream)
    assert header == {"n": 1}
    np.testing.assert_array_equal(tensors["a"], array)
    assert tensors["a"].shape == array.shape
    assert tensors["a"].dtype == array.dtype
    tensors["b"][:] = 0  # a runtime may write to what it was given


def test_a_cut_message_is_an_end_of_file():
    stream = io.BytesIO()
    write_message(stream, {}, {"x": X})
    for length in (0, 4, 12, len(stream.getvalue()) - 1):
        with pytest.raises(EOFError):
            read_message(io.BytesIO(stream.getvalue()[:length]))


def test_it_runs_and_keeps_its_process(start):
    engine = start("double")
    np.testing.assert_array_equal(engine.run("unet", {"x": X, "unused": X})["y"], X * 2)
    pid = engine.sessions["unet"].worker.pid
    engine.run("unet", {"x": X})
    assert engine.sessions["unet"].worker.pid == pid != os.getpid()
    engine.close()
    assert not Path(f"/proc/{pid}").exists()
    engine.close()


def test_large_arrays_pass(start):
    worker = Worker("fake", "doubles:open_numpy")
    engine = start("double", worker=worker)
    big = np.random.default_rng(0).random((8, 4, 256, 256), dtype=np.float32)
    port = TensorEntry(name="x", shape=big.shape, dtype="float32")
    program = Program("double", engine.sessions["unet"].program.path, (port,), (port,))
    np.testing.assert_array_equal(WorkerSession(worker, program).run({"x": big})["x"], big * 2)


def test_threads_reach_the_runtime(start):
    assert (start("threads", threads=3).run("unet", {"x": X})["y"] == 3).all()


def test_what_a_runtime_prints_disturbs_nothing(start):
    np.testing.assert_array_equal(start("chatter").run("unet", {"x": X})["y"], X * 2)


@pytest.mark.parametrize(
    ("behaviour", "message"),
    [
        ("crash", r"fake crashed \(signal 11\) while running crash$"),
        ("crash on load", r"fake crashed \(signal 11\) while loading crash on load$"),
        ("say and die", r"crashed \(exit code 7\) while running say and die; it said: kernel add.out is missing$"),
        ("raise", r"failed while running raise: ValueError: the program is not supported$"),
        ("wrong shape", r"gave y of shape \(1, 3\), expected \(2, 3\)"),
    ],
)
def test_a_failure_is_one_line_and_the_parent_lives(start, behaviour, message):
    engine = start(behaviour)
    with pytest.raises(RuntimeFailedError, match=message) as caught:
        engine.run("unet", {"x": X})
    assert "\n" not in str(caught.value)


def test_after_a_crash_the_next_call_starts_again(start):
    worker = Worker("fake", "doubles:open_numpy")
    crashing, doubling = start("crash", worker=worker), start("double", worker=worker)
    doubling.run("unet", {"x": X})
    with pytest.raises(RuntimeFailedError):
        crashing.run("unet", {"x": X})
    np.testing.assert_array_equal(doubling.run("unet", {"x": X})["y"], X * 2)


def test_a_hang_can_be_cancelled(start):
    engine = start("hang")
    session = engine.sessions["unet"]
    session.worker.load(session.program)
    asked = time.monotonic()
    with pytest.raises(Cancelled):
        engine.run("unet", {"x": X}, cancel=lambda: time.monotonic() - asked > 0.2)
    assert session.worker.pid is None


def test_a_cancelled_call_that_ends_in_time_keeps_the_process(start):
    engine = start("double")
    engine.run("unet", {"x": X})
    pid = engine.sessions["unet"].worker.pid
    slow = start("slow", worker=engine.sessions["unet"].worker)
    with pytest.raises(Cancelled):
        slow.run("unet", {"x": X}, cancel=lambda: True)
    np.testing.assert_array_equal(engine.run("unet", {"x": X})["y"], X * 2)
    assert engine.sessions["unet"].worker.pid == pid


def test_a_hang_ends_at_the_limit(start):
    with pytest.raises(RuntimeFailedError, match=r"fake hung: over 2 s while running hang"):
        start("hang", limit_s=2.0).run("unet", {"x": X})


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({}, "needs the input 'x'; got none"),
        ({"x": X.T}, r"x is float32 \(3, 2\), expected float32 \(2, 3\)"),
        ({"x": X.astype(np.complex64)}, "x is complex64"),
    ],
)
def test_wrong_inputs_never_reach_the_runtime(start, values, message):
    with pytest.raises(InputError, match=message):
        start("crash").run("unet", values)
