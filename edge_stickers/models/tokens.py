"""Prompts to token ids, with the `tokenizers` library alone, so that running a bundle needs no transformers."""

from __future__ import annotations

from tokenizers import Tokenizer

from edge_stickers.config import MAX_TOKENS
from edge_stickers.errors import InputError


def tokenize(tokenizer: Tokenizer, prompt: str) -> tuple[list[int], list[int]]:
    """Token ids and mask of a prompt, both padded to `MAX_TOKENS`.

    Args:
        tokenizer: of the model folder or the bundle.
        prompt: one English sentence.

    Returns:
        input_ids and attention_mask, each `MAX_TOKENS` long.

    Raises:
        InputError: the prompt is empty or has too many tokens.
    """
    if not prompt.strip():
        raise InputError("the prompt is empty; say in a sentence what the sticker should do, e.g. 'the cat hops'")
    ids = tokenizer.encode(prompt[: 64 * MAX_TOKENS]).ids
    if len(ids) > MAX_TOKENS or len(prompt) > 64 * MAX_TOKENS:
        words = len(prompt.split())
        raise InputError(
            f"the prompt has {words} words, more than the {MAX_TOKENS - 2} tokens that fit; use one short sentence"
        )
    padding = MAX_TOKENS - len(ids)
    return ids + [0] * padding, [1] * len(ids) + [0] * padding
