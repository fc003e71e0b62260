"""The targets by name. Adding one is a file beside this one and a line in `TARGETS`."""

from __future__ import annotations

from edge_stickers.convert.targets.base import Artifact, Target
from edge_stickers.convert.targets.coreml import CoreMLTarget
from edge_stickers.convert.targets.executorch import ExecuTorchTarget
from edge_stickers.convert.targets.onnx import OnnxTarget
from edge_stickers.errors import InputError

__all__ = ["TARGETS", "Artifact", "Target", "target"]

TARGETS: dict[str, Target] = {each.name: each for each in (ExecuTorchTarget(), CoreMLTarget(), OnnxTarget())}


def target(name: str) -> Target:
    """The target of that name.

    Raises:
        InputError: no such target; the message lists the known ones.
    """
    if name not in TARGETS:
        raise InputError(f"no target named {name!r}; known: {', '.join(TARGETS)}")
    return TARGETS[name]
