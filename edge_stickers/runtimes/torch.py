"""PyTorch in this process: the reference of every other runtime."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch
from torch import nn

from edge_stickers.bundle.manifest import TensorEntry
from edge_stickers.errors import Cancelled
from edge_stickers.runtimes.base import CancelCheck
from edge_stickers.runtimes.framing import Array


class TorchSession:
    """One component as a module in evaluation mode.

    Args:
        module: takes its inputs in order and gives one tensor, or a tuple of them.
        inputs: names, shapes and dtypes, in the order of the module's arguments.
        outputs: likewise.
    """

    def __init__(self, module: nn.Module, inputs: tuple[TensorEntry, ...], outputs: tuple[TensorEntry, ...]) -> None:
        self.module = module
        self.inputs = inputs
        self.outputs = outputs

    def run(self, inputs: Mapping[str, Array], *, cancel: CancelCheck | None = None) -> dict[str, Array]:
        """Runs the module in inference mode; a call, once begun, is not interrupted."""
        if cancel is not None and cancel():
            raise Cancelled("cancelled; nothing was written")
        with torch.inference_mode():
            device = next((p.device for p in self.module.parameters()), torch.device("cpu"))
            arguments = [torch.from_numpy(np.array(inputs[entry.name])).to(device) for entry in self.inputs]
            result = self.module(*arguments)
        results = result if isinstance(result, tuple) else (result,)
        return {entry.name: value.cpu().numpy() for entry, value in zip(self.outputs, results, strict=True)}

    def close(self) -> None:
        """Nothing to free: the pipeline owns the weights."""
