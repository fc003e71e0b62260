"""Where the time of an int8 step goes: the denoiser without one kind of module after the other, lowered and timed.

    python -m benchmarks.where_time_goes [--recipe int8] [--rounds 20] [--json FILE]

ExecuTorch's own profiler is not in the builds that PyPI has (EXECUTORCH_ENABLE_EVENT_TRACER is off), and of a program
that one delegate runs it would tell one number. So the time that a kind of module takes is what the step takes less
without it. All variants run in turn, each in a process of its own; the rate is that of plain int8 convolutions.
"""

from __future__ import annotations

import argparse
import copy
import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from benchmarks.alternation import Alternation, Contender, record
from benchmarks.eager import STACK_SHAPE, convolution_stack, stack_gflop
from edge_stickers import default_student
from edge_stickers.bundle.manifest import tensor_entries
from edge_stickers.convert.targets import target
from edge_stickers.convert.targets.base import Artifact
from edge_stickers.models.components import component_modules, component_specs
from edge_stickers.models.layers import StillAttention, TextAttention
from edge_stickers.models.pipeline import load_pipeline
from edge_stickers.models.temporal import TemporalAttention, TemporalConv
from edge_stickers.quantize.calibration import calibrate
from edge_stickers.quantize.recipe import Range, Recipe, Rule, find_recipe
from edge_stickers.runtimes.base import runtime
from edge_stickers.runtimes.process import Program, Worker, WorkerSession
from edge_stickers.spec import ComponentSpec, TensorSpec


def without(*kinds: type[nn.Module]) -> Callable[[nn.Module], None]:
    """Takes all modules of some kinds out of a model; what they read passes on as it is."""

    def take_out(model: nn.Module) -> None:
        for module in list(model.modules()):
            for name, child in list(module.named_children()):
                if isinstance(child, kinds):
                    optional = isinstance(child, StillAttention | TextAttention)  # a stage may have none of these
                    setattr(module, name, None if optional else nn.Identity())

    return take_out


ATTENTIONS = (StillAttention, TextAttention, TemporalAttention)
VARIANTS: dict[str, Callable[[nn.Module], None]] = {
    "the step": without(),
    "group normalisation": without(nn.GroupNorm),
    "SiLU": without(nn.SiLU),
    "attention to the still": without(StillAttention),
    "attention to the text": without(TextAttention),
    "temporal attention": without(TemporalAttention),
    "temporal convolution": without(TemporalConv),
    "all of these": without(nn.GroupNorm, nn.SiLU, TemporalConv, *ATTENTIONS),
}
"""What is taken out, and how."""


def main() -> None:
    """Prints the table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--recipe", default="int8")
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        alternation = Alternation(contenders(find_recipe(options.recipe), Path(folder)))
        alternation.warm_up()
        for _ in range(options.rounds):
            alternation.round()
    rows = {row.name: row for row in alternation.rows(None)}
    rate, whole = rows.pop("plain int8 convolutions").gflops, rows["the step"]
    print("| without | ms | takes | of the step |", "| --- | --- | --- | --- |", sep="\n")
    for name, row in rows.items():
        taken = whole.median_ms - row.median_ms
        print(
            f"| {name if row is not whole else 'nothing'} | {row.median_ms:.1f} | {taken:.1f} | {1 - row.ratio:.0%} |"
        )
    left = rows["all of these"]
    print(
        f"\nthe step: {whole.gflops:.0f} GFLOP/s, {whole.gflops / rate:.0%} of the machine's {rate:.0f}; what "
        f"is left without all of these: {left.gflops:.0f} GFLOP/s, {left.gflops / rate:.0%}"
    )
    if options.json:
        options.json.write_text(record({"where the time of an int8 step goes": list(rows.values())}) + "\n")


def contenders(recipe: Recipe, folder: Path) -> list[Contender]:
    """The step, the step without each kind, and the convolutions that the machine's rate is measured on."""
    pipeline = load_pipeline(default_student())
    recipe = calibrate(pipeline, recipe) if recipe.wants_ranges else recipe
    spec = component_specs(pipeline)["unet"]
    inputs = {each.name: value.numpy() for each, value in zip(spec.inputs, spec.example(), strict=True)}
    made = []
    for index, (name, take_out) in enumerate(VARIANTS.items()):
        module = copy.deepcopy(component_modules(pipeline)["unet"])
        take_out(module)
        (folder / str(index)).mkdir()
        lowered = target("executorch").lower(module, spec, recipe=recipe, folder=folder / str(index))
        with FlopCounterMode(display=False) as counter, torch.no_grad():
            module(*spec.example())
        made.append(_contender(name, lowered, folder / str(index), spec, inputs, counter.get_total_flops() / 1e9))
    plane = TensorSpec("x", STACK_SHAPE), TensorSpec("y", STACK_SHAPE)
    stack, within = convolution_stack(), Range(input=(-4.0, 4.0), output=(-4.0, 4.0))
    spec = ComponentSpec("decoder", plane[:1], plane[1:])
    ranges = {f"decoder/{index}": within for index in range(len(stack))}
    plain = Recipe(name="int8", rules=(Rule(precision="w8a8"),), ranges=ranges)
    lowered = target("executorch").lower(stack, spec, recipe=plain, folder=folder)
    given = {"x": np.random.default_rng(0).standard_normal(STACK_SHAPE, np.float32)}
    return [*made, _contender("plain int8 convolutions", lowered, folder, spec, given, stack_gflop())]


def _contender(
    name: str, lowered: Artifact, folder: Path, spec: ComponentSpec, inputs: dict[str, np.ndarray], gflop: float
) -> Contender:
    used = tensor_entries(spec.inputs)
    worker = Worker(name, runtime("executorch").opener)
    program = Program("unet", folder / lowered.entry, used, tensor_entries(spec.outputs))
    session = WorkerSession(worker, program)

    def run() -> float:
        session.run(inputs)
        return session.worker.seconds

    return Contender(name, run, gflop, "int8")


if __name__ == "__main__":
    main()
