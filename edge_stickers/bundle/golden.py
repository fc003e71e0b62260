"""`golden.safetensors`: what fp32 PyTorch makes of real stickers, to hold every runtime against.

Keys are `case/component/step/in|out/name`. Left out is only what follows exactly from the rest:

- An input of the same name as an earlier output of the case (`context_kv`, `image_latents`) is that output.
- The sample of a step after the first, and the decoder's `latents`, follow from `noise_pred` by `scheduler.json`.
- The still is stored in bytes (value = byte / 255) and was rounded so before PyTorch saw it: it is exact.

Of the decoder's frames one is stored in fp16 (`decoder/0/out/image`, with its index in the metadata), which measures up
to 75 dB; all final frames are stored in bytes (`clip/0/out/image`), which measure up to 58 dB, above every floor of
frames. All else is fp32: with it and 256-pixel frames a case takes 4.5 MB.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from edge_stickers.errors import BundleError
from edge_stickers.sampling.sampler import StepRow

GOLDEN = "golden.safetensors"
MAX_BYTES = 30_000_000
"""Cases beyond this size are left out, the last ones first."""
LEAST_CASES = 6

Array = npt.NDArray[Any]


@dataclass(frozen=True, slots=True)
class GoldenCase:
    """One sticker and what it should do.

    Attributes:
        name: of the case, and of the sticker's file.
        prompt: English.
        seed: of the noise.
        motion_strength: 0..1.
    """

    name: str
    prompt: str
    seed: int
    motion_strength: float = 0.5


CASES: tuple[GoldenCase, ...] = (
    GoldenCase("cat", "the cat hops", 1),
    GoldenCase("rocket", "the rocket moves up and comes back", 2, 1.0),
    GoldenCase("strawberry", "the strawberry spins clockwise", 3),
    GoldenCase("cactus", "the cactus sways from side to side", 4),
    GoldenCase("ghost", "the ghost drifts to the left and back again", 5, 0.25),
    GoldenCase("robot", "the robot waves hello", 6),
    GoldenCase("tea", "the tea wobbles like jelly", 7, 0.75),
    GoldenCase("cloud", "the cloud cries", 8),
)
"""One for each kind of motion, on the stickers in `assets/stickers`, which no student was trained on."""


@dataclass(frozen=True, slots=True)
class Call:
    """One call of a component and what it should give.

    Attributes:
        case: the case's name.
        step: of the denoiser; 0 elsewhere.
        inputs: by name.
        outputs: by name; of `image`, the frame `frame` alone.
        frame: index of the decoded frame that is compared; None where all is.
    """

    case: str
    step: int
    inputs: dict[str, Array]
    outputs: dict[str, Array]
    frame: int | None = None


class Golden:
    """The tensors of an opened `golden.safetensors`.

    Args:
        tensors: as stored.
        cases: as stored.
        rows: the table the cases were made with.
        frame: index of the stored decoder frame.
    """

    def __init__(
        self, tensors: Mapping[str, Array], cases: Sequence[GoldenCase], rows: Sequence[StepRow], frame: int
    ) -> None:
        self.cases = tuple(cases)
        self.rows = tuple(rows)
        self.frame = frame
        self._tensors = tensors

    @classmethod
    def open(cls, path: Path, rows: Mapping[str, Sequence[StepRow]]) -> Golden:
        """Reads the file.

        Args:
            path: of `golden.safetensors`.
            rows: the tables of `scheduler.json`, by number of steps.

        Raises:
            BundleError: it is missing, damaged or incomplete.
        """
        from safetensors import SafetensorError, safe_open

        try:
            with safe_open(str(path), framework="numpy") as file:
                metadata = file.metadata() or {}
                tensors = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118 - it is no mapping
            cases = [GoldenCase(**case) for case in json.loads(metadata["cases"])]
            golden = cls(tensors, cases, rows[metadata["steps"]], int(metadata["frame"]))
            for case in cases:
                golden.clip(case.name)
            for component in ("text_encoder", "image_encoder", "unet", "decoder"):
                for _ in golden.calls(component):
                    pass
        except (SafetensorError, OSError, KeyError, TypeError, ValueError, IndexError, RecursionError) as error:
            reason = " ".join(f"{type(error).__name__}: {error}".split())[:150]
            raise BundleError(f"{path} is damaged ({reason}); build or download the bundle again") from None
        return golden

    def calls(self, component: str) -> Iterator[Call]:
        """Every stored call of a component, with all its inputs."""
        for case in self.cases:
            if component == "unet":
                yield from self._steps(case.name)
            else:
                inputs = self._stored(case.name, component, 0, "in")
                outputs = self._stored(case.name, component, 0, "out")
                if component == "decoder":
                    yield Call(case.name, 0, {"latents": self._latents(case.name)}, outputs, self.frame)
                else:
                    yield Call(case.name, 0, inputs, outputs)

    def clip(self, case: str) -> tuple[dict[str, Array], npt.NDArray[np.uint8]]:
        """A case's first inputs (`image`, `input_ids`, `attention_mask`), and its frames (F, 4, H, W) uint8."""
        first = self._stored(case, "text_encoder", 0, "in") | self._stored(case, "image_encoder", 0, "in")
        return first, self._tensors[f"{case}/clip/0/out/image"]

    def _steps(self, case: str) -> Iterator[Call]:
        known = self._stored(case, "text_encoder", 0, "out") | self._stored(case, "image_encoder", 0, "out")
        samples = self._samples(case)
        for step, x in zip(range(len(self.rows)), samples, strict=False):
            inputs = known | self._stored(case, "unet", step, "in") | {"sample": x}
            yield Call(case, step, inputs, self._stored(case, "unet", step, "out"))

    def _samples(self, case: str) -> Iterator[Array]:
        """The sample before each step, and the latents after the last: N + 1 arrays."""
        x = self._tensors[f"{case}/unet/0/in/sample"]
        previous: Array | None = None
        yield x
        for step, row in enumerate(self.rows):
            prediction = self._tensors[f"{case}/unet/{step}/out/noise_pred"]
            x = row.a * x + row.b * prediction + (row.c * previous if previous is not None else 0.0)
            previous = prediction
            yield x.astype(np.float32)

    def _latents(self, case: str) -> Array:
        *_, last = self._samples(case)
        return last

    def _stored(self, case: str, component: str, step: int, way: str) -> dict[str, Array]:
        prefix = f"{case}/{component}/{step}/{way}/"
        found = {
            key.removeprefix(prefix): _decode(value) for key, value in self._tensors.items() if key.startswith(prefix)
        }
        if not found and not (component == "decoder" and way == "in"):
            raise KeyError(prefix)
        return found


def write_golden(
    path: Path, tensors: Mapping[str, Array], cases: Sequence[GoldenCase], *, steps: int, frame: int
) -> int:
    """Writes the file, with as many cases as fit in `MAX_BYTES`, and `LEAST_CASES` in any case.

    Args:
        path: where to.
        tensors: by key, as `edge_stickers.runtimes.reference` records them.
        cases: in order.
        steps: N.
        frame: index of the decoder's stored frame.

    Returns:
        How many cases were written.
    """
    from safetensors.numpy import save_file

    kept: list[GoldenCase] = []
    total = 0
    chosen: dict[str, Array] = {}
    for case in cases:
        own = {key: np.ascontiguousarray(value) for key, value in tensors.items() if key.split("/")[0] == case.name}
        total += sum(value.nbytes for value in own.values())
        if total > MAX_BYTES and len(kept) >= LEAST_CASES:
            break
        kept.append(case)
        chosen |= own
    metadata = {
        "cases": json.dumps([asdict(case) for case in kept]),
        "steps": str(steps),
        "frame": str(frame),
        "documentation": " ".join((__doc__ or "").split()),
    }
    save_file(chosen, path, metadata=metadata)
    return len(kept)


def to_bytes(values: Array) -> npt.NDArray[np.uint8]:
    """Values in 0..1 as bytes."""
    scaled: Array = np.rint(np.clip(values, 0, 1) * 255)
    return scaled.astype(np.uint8)


def _decode(stored: Array) -> Array:
    if stored.dtype == np.uint8:
        return stored.astype(np.float32) / np.float32(255)
    return stored.astype(np.float32) if stored.dtype == np.float16 else stored
