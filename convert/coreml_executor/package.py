"""Reading an `.mlpackage` from disk: manifest, model and weights."""

from __future__ import annotations

import importlib
import json
from pathlib import Path
from typing import Any

from edge_stickers.convert.coreml_executor.parse import parse_program
from edge_stickers.convert.coreml_executor.program import Program
from edge_stickers.errors import BundleError, MissingDependencyError

_AGAIN = "convert the model again"


def load_program(package: Path) -> Program:
    """Reads a saved package; weights stay in their file until an operation reads them.

    Args:
        package: the `.mlpackage` folder.

    Returns:
        Its function `main`.

    Raises:
        BundleError: a file is missing or damaged, or it holds something else than an ML program.
        MissingDependencyError: coremltools, which brings the format's description, is not installed.
    """
    model = _model_file(package)
    try:
        data = model.read_bytes()
    except OSError as error:
        raise BundleError(f"the model {model} cannot be read: {error.strerror or error}; {_AGAIN}") from error
    return parse_program(_decode(data, model), package=package, folder=model.parent)


def _model_file(package: Path) -> Path:
    """What the manifest names as the model."""
    manifest = package / "Manifest.json"
    try:
        content = json.loads(manifest.read_text(encoding="utf-8"))
        entry = content["itemInfoEntries"][content["rootModelIdentifier"]]["path"]
    except OSError as error:
        reason = error.strerror or str(error)
        raise BundleError(f"{manifest} cannot be read: {reason}; expected the folder of an .mlpackage") from error
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise BundleError(f"{manifest} names no model; {_AGAIN}") from error
    if not isinstance(entry, str) or not entry.isprintable():
        raise BundleError(f"{manifest} names no model; {_AGAIN}")
    data = (package / "Data").resolve()
    model = (data / entry).resolve()
    if not model.is_relative_to(data):
        raise BundleError(f"{manifest} names {entry}, which is outside the package; {_AGAIN}")
    if not model.is_file():
        raise BundleError(f"{manifest} names {entry}, which is not there; {_AGAIN}")
    return model


def _decode(data: bytes, model: Path) -> Any:
    """The protobuf message `Model`."""
    try:
        messages: Any = importlib.import_module("coremltools.proto.Model_pb2")
    except ImportError as error:
        raise MissingDependencyError(
            "reading a Core ML package needs coremltools; run: pip install 'edge-stickers[coreml]'"
        ) from error
    message = messages.Model()
    try:
        message.ParseFromString(data)
    except Exception as error:  # protobuf has several implementations, each with its own error
        raise BundleError(f"{model} is no Core ML model: {_first_line(error)}; {_AGAIN}") from error
    kind = message.WhichOneof("Type")
    if kind != "mlProgram":
        raise BundleError(f"{model} holds {kind or 'nothing'}, expected an mlProgram (iOS 15 and later); {_AGAIN}")
    return message


def _first_line(error: Exception) -> str:
    return next(iter(str(error).strip().splitlines()), type(error).__name__)[:200]
