"""Upsampling and pooling against PyTorch's own, to the last bit where nothing is added up."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

from edge_stickers.convert.passes import resampling


@pytest.mark.parametrize(("size", "scales"), [(None, (2.0, 2.0)), ((10, 21), None), (None, (1.0, 3.0)), ((8, 9), None)])
def test_nearest_upsampling_is_torchs(size, scales):
    x = torch.randn(2, 3, 5, 7)
    expected = F.interpolate(x, size=size, scale_factor=scales, mode="nearest")
    assert torch.equal(resampling.upsample_nearest2d(x, size, scales), expected)


@pytest.mark.parametrize("size", [(3, 5), (4, 4), (9, 10), (1, 1), (None, 2), (2, 7)])
def test_adaptive_pooling_is_torchs(size):
    x = torch.randn(2, 3, 9, 10)
    torch.testing.assert_close(resampling.adaptive_avg_pool2d(x, size), F.adaptive_avg_pool2d(x, size))
