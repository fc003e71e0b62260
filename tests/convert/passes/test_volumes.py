"""Convolutions of volumes and rows against PyTorch's own, odd sizes too."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

from edge_stickers.convert.passes import volumes


@pytest.mark.parametrize(
    ("kernel", "options"),
    [
        ((3, 1, 1), {"padding": (1, 0, 0)}),
        ((5, 1, 1), {"padding": (2, 0, 0), "stride": (2, 1, 1), "groups": 2}),
        ((3, 1, 1), {"padding": (2, 0, 0), "dilation": (2, 1, 1)}),
        ((1, 3, 3), {"padding": (0, 1, 1), "stride": (1, 2, 2)}),
        ((1, 1, 1), {}),
        ((3, 3, 3), {"padding": 1}),
    ],
)
def test_convolutions_of_volumes_are_torchs(kernel, options):
    x, bias = torch.randn(2, 4, 7, 5, 3), torch.randn(6)
    weight = torch.randn(6, 4 // options.get("groups", 1), *kernel)
    spread = {name: (value,) * 3 if value == 1 and name == "padding" else value for name, value in options.items()}
    got = volumes.conv3d(x, weight, bias, **spread)
    torch.testing.assert_close(got, F.conv3d(x, weight, bias, **options), atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize(("kernel", "stride", "padding", "dilation"), [(3, 1, 1, 1), (4, 2, 0, 1), (3, 1, 2, 2)])
def test_convolutions_of_rows_are_torchs(kernel, stride, padding, dilation, bias):
    x, weight, shift = torch.randn(3, 4, 11), torch.randn(5, 4, kernel), torch.randn(5) if bias else None
    got = volumes.conv1d(x, weight, shift, [stride], [padding], [dilation])
    torch.testing.assert_close(got, F.conv1d(x, weight, shift, stride, padding, dilation), atol=1e-5, rtol=1e-5)
