"""What float16 costs a Core ML program, operator by operator, where its executor stands in for a device."""

from __future__ import annotations

from collections.abc import Iterator

from edge_stickers.bundle.golden import Golden
from edge_stickers.bundle.reader import Bundle
from edge_stickers.runtimes.base import availability, is_emulated
from edge_stickers.runtimes.outcome import Numerics, WorstOperator, capped

TARGET = "coreml"
WORST = 3
"""Operators that are named for each component."""


def core_ml_numerics(bundle: Bundle, golden: Golden) -> Iterator[Numerics]:
    """Looks at every float16 component of the bundle's Core ML target, where no device is at hand.

    Args:
        bundle: opened; without that target there is nothing to look at.
        golden: its golden tensors.

    Raises:
        ConversionError: a program has operators that are not known.
        RuntimeFailedError: an operation failed.
    """
    target = bundle.manifest.targets.get(TARGET)
    if target is None or not is_emulated(TARGET) or availability(TARGET) is not None:
        return
    from edge_stickers.convert.coreml_executor import diagnose, load_program

    for component, entry in target.components.items():
        if entry.recipe != "fp16":
            continue
        path, _ = bundle.program(TARGET, component)
        call = next(iter(golden.calls(component)))
        inputs = {each.name: call.inputs[each.name].astype(each.dtype) for each in entry.inputs}
        found = diagnose(load_program(path), inputs)
        first = found.first_wrong
        yield Numerics(
            component,
            f"{call.case}/{call.step}",
            len(found.operators),
            "" if first is None else f"{first.operator} {first.name}",
            tuple(WorstOperator(each.name, each.operator, capped(each.snr_db)) for each in found.worst(WORST)),
            found.overflowed,
            found.lost,
        )
