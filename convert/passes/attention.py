"""Attention as two batched matrix products around a softmax over the last dimension, with no rank above four."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from edge_stickers.convert.passes.shapes import expand

MASKED = -3e4
"""What is added to a masked product: far below any logit, and still a number in fp16."""


def scaled_dot_product_attention(query: Tensor, key: Tensor, value: Tensor, attn_mask: Tensor | None = None,
                                 dropout_p: float = 0.0, is_causal: bool = False, *, scale: float | None = None,
                                 enable_gqa: bool = False) -> Tensor:  # fmt: skip
    """The operator of that name, decomposed; dropout and grouped queries are not known here.

    Args:
        query: (..., Q, D).
        key: (..., K, D).
        value: (..., K, E).
        attn_mask: broadcast to (..., Q, K): boolean, true where a key may be read, or added to the products.
        dropout_p: must be 0.
        is_causal: a query reads the keys up to its own place.
        scale: what the products are multiplied by; 1 / sqrt(D) where None.
        enable_gqa: must be false.

    Returns:
        (..., Q, E).

    Source: "Attention Is All You Need", equation 1.
    """
    if dropout_p or enable_gqa:
        raise NotImplementedError(
            "attention with dropout or grouped queries is not converted; export in evaluation mode"
        )
    factor = 1.0 / math.sqrt(query.shape[-1]) if scale is None else scale
    lead = query.shape[:-2]
    batch, (queries, width), (keys, out_width) = math.prod(lead), query.shape[-2:], value.shape[-2:]
    q = query.reshape(batch, queries, width)
    k = expand(key, [*lead, keys, width]).reshape(batch, keys, width)
    v = expand(value, [*lead, keys, out_width]).reshape(batch, keys, out_width)
    k = k.transpose(1, 2)  # (batch, D, K)
    if factor != 1.0:  # on the smaller one
        q, k = (q * factor, k) if queries <= keys else (q, k * factor)
    products = torch.bmm(q, k)  # (batch, Q, K)
    if is_causal:
        attn_mask = torch.ones(queries, keys, dtype=torch.bool).tril()
    if attn_mask is not None:
        bias = (attn_mask.to(query.dtype) - 1.0) * -MASKED if attn_mask.dtype == torch.bool else attn_mask
        products = (products.reshape(*lead, queries, keys) + bias).reshape(batch, queries, keys)
    return torch.bmm(torch.softmax(products, dim=-1), v).reshape(*lead, queries, out_width)


def unscaled_attention(query: Tensor, key: Tensor, value: Tensor, attn_mask: Tensor | None = None,
                       dropout_p: float = 0.0, is_causal: bool = False, *, scale: float | None = None,
                       enable_gqa: bool = False) -> Tensor:  # fmt: skip
    """The same operator with its own scale, 1 / sqrt(D), the rest of another scale being put on the query.

    Core ML's attention has no scale of its own: with one, coremltools takes the operator apart.

    Args:
        query: (..., Q, D).
        key: (..., K, D).
        value: (..., K, E).
        attn_mask: as the operator has it.
        dropout_p: as the operator has it.
        is_causal: as the operator has it.
        scale: what the products are multiplied by; 1 / sqrt(D) where None.
        enable_gqa: as the operator has it.

    Returns:
        (..., Q, E).
    """
    rest = 1.0 if scale is None else scale * math.sqrt(query.shape[-1])
    query = query if math.isclose(rest, 1.0, rel_tol=1e-6) else query * rest
    return torch.nn.functional.scaled_dot_product_attention(
        query, key, value, attn_mask, dropout_p, is_causal, enable_gqa=enable_gqa
    )
