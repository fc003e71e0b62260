"""The loop that trains any stage: Accelerate, AdamW, moving average, checkpoints, logs, pictures."""

from __future__ import annotations

import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from edge_stickers.errors import MissingDependencyError
from edge_stickers.training.checkpoints import load_checkpoint, save_checkpoint
from edge_stickers.training.plan import StagePlan


class Stage(Protocol):
    """What is trained and on what."""

    name: str
    model: nn.Module

    def batch(self, indices: range, device: torch.device) -> Any:
        """The examples with these numbers, always the same for a number."""

    def loss(self, model: nn.Module, batch: Any, generator: torch.Generator) -> tuple[Tensor, Mapping[str, Tensor]]:
        """The loss of a batch, and what else to log."""

    def sample(self, model: nn.Module, path: Path) -> None:
        """Draws what the model makes now into a PNG."""


def mixed_precision(plan: StagePlan) -> str:
    """`bf16` or `no`, as the plan says or as the hardware allows."""
    if plan.precision != "auto":
        return plan.precision
    if torch.cuda.is_available():
        return "bf16" if torch.cuda.is_bf16_supported() else "no"
    capability = torch.cpu.get_capabilities()
    return "bf16" if capability.get("amx_bf16") or capability.get("avx512_bf16") else "no"


def train(stage: Stage, plan: StagePlan, folder: Path, *, stop_after: float | None = None) -> dict[str, Tensor]:
    """Trains a stage to the end of its plan, going on from the folder's checkpoint where there is one.

    Args:
        stage: what to train; its model is changed in place.
        plan: how.
        folder: for the checkpoint, `logs/` (TensorBoard) and `samples/`.
        stop_after: seconds after which to save and return early; None for no limit.

    Returns:
        The moving average of the parameters, by name, on the CPU.

    Raises:
        MissingDependencyError: Accelerate is not installed.
    """
    try:
        from accelerate import Accelerator
        from torch.utils.tensorboard import SummaryWriter
    except ImportError as error:
        raise MissingDependencyError(f"training needs {error.name}; run: pip install 'edge-stickers[train]'") from error
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    # Accelerate keeps one precision for a whole process; stages of one run may differ, so the loop casts by itself.
    accelerator = Accelerator(mixed_precision="no", cpu=not torch.cuda.is_available())
    half = mixed_precision(plan) == "bf16"
    device, rank, world = accelerator.device, accelerator.process_index, accelerator.num_processes
    model = stage.model.to(device=device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    parameters = [p for p in model.parameters() if p.requires_grad]
    optimizer = torch.optim.AdamW(
        parameters,
        lr=plan.learning_rate,
        weight_decay=plan.weight_decay,
        betas=(0.9, 0.99),
        fused=device.type == "cuda",
    )
    average = {name: p.detach().clone() for name, p in model.named_parameters() if p.requires_grad}
    first = load_checkpoint(folder, model=model, average=average, optimizer=optimizer)
    wrapped, optimizer = accelerator.prepare(model, optimizer)
    writer = SummaryWriter(str(folder / "logs"), purge_step=first) if accelerator.is_main_process else None
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        TextColumn("{task.fields[loss]}"),
    )
    quiet = not (accelerator.is_main_process and sys.stderr.isatty())
    started = began = time.monotonic()
    last = first

    with Progress(*columns, disable=quiet, console=_stderr()) as progress:
        task = progress.add_task(stage.name, total=plan.steps, completed=first, loss="")
        for step in range(first, plan.steps):
            start = (step * world + rank) * plan.batch_size
            batch = stage.batch(range(start, start + plan.batch_size), device)
            generator = torch.Generator(device).manual_seed((plan.seed << 40) + step * world + rank)
            for group in optimizer.param_groups:
                group["lr"] = plan.rate(step)
            with torch.autocast(device.type, torch.bfloat16, enabled=half):
                loss, metrics = stage.loss(wrapped, batch, generator)
            accelerator.backward(loss)
            norm = accelerator.clip_grad_norm_(parameters, plan.clip_norm)
            if bool(torch.isfinite(norm)):  # a step that overflowed would poison the averages
                optimizer.step()
            optimizer.zero_grad(set_to_none=True)
            _average(average, model, min(plan.ema_decay, (1 + step) / (10 + step)))
            done = step + 1
            if writer is not None and (done % plan.log_every == 0 or done == plan.steps):
                speed = (done - last) * plan.batch_size * world / (time.monotonic() - began)
                began, last = time.monotonic(), done
                measured = {
                    "loss": loss.detach(),
                    "gradient_norm": norm,
                    "rate": plan.rate(step),
                    "examples_per_second": speed,
                    **metrics,
                }
                scalars = {
                    name: float(value.detach() if isinstance(value, Tensor) else value)
                    for name, value in measured.items()
                }
                for name, value in scalars.items():
                    writer.add_scalar(f"{stage.name}/{name}", value, done)
                text = "  ".join(f"{name} {value:.4g}" for name, value in scalars.items())
                progress.update(task, completed=done, loss=f"loss {scalars['loss']:.4f}")
                if quiet:
                    print(f"{stage.name} {done}/{plan.steps}  {text}", file=sys.stderr, flush=True)
            early = stop_after is not None and time.monotonic() - started > stop_after
            if accelerator.is_main_process and (done % plan.save_every == 0 or done == plan.steps or early):
                save_checkpoint(folder, model=model, average=average, optimizer=optimizer.optimizer, step=done)
            if accelerator.is_main_process and (done % plan.sample_every == 0 or done == plan.steps):
                (folder / "samples").mkdir(exist_ok=True)
                with averaged(model, average), torch.no_grad():
                    stage.sample(model, folder / "samples" / f"{done:06d}.png")
            if early:
                break
    if writer is not None:
        writer.close()
    return {name: value.cpu() for name, value in average.items()}


class averaged:
    """Context in which a model has its averaged parameters."""

    def __init__(self, model: nn.Module, average: Mapping[str, Tensor]) -> None:
        self.model, self.average = model, average
        self.kept: dict[str, Tensor] = {}

    def __enter__(self) -> None:
        for name, parameter in self.model.named_parameters():
            if name in self.average:
                self.kept[name] = parameter.detach().clone()
                parameter.data.copy_(self.average[name])

    def __exit__(self, *_: object) -> None:
        for name, parameter in self.model.named_parameters():
            if name in self.kept:
                parameter.data.copy_(self.kept[name])


@torch.no_grad()
def _average(average: Mapping[str, Tensor], model: nn.Module, decay: float) -> None:
    parameters = dict(model.named_parameters())
    torch._foreach_lerp_(list(average.values()), [parameters[name] for name in average], 1.0 - decay)


def _stderr() -> Any:
    from rich.console import Console

    return Console(stderr=True)
