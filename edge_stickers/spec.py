"""What goes into and comes out of a component: names, shapes, dtypes and real or random examples.

One `ComponentSpec` feeds export, calibration, parity checks, the manifest and the benchmarks.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor

from edge_stickers.errors import InputError

Component = Literal["text_encoder", "image_encoder", "unet", "decoder", "context"]
COMPONENTS: tuple[Component, ...] = ("text_encoder", "image_encoder", "unet", "decoder")
"""The parts of a student in the order in which a clip passes them."""

DType = Literal["float32", "float16", "int64", "int32"]


@dataclass(frozen=True, slots=True)
class TensorSpec:
    """One named tensor."""

    name: str
    shape: tuple[int, ...]
    dtype: DType = "float32"

    @property
    def torch_dtype(self) -> torch.dtype:
        """The dtype as torch has it."""
        dtype: torch.dtype = getattr(torch, self.dtype)
        return dtype

    def to_json(self) -> dict[str, Any]:
        """As it stands in a manifest."""
        return {"name": self.name, "shape": list(self.shape), "dtype": self.dtype}

    @classmethod
    def from_json(cls, value: dict[str, Any]) -> TensorSpec:
        """The inverse of `to_json`."""
        return cls(str(value["name"]), tuple(int(n) for n in value["shape"]), value["dtype"])


@dataclass(frozen=True, slots=True)
class ComponentSpec:
    """The inputs, in the order of the module's arguments, and the outputs of a component."""

    component: Component
    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]

    def example(self, seed: int = 0) -> tuple[Tensor, ...]:
        """Random inputs of the right shapes and ranges, for tracing and shape checks; parity wants real ones."""
        generator = torch.Generator().manual_seed(seed)
        return tuple(_example(spec, generator) for spec in self.inputs)

    def check(self, inputs: dict[str, Tensor]) -> tuple[Tensor, ...]:
        """The named tensors in the order of the arguments.

        Raises:
            InputError: one is missing, or has another shape.
        """
        ordered = []
        for spec in self.inputs:
            if spec.name not in inputs:
                raise InputError(f"{self.component} needs the input {spec.name!r}; got {', '.join(inputs) or 'none'}")
            tensor = inputs[spec.name]
            if tuple(tensor.shape) != spec.shape:
                raise InputError(
                    f"{self.component}: {spec.name} has shape {tuple(tensor.shape)}, expected {spec.shape}"
                )
            ordered.append(tensor)
        return tuple(ordered)


def _example(spec: TensorSpec, generator: torch.Generator) -> Tensor:
    match spec.name:
        case "input_ids":
            return torch.randint(0, 100, spec.shape, generator=generator, dtype=spec.torch_dtype)
        case "attention_mask":
            mask = torch.zeros(spec.shape, dtype=spec.torch_dtype)
            mask[:, : max(2, spec.shape[1] // 4)] = 1
            return mask
        case "timestep":
            return torch.full(spec.shape, 500.0)
        case "motion_strength":
            return torch.full(spec.shape, 0.5)
        case "image":
            return torch.rand(spec.shape, generator=generator)
        case _:
            return torch.randn(spec.shape, generator=generator, dtype=spec.torch_dtype)
