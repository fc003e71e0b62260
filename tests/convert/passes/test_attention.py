from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

from edge_stickers.convert.parity import snr_db
from edge_stickers.convert.passes.attention import scaled_dot_product_attention, unscaled_attention


def tensors(lead, queries, keys, width, out_width):
    torch.manual_seed(0)
    return torch.randn(*lead, queries, width), torch.randn(*lead, keys, width), torch.randn(*lead, keys, out_width)


@pytest.mark.parametrize("scale", [None, 1.0, 0.3])
@pytest.mark.parametrize(("lead", "queries", "keys"), [((2, 3), 5, 7), ((1, 1), 9, 4), ((6,), 3, 3), ((2, 3, 2), 4, 5)])
def test_attention_is_torchs(lead, queries, keys, scale):
    q, k, v = tensors(lead, queries, keys, 8, 6)
    expected = F.scaled_dot_product_attention(q, k, v, scale=scale)
    for ours in (scaled_dot_product_attention, unscaled_attention):
        assert snr_db(expected, ours(q, k, v, scale=scale)) > 110


def test_masked_keys_are_not_read():
    q, k, v = tensors((2, 3), 5, 7, 8, 6)
    mask = (torch.arange(7) < 4).expand(2, 1, 5, 7)
    got = scaled_dot_product_attention(q, k, v, mask)
    assert snr_db(F.scaled_dot_product_attention(q, k, v, mask), got) > 110
    v[:, :, 4:] = 1e6
    assert torch.equal(got, scaled_dot_product_attention(q, k, v, mask))


def test_additive_and_causal_masks():
    q, k, v = tensors((2,), 6, 6, 4, 4)
    bias = torch.randn(6, 6)
    assert snr_db(F.scaled_dot_product_attention(q, k, v, bias), scaled_dot_product_attention(q, k, v, bias)) > 110
    causal = F.scaled_dot_product_attention(q, k, v, is_causal=True)
    assert snr_db(causal, scaled_dot_product_attention(q, k, v, is_causal=True)) > 110


def test_keys_of_one_clip_serve_many_frames():
    q, k, v = torch.randn(4, 2, 5, 8), torch.randn(1, 2, 7, 8), torch.randn(1, 2, 7, 8)
    expected = F.scaled_dot_product_attention(q, k.expand(4, -1, -1, -1), v.expand(4, -1, -1, -1))
    assert snr_db(expected, scaled_dot_product_attention(q, k, v)) > 110


def test_dropout_is_refused():
    with pytest.raises(NotImplementedError, match="evaluation mode"):
        scaled_dot_product_attention(*tensors((1,), 2, 2, 2, 2), dropout_p=0.5)
