"""What a bundle says of itself: `manifest.json` and `scheduler.json`, version 1, read strictly."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, ValidationError, model_validator

from edge_stickers.errors import BundleError

SCHEMA_VERSION = 1
MAX_JSON_BYTES = 16 * 2**20
"""No manifest is larger; a file that is larger is not read."""

Name = Annotated[str, StringConstraints(pattern=r"^[A-Za-z_][A-Za-z0-9_]{0,63}$")]
Text = Annotated[str, StringConstraints(max_length=2000)]
Sha256 = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]
RelativePath = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_.+-]+(/[A-Za-z0-9_.+-]+)*$", max_length=500)]
Count = Annotated[int, Field(ge=0, le=2**53)]
Size = Annotated[int, Field(ge=1, le=2**31)]
Status = Literal["verified", "below floor", "emulated, not run on a device", "lowered, not run on a device"]


class Entry(BaseModel):
    """Base of every part: nothing unknown, nothing converted, nothing infinite."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, allow_inf_nan=False)


class FileEntry(Entry):
    """One file of the bundle; `path` is relative, with forward slashes."""

    path: RelativePath
    bytes: Count
    sha256: Sha256

    @model_validator(mode="after")
    def _stays_inside(self) -> FileEntry:
        if {".", ".."} & set(self.path.split("/")):
            raise ValueError(f"the path {self.path} leaves the folder")
        return self


class TensorEntry(Entry):
    """One named tensor that goes into or comes out of a component."""

    name: Name
    shape: tuple[Size, ...] = Field(max_length=8)
    dtype: Literal["float32", "float16", "int64", "int32"]


class Parity(Entry):
    """How near a component comes to fp32 PyTorch, over every golden case and step."""

    snr_db: float
    """Of the worst case and step; 200 stands for bit-equal."""
    floor_db: float | None
    """Below which it counts as fallen short; None where only the frames count."""


class ClipParity(Entry):
    """How near whole clips come to fp32 PyTorch's, from noise to frames."""

    mean_psnr_db: float
    worst_psnr_db: float
    """Of the worst single frame."""
    flicker: float
    """Mean absolute error of the change from frame to frame, in 0..1."""


class ComponentEntry(Entry):
    """One component, lowered for one target."""

    files: tuple[FileEntry, ...] = Field(min_length=1)
    """The first is what a runtime opens (of an `.mlpackage`, the folder above it)."""
    inputs: tuple[TensorEntry, ...]
    outputs: tuple[TensorEntry, ...]
    backend: Text
    recipe: Text
    """The precision, or the name of the quantisation recipe."""
    delegate_calls: Count | None = None
    undelegated: dict[Text, Count] = Field(default_factory=dict)
    """Operators left to the runtime's own kernels, with their number."""
    status: Status = "lowered, not run on a device"
    parity: Parity | None = None

    @property
    def bytes(self) -> int:
        """Size on disk."""
        return sum(file.bytes for file in self.files)

    @property
    def entry_path(self) -> str:
        """What a runtime opens, relative to the bundle."""
        first = self.files[0].path
        head, package, _ = first.partition(".mlpackage/")
        return head + ".mlpackage" if package else first


class TargetEntry(Entry):
    """One target: a runtime and a precision, with every component that was lowered for it."""

    recipe: Text
    minimum_runtime: Text
    minimum_os: dict[Text, Text]
    clip: ClipParity | None = None
    components: dict[Name, ComponentEntry] = Field(min_length=1)


class Sampling(Entry):
    """How a clip is drawn."""

    step_counts: tuple[Annotated[int, Field(ge=1, le=1000)], ...] = Field(min_length=1)
    default_steps: int
    guidance: None = None
    """No guidance at run time: it was distilled into the weights."""
    motion_strength: Annotated[float, Field(ge=0, le=1)]
    """The default of that input, 0..1."""

    @model_validator(mode="after")
    def _default_is_supported(self) -> Sampling:
        if self.default_steps not in self.step_counts:
            raise ValueError(f"default_steps {self.default_steps} is none of step_counts {self.step_counts}")
        return self


class Licence(Entry):
    """One attribution that the weights need."""

    what: Text
    licence: Text
    credit: Text


class Manifest(Entry):
    """The whole of `manifest.json`."""

    schema_version: Literal[1]
    created_by: Text
    model_sha256: Sha256
    """Of the model folder that was converted; see `edge_stickers.bundle.reader.folder_sha256`."""
    frames: Annotated[int, Field(ge=1, le=256)]
    size: Annotated[int, Field(ge=8, le=8192)]
    """Height and width of a frame, in pixels."""
    frame_duration_ms: Annotated[int, Field(ge=20, le=10_000)]
    max_tokens: Annotated[int, Field(ge=2, le=4096)]
    still_margin: Annotated[float, Field(ge=0, lt=0.5)]
    """Share of the canvas to leave free on each side of the still."""
    prediction_type: Literal["sample"]
    """What `noise_pred` estimates: the clean latents."""
    sampling: Sampling
    targets: dict[Name, TargetEntry]
    files: tuple[FileEntry, ...]
    """Files that belong to no target."""
    licences: tuple[Licence, ...]
    tool_versions: dict[Text, Text]

    def all_files(self) -> list[FileEntry]:
        """Every file that the bundle is made of, the manifest itself excepted."""
        parts = [c for target in self.targets.values() for c in target.components.values()]
        return [*self.files, *(file for part in parts for file in part.files)]


class ScheduleRow(Entry):
    """One step: x ← a·x + b·noise_pred + c·previous noise_pred + d·noise."""

    timestep: float
    a: float
    b: float
    c: float
    d: float


class Noise(Entry):
    """How an app draws the same noise; `edge_stickers/sampling/noise.py` defines it in full."""

    algorithm: Literal["philox4x32-10"]
    transform: Literal["box-muller"]
    shape: tuple[Size, ...]
    documentation: Text


class Scheduler(Entry):
    """The whole of `scheduler.json`."""

    schema_version: Literal[1]
    update: Text
    noise: Noise
    steps: dict[Annotated[str, StringConstraints(pattern=r"^[0-9]{1,4}$")], tuple[ScheduleRow, ...]]

    @model_validator(mode="after")
    def _counts_agree(self) -> Scheduler:
        for count, rows in self.steps.items():
            if int(count) != len(rows):
                raise ValueError(f"the table for {count} steps has {len(rows)} rows")
        return self


class _Version(BaseModel):
    schema_version: int


Document = TypeVar("Document", Manifest, Scheduler)


def read_json(path: Path, kind: type[Document]) -> Document:
    """Reads and checks one of the two JSON files.

    Raises:
        BundleError: it is missing, damaged, or of a newer version.
    """
    try:
        data = b"" if path.stat().st_size > MAX_JSON_BYTES else path.read_bytes()
    except OSError as error:
        raise BundleError(
            f"{path} cannot be read ({error.strerror}); expected a bundle that `edge-stickers build` wrote"
        ) from None
    return parse_json(data, kind, name=str(path))


def parse_json(data: bytes, kind: type[Document], *, name: str) -> Document:
    """Checks the contents of one of the two JSON files; `name` is what messages call it."""
    try:
        version = _Version.model_validate_json(data).schema_version
        if version > SCHEMA_VERSION:
            raise BundleError(
                f"{name} has schema version {str(version)[:20]}, this edge-stickers reads up to {SCHEMA_VERSION}; "
                "upgrade: pip install -U edge-stickers"
            )
        return kind.model_validate_json(data)
    except ValidationError as error:
        raise BundleError(f"{name} is damaged ({first_problem(error)}); build or download the bundle again") from None


def first_problem(error: ValidationError) -> str:
    """Where a document is wrong and how, in one short line whatever it holds."""
    first = error.errors(include_url=False, include_input=False, include_context=False)[0]
    where = ".".join(str(part) for part in first["loc"])
    return " ".join(f"{where}: {first['msg']}".split())[:200].encode("ascii", "replace").decode()


def to_json(document: Manifest | Scheduler) -> str:
    """As it is written: indented, keys in the order of the fields."""
    return document.model_dump_json(indent=2) + "\n"


def tensor_entries(specs: Any) -> tuple[TensorEntry, ...]:
    """The entries of `edge_stickers.spec.TensorSpec`s, or of anything with name, shape and dtype."""
    return tuple(TensorEntry(name=s.name, shape=tuple(int(n) for n in s.shape), dtype=s.dtype) for s in specs)
