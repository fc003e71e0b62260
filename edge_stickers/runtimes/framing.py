"""Messages between this process and the one that holds a runtime: a JSON header, then the tensors' raw bytes.

Nothing is pickled. This file imports nothing of the package: the child starts with it.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from typing import Any, BinaryIO

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]
_LENGTH = 8
_MAX_HEADER = 2**24


def write_message(stream: BinaryIO, header: Mapping[str, Any], tensors: Mapping[str, Array]) -> None:
    """Writes one message and flushes.

    Args:
        stream: a pipe.
        header: JSON values; the key `tensors` is taken.
        tensors: arrays of any shape and of a plain dtype.

    Raises:
        OSError: the other end is gone.
    """
    whole = {name: np.ascontiguousarray(array) for name, array in tensors.items()}
    listed = [[name, array.dtype.str, list(np.shape(tensors[name]))] for name, array in whole.items()]
    text = json.dumps({**header, "tensors": listed}).encode()
    stream.write(len(text).to_bytes(_LENGTH, "little") + text)
    for array in whole.values():
        stream.write(array.reshape(-1).view(np.uint8).data)
    stream.flush()


def read_message(stream: BinaryIO) -> tuple[dict[str, Any], dict[str, Array]]:
    """Reads one message.

    Returns:
        The header, and the tensors, which own their memory and can be written to.

    Raises:
        EOFError: the other end closed the pipe, between messages or within one.
    """
    length = int.from_bytes(_exactly(stream, _LENGTH), "little")
    if length > _MAX_HEADER:
        raise EOFError(f"a header of {length} bytes")
    header = json.loads(_exactly(stream, length))
    tensors = {}
    for name, code, shape in header.pop("tensors"):
        dtype = np.dtype(code)
        data = _exactly(stream, math.prod(shape) * dtype.itemsize)
        tensors[name] = np.frombuffer(data, dtype=dtype).reshape(shape)
    return header, tensors


def _exactly(stream: BinaryIO, count: int) -> bytearray:
    data = bytearray(count)
    view, filled = memoryview(data), 0
    while filled < count:
        read = stream.readinto(view[filled:])  # type: ignore[attr-defined]
        if not read:
            raise EOFError("the pipe was closed")
        filled += read
    return data
