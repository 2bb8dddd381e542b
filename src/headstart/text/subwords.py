"""Subwords: byte-pair encoding learnt from the training texts, by the `tokenizers` library (extra ``text``)."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from headstart.core.errors import ConfigError
from headstart.text.tokens import PAD, SPECIALS, UNKNOWN, Tokenized

__all__ = ["SubwordTokenizer", "tokenizers_library"]

PIECES = r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}[\p{L}\p{M}\u200c\u200d]*| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"
"""What no subword goes beyond: GPT-2's pattern (Radford et al., 2019), but a letter's marks belong to its word."""


@dataclass(frozen=True)
class SubwordTokenizer:
    """Parts of words: no word is unknown, at the price of more tokens per text. Text is lower-cased, as for words.

    **Source:** byte-pair encoding of Sennrich et al., "Neural Machine Translation of Rare Words with Subword Units"
    (2016), on bytes, so that every text can be represented.

    Attributes:
        model: the tokenizer as JSON of the `tokenizers` library.
    """

    model: str

    @classmethod
    def fit(cls, texts: Iterable[str], *, size: int, marks: Sequence[str] = ()) -> SubwordTokenizer:
        """Learn the parts from training texts.

        Args:
            texts: read once.
            size: largest number of parts, the 256 bytes and the special tokens included; at least 300.
            marks: field marks, which are never split.

        Raises:
            ConfigError: the `tokenizers` library is not installed, or ``size`` is below 300.
        """
        library = tokenizers_library()
        if size < 300:
            raise ConfigError(f"max_vocab must be at least 300 for subwords: 256 are bytes; got {size!r}")
        model = library.Tokenizer(library.models.BPE())
        normalizers, pre_tokenizers = library.normalizers, library.pre_tokenizers
        model.normalizer = normalizers.Sequence(
            [
                normalizers.NFC(),
                normalizers.Lowercase(),
                normalizers.Strip(left=True, right=False),
                normalizers.Prepend(" "),
            ]
        )
        model.pre_tokenizer = pre_tokenizers.Sequence(
            [
                pre_tokenizers.Split(library.Regex(PIECES), behavior="isolated"),
                pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
            ]
        )
        model.decoder = library.decoders.ByteLevel()
        trainer = library.trainers.BpeTrainer(
            vocab_size=size, special_tokens=[*SPECIALS, *marks], show_progress=False,
            initial_alphabet=library.pre_tokenizers.ByteLevel.alphabet(),
        )  # fmt: skip
        model.train_from_iterator(texts, trainer)
        return cls(json.dumps(json.loads(model.to_str()), sort_keys=True))

    @property
    def words(self) -> tuple[str, ...]:
        """All parts, in the order of the library's ids."""
        known = self._tokenizer.get_vocab(with_added_tokens=True)
        return tuple(sorted(known, key=known.__getitem__))

    def tokens(self, text: str) -> list[str]:
        """Return the tokens of one text."""
        return [UNKNOWN if part == PAD else part for part in self._tokenizer.encode(text).tokens]

    def encode(self, texts: Sequence[str]) -> Tokenized:
        """Return the tokens of many texts as numbers."""
        encodings = self._tokenizer.encode_batch_fast(list(texts))
        lengths = np.array([len(text.ids) for text in encodings], dtype=np.int64)
        ids = np.fromiter(_chained(text.ids for text in encodings), dtype=np.int32, count=int(lengths.sum()))
        types = [UNKNOWN if part == PAD else part for part in self.words]
        return Tokenized(types, ids, lengths)

    def join(self, tokens: Iterable[str]) -> str:
        """Return tokens as readable text."""
        ids = [self._tokenizer.token_to_id(token) for token in tokens]
        text: str = self._tokenizer.decode([number for number in ids if number is not None], skip_special_tokens=False)
        return text.strip()

    @cached_property
    def _tokenizer(self) -> Any:
        return tokenizers_library().Tokenizer.from_str(self.model)


def tokenizers_library() -> Any:
    """Return the `tokenizers` library.

    Raises:
        ConfigError: the library is not installed.
    """
    try:
        import tokenizers
        import tokenizers.decoders
        import tokenizers.models
        import tokenizers.normalizers
        import tokenizers.pre_tokenizers
        import tokenizers.trainers
    except ImportError as error:
        raise ConfigError(
            "subwords need a package that is not installed: pip install 'headstart[text]'; or use words"
        ) from error
    return tokenizers


def _chained(parts: Iterable[list[int]]) -> Iterator[int]:
    for part in parts:
        yield from part
