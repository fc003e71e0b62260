from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

from edge_stickers.convert.parity import snr_db
from edge_stickers.convert.passes.normalisation import group_norm, layer_norm


@pytest.mark.parametrize(
    ("shape", "groups"),
    [((2, 6, 5, 7), 3), ((1, 8, 1, 3), 8), ((3, 10, 4, 4), 1), ((2, 6, 5), 2), ((2, 4, 3, 2, 5), 2)],
)
@pytest.mark.parametrize("affine", [True, False])
def test_group_norm_is_torchs(shape, groups, affine):
    torch.manual_seed(0)
    x = torch.randn(shape) * 3 + 20  # a mean far from zero, where a difference of squares would fail
    weight, bias = (torch.randn(shape[1]), torch.randn(shape[1])) if affine else (None, None)
    assert snr_db(F.group_norm(x, groups, weight, bias, 1e-5), group_norm(x, groups, weight, bias, 1e-5)) > 90


def test_group_norm_adds_epsilon_to_the_variance():
    x = torch.randn(1, 4, 3, 3) * 1e-3
    assert snr_db(F.group_norm(x, 2, eps=1e-2), group_norm(x, 2, eps=1e-2)) > 90


@pytest.mark.parametrize(("shape", "normalised"), [((2, 5, 7), [7]), ((3, 9), [9]), ((2, 3, 4, 5), [4, 5])])
@pytest.mark.parametrize("affine", [True, False])
def test_layer_norm_is_torchs(shape, normalised, affine):
    torch.manual_seed(1)
    x = torch.randn(shape) * 2 - 10
    weight, bias = (torch.randn(normalised), torch.randn(normalised)) if affine else (None, None)
    assert snr_db(F.layer_norm(x, normalised, weight, bias, 1e-12), layer_norm(x, normalised, weight, bias, 1e-12)) > 90
