"""What is the same for all frames is worked on once."""

from __future__ import annotations

from collections import Counter

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from edge_stickers.convert.parity import snr_db
from edge_stickers.convert.passes.repeats import hoist_repeats
from edge_stickers.convert.passes.shared_keys import share_keys

aten = torch.ops.aten
FRAMES = 3


class FrameAttention(nn.Module):
    """Cross-attention as diffusers writes it: the prompt is repeated for the frames and then projected."""

    def __init__(self) -> None:
        super().__init__()
        self.key, self.value, self.time = nn.Linear(5, 8), nn.Linear(5, 8), nn.Linear(4, 8)

    def repeat(self, x):
        return x.repeat_interleave(FRAMES, 0)

    def forward(self, query, text, time):
        text = self.repeat(text)
        heads = [layer(text).view(FRAMES, -1, 2, 4).transpose(1, 2) for layer in (self.key, self.value)]
        attended = F.scaled_dot_product_attention(query, *heads).transpose(1, 2).flatten(2)
        return attended + self.time(F.silu(self.repeat(time)))[:, None]


class PlaceAttention(FrameAttention):
    """As Stable Video Diffusion writes it: the first frame's copy is expanded to every place."""

    def repeat(self, x):
        frames = x.repeat_interleave(2, 0)
        first = frames[None].reshape(1, 2, *x.shape[1:])[:, 0]
        return first[:, None].broadcast_to(1, FRAMES, *x.shape[1:]).reshape(FRAMES, *x.shape[1:])


@pytest.fixture(params=[FrameAttention, PlaceAttention])
def hoisted(request):
    torch.manual_seed(0)
    module, inputs = request.param().eval(), (torch.randn(FRAMES, 2, 6, 4), torch.randn(1, 7, 5), torch.randn(1, 4))
    program = torch.export.export(module, inputs, strict=False)
    return module, inputs, hoist_repeats(program.module(check_guards=False))


def test_every_projection_sees_one_row(hoisted):
    _, _, graph = hoisted
    rows = [node.meta["val"].shape[0] for node in graph.graph.nodes if node.target is aten.linear.default]
    assert rows == [1, 1, 1]


def test_no_number_changes(hoisted):
    module, inputs, graph = hoisted
    with torch.no_grad():
        assert snr_db(module(*inputs), graph(*inputs)) > 110
        assert snr_db(module(*inputs), share_keys(graph)(*inputs)) > 110


def test_attention_shares_the_keys_of_all_frames(hoisted):
    _, _, graph = hoisted
    (attention,) = [
        node for node in share_keys(graph).graph.nodes if node.target is aten.scaled_dot_product_attention.default
    ]
    assert [node.meta["val"].shape[0] for node in attention.all_input_nodes] == [1, 1, 1]


def test_what_mixes_rows_is_left_alone():
    class Mixed(nn.Module):
        def forward(self, x):
            return F.linear(x.repeat_interleave(FRAMES, 0).transpose(0, 1), torch.ones(2, FRAMES))

    x = torch.randn(1, 4)
    graph = hoist_repeats(torch.export.export(Mixed(), (x,), strict=False).module(check_guards=False))
    assert Counter(node.target for node in graph.graph.nodes)[aten.linear.default] == 1
    torch.testing.assert_close(graph(x), Mixed()(x))
