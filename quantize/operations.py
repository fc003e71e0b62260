"""Operations of a clip, module by module."""

from __future__ import annotations

import torch
from torch.utils.flop_counter import FlopCounterMode

from edge_stickers.models.components import component_modules, component_specs
from edge_stickers.models.pipeline import StickerPipeline


def operations_of(pipeline: StickerPipeline, *, steps: int) -> dict[str, float]:
    """Floating-point operations of a clip; a multiplication with its addition counts as two.

    Args:
        pipeline: the student.
        steps: N, how often its denoiser runs.

    Returns:
        By `component/module`, as recipes name layers, and by component alone.
    """
    found: dict[str, float] = {}
    specs = component_specs(pipeline)
    for component, module in component_modules(pipeline).items():
        with FlopCounterMode(display=False, depth=20) as counter, torch.no_grad():
            module(*specs[component].example())
        times = steps if component == "unet" else 1
        for name, operations in counter.get_flop_counts().items():
            inside = name.partition(".")[2]
            if name == "Global" or inside:
                found[f"{component}/{inside}" if inside else component] = times * float(sum(operations.values()))
    return found
