"""What pruning narrowed: a configuration names the parts that are not as wide as its other fields say."""

from __future__ import annotations

from collections.abc import Mapping

from torch import nn

from edge_stickers.errors import InputError


def expect_parts(model: nn.Module, narrowed: Mapping[str, int]) -> None:
    """Whether what a configuration narrows is there.

    Raises:
        InputError: a name is none of the model's parts, or a width is negative.
    """
    modules = dict(model.named_modules())
    for name, width in narrowed.items():
        whole, _, part = name.rpartition(".")
        if width < 0 or whole not in modules or not hasattr(modules[whole], part):
            raise InputError(f"narrowed has {name!r}: {width}; expected a part of the model and a width of 0 or more")
