"""The tokenizers that there are, and how one is chosen and sent to another process. Needs no torch."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from itertools import chain
from typing import Any, Literal, TypeAlias, get_args

from headstart.core.errors import ConfigError
from headstart.text.subwords import SubwordTokenizer
from headstart.text.tokens import WordTokenizer
from headstart.text.transformer_tokens import TransformerTokenizer

__all__ = ["AnyTokenizer", "TokenizerName", "choose_tokenizer", "tokenizer_from_record"]

AnyTokenizer: TypeAlias = WordTokenizer | SubwordTokenizer | TransformerTokenizer
"""The tokenizers of headstart: what is stored with a model."""

TokenizerName: TypeAlias = Literal["words", "subwords"]

CHARACTERS_FOR_SUBWORDS = 50_000_000
"""Largest number of characters that subwords are learnt from: more text hardly changes them."""


def choose_tokenizer(
    tokenizer: TokenizerName | AnyTokenizer, texts: Iterable[Sequence[str]], *, size: int, marks: Sequence[str]
) -> AnyTokenizer:
    """Return the tokenizer of a name; subwords are learnt here.

    Args:
        tokenizer: ``"words"``, ``"subwords"``, or a tokenizer, which is returned as it is.
        texts: pieces of training texts; of subwords the first 50 million characters are read.
        size: largest number of subwords.
        marks: field marks, which are never split.

    Raises:
        ConfigError: subwords of texts that cannot be read a second time.
    """
    if tokenizer == "words":
        return WordTokenizer()
    if tokenizer == "subwords":
        if iter(texts) is texts:
            raise ConfigError("subwords are learnt in a pass of their own: give the texts as a list, not a generator")
        return SubwordTokenizer.fit(_beginning(texts), size=size, marks=marks)
    return tokenizer


def tokenizer_from_record(record: Mapping[str, Any]) -> AnyTokenizer:
    """Return the tokenizer that ``values.to_json(tokenizer, kind=AnyTokenizer)`` described, without importing torch."""
    kinds = {kind.__name__: kind for kind in get_args(AnyTokenizer)}
    tokenizer: AnyTokenizer = kinds[record["type"]](**{name: part for name, part in record.items() if name != "type"})
    return tokenizer


def _beginning(texts: Iterable[Sequence[str]]) -> list[str]:
    chosen, characters = [], 0
    for text in chain.from_iterable(texts):
        chosen.append(text)
        characters += len(text)
        if characters > CHARACTERS_FOR_SUBWORDS:
            break
    return chosen
