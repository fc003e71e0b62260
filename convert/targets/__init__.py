"""The targets by name. Adding one is a file beside this one and a line in `TARGETS`."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace

from edge_stickers.convert.targets.backends import backend as find_backend
from edge_stickers.convert.targets.base import Artifact, Extra, Target
from edge_stickers.convert.targets.coreml import CoreMLTarget
from edge_stickers.convert.targets.executorch import ExecuTorchTarget
from edge_stickers.convert.targets.onnx import OnnxTarget
from edge_stickers.errors import InputError

__all__ = ["TARGETS", "Artifact", "Extra", "Target", "target"]

TARGETS: dict[str, Target] = {each.name: each for each in (ExecuTorchTarget(), CoreMLTarget(), OnnxTarget())}


def target(name: str, *, backend: str | None = None, extras: Collection[Extra] = ()) -> Target:
    """The target of that name.

    Args:
        name: a key of `TARGETS`.
        backend: of ExecuTorch, a key of `edge_stickers.convert.targets.backends.BACKENDS`; XNNPACK where None.
        extras: what to keep beside each program of ExecuTorch.

    Raises:
        InputError: no such target or backend, or a target without backends; the message lists the known ones.
    """
    if name not in TARGETS:
        raise InputError(f"no target named {name!r}; known: {', '.join(TARGETS)}")
    chosen = TARGETS[name]
    if backend is None and not extras:
        return chosen
    if not isinstance(chosen, ExecuTorchTarget):
        raise InputError(f"{name} has no backends, ETRecord or picture by delegate; expected the target executorch")
    found = find_backend(backend or chosen.backend).name
    return replace(chosen, backend=found, extras=tuple(extras))
