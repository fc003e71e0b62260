"""Checkpoints that survive a kill at any moment: one safetensors file, written beside and renamed.

A checkpoint holds the weights, their moving average, both moments of AdamW, and the step. Examples, noise and learning
rate are functions of the seed and the step, so nothing else is needed to go on with the same loss to the digit.
"""

from __future__ import annotations

import json
import os
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from edge_stickers.errors import BundleError

_FILE = "checkpoint.safetensors"


def save_checkpoint(
    folder: Path, *, model: nn.Module, average: dict[str, Tensor], optimizer: torch.optim.Optimizer, step: int
) -> None:
    """Replaces the folder's checkpoint.

    Args:
        folder: of the stage.
        model: being trained.
        average: moving average of its parameters, by name.
        optimizer: AdamW over `model.parameters()` that require a gradient, in their order.
        step: steps done.
    """
    names = [name for name, parameter in model.named_parameters() if parameter.requires_grad]
    tensors = {f"model.{name}": value for name, value in model.state_dict().items()}
    tensors |= {f"average.{name}": value for name, value in average.items()}
    for index, state in optimizer.state_dict()["state"].items():
        for key, value in state.items():
            tensors[f"optimizer.{names[index]}.{key}"] = torch.as_tensor(value)
    tensors = {name: value.detach().cpu().contiguous().clone() for name, value in tensors.items()}
    folder.mkdir(parents=True, exist_ok=True)
    part = folder / f"{_FILE}.part"
    save_file(tensors, part, metadata={"step": json.dumps(step)})
    with part.open("rb") as handle:
        os.fsync(handle.fileno())
    part.replace(folder / _FILE)


def steps_done(folder: Path) -> int:
    """Of a stage's checkpoint; 0 where there is none.

    Raises:
        BundleError: the file is damaged.
    """
    path = folder / _FILE
    if not path.is_file():
        return 0
    try:
        with safe_open(path, framework="pt") as file:
            return int(json.loads(file.metadata()["step"]))
    except (SafetensorError, OSError, KeyError, TypeError, ValueError) as error:
        raise BundleError(f"checkpoint {path} is damaged ({error}); delete it to start again") from error


def load_checkpoint(
    folder: Path, *, model: nn.Module, average: dict[str, Tensor], optimizer: torch.optim.Optimizer
) -> int:
    """Restores the folder's checkpoint in place.

    Returns:
        The number of steps done; 0 where there is no checkpoint.

    Raises:
        BundleError: the file is damaged or of another model.
    """
    path = folder / _FILE
    if not path.is_file():
        return 0
    try:
        with safe_open(path, framework="pt") as file:
            step = int(json.loads(file.metadata()["step"]))
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - not a mapping
    except (SafetensorError, OSError, KeyError, TypeError, ValueError) as error:
        raise BundleError(f"checkpoint {path} is damaged ({error}); delete it to start again") from error
    try:
        model.load_state_dict({k.removeprefix("model."): v for k, v in tensors.items() if k.startswith("model.")})
    except RuntimeError as error:
        raise BundleError(
            f"checkpoint {path} is of another model; delete it or choose another output folder"
        ) from error
    for name, value in average.items():
        value.copy_(tensors[f"average.{name}"])
    names = [name for name, parameter in model.named_parameters() if parameter.requires_grad]
    state = {
        index: {key: tensors[f"optimizer.{name}.{key}"] for key in ("step", "exp_avg", "exp_avg_sq")}
        for index, name in enumerate(names)
        if f"optimizer.{name}.step" in tensors
    }
    optimizer.load_state_dict({"state": state, "param_groups": optimizer.state_dict()["param_groups"]})
    return step
