"""The tokens of a pretrained transformer, from its ``tokenizer.json``, by the `tokenizers` library (extra ``text``)."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from headstart.core.errors import ArtifactError, ConfigError
from headstart.core.paths import expanded
from headstart.text.subwords import tokenizers_library
from headstart.text.tokens import SPECIALS, Tokenized

__all__ = ["TransformerTokenizer", "read_tokenizer"]

LIBRARY_SPECIALS = (("[UNK]", "[PAD]", "[CLS]", "[SEP]"), ("<unk>", "<pad>", "<s>", "</s>"))
"""Names of the special tokens unknown, padding, begin and end in relatives of BERT and of RoBERTa."""


@dataclass(frozen=True)
class TransformerTokenizer:
    """The tokens of a transformer. Its special tokens have headstart's names here.

    Attributes:
        model: content of the transformer's ``tokenizer.json``.
    """

    model: str

    @property
    def words(self) -> tuple[str, ...]:
        """The vocabulary: headstart's special tokens, then all others in the order of the transformer's ids."""
        return self._words

    @property
    def transformer_ids(self) -> list[int]:
        """The transformer's id of each of `words`."""
        return [self._known[word] for word in (*self._specials, *self._words[len(SPECIALS) :])]

    def tokens(self, text: str) -> list[str]:
        """Return the tokens of one text."""
        return [self._words[number] for number in self.encode([text]).ids.tolist()]

    def encode(self, texts: Sequence[str]) -> Tokenized:
        """Return the tokens of many texts as numbers."""
        encodings = [text.ids for text in self._tokenizer.encode_batch_fast(list(texts), add_special_tokens=False)]
        lengths = np.array([len(ids) for ids in encodings], dtype=np.int64)
        flat = np.concatenate([np.array(ids, dtype=np.int64) for ids in encodings] or [np.zeros(0, dtype=np.int64)])
        return Tokenized(list(self._words), self._ids[flat], lengths)

    def join(self, tokens: Iterable[str]) -> str:
        """Return tokens as readable text."""
        ids = [self._known[token] for token in tokens if token in self._known]
        text: str = self._tokenizer.decode(ids)
        return text

    @cached_property
    def _tokenizer(self) -> Any:
        tokenizer = tokenizers_library().Tokenizer.from_str(self.model)
        tokenizer.no_padding()
        tokenizer.no_truncation()
        return tokenizer

    @cached_property
    def _known(self) -> dict[str, int]:
        return dict(self._tokenizer.get_vocab(with_added_tokens=True))

    @cached_property
    def _specials(self) -> tuple[str, ...]:
        for names in LIBRARY_SPECIALS:
            if all(name in self._known for name in names):
                return names
        raise ConfigError(
            f"the transformer's tokenizer has none of the special tokens {' or '.join(LIBRARY_SPECIALS[0])}"
        )

    @cached_property
    def _words(self) -> tuple[str, ...]:
        others = sorted((number, word) for word, number in self._known.items() if word not in self._specials)
        return (*SPECIALS, *(word for _, word in others))

    @cached_property
    def _ids(self) -> NDArray[np.int32]:
        """The id of each of the transformer's ids; 0 for those without a word."""
        theirs = self.transformer_ids
        ids = np.zeros(max(theirs) + 1, dtype=np.int32)
        ids[theirs] = np.arange(len(theirs), dtype=np.int32)
        return ids


def read_tokenizer(folder: str | Path) -> TransformerTokenizer:
    """Return the tokenizer in a transformer's folder, for ``TextData.from_table(..., tokenizer=...)``.

    Raises:
        ArtifactError: the folder holds no ``tokenizer.json``.
        ConfigError: the `tokenizers` library is not installed.
    """
    tokenizers_library()
    path = expanded(folder) / "tokenizer.json"
    try:
        return TransformerTokenizer(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ArtifactError(f"{path} cannot be read: {error.strerror}; give a transformer's folder") from error
