"""The layers that a recipe may name: those with weights of their own."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping
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
