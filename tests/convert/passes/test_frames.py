"""Convolutions of a batch as one of a tall image against PyTorch's own."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st

from edge_stickers.convert.passes import frames


def watched(batches, function):
    """The function, with the batch of every call noted."""

    def call(x, *args, **kwargs):
        batches.append(x.shape[0])
        return function(x, *args, **kwargs)

    return call


@settings(max_examples=60, deadline=None)
@given(
    batch=st.integers(1, 4), height=st.integers(3, 9), kernel=st.integers(1, 4), stride=st.integers(1, 3),
    padding=st.integers(0, 3), dilation=st.integers(1, 2), groups=st.sampled_from([1, 2]),
)  # fmt: skip
def test_convolutions_are_torchs(batch, height, kernel, stride, padding, dilation, groups):
    if height + 2 * padding <= dilation * (kernel - 1):
        return
    x, weight, bias = torch.randn(batch, 4, height, 13), torch.randn(6, 4 // groups, kernel, 2), torch.randn(6)
    options = ((stride, 1), (padding, 1), (dilation, 1), groups)
    got, expected = frames.conv2d(x, weight, bias, *options), F.conv2d(x, weight, bias, *options)
    torch.testing.assert_close(got, expected, atol=1e-4, rtol=1e-4)


@settings(max_examples=60, deadline=None)
@given(
    batch=st.integers(1, 4), height=st.integers(1, 7), kernel=st.integers(1, 4), stride=st.integers(1, 3),
    padding=st.integers(0, 2), extra=st.integers(0, 2), groups=st.sampled_from([1, 2]),
)  # fmt: skip
def test_transposed_convolutions_are_torchs(batch, height, kernel, stride, padding, extra, groups):
    if extra >= stride or (height - 1) * stride - 2 * padding + kernel + extra < 1:
        return
    x, weight, bias = torch.randn(batch, 4, height, 5), torch.randn(4, 6 // groups, kernel, 3), torch.randn(6)
    options = ((stride, 2), (padding, 1), (extra, 0), groups)
    got, expected = (f(x, weight, bias, *options) for f in (frames.conv_transpose2d, F.conv_transpose2d))
    torch.testing.assert_close(got, expected, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("name", ["conv2d", "conv_transpose2d"])
def test_no_convolution_sees_more_than_one_image(name, monkeypatch):
    batches: list[int] = []
    monkeypatch.setattr(F, name, watched(batches, getattr(F, name)))
    getattr(frames, name)(torch.randn(8, 4, 6, 6), torch.randn(4, 4, 3, 3), None, (2, 2), (1, 1))
    assert batches == [1]
