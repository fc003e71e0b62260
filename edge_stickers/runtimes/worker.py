"""The child process that holds a runtime, so that a crash or a hang in native code stays there.

`python -P -m edge_stickers.runtimes.worker`: requests on standard input, replies on standard output. It imports a
runtime when the first program is loaded, and nothing else.
"""

from __future__ import annotations

import contextlib
import importlib
import os
import sys
import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, BinaryIO

from edge_stickers.runtimes.framing import Array, read_message, write_message

Run = Callable[[Mapping[str, Array]], dict[str, Array]]
"""What an opener returns: named inputs to named outputs."""


def main() -> int:
    """Serves requests until the parent closes the pipe."""
    requests, replies = _take_pipes()
    threading.Thread(target=_leave_with, args=(os.getppid(),), daemon=True).start()
    programs: dict[str, Run] = {}
    with contextlib.suppress(EOFError, BrokenPipeError):
        while True:
            header, tensors = read_message(requests)
            try:
                reply, outputs = _serve(header, tensors, programs)
            except Exception as error:  # whatever a runtime raises becomes the parent's message
                reply, outputs = {"error": f"{type(error).__name__}: {error}"[:2000]}, {}
            write_message(replies, reply, outputs)
    return 0


def _serve(
    header: dict[str, Any], tensors: dict[str, Array], programs: dict[str, Run]
) -> tuple[dict[str, Any], dict[str, Array]]:
    name = header["component"]
    if header["request"] == "load":
        module, _, function = header["opener"].partition(":")
        opener = getattr(importlib.import_module(module), function)
        programs[name] = opener(
            Path(header["path"]), inputs=header["inputs"], outputs=header["outputs"], threads=header["threads"]
        )
        return {}, {}
    start = time.perf_counter()
    outputs = programs[name](tensors)
    return {"seconds": time.perf_counter() - start}, outputs


def _take_pipes() -> tuple[BinaryIO, BinaryIO]:
    """Keeps the two pipes to itself: what a runtime prints goes to standard error."""
    requests, replies = os.dup(0), os.dup(1)
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    os.dup2(2, 1)
    return os.fdopen(requests, "rb"), os.fdopen(replies, "wb")


def _leave_with(parent: int) -> None:
    """Ends this process when its parent died while a program was running."""
    while os.getppid() == parent:
        time.sleep(1.0)
    os._exit(1)


if __name__ == "__main__":
    sys.exit(main())
