"""PyTorch eager inside the child process that every contender gets: inference mode, channels last, the same threads."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import torch
from torch import nn

Arrays = Mapping[str, np.ndarray]


def open_program(path: Path, *, inputs: Sequence[str], outputs: Sequence[str], threads: int) -> object:
    """Loads one component of a model folder.

    Args:
        path: the model folder, then the component's name: `student/decoder`; or a `.pt` for `convolution_stack`; or
            the folder of a video UNet of diffusers, by itself.
        inputs: names of its inputs, in the order of its arguments.
        outputs: the name of its output.
        threads: PyTorch may use.

    Returns:
        A function of named arrays.
    """
    torch.set_num_threads(threads)
    from edge_stickers.models.video_unets import find_video_unet, load_video_unet

    if path.suffix == ".pt":
        module: nn.Module = convolution_stack()
    elif (unet := find_video_unet(path)) is not None:
        module = load_video_unet(unet)
    else:
        from edge_stickers.models.components import component_modules
        from edge_stickers.models.pipeline import load_pipeline

        module = dict(component_modules(load_pipeline(path.parent)).items())[path.name]  # type: ignore[index]
    module = _channels_last(module).eval()

    @torch.inference_mode()
    def run(arrays: Arrays) -> dict[str, np.ndarray]:
        return {outputs[0]: module(*(torch.from_numpy(np.array(arrays[name])) for name in inputs)).numpy()}

    return run


def _channels_last(module: nn.Module) -> nn.Module:
    """Weights of images and of volumes in the layout that convolutions on a CPU are fastest in."""
    formats = {4: torch.channels_last, 5: torch.channels_last_3d}
    for parameter in module.parameters():
        if parameter.dim() in formats:
            parameter.data = parameter.data.contiguous(memory_format=formats[parameter.dim()])
    return module


STACK_SHAPE = (8, 128, 32, 32)
"""Of the plane that the stack of convolutions is run on."""


def convolution_stack() -> nn.Module:
    """Eight plain 3x3 convolutions: what they reach is the rate that every model is held against."""
    torch.manual_seed(0)
    return nn.Sequential(*(nn.Conv2d(STACK_SHAPE[1], STACK_SHAPE[1], 3, padding=1) for _ in range(8))).eval()


def stack_gflop() -> float:
    """Operations of one pass over `STACK_SHAPE`."""
    batch, width, height, length = STACK_SHAPE
    return 8 * 2 * 9 * batch * width * width * height * length / 1e9
