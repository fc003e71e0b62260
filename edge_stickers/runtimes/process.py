"""The parent's side of the child process that holds a runtime."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from concurrent.futures import TimeoutError as StillRunning
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from edge_stickers.bundle.manifest import TensorEntry
from edge_stickers.errors import Cancelled, RuntimeFailedError
from edge_stickers.runtimes.base import CancelCheck
from edge_stickers.runtimes.framing import Array, read_message, write_message

CANCEL_GRACE_S = 1.0
"""How long a call that was cancelled may go on before its process is killed; a step is usually shorter."""
_POLL_S = 0.02
_ROOT = Path(__file__).parents[2]

Reply = tuple[dict[str, Any], dict[str, Array]]


@dataclass(frozen=True, slots=True)
class Program:
    """What the child opens.

    Attributes:
        component: its name.
        path: file or folder.
        inputs: in order.
        outputs: in order.
    """

    component: str
    path: Path
    inputs: tuple[TensorEntry, ...]
    outputs: tuple[TensorEntry, ...]


class Worker:
    """One child process; it starts with the first call, and again after it crashed or was killed.

    Args:
        name: of the runtime, for messages.
        opener: "module:function" that loads a program there.
        threads: it may use; None for all of this process's.
        limit_s: after which a call counts as hung; None for never.
    """

    def __init__(self, name: str, opener: str, *, threads: int | None = None, limit_s: float | None = None) -> None:
        self.name = name
        self.seconds = 0.0
        """How long the last call took in the child, without the transfer."""
        self._opener = opener
        self._threads = threads or usable_cpus()
        self._limit_s = limit_s
        self._process: subprocess.Popen[bytes] | None = None
        self._log: IO[bytes] | None = None
        self._loaded: set[str] = set()
        self._pool = ThreadPoolExecutor(1, thread_name_prefix=f"{name}-worker")

    def run(self, program: Program, inputs: Mapping[str, Array], *, cancel: CancelCheck | None) -> dict[str, Array]:
        """Loads the program where that was not done yet, and runs it once."""
        self.load(program, cancel=cancel)
        header, outputs = self._call(
            {"request": "run", "component": program.component}, inputs, f"running {program.component}", cancel
        )
        self.seconds = float(header["seconds"])
        return outputs

    def load(self, program: Program, *, cancel: CancelCheck | None = None) -> None:
        """Loads a program; where that was done, does nothing."""
        if self._process is not None and program.component in self._loaded:
            return
        header = {
            "request": "load",
            "component": program.component,
            "opener": self._opener,
            "path": str(program.path.absolute()),
            "inputs": [entry.name for entry in program.inputs],
            "outputs": [entry.name for entry in program.outputs],
            "threads": self._threads,
        }
        self._call(header, {}, f"loading {program.component}", cancel)
        self._loaded.add(program.component)

    @property
    def pid(self) -> int | None:
        """Of the child; None while there is none."""
        return None if self._process is None else self._process.pid

    def close(self) -> None:
        """Ends the child; a later call would start another."""
        self._stop()

    def _call(
        self, header: dict[str, Any], tensors: Mapping[str, Array], what: str, cancel: CancelCheck | None
    ) -> Reply:
        process = self._start()
        answer = self._pool.submit(_exchange, process, header, tensors)
        try:
            reply, outputs = self._await(answer, what, cancel)
        except (EOFError, OSError, ValueError):  # the pipe broke
            raise RuntimeFailedError(self._death(process, what)) from None
        except BaseException as error:
            if not answer.done() or not isinstance(error, Cancelled):
                self._stop()
            raise
        if "error" in reply:
            reason = " ".join(str(reply["error"]).split())[:300]
            raise RuntimeFailedError(f"{self.name} failed while {what}: {reason}")
        return reply, outputs

    def _await(self, answer: Future[Reply], what: str, cancel: CancelCheck | None) -> Reply:
        start, cancelled_at = time.monotonic(), None
        while True:
            try:
                reply = answer.result(timeout=_POLL_S)
            except StillRunning:
                if answer.done():  # the call itself raised it
                    raise
            else:
                if cancelled_at is not None:
                    raise Cancelled("cancelled; nothing was written")
                return reply
            now = time.monotonic()
            if cancelled_at is None and cancel is not None and cancel():
                cancelled_at = now
            if cancelled_at is not None and now - cancelled_at > CANCEL_GRACE_S:
                raise Cancelled("cancelled; nothing was written")
            if self._limit_s is not None and now - start > self._limit_s:
                raise RuntimeFailedError(f"{self.name} hung: over {self._limit_s:g} s while {what}; it was stopped")

    def _start(self) -> subprocess.Popen[bytes]:
        if self._process is not None and self._process.poll() is None:
            return self._process
        self._stop()
        paths = [*(path for path in sys.path if path), str(_ROOT)]
        self._log = tempfile.TemporaryFile()  # noqa: SIM115 - lives as long as the child
        self._process = subprocess.Popen(
            [sys.executable, "-P", "-m", "edge_stickers.runtimes.worker"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._log,
            env=os.environ | {"PYTHONPATH": os.pathsep.join(paths), "PYTHONUNBUFFERED": "1"},
        )
        return self._process

    def _stop(self) -> None:
        process, log = self._process, self._log
        self._process, self._log = None, None
        self._loaded.clear()
        if process is not None:
            process.kill()
            process.wait()
            for pipe in (process.stdin, process.stdout):
                if pipe is not None:
                    _close_quietly(pipe)
        if log is not None:
            log.close()

    def _death(self, process: subprocess.Popen[bytes], what: str) -> str:
        try:
            code = process.wait(timeout=5)
        except subprocess.TimeoutExpired:
            code = 0
        last = _last_line(self._log)
        self._stop()
        how = f"crashed ({_exit_words(code)})" if code else "ended unexpectedly"
        return f"{self.name} {how} while {what}{f'; it said: {last}' if last else ''}"


class WorkerSession:
    """One component inside a child process that others share.

    Args:
        worker: the process.
        program: what it opens.
    """

    def __init__(self, worker: Worker, program: Program) -> None:
        self.worker = worker
        self.program = program
        self.inputs = program.inputs
        self.outputs = program.outputs

    def run(self, inputs: Mapping[str, Array], *, cancel: CancelCheck | None = None) -> dict[str, Array]:
        """Runs it once in the child."""
        return self.worker.run(self.program, inputs, cancel=cancel)

    def close(self) -> None:
        """Ends the child, with all components in it."""
        self.worker.close()


def usable_cpus() -> int:
    """CPUs that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _exchange(process: subprocess.Popen[bytes], header: dict[str, Any], tensors: Mapping[str, Array]) -> Reply:
    assert process.stdin is not None  # for the type checker
    assert process.stdout is not None
    write_message(process.stdin, header, tensors)  # type: ignore[arg-type]
    return read_message(process.stdout)  # type: ignore[arg-type]


def _close_quietly(pipe: IO[bytes]) -> None:
    try:
        pipe.close()
    except OSError:  # what was left in its buffer has no reader any more
        return


def _exit_words(code: int) -> str:
    if code >= 0:
        return f"exit code {code}"
    hint = ", perhaps out of memory" if -code == getattr(signal, "SIGKILL", 9) else ""
    return f"signal {-code}{hint}"


def _last_line(log: IO[bytes] | None) -> str:
    """What the child last wrote to standard error, shortened; chatter about the CPU is left out."""
    if log is None:
        return ""
    log.seek(max(0, log.seek(0, os.SEEK_END) - 4096))
    lines = [line.strip() for line in log.read().decode(errors="replace").splitlines()]
    lines = [line for line in lines if line and "cpuinfo" not in line]
    return lines[-1][:200] if lines else ""
