"""The weights file of a package: MIL blob storage, version 2.

A header of 64 bytes (number of blobs, version), then for each blob 64 bytes of metadata, which a program points at, and
its data. Source: mlmodel/src/MILBlob/Blob/StorageFormat.hpp in coremltools.
"""

from __future__ import annotations

import struct
from pathlib import Path

import numpy as np

from edge_stickers.convert.coreml_executor.types import Array, ElementType
from edge_stickers.errors import BundleError

_HEADER = struct.Struct("<II")  # count, version
_HEADER_BYTES = 64
_VERSION = 2
_METADATA = struct.Struct("<IIQQQ")  # sentinel, type, bytes, offset of the data, bits of padding
_SENTINEL = 0xDEADBEEF
_AGAIN = "convert the model again"


def open_weights(path: Path) -> Array:
    """Maps a weights file.

    Returns:
        Its bytes, read when they are touched.

    Raises:
        BundleError: it is missing, too short, or of another version.
    """
    try:
        size = path.stat().st_size
        data: Array = np.memmap(path, np.uint8, "r") if size else np.empty(0, np.uint8)
    except OSError as error:
        raise BundleError(f"the weights {path} cannot be read: {error.strerror or error}; {_AGAIN}") from error
    if size < _HEADER_BYTES:
        raise BundleError(f"the weights {path} have {size} bytes, expected a header of {_HEADER_BYTES}; {_AGAIN}")
    version = _HEADER.unpack(data[: _HEADER.size].tobytes())[1]
    if version != _VERSION:
        raise BundleError(f"the weights {path} are of version {version}, expected {_VERSION}; {_AGAIN}")
    return data


def blob(weights: Array, offset: int, element: ElementType, count: int, *, where: str) -> Array:
    """The data of one blob.

    Args:
        weights: from `open_weights`.
        offset: of its metadata, as the program has it.
        element: what the program says that it holds.
        count: how many values.
        where: file and constant, for messages.

    Returns:
        `count` values, or the bytes that they are packed into, without a copy.

    Raises:
        BundleError: it does not lie inside the file, or holds something else.
    """
    if offset < _HEADER_BYTES or offset + _METADATA.size > weights.size:
        raise BundleError(f"{where} starts at byte {offset} of {weights.size}, expected it inside the file; {_AGAIN}")
    sentinel, kind, size, start, _ = _METADATA.unpack(weights[offset : offset + _METADATA.size].tobytes())
    if sentinel != _SENTINEL:
        raise BundleError(f"{where}: no blob starts at byte {offset} of the weights; {_AGAIN}")
    if kind != element.blob:
        raise BundleError(f"{where} is stored as type {kind}, expected {element.blob} ({element.name}); {_AGAIN}")
    expected = -(-count * element.bits // 8)
    if size != expected:
        raise BundleError(f"{where} has {size} bytes, expected {expected} for {count} {element.name}; {_AGAIN}")
    if start + size > weights.size:
        raise BundleError(f"{where} ends at byte {start + size} of {weights.size}: the weights are cut off; {_AGAIN}")
    data = weights[start : start + size]
    return data if element.packed else np.frombuffer(data, element.numpy)
