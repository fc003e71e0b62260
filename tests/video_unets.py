"""Small, randomly initialised instances of diffusers' video UNets, with nothing at zero."""

from __future__ import annotations

import torch
from torch import nn

KINDS = ("UNetMotionModel", "UNet3DConditionModel", "I2VGenXLUNet", "UNetSpatioTemporalConditionModel")


def video_unet(kind: str, *, widths: tuple[int, ...] = (16, 32), size: int = 8) -> nn.Module:
    """An instance of that class in evaluation mode: attention at the first level, plain blocks below."""
    import diffusers

    suffix = {"UNetMotionModel": "Motion", "UNetSpatioTemporalConditionModel": "SpatioTemporal"}.get(kind, "3D")
    rest = len(widths) - 1
    options = {
        "sample_size": size,
        "in_channels": 4,
        "out_channels": 4,
        "block_out_channels": widths,
        "down_block_types": (f"CrossAttnDownBlock{suffix}", *[f"DownBlock{suffix}"] * rest),
        "up_block_types": (*[f"UpBlock{suffix}"] * rest, f"CrossAttnUpBlock{suffix}"),
        "layers_per_block": 1,
        "cross_attention_dim": 12,
    }
    match kind:
        case "UNetMotionModel":
            options |= {"norm_num_groups": 4, "num_attention_heads": 2, "motion_num_attention_heads": 2}
            options |= {"motion_max_seq_length": 8, "use_motion_mid_block": True}
        case "UNetSpatioTemporalConditionModel":
            # Its norms have 32 groups whatever the configuration says.
            options |= {"block_out_channels": tuple(max(32, 2 * w) for w in widths)}
            options |= {"projection_class_embeddings_input_dim": 24, "addition_time_embed_dim": 8}
            options["num_attention_heads"] = (2,) * len(widths)
        case _:
            options |= {"norm_num_groups": 4, "attention_head_dim": 8}
    torch.manual_seed(0)
    unet = getattr(diffusers, kind)(**options).eval()
    for parameter in unet.parameters():
        if not bool(parameter.count_nonzero()):
            nn.init.normal_(parameter, std=0.1)
    return unet
