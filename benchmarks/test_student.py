"""A step, every other component and the whole clip: PyTorch eager, ExecuTorch, ONNX Runtime, in one run.

    python -m pytest benchmarks [--bundle build/bundle] [--record benchmarks/results/NAME.json]

Each contender has its own process and the same threads; rounds alternate between them. Shares are of the rate that
ExecuTorch reaches on plain convolutions in the same run.
"""

from __future__ import annotations

import importlib.util
import time
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from benchmarks.alternation import Alternation, Contender
from benchmarks.conftest import TABLES
from benchmarks.eager import STACK_SHAPE, convolution_stack, stack_gflop
from benchmarks.first_clip import first_clip
from edge_stickers.animator import default_student
from edge_stickers.bundle.manifest import tensor_entries
from edge_stickers.bundle.reader import Bundle
from edge_stickers.convert.targets import target
from edge_stickers.models.components import component_modules, component_specs
from edge_stickers.models.pipeline import load_pipeline
from edge_stickers.quantize.recipe import RECIPES, Range, Recipe, Rule
from edge_stickers.runtimes.base import Engine, runtime
from edge_stickers.runtimes.clip import ClipInputs, Hooks, run_clip
from edge_stickers.runtimes.opening import CLIP_COMPONENTS, open_bundle
from edge_stickers.runtimes.process import Program, Worker, WorkerSession
from edge_stickers.spec import ComponentSpec, TensorSpec

EAGER = "PyTorch eager fp32"
RUNTIMES = {"executorch": "ExecuTorch XNNPACK fp32", "onnx": "ONNX Runtime fp32"}
INT8 = "ExecuTorch XNNPACK"
ONNX_INT8, OPENVINO_INT8 = "ONNX Runtime int8", "OpenVINO int8"
STEPS = 4


@pytest.fixture(scope="module")
def engines(bundle: Bundle, int8_bundles: Mapping[str, Bundle], request: pytest.FixtureRequest) -> Mapping[str, Engine]:
    folder = default_student()
    specs = component_specs(load_pipeline(folder))
    worker = Worker(EAGER, "benchmarks.eager:open_program")
    sessions = {
        name: WorkerSession(worker, Program(name, folder / name, tensor_entries(s.inputs), tensor_entries(s.outputs)))
        for name, s in specs.items()
    }
    opened = {EAGER: Engine("torch", sessions, worker.close)}
    opened |= {title: open_bundle(bundle, name) for name, title in RUNTIMES.items()}
    opened |= {f"{INT8} {name}": open_bundle(each, "executorch") for name, each in int8_bundles.items()}
    opened[ONNX_INT8] = open_bundle(int8_bundles["int8"], "onnx")
    if importlib.util.find_spec("openvino") is not None:  # pip install openvino
        opened[OPENVINO_INT8] = _openvino(request.getfixturevalue("openvino_bundle"))
    yield opened
    for engine in opened.values():
        engine.close()


def _openvino(bundle: Bundle) -> Engine:
    """A bundle's ONNX files in OpenVINO."""
    worker, sessions = Worker(OPENVINO_INT8, "benchmarks.openvino_program:open_program"), {}
    for name in CLIP_COMPONENTS:
        path, entry = bundle.program("onnx", name)
        sessions[name] = WorkerSession(worker, Program(name, path, entry.inputs, entry.outputs))
    return Engine("openvino", sessions, worker.close)


@pytest.fixture(scope="module")
def gflop() -> Mapping[str, float]:
    """Operations of one call of each component."""
    pipeline = load_pipeline(default_student())
    specs, counts = component_specs(pipeline), {}
    for name, module in component_modules(pipeline).items():
        with FlopCounterMode(display=False) as counter, torch.no_grad():
            module(*specs[name].example())
        counts[name] = counter.get_total_flops() / 1e9
    return counts


@pytest.fixture(scope="module")
def rates(tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest) -> dict[str, float]:
    """GFLOP a second that ExecuTorch reaches on plain convolutions, by precision; measured first, in the table."""
    alternation = _stack(tmp_path_factory.mktemp("stack"))
    alternation.warm_up()
    for _ in range(request.config.getoption("--rounds")):
        alternation.round()
    rows = alternation.rows(None)
    request.config.stash[TABLES]["8 convolutions, the machine's rate"] = rows
    return {_precision(row.name): row.gflops for row in rows if row.name != EAGER}


@pytest.mark.parametrize("component", ["unet", "text_encoder", "image_encoder", "decoder"])
def test_component(
    component: str,
    compare: Callable[..., object],
    engines: Mapping[str, Engine],
    gflop: Mapping[str, float],
    rates: Mapping[str, float],
    golden_inputs: dict[str, dict[str, np.ndarray]],
) -> None:
    def contender(title: str, engine: Engine) -> Contender:
        session = engine.sessions[component]
        assert isinstance(session, WorkerSession)

        def run() -> float:
            engine.run(component, golden_inputs[component])
            return session.worker.seconds

        return Contender(title, run, gflop[component], _precision(title))

    title = {"unet": "one step"}.get(component, component)
    compare(title, Alternation([contender(*item) for item in engines.items()]), rates=rates)


def test_clip(
    compare: Callable[..., object],
    engines: Mapping[str, Engine],
    gflop: Mapping[str, float],
    rates: Mapping[str, float],
    clip_inputs: ClipInputs,
) -> None:
    operations = sum(count * (STEPS if name == "unet" else 1) for name, count in gflop.items())

    def contender(title: str, engine: Engine) -> Contender:
        def run() -> float:
            start = time.perf_counter()
            run_clip(engine, clip_inputs)
            return time.perf_counter() - start

        return Contender(title, run, operations, _precision(title))

    compare(f"whole clip, {STEPS} steps", Alternation([contender(*item) for item in engines.items()]), rates=rates)


@pytest.fixture(scope="module")
def clip_inputs(bundle: Bundle) -> ClipInputs:
    return first_clip(bundle, STEPS)


@pytest.fixture(scope="module")
def golden_inputs(engines: Mapping[str, Engine], clip_inputs: ClipInputs) -> dict[str, dict[str, np.ndarray]]:
    """What each component got while that clip was made; of the steps, the second."""
    seen: dict[str, dict[str, np.ndarray]] = {}

    def keep(component: str, step: int, inputs: dict[str, np.ndarray], _: dict[str, np.ndarray]) -> None:
        if component != "unet" or step == 1:
            seen[component] = inputs

    run_clip(engines[EAGER], clip_inputs, Hooks(on_call=keep))
    return seen


def _precision(title: str) -> str:
    return "int8" if "int8" in title else "fp32"


def _stack(folder: Path) -> Alternation:
    """The plain convolutions in PyTorch and in ExecuTorch, there in int8 from the first to the last, too."""
    tensors = TensorSpec("x", STACK_SHAPE), TensorSpec("y", STACK_SHAPE)
    spec = ComponentSpec("decoder", tensors[:1], tensors[1:])
    whole = Range(input=(-4.0, 4.0), output=(-4.0, 4.0))
    ranges = {f"decoder/{index}": whole for index in range(len(convolution_stack()))}
    recipes = RECIPES["fp32"], Recipe(name="int8", rules=(Rule(precision="w8a8"),), ranges=ranges)
    lowered = [target("executorch").lower(convolution_stack(), spec, recipe=each, folder=folder) for each in recipes]
    (folder / "stack.pt").touch()
    plane = {"x": np.random.default_rng(0).standard_normal(STACK_SHAPE, np.float32)}
    entries = tensor_entries(spec.inputs), tensor_entries(spec.outputs)
    contenders = []
    for title, opener, path in (
        (EAGER, "benchmarks.eager:open_program", folder / "stack.pt"),
        (RUNTIMES["executorch"], runtime("executorch").opener, folder / lowered[0].entry),
        (f"{INT8} int8", runtime("executorch").opener, folder / lowered[1].entry),
    ):
        worker = Worker(title, opener)
        session = WorkerSession(worker, Program("stack", path, *entries))

        def run(session: WorkerSession = session) -> float:
            session.run(plane)
            return session.worker.seconds

        contenders.append(Contender(title, run, stack_gflop()))
    return Alternation(contenders)
