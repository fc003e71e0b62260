from __future__ import annotations

import pytest
import torch

from edge_stickers.convert.passes import shapes


@pytest.mark.parametrize("dim", [0, 1, -1])
@pytest.mark.parametrize("count", [1, 2, 3, 5])
def test_chunks_and_splits_are_torchs(dim, count):
    x = torch.randn(5, 7, 6)
    for ours, theirs in ((shapes.chunk, torch.chunk), (shapes.split, torch.split)):
        got, expected = ours(x, count, dim), theirs(x, count, dim)
        assert len(got) == len(expected)
        assert all(torch.equal(a, b) for a, b in zip(got, expected, strict=True))


def test_split_with_sizes_is_torchs():
    x = torch.randn(2, 9)
    for got, expected in zip(shapes.split_with_sizes(x, [2, 3, 4], 1), x.split([2, 3, 4], 1), strict=True):
        assert torch.equal(got, expected)


def test_select_unbind_and_single_dimensions_are_torchs():
    x = torch.randn(3, 1, 5, 1)
    assert torch.equal(shapes.select(x, 2, -1), x.select(2, -1))
    assert all(torch.equal(a, b) for a, b in zip(shapes.unbind(x, 2), x.unbind(2), strict=True))
    for dim in (0, 2, -1):
        assert shapes.unsqueeze(x, dim).shape == x.unsqueeze(dim).shape
    for gone in (None, 1, 0, [1, 3]):
        expected = x.squeeze() if gone is None else x.squeeze(gone) if isinstance(gone, int) else x.squeeze(tuple(gone))
        assert shapes.squeeze(x, gone).shape == expected.shape


@pytest.mark.parametrize("size", [(4, 3, 5), (-1, 3, 5), (2, 4, 3, 5), (1, 3, 5)])
def test_expand_is_torchs(size):
    x = torch.randn(1, 3, 5) if len(size) == 3 else torch.randn(1, 3, 1)
    assert torch.equal(shapes.expand(x, size), x.expand(size))


@pytest.mark.parametrize("dim", [None, 0, 1, -1])
def test_repetition_is_torchs(dim):
    x = torch.randn(3, 2, 5)
    assert torch.equal(shapes.repeat_interleave(x, 3, dim), x.repeat_interleave(3, dim))
    assert torch.equal(shapes.repeat(x, [2, 1, 2, 3]), x.repeat(2, 1, 2, 3))


@pytest.mark.parametrize("keepdim", [True, False])
@pytest.mark.parametrize("dims", [[2, 3], [1], [-1], [0, 2], None])
def test_mean_is_torchs(dims, keepdim):
    x = torch.randn(2, 3, 5, 7)
    expected = x.mean(dims, keepdim) if dims else x.mean(dim=(0, 1, 2, 3), keepdim=keepdim)
    got = shapes.mean_dim(x, dims, keepdim)
    assert got.shape == expected.shape
    assert torch.allclose(got, expected, atol=1e-6)


def test_filled_tensors_are_torchs():
    x = torch.randn(2, 3, dtype=torch.float16)
    assert torch.equal(shapes.filled_like(1.0)(x), torch.ones_like(x))
    assert torch.equal(shapes.filled_like(0.0)(x, dtype=torch.bool), torch.zeros_like(x, dtype=torch.bool))
    assert torch.equal(shapes.new_filled(1.0)(x, (1, 5), dtype=torch.int64), x.new_ones((1, 5), dtype=torch.int64))


@pytest.mark.parametrize("dim", [1, -1])
def test_cat_is_torchs_without_the_tensors_that_hold_nothing(dim):
    x, other = torch.randn(2, 3, 4), torch.randn(2, 3, 4)
    empty = x.new_zeros(2, 3, 0) if dim == -1 else x.new_zeros(2, 0, 4)
    for parts in ([empty, x], [x, empty, other], [x, x, x], [empty, empty], [x]):
        assert torch.equal(shapes.cat(parts, dim), torch.cat(parts, dim))
    assert shapes.cat([empty, x], dim) is x
