"""What matters and what goes: dead channels matter nothing, a larger share takes all that a smaller one takes."""

from __future__ import annotations

import copy

import pytest
import torch

from edge_stickers.data import dataset
from edge_stickers.errors import InputError
from edge_stickers.quantize.pruning.choose import choose_units
from edge_stickers.quantize.pruning.cut import cut
from edge_stickers.quantize.pruning.importance import measure_importance
from edge_stickers.quantize.pruning.structures import clip_flops, structures_of


def chosen(student, structures, scores, fraction, parts=("unet", "vae")):
    totals = clip_flops(student, steps=4)
    return choose_units(structures, scores, totals=totals, fractions=dict.fromkeys(parts, fraction))


def test_everything_scored_is_a_number_and_most_of_it_matters(structures, scores):
    assert scores.keys() == {f"{each.part}/{each.name}" for each in structures}
    kinds = {each.kind for each in structures}
    assert kinds == {"channels", "heads", "whole"}
    values = torch.cat([each.flatten() for each in scores.values()])
    assert torch.isfinite(values).all() and (values >= 0).all() and (values > 0).float().mean() > 0.9


def test_a_channel_that_nothing_reads_matters_nothing(tiny_pipeline, source, monkeypatch):
    monkeypatch.setattr(dataset, "caption", lambda motion, name, rng, phrasings: "the cat hops")
    student = copy.deepcopy(tiny_pipeline)
    block = student.unet.get_submodule("down.0.block")
    with torch.no_grad():
        block.conv2.weight[:, 3] = 0
    found = measure_importance(student, structures_of(student, steps=4), source=source, clips=2)["unet/down.0.block"]
    assert found[3] == 0 and (found[:3] > 0).all()


def test_more_is_taken_where_more_is_asked_and_the_same_first(student, structures, scores):
    little, much = (chosen(student, structures, scores, fraction) for fraction in (0.1, 0.3))
    for name, indices in little.items():
        assert set(indices) <= set(much[name]), name
    assert sum(map(len, much.values())) > sum(map(len, little.values()))


@pytest.mark.parametrize("fraction", [0.1, 0.3])
def test_as_many_operations_go_as_were_asked_for(student, structures, scores, fraction):
    before = clip_flops(student, steps=4)
    after = clip_flops(cut(student, chosen(student, structures, scores, fraction)), steps=4)
    for part in ("unet", "vae"):
        assert fraction - 0.02 <= 1 - after[part] / before[part] <= fraction + 0.15, part
    assert after["text_encoder"] <= before["text_encoder"]  # with the projection of the context, which heads shrink


def test_channels_under_a_normalisation_go_from_every_group_alike(student, structures, scores):
    goes = chosen(student, structures, scores, 0.3)
    grouped = [each for each in structures if each.groups > 1 and f"{each.part}/{each.name}" in goes]
    assert grouped
    for each in grouped:
        size = each.width // each.groups
        taken = [sum(index // size == group for index in goes[f"{each.part}/{each.name}"]) for group in range(4)]
        assert len(set(taken)) == 1 and taken[0] < size


def test_no_layer_is_emptied_and_the_message_says_what_can_be_had(student, structures, scores):
    with pytest.raises(InputError, match=r"asked to take 95% of the operations out of unet, which can give \d+% at"):
        chosen(student, structures, scores, 0.95)
    with pytest.raises(InputError, match="out of text_encoder, which can give 0% at most"):
        chosen(student, structures, scores, 0.1, parts=("text_encoder",))
