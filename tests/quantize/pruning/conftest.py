"""A tiny student's structures, and how much each matters, measured once."""

from __future__ import annotations

import copy

import pytest

from edge_stickers.data import dataset
from edge_stickers.data.dataset import ClipSource
from edge_stickers.quantize.pruning.importance import measure_importance
from edge_stickers.quantize.pruning.structures import structures_of


@pytest.fixture(scope="module")
def student(tiny_pipeline):
    """A copy that tests must not change: they share it."""
    return copy.deepcopy(tiny_pipeline)


@pytest.fixture(scope="module")
def source(discs, tmp_path_factory):
    return ClipSource(discs, split="train", size=32, cache=tmp_path_factory.mktemp("cache"))


@pytest.fixture(scope="module")
def structures(student):
    return structures_of(student, steps=4)


@pytest.fixture(scope="module")
def scores(student, structures, source):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(dataset, "caption", lambda motion, name, rng, phrasings: "the cat hops")
        return measure_importance(student, structures, source=source, clips=4)
