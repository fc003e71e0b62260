"""What pruning narrowed: a configuration names the parts that are not as wide as its other fields say."""

from __future__ import annotations

import re
from collections.abc import Mapping

from torch import nn

from edge_stickers.errors import InputError


def expect_widths(narrowed: Mapping[str, int], *, whole: str = "(?!)") -> None:
    """Whether widths can be built.

    Args:
        narrowed: of a configuration.
        whole: pattern of names that cannot be taken out altogether.

    Raises:
        InputError: a width is negative, or 0 where a part has to stay.
    """
    for name, width in narrowed.items():
        least = 1 if re.fullmatch(whole, name) else 0
        if isinstance(width, bool) or not isinstance(width, int) or width < least:
            raise InputError(f"narrowed has {name!r}: {width!r}; expected a whole number of {least} or more")


def expect_parts(model: nn.Module, narrowed: Mapping[str, int], kinds: tuple[type, ...]) -> None:
    """Whether what a configuration narrows is there and can be.

    Args:
        model: as it was built.
        narrowed: of its configuration.
        kinds: of modules that can be narrowed; the identity stands for one that was taken out.

    Raises:
        InputError: a name is none of the model's parts that can be narrowed.
    """
    modules = dict(model.named_modules())
    for name in narrowed:
        whole, _, part = name.rpartition(".")
        found = getattr(modules.get(whole), part, model)
        if not (found is None or isinstance(found, (*kinds, nn.Identity))):
            raise InputError(f"narrowed has {name!r}; expected the name of {_listed(kinds)} in the model")


def _listed(kinds: tuple[type, ...]) -> str:
    return "a " + " or ".join(kind.__name__ for kind in kinds)
