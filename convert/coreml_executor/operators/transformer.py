"""Attention as one operator."""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional as F

from edge_stickers.convert.coreml_executor.operators.arguments import Operator


def scaled_dot_product_attention(query: Tensor, key: Tensor, value: Tensor, attn_mask: Tensor | None = None) -> Tensor:
    """`softmax(q @ k.T / sqrt(E) + mask) @ v`: (..., L, E), (..., S, E), (..., S, EV) → (..., L, EV).

    A mask of booleans says which keys take part. A query that may look at none gives NaN, as the formula has it;
    PyTorch's own operator gives zeros there, and so would hide the mistake.
    """
    if attn_mask is None:
        return F.scaled_dot_product_attention(query, key, value)
    mask = attn_mask
    if mask.dtype == torch.bool:
        mask = torch.zeros(mask.shape).masked_fill(~mask, -math.inf)
    scores = query @ key.transpose(-1, -2) / math.sqrt(query.shape[-1])
    return torch.softmax(scores + mask, -1) @ value


OPERATORS: dict[str, Operator] = {"scaled_dot_product_attention": scaled_dot_product_attention}
