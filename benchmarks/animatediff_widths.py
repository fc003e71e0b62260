"""How wide an AnimateDiff UNet this machine's memory lowers to ExecuTorch, with time and peak memory of each width.

    python -m benchmarks.animatediff_widths 64 128 192

The network is `UNetMotionModel` as Stable Diffusion 1.5 has it, but for its width: its 320 is one of these numbers, its
latents are 64x64, its prompts 77 tokens, its clips 8 frames. Weights are random, for time and memory do not depend on
them. Each width runs in a process of its own, and one that runs out of memory ends by itself.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from benchmarks.memory import peak_bytes

MODULE = "benchmarks.animatediff_widths"
"""This file, as a process of its own runs it."""

HEADS = 8


def measure(width: int, *, size: int, frames: int) -> dict[str, float | int]:
    """Lowers one width in this process.

    Args:
        width: channels of the first level; Stable Diffusion 1.5 has 320.
        size: side of the latents.
        frames: of a clip.

    Returns:
        Parameters, seconds, bytes of the programs and of this process at its peak, and what the step was cut into.
    """
    import torch
    from diffusers import UNetMotionModel

    from edge_stickers.convert.split import split_conditions
    from edge_stickers.convert.targets import target
    from edge_stickers.models.video_unets import ClipShape, VideoUNet, video_unet_spec
    from edge_stickers.quantize.recipe import RECIPES

    torch.manual_seed(0)
    unet = UNetMotionModel(
        sample_size=size,
        block_out_channels=(width, 2 * width, 4 * width, 4 * width),
        cross_attention_dim=768,
        num_attention_heads=HEADS,
        motion_num_attention_heads=HEADS,
    ).eval()
    module = VideoUNet(unet)
    parameters = sum(parameter.numel() for parameter in unet.parameters())
    start = time.perf_counter()
    spec = video_unet_spec(module, ClipShape(frames=frames, height=size, width=size))
    parts = split_conditions(module, spec)
    with tempfile.TemporaryDirectory() as folder:
        made = [
            target("executorch").lower(part, named, recipe=RECIPES["fp32"], folder=Path(folder))
            for part, named in parts
        ]
    return {
        "parameters": parameters,
        "seconds": round(time.perf_counter() - start, 1),
        "program_bytes": sum(artifact.bytes for artifact in made),
        "delegate_calls": made[-1].delegate_calls,
        "undelegated": sum(made[-1].undelegated.values()),
        "peak_bytes": peak_bytes(),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("widths", type=int, nargs="+", help="channels of the first level, multiples of 32")
    parser.add_argument("--size", type=int, default=64, help="side of the latents")
    parser.add_argument("--frames", type=int, default=8)
    parser.add_argument("--here", action="store_true", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.here:
        print(json.dumps(measure(arguments.widths[0], size=arguments.size, frames=arguments.frames)))
        return
    print("| width | parameters | lowered in | program | peak memory | delegate calls | operators outside |")
    print("| --- | --- | --- | --- | --- | --- | --- |", flush=True)
    for width in arguments.widths:
        options = ["--size", str(arguments.size), "--frames", str(arguments.frames), "--here"]
        run = subprocess.run([sys.executable, "-m", MODULE, str(width), *options], stdout=subprocess.PIPE, text=True)
        if run.returncode:
            print(f"| {width} | | ended with {run.returncode}: -9 is out of memory | | | | |", flush=True)
            continue
        row = json.loads(run.stdout.strip().splitlines()[-1])
        sizes = f"{row['program_bytes'] / 1e9:.2f} GB | {row['peak_bytes'] / 1e9:.1f} GB"
        left = f"{row['delegate_calls']} | {row['undelegated']}"
        print(f"| {width} | {row['parameters'] / 1e6:.0f} M | {row['seconds']:.0f} s | {sizes} | {left} |", flush=True)


if __name__ == "__main__":
    main()
