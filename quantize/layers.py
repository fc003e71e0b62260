"""The layers that a recipe may name: those with weights of their own."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from fnmatch import fnmatchcase
from typing import Any

from torch import nn

from edge_stickers.errors import InputError
from edge_stickers.quantize.recipe import RECIPES, Recipe

OPERATORS = {
    nn.Conv1d: "conv1d",
    nn.Conv2d: "conv2d",
    nn.Conv3d: "conv3d",
    nn.ConvTranspose2d: "conv_transpose2d",
    nn.Linear: "linear",
    nn.Embedding: "embedding",
}
"""What each kind of layer does, named as PyTorch's operators and recipes name it."""


LEAST_ROWS = 512
"""Of an embedding that counts as a layer: positions and kinds of tokens are a few kilobytes, and often constants."""


def layers_of(modules: Mapping[Any, nn.Module]) -> dict[str, tuple[nn.Module, str]]:
    """All layers of a student.

    Args:
        modules: its parts, by component.

    Returns:
        By `component/module`, the module and its operator.
    """
    return {
        f"{component}/{name}": (layer, OPERATORS[type(layer)])
        for component, module in modules.items()
        for name, layer in module.named_modules()
        if type(layer) in OPERATORS and not (isinstance(layer, nn.Embedding) and layer.num_embeddings < LEAST_ROWS)
    }


@contextmanager
def running_part(modules: Mapping[Any, nn.Module]) -> Iterator[Callable[[], str | None]]:
    """Which of a student's parts runs, for parts share layers.

    Args:
        modules: its parts, by component.

    Yields:
        A function of the component that was called last; it says None before the first call.
    """
    running: list[str | None] = [None]
    hooks = [
        module.register_forward_pre_hook(lambda *_, now=component: running.__setitem__(0, now))
        for component, module in modules.items()
    ]
    try:
        yield lambda: running[0]
    finally:
        for hook in hooks:
            hook.remove()


def check_layers(recipe: Recipe, layers: Iterable[str]) -> None:
    """Whether every rule of a person's own recipe fits a layer; those of `RECIPES` fit many models.

    Args:
        recipe: any.
        layers: names, as `layers_of` gives them.

    Raises:
        InputError: a rule fits none; the message names layers that resemble it.
    """
    ours = RECIPES.get(recipe.name)
    if ours is not None and ours.rules == recipe.rules:
        return
    known = list(layers)
    for rule in recipe.rules:
        if not any(fnmatchcase(layer, rule.layers) for layer in known):
            near = difflib.get_close_matches(rule.layers, known, 3, 0.3) or known[:3]
            raise InputError(
                f"recipe {recipe.name}: no layer fits {rule.layers!r}; expected a pattern of component/module, such as "
                f"{', '.join(near)}"
            )
