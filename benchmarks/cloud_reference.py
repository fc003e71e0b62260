"""Times the `cloud` preset on a CUDA GPU: the reference that a device's latency is held against.

The task is the paper's (arXiv 2402.06088): 8 frames of 512x512, 8 steps, guidance distilled away, bf16. Weights are
random, as time does not depend on them. Needs torch, diffusers and this package, and no network:

    python benchmarks/cloud_reference.py --output benchmarks/reference/
"""

from __future__ import annotations

import argparse
import json
import platform
import statistics
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from edge_stickers.config import MAX_TOKENS, preset
from edge_stickers.models.autoencoder import COMPRESSION, StickerAutoencoder
from edge_stickers.models.unet import StickerUNet
from edge_stickers.sampling.schedule import rows

SCHEMA_VERSION = 1


@dataclass(frozen=True, slots=True)
class Timing:
    """Seconds of repeated runs of one thing."""

    name: str
    median: float
    fastest: float
    slowest: float
    runs: int
    gflop: float
    """Operations of one run, multiplications and additions apart."""
    share_of_rate: float
    """GFLOP a second as a share of the rate of a plain stack of convolutions in the same run."""


class Parts(nn.Module):
    """The parts of a preset that the GPU runs for a clip, with random weights."""

    def __init__(self, name: str) -> None:
        super().__init__()
        self.preset = preset(name)
        self.vae = StickerAutoencoder(**asdict(self.preset.autoencoder))
        self.unet = StickerUNet(**asdict(self.preset.unet))
        # Zero-initialised branches cost the same; their values must only not overflow in eight steps.
        self.requires_grad_(False)


def measure(call: Callable[[], object], *, name: str, runs: int, rate: float | None, device: torch.device) -> Timing:
    """Warms up, then times `runs` calls, each waited for.

    Args:
        call: what to time.
        name: of the row.
        runs: how often.
        rate: GFLOP a second of the machine; None where this is what is measured.
        device: to wait for.
    """
    with FlopCounterMode(display=False) as counter:
        call()
    gflop = counter.get_total_flops() / 1e9
    for _ in range(3):
        call()
    seconds = []
    for _ in range(runs):
        _wait(device)
        start = time.perf_counter()
        call()
        _wait(device)
        seconds.append(time.perf_counter() - start)
    median = statistics.median(seconds)
    reached = gflop / median
    return Timing(name, median, min(seconds), max(seconds), runs, gflop, reached / rate if rate else 1.0)


@torch.no_grad()
def run(
    name: str, *, steps: int, runs: int, device: torch.device, dtype: torch.dtype, compile_unet: bool
) -> dict[str, Any]:
    """The record of one preset on one device."""
    parts = Parts(name).to(device=device, dtype=dtype, memory_format=torch.channels_last).eval()  # type: ignore[call-overload]
    unet, vae, config = parts.unet, parts.vae, parts.preset.unet
    size = parts.preset.image_size
    cells = size // COMPRESSION

    def random(*shape: int) -> Tensor:
        return torch.randn(shape, device=device, dtype=dtype)

    image, latents = random(1, 4, size, size), random(config.frames, config.in_channels, cells, cells)
    hidden, mask = random(1, MAX_TOKENS, config.text_dim), torch.ones(1, MAX_TOKENS, device=device)
    still, strength = random(1, config.in_channels, cells, cells), torch.full((1,), 0.5, device=device, dtype=dtype)
    context = unet.project_context(hidden, mask)
    denoise: Callable[..., Tensor] = torch.compile(unet) if compile_unet else unet

    def step(sample: Tensor, timestep: float) -> Tensor:
        return denoise(sample, torch.full((1,), timestep, device=device, dtype=dtype), context, still, strength)

    def clip() -> Tensor:
        sample = latents
        vae.encode(image)
        for row in rows(steps):
            sample = row.a * sample + row.b * step(sample, row.timestep)
        return vae.decode(sample)

    stack = nn.Sequential(*(nn.Conv2d(256, 256, 3, padding=1) for _ in range(8)))
    stack = stack.to(device=device, dtype=dtype, memory_format=torch.channels_last)  # type: ignore[call-overload]
    plane = random(8, 256, 64, 64).to(memory_format=torch.channels_last)
    machine = measure(lambda: stack(plane), name="convolution stack", runs=runs, rate=None, device=device)
    rate = machine.gflop / machine.median
    timings = [
        measure(lambda: vae.encode(image), name="image_encoder", runs=runs, rate=rate, device=device),
        measure(lambda: step(latents, 500.0), name="step", runs=runs, rate=rate, device=device),
        measure(lambda: vae.decode(latents), name="decoder", runs=runs, rate=rate, device=device),
        measure(clip, name="clip", runs=runs, rate=rate, device=device),
    ]
    cuda = device.type == "cuda"
    return {
        "schema_version": SCHEMA_VERSION,
        "standing": "measured",
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "what": {
            "preset": name,
            "weights": "random",
            "parameters": {
                part: sum(p.numel() for p in module.parameters()) for part, module in parts.named_children()
            },
            "frames": config.frames,
            "size": size,
            "steps": steps,
            "guidance": None,
            "precision": str(dtype).removeprefix("torch."),
            "runtime": "torch.compile" if compile_unet else "torch eager",
        },
        "on": {
            "device": torch.cuda.get_device_name(device) if cuda else platform.processor() or platform.machine(),
            "memory_bytes": torch.cuda.get_device_properties(device).total_memory if cuda else None,
            "cuda": torch.version.cuda,
            "torch": torch.__version__,
            "python": platform.python_version(),
            "os": platform.platform(),
        },
        "convolution_rate_gflops": rate,
        "peak_memory_bytes": torch.cuda.max_memory_allocated(device) if cuda else None,
        "timings": [asdict(timing) for timing in timings],
    }


def _wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def main(arguments: list[str] | None = None) -> int:
    """Runs from the command line; 3 where there is no CUDA GPU."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--preset", default="cloud")
    parser.add_argument("--steps", type=int, default=8)
    parser.add_argument("--runs", type=int, default=20)
    parser.add_argument("--device", default="cuda", help="cuda, cuda:N, or cpu to try the script itself")
    parser.add_argument("--no-compile", dest="compile", action="store_false", help="leave out the torch.compile record")
    parser.add_argument("--output", type=Path, help="folder for the records; stdout where not given")
    options = parser.parse_args(arguments)
    device = torch.device(options.device)
    if device.type == "cuda" and not torch.cuda.is_available():
        print(
            "error: no CUDA GPU here; run this on a machine that has one, or try it with --device cpu", file=sys.stderr
        )
        return 3
    dtype = torch.bfloat16 if device.type == "cuda" else torch.float32
    for compile_unet in (False, True) if options.compile else (False,):
        record = run(
            options.preset,
            steps=options.steps,
            runs=options.runs,
            device=device,
            dtype=dtype,
            compile_unet=compile_unet,
        )
        text = json.dumps(record, indent=2)
        if options.output is None:
            print(text)
            continue
        options.output.mkdir(parents=True, exist_ok=True)
        name = f"{options.preset}-{record['on']['device']}-{record['what']['runtime']}".lower().replace(" ", "-")
        (options.output / f"{name}.json").write_text(text + "\n")
        clip = record["timings"][-1]
        print(
            f"{name}: clip {clip['median']:.3f} s (median of {clip['runs']}), {clip['share_of_rate']:.0%} of the rate"
        )
    return 0


if __name__ == "__main__":
    sys.exit(main())
