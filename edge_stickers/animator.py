"""The Python API: load a student or a bundle, give it a still and a sentence, get a clip."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from edge_stickers.config import FRAME_MS, STILL_MARGIN
from edge_stickers.errors import BundleError, Cancelled, InputError
from edge_stickers.media import Clip, load_still
from edge_stickers.models.tokens import tokenize
from edge_stickers.runtimes.base import CancelCheck, Engine
from edge_stickers.runtimes.base import runtime as known_runtime
from edge_stickers.runtimes.clip import ClipInputs, FloatArray, Hooks, run_clip
from edge_stickers.sampling.sampler import DEFAULT_MOTION, DEFAULT_STEPS, StepRow

if TYPE_CHECKING:
    from PIL import Image
    from tokenizers import Tokenizer

OnFrame = Callable[[int, npt.NDArray[np.uint8]], None]
_WAIT_S = 0.05


def default_student() -> Path:
    """The folder of the student that ships with the package.

    Raises:
        BundleError: it is not there.
    """
    folder = Path(__file__).parent / "assets" / "student"
    if not (folder / "model_index.json").is_file():
        raise BundleError(f"the default student is not at {folder}; reinstall edge-stickers or name a model folder")
    return folder


def load(path: str | Path | None = None, *, runtime: str = "auto", threads: int | None = None) -> Animator:
    """Loads a model folder or a bundle.

    Args:
        path: a folder; None for the student that ships with the package.
        runtime: "torch" for a model folder; "executorch", "onnx" or "coreml" for a bundle; "auto" for the first that
            works.
        threads: a bundle's runtime may use; None for all CPUs.

    Returns:
        An animator; close it, or use it in a `with` statement.

    Raises:
        BundleError: the folder is damaged, incomplete, or neither of the two.
        InputError: the runtime is unknown or does not fit the folder.
        MissingDependencyError: the runtime is not installed.
    """
    folder = default_student() if path is None else Path(path)
    if runtime != "auto":
        known_runtime(runtime)
    if (folder / "manifest.json").is_file():
        return _load_bundle(folder, runtime, threads)
    if (folder / "model_index.json").is_file():
        if runtime not in ("auto", "torch"):
            raise InputError(
                f"the runtime {runtime} runs bundles, and {folder} is a model folder; "
                f"build one: edge-stickers build --model {folder} --target {runtime} -o BUNDLE"
            )
        return _load_model(folder)
    raise BundleError(f"{folder} is neither a bundle (manifest.json) nor a model folder (model_index.json)")


@dataclass(frozen=True, slots=True)
class Settings:
    """What an animator takes from its manifest or its model.

    Attributes:
        size: of a frame, pixels.
        margin: share left free around the still.
        frame_ms: how long a frame shows.
        default_steps: N where the caller names none.
    """

    size: int
    margin: float
    frame_ms: int
    default_steps: int


class Animator:
    """Makes clips; one at a time, from any thread. See `load`.

    Args:
        engine: with all four components.
        tokenizer: of the prompts.
        rows: the scheduler's table for a number of steps.
        settings: sizes and times.
    """

    def __init__(
        self, engine: Engine, tokenizer: Tokenizer, rows: Callable[[int], Sequence[StepRow]], settings: Settings
    ) -> None:
        self.engine = engine
        self.settings = settings
        self._tokenizer = tokenizer
        self._rows = rows
        self._lock = threading.Lock()

    @property
    def runtime(self) -> str:
        """Name of the runtime that was chosen."""
        return self.engine.runtime

    def animate(
        self,
        still: str | Path | bytes | Image.Image,
        prompt: str,
        *,
        steps: int | None = None,
        seed: int = 0,
        motion: float = DEFAULT_MOTION,
        on_step: Callable[[int, int], None] | None = None,
        on_frame: OnFrame | None = None,
        cancel: CancelCheck | None = None,
    ) -> Clip:
        """Brings a still sticker to life.

        Args:
            still: a picture of any common format: path, file contents, or a Pillow image.
            prompt: one English sentence that says what it should do.
            steps: of denoising; None for the default (4).
            seed: 0 to 2^64 - 1; the same seed gives the same clip in every runtime, within its parity.
            motion: how strong, 0..1.
            on_step: told (steps done, steps in all).
            on_frame: told (index, (H, W, 4) uint8 straight RGBA) as soon as a frame is decoded.
            cancel: asked often; True stops.

        Returns:
            The clip, F frames.

        Raises:
            InputError: the still, the prompt or an option cannot be used.
            Cancelled: `cancel` said so.
            RuntimeFailedError: the runtime failed or crashed; the next call starts it again.
        """
        if not 0.0 <= motion <= 1.0:
            raise InputError(f"motion is {motion}; expected 0 (least) to 1 (most)")
        ids, mask = tokenize(self._tokenizer, prompt)
        inputs = ClipInputs(
            image=load_still(still, size=self.settings.size, margin=self.settings.margin)[None],
            input_ids=np.array([ids], np.int64),
            attention_mask=np.array([mask], np.int64),
            rows=self._rows(self.settings.default_steps if steps is None else steps),
            seed=seed,
            motion_strength=motion,
        )

        def framed(index: int, frame: FloatArray) -> None:
            if on_frame is not None:
                on_frame(index, Clip.from_premultiplied(frame[None]).frames[0])

        hooks = Hooks(on_step=on_step, on_frame=framed, cancel=cancel)
        self._wait_turn(cancel)
        try:
            frames = run_clip(self.engine, inputs, hooks)
        finally:
            self._lock.release()
        return Clip.from_premultiplied(frames, duration_ms=self.settings.frame_ms)

    def close(self) -> None:
        """Ends the runtime's process, where there is one."""
        self.engine.close()

    def __enter__(self) -> Animator:
        """Itself."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Closes it."""
        self.close()

    def _wait_turn(self, cancel: CancelCheck | None) -> None:
        while not self._lock.acquire(timeout=_WAIT_S):
            if cancel is not None and cancel():
                raise Cancelled("cancelled; nothing was written")


def _load_bundle(folder: Path, runtime: str, threads: int | None) -> Animator:
    from edge_stickers.bundle.reader import Bundle
    from edge_stickers.runtimes.opening import open_bundle

    bundle = Bundle.open(folder)
    manifest = bundle.manifest
    settings = Settings(
        manifest.size, manifest.still_margin, manifest.frame_duration_ms, manifest.sampling.default_steps
    )
    return Animator(open_bundle(bundle, runtime, threads=threads), bundle.tokenizer(), bundle.rows, settings)


def _load_model(folder: Path) -> Animator:
    from edge_stickers.models.pipeline import load_pipeline

    return animator_of(load_pipeline(folder))


def animator_of(pipeline: object) -> Animator:
    """An animator of a `StickerPipeline` that is in memory already; trainers preview with it."""
    from edge_stickers.models.pipeline import StickerPipeline
    from edge_stickers.runtimes.opening import open_pipeline, shift_of
    from edge_stickers.sampling.schedule import rows

    if not isinstance(pipeline, StickerPipeline):
        raise InputError(f"got a {type(pipeline).__name__}, expected a StickerPipeline; load one with load_pipeline")
    engine = open_pipeline(pipeline)
    size = engine.sessions["image_encoder"].inputs[0].shape[-1]
    shift = shift_of(pipeline)
    tokenizer = pipeline.tokenizer.backend_tokenizer
    settings = Settings(size, STILL_MARGIN, FRAME_MS, DEFAULT_STEPS)
    return Animator(engine, tokenizer, lambda steps: rows(steps, shift=shift), settings)
