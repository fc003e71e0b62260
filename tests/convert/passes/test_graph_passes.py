"""Passes over whole programs: what they remove, and that they change no number."""

from __future__ import annotations

from collections import Counter

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from edge_stickers.convert.parity import snr_db
from edge_stickers.convert.passes import decompose, fold_constants, simplify_masks, simplify_views
from edge_stickers.convert.passes.views import merged_dimensions, same_dimensions

aten = torch.ops.aten


def exported(function, *inputs):
    class Module(nn.Module):
        def forward(self, *args):
            return function(*args)

    return torch.export.export(function if isinstance(function, nn.Module) else Module(), inputs, strict=False)


def count(program):
    return Counter(node.target for node in program.graph.nodes if node.op == "call_function")


def same(program, function, *inputs):
    with torch.no_grad():
        return snr_db(function(*inputs), program.module()(*inputs)) > 110


class Block(nn.Module):
    def __init__(self):
        super().__init__()
        self.norm = nn.GroupNorm(3, 6)
        self.scale = nn.Parameter(torch.randn(6, 1, 1))
        self.shift = nn.Linear(5, 12)

    def forward(self, x, embedding):
        scale, shift = self.shift(embedding)[:, :, None, None].chunk(2, dim=1)
        return F.silu(self.norm(x) * (1.0 + scale) + shift) * self.scale.exp()


@pytest.fixture
def block():
    torch.manual_seed(0)
    module, inputs = Block().eval(), (torch.randn(3, 6, 5, 7), torch.randn(3, 5))
    nn.init.normal_(module.norm.weight)
    return module, inputs, decompose(exported(module, *inputs))


def test_decompose_leaves_no_norm_and_no_chunk(block):
    module, inputs, program = block
    assert not count(program).keys() & {aten.group_norm.default, aten.chunk.default, aten.unsqueeze.default}
    assert same(program, module, *inputs)


def test_decompose_keeps_the_names_of_the_inputs(block):
    assert list(block[2].graph_signature.user_inputs) == ["x", "embedding"]


def test_decompose_leaves_the_original_alone(block):
    module, inputs, _ = block
    original = exported(module, *inputs)
    before = count(original)
    decompose(original)
    assert count(original) == before


def test_nothing_is_computed_on_parameters_alone(block):
    module, inputs, program = block
    assert count(program)[aten.exp.default] == 1
    folded = fold_constants(program)
    assert count(folded)[aten.exp.default] == 0
    assert same(folded, module, *inputs)


def test_a_normalised_image_is_scaled_by_a_convolution_not_by_a_constant_that_would_be_transposed(block):
    program = simplify_views(fold_constants(block[2]))
    constants = {
        node for node in program.graph.nodes if node.op == "placeholder" and not node.name.startswith("inputs")
    }
    products = [node for node in program.graph.nodes if node.target in (aten.mul.Tensor, aten.add.Tensor)]
    assert sum(bool(constants & set(node.all_input_nodes)) for node in products) == 1  # the module's own scale


def test_permutations_that_cancel_go():
    def function(x):
        tokens = x.flatten(2).transpose(1, 2)
        return tokens.transpose(1, 2).contiguous().reshape(x.shape).permute(0, 2, 3, 1).permute(0, 3, 1, 2) + 1.0

    inputs = (torch.randn(2, 3, 5, 7),)
    program = simplify_views(exported(function, *inputs))
    assert set(count(program)) == {aten.add.Tensor}
    assert same(program, function, *inputs)


def test_a_permutation_of_single_dimensions_is_a_view():
    def function(x):
        return x.reshape(4, 1, 6).transpose(0, 1) * 2.0

    inputs = (torch.randn(4, 6),)
    program = simplify_views(exported(function, *inputs))
    assert count(program)[aten.permute.default] == 0
    assert same(program, function, *inputs)


@pytest.mark.parametrize("clips", [1, 2])
def test_neighbouring_frames_of_one_clip_are_slices_of_images(clips):
    from edge_stickers.models.functional import neighbour_frames

    def function(x):
        return neighbour_frames(x, 3)

    inputs = (torch.randn(3 * clips, 4, 5, 2),)
    program = simplify_views(exported(function, *inputs))
    if clips == 1:
        assert set(count(program)) == {aten.slice.Tensor, aten.cat.default}
    assert same(program, function, *inputs)


def test_views_with_two_users_stay_right():
    def function(x):
        flat = x.reshape(6, 4)
        return flat.reshape(2, 12)[1:] * 2.0, torch.cat([flat[2:3], flat[:1]], dim=0) + flat.sum(), flat.t()

    inputs = (torch.randn(2, 3, 4),)
    program = simplify_views(exported(function, *inputs))
    for got, expected in zip(program.module()(*inputs), function(*inputs), strict=True):
        assert torch.equal(got, expected)


def test_same_dimensions():
    assert same_dimensions([1, 8, 60], [8, 4, 3, 5], 1) == [0]
    assert same_dimensions([2, 8, 60], [16, 4, 3, 5], 1) == []
    assert same_dimensions([8, 4, 15], [8, 4, 3, 5], 1) == [1]
    assert same_dimensions([1, 1, 60], [1, 1, 4, 3, 5], 1) == [0, 1]


def test_merged_dimensions():
    assert merged_dimensions([4, 2, 8, 3], [8, 8, 3]) == [[0, 1], [2], [3]]
    assert merged_dimensions([4, 1, 8], [4, 8]) == [[0], [1, 2]]
    assert merged_dimensions([4, 8, 1, 1], [4, 8]) == [[0], [1, 2, 3]]
    assert merged_dimensions([1, 4, 8], [4, 1, 8]) == [[0, 1], [], [2]]
    assert merged_dimensions([4, 8], [2, 16]) is None
    assert merged_dimensions([4, 8], [4, 2, 4]) is None


@pytest.mark.parametrize("shape", [(2, 5, 3, 7), (1, 5, 3, 7), (2, 1, 3, 1)])
def test_permutations_around_a_view_that_joins_are_one(shape):
    def function(x):
        b, t, h, d = shape
        return x.permute(0, 2, 1, 3).reshape(b * h, t, d).transpose(1, 2) * 2.0

    inputs = (torch.randn(shape),)
    program = simplify_views(exported(function, *inputs))
    assert count(program)[aten.permute.default] <= 1
    assert same(program, function, *inputs)


@pytest.mark.parametrize("clips", [1, 2])
def test_keys_repeated_for_the_frames_of_one_clip_are_shared(clips):
    frames, heads = 3, 2

    def function(q, k, v):
        k, v = k.repeat_interleave(frames, dim=0), v.repeat_interleave(frames, dim=0)
        return F.scaled_dot_product_attention(q, k, v, scale=0.7)

    inputs = torch.randn(clips * frames, heads, 5, 4), torch.randn(clips, heads, 7, 4), torch.randn(clips, heads, 7, 6)
    program = decompose(exported(function, *inputs))
    products = [node.meta["val"].shape for node in program.graph.nodes if node.target is aten.bmm.default]
    assert products[0] == ((heads, frames * 5, 7) if clips == 1 else (clips * frames * heads, 5, 7))
    assert same(program, function, *inputs)


def test_an_index_that_picks_everything_in_order_is_a_view():
    rows, columns = torch.arange(3)[:, None], torch.arange(4)

    def function(x):
        return x[rows, columns].reshape(1, 3, 4) * x[rows, columns.flip(0)]

    inputs = (torch.randn(3, 4),)
    program = simplify_masks(fold_constants(exported(function, *inputs)))
    assert count(program)[aten.index.Tensor] == 1
    assert same(program, function, *inputs)


def test_conjunctions_with_what_is_always_true_go():
    always, sometimes = torch.ones(3, 1, dtype=torch.bool), torch.tensor([[True], [False], [True]])

    def function(x):
        return (always & (x > 0)).float() + (sometimes & (x > 0)).float() + ((x[:1] > 0) & always).float()

    inputs = (torch.randn(3, 4),)
    program = simplify_masks(fold_constants(exported(function, *inputs)))
    assert count(program)[aten.__and__.Tensor] == 1
    assert same(program, function, *inputs)


def test_a_permutation_between_views_needs_no_dimension_of_one():
    """Frames of one clip: (F, C, H, W) to (H W, F, C), as temporal attention wants them."""

    class Tokens(nn.Module):
        def forward(self, x):
            return x.reshape(1, 3, 4, 10).permute(0, 3, 1, 2).reshape(10, 3, 4).sin()

    x = torch.randn(3, 4, 2, 5)
    program = simplify_views(exported(Tokens(), x))
    assert (count(program)[aten.view_copy.default], count(program)[aten.permute.default]) == (1, 1)
    assert same(program, Tokens(), x)
