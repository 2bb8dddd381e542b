"""Subwords: byte-pair encoding learnt from the training texts, by the `tokenizers` library (extra ``text``)."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from headstart.core.errors import ConfigError
from headstart.text.tokens import PAD, SPECIALS, UNKNOWN, Encoded

__all__ = ["SubwordTokenizer", "tokenizers_library"]


@dataclass(frozen=True)
class SubwordTokenizer:
    """Parts of words: nothing is unknown, at the price of more tokens.

    **Source:** Sennrich et al., "Neural Machine Translation of Rare Words with Subword Units" (2016), on bytes, so that
    every text can be written. Text is lower-cased, as for words.

    Attributes:
        model: what the `tokenizers` library calls the tokenizer's JSON.
    """

    model: str

    @classmethod
    def fit(cls, texts: Iterable[str], *, size: int, marks: Sequence[str] = ()) -> SubwordTokenizer:
        """Learns the parts from training texts.

        Args:
            texts: read once.
            size: how many parts, at most, the 256 bytes and the special tokens included.
            marks: field marks, which stay whole.

        Raises:
            ConfigError: the `tokenizers` library is not installed, or ``size`` leaves no room for parts.
        """
        library = tokenizers_library()
        if size < 300:
            raise ConfigError(f"max_vocab must be at least 300 for subwords: 256 are bytes; got {size!r}")
        made = library.Tokenizer(library.models.BPE())
        made.normalizer = library.normalizers.Lowercase()
        made.pre_tokenizer = library.pre_tokenizers.ByteLevel(add_prefix_space=True)
        made.decoder = library.decoders.ByteLevel()
        trainer = library.trainers.BpeTrainer(
            vocab_size=size, special_tokens=[*SPECIALS, *marks], show_progress=False,
            initial_alphabet=library.pre_tokenizers.ByteLevel.alphabet(),
        )  # fmt: skip
        made.train_from_iterator(texts, trainer)
        return cls(json.dumps(json.loads(made.to_str()), sort_keys=True))

    @property
    def words(self) -> tuple[str, ...]:
        """All parts, in the order of the library's ids: the vocabulary, which is learnt together with them."""
        known = self._tokenizer.get_vocab(with_added_tokens=True)
        return tuple(sorted(known, key=known.__getitem__))

    def tokens(self, text: str) -> list[str]:
        """The tokens of one text."""
        return [UNKNOWN if part == PAD else part for part in self._tokenizer.encode(text).tokens]

    def encode(self, texts: Sequence[str]) -> Encoded:
        """Many texts at once."""
        found = self._tokenizer.encode_batch_fast(list(texts))
        lengths = np.array([len(text.ids) for text in found], dtype=np.int64)
        ids = np.fromiter(_chained(text.ids for text in found), dtype=np.int32, count=int(lengths.sum()))
        types = [UNKNOWN if part == PAD else part for part in self.words]
        return Encoded(types, ids, lengths)

    def join(self, tokens: Iterable[str]) -> str:
        """Tokens as readable text."""
        known = self._tokenizer
        ids = [known.token_to_id(token) for token in tokens]
        text: str = known.decode([number for number in ids if number is not None], skip_special_tokens=False)
        return text.strip()

    def to_json(self) -> dict[str, Any]:
        """What `headstart.text.tokenizing.tokenizer_from_json` takes."""
        return {"kind": "subwords", "model": self.model}

    @cached_property
    def _tokenizer(self) -> Any:
        return tokenizers_library().Tokenizer.from_str(self.model)


def tokenizers_library() -> Any:
    """The `tokenizers` library.

    Raises:
        ConfigError: it is not installed.
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
