"""Reads what a bundle, a model folder or a file of weights says of itself, without loading a weight."""

from __future__ import annotations

import json
import struct
from math import prod
from pathlib import Path
from typing import Any

from edge_stickers.errors import BundleError, InputError

_SAFETENSORS_HEADER_LIMIT = 100 * 2**20
_EXPECTED = "expected a bundle, a model folder, or a .safetensors, .onnx or .pte file"


def describe(path: Path) -> dict[str, Any]:
    """All that is known of a path, as JSON values; `kind` says what it is.

    Args:
        path: a bundle, a model folder, or a `.safetensors`, `.onnx` or `.pte` file.

    Raises:
        InputError: it does not exist or is none of these.
        BundleError: it is damaged.
        MissingDependencyError: reading `.onnx` needs the package onnx.
    """
    if path.is_dir():
        if (path / "manifest.json").is_file():
            return describe_bundle(path)
        if (path / "model_index.json").is_file():
            return describe_model(path)
        if (path / "config.json").is_file():
            return describe_part(path)
        raise InputError(f"{path} has neither manifest.json nor model_index.json nor config.json; {_EXPECTED}")
    if not path.exists():
        raise InputError(f"{path} does not exist; {_EXPECTED}; check the path")
    match path.suffix.lower():
        case ".safetensors":
            return {"kind": "safetensors", **describe_safetensors(path)}
        case ".onnx":
            return {"kind": "onnx", **describe_onnx(path)}
        case ".pte":
            return {"kind": "executorch", **describe_pte(path)}
    raise InputError(f"{path} is of no known kind; {_EXPECTED}")


def describe_bundle(folder: Path) -> dict[str, Any]:
    """The manifest, after every checksum was checked, with sizes added up."""
    from edge_stickers.bundle.reader import Bundle

    manifest = Bundle.open(folder).manifest
    files = manifest.all_files()
    report: dict[str, Any] = manifest.model_dump(mode="json")
    for name, target in manifest.targets.items():
        for component, entry in target.components.items():
            report["targets"][name]["components"][component]["bytes"] = entry.bytes
    total = sum(file.bytes for file in files)
    return {"kind": "bundle", "path": str(folder), "bytes": total, "checked_files": len(files), **report}


def describe_model(folder: Path) -> dict[str, Any]:
    """Each part of a diffusers folder: its class, configuration, parameters and size."""
    index = _read_json(folder / "model_index.json")
    components = {
        name: _describe_part(folder / name, str(value[1]))
        for name, value in index.items()
        if isinstance(value, list) and len(value) == 2 and value[1] is not None
    }
    totals = {key: sum(part[key] for part in components.values()) for key in ("parameters", "bytes")}
    return {"kind": "model", "path": str(folder), **totals, "components": components}


def describe_part(folder: Path) -> dict[str, Any]:
    """A single model's folder, such as a UNet's, as a model with that one part."""
    name = str(_read_json(folder / "config.json").get("_class_name", "unknown"))
    part = _describe_part(folder, name)
    totals = {key: part[key] for key in ("parameters", "bytes")}
    return {"kind": "model", "path": str(folder), **totals, "components": {folder.absolute().name: part}}


def _describe_part(folder: Path, class_name: str) -> dict[str, Any]:
    if not folder.is_dir():
        raise BundleError(f"{folder} is missing; expected an intact model folder; save it again")
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    weights = [describe_safetensors(path) for path in files if path.suffix == ".safetensors"]
    config = next((path for path in files if path.name in ("config.json", "scheduler_config.json")), None)
    return {
        "class": class_name,
        "config": {} if config is None else {k: v for k, v in _read_json(config).items() if not k.startswith("_")},
        "parameters": sum(part["parameters"] for part in weights),
        "dtypes": sorted({dtype for part in weights for dtype in part["dtypes"]}),
        "bytes": sum(path.stat().st_size for path in files),
    }


def describe_safetensors(path: Path) -> dict[str, Any]:
    """Names, shapes and dtypes of the tensors of a file, from its header; the file must be whole."""
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(str(path), framework="numpy"):  # checks the header against the file's length
            pass
        with path.open("rb") as file:
            (length,) = struct.unpack("<Q", file.read(8))
            header = json.loads(file.read(min(length, _SAFETENSORS_HEADER_LIMIT)))
    except (SafetensorError, OSError, ValueError, struct.error) as error:
        reason = " ".join(str(error).split())[:100]
        raise BundleError(f"{path} is no whole safetensors file ({reason}); copy or download it again") from None
    tensors = {name: {"dtype": t["dtype"], "shape": t["shape"]} for name, t in header.items() if name != "__metadata__"}
    return {
        "bytes": path.stat().st_size,
        "parameters": sum(prod(tensor["shape"]) for tensor in tensors.values()),
        "dtypes": sorted({str(tensor["dtype"]) for tensor in tensors.values()}),
        "tensors": tensors,
    }


def describe_onnx(path: Path) -> dict[str, Any]:
    """Inputs, outputs, operator sets and operators of an ONNX graph; weights outside of it stay unread."""
    from edge_stickers.errors import MissingDependencyError

    try:
        import onnx
    except ImportError:
        raise MissingDependencyError("onnx is not installed; run: pip install 'edge-stickers[onnx]'") from None
    from collections import Counter

    try:
        model = onnx.load(str(path), load_external_data=False)
    except Exception as error:  # protobuf's own errors, by more than one name
        raise BundleError(f"{path} is no ONNX file ({' '.join(str(error).split())[:100]}); export it again") from None
    operators = Counter(node.op_type for node in model.graph.node)
    return {
        "bytes": path.stat().st_size,
        "producer": model.producer_name,
        "opsets": {entry.domain or "ai.onnx": entry.version for entry in model.opset_import},
        "inputs": [_onnx_value(value) for value in model.graph.input],
        "outputs": [_onnx_value(value) for value in model.graph.output],
        "operators": dict(operators.most_common()),
    }


def _onnx_value(value: Any) -> str:
    dims = (dim.dim_param or dim.dim_value for dim in value.type.tensor_type.shape.dim)
    return f"{value.name} ({', '.join(map(str, dims))})"


def describe_pte(path: Path) -> dict[str, Any]:
    """Size and format version of an ExecuTorch program."""
    with path.open("rb") as file:
        head = file.read(8)
    if head[4:6] != b"ET":
        raise BundleError(f"{path} is no ExecuTorch program (its identifier is {head[4:8]!r}); convert it again")
    return {"bytes": path.stat().st_size, "format": head[4:8].decode("ascii", "replace")}


def _read_json(path: Path) -> dict[str, Any]:
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        reason = " ".join(str(error).split())[:100]
        raise BundleError(f"{path} cannot be read ({reason}); save the model again") from None
    if not isinstance(value, dict):
        raise BundleError(f"{path} holds a {type(value).__name__}, expected an object; save the model again")
    return value
