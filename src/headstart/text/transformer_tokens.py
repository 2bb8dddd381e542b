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
from headstart.text.subwords import tokenizers_library
from headstart.text.tokens import SPECIALS, Encoded

__all__ = ["TransformerTokenizer", "read_tokenizer"]

OWN_SPECIALS = (("[UNK]", "[PAD]", "[CLS]", "[SEP]"), ("<unk>", "<pad>", "<s>", "</s>"))
"""What BERT's and RoBERTa's relatives call unknown, padding, beginning and end."""


@dataclass(frozen=True)
class TransformerTokenizer:
    """Cuts texts as a transformer wants them. Its special tokens go by headstart's names here.

    Attributes:
        model: the content of ``tokenizer.json``.
    """

    model: str

    @property
    def words(self) -> tuple[str, ...]:
        """The vocabulary: headstart's special tokens, then all others in the order of the transformer's ids."""
        return self._words

    @property
    def transformer_ids(self) -> list[int]:
        """The transformer's own id of each of `words`."""
        return [self._known[word] for word in (*self._specials, *self._words[len(SPECIALS) :])]

    def tokens(self, text: str) -> list[str]:
        """The tokens of one text."""
        return [self._words[number] for number in self.encode([text]).ids.tolist()]

    def encode(self, texts: Sequence[str]) -> Encoded:
        """Many texts at once."""
        found = [text.ids for text in self._tokenizer.encode_batch_fast(list(texts), add_special_tokens=False)]
        lengths = np.array([len(ids) for ids in found], dtype=np.int64)
        flat = np.concatenate([np.array(ids, dtype=np.int64) for ids in found] or [np.zeros(0, dtype=np.int64)])
        return Encoded(list(self._words), self._own_ids[flat], lengths)

    def join(self, tokens: Iterable[str]) -> str:
        """Tokens as readable text."""
        ids = [self._known[token] for token in tokens if token in self._known]
        text: str = self._tokenizer.decode(ids)
        return text

    def to_json(self) -> dict[str, Any]:
        """What `headstart.text.tokenizing.tokenizer_from_json` takes."""
        return {"kind": "transformer", "model": self.model}

    @cached_property
    def _tokenizer(self) -> Any:
        made = tokenizers_library().Tokenizer.from_str(self.model)
        made.no_padding()
        made.no_truncation()
        return made

    @cached_property
    def _known(self) -> dict[str, int]:
        return dict(self._tokenizer.get_vocab(with_added_tokens=True))

    @cached_property
    def _specials(self) -> tuple[str, ...]:
        for names in OWN_SPECIALS:
            if all(name in self._known for name in names):
                return names
        raise ConfigError(f"the transformer's tokenizer has none of the special tokens {' or '.join(OWN_SPECIALS[0])}")

    @cached_property
    def _words(self) -> tuple[str, ...]:
        others = sorted((number, word) for word, number in self._known.items() if word not in self._specials)
        return (*SPECIALS, *(word for _, word in others))

    @cached_property
    def _own_ids(self) -> NDArray[np.int32]:
        theirs = self.transformer_ids
        own = np.zeros(max(theirs) + 1, dtype=np.int32)
        own[theirs] = np.arange(len(theirs), dtype=np.int32)
        return own


def read_tokenizer(folder: str | Path) -> TransformerTokenizer:
    """The tokenizer of a transformer's folder, for ``TextData.from_table(..., tokenizer=...)``.

    Raises:
        ArtifactError: the folder holds no ``tokenizer.json``.
        ConfigError: the `tokenizers` library is not installed.
    """
    tokenizers_library()
    path = Path(folder) / "tokenizer.json"
    try:
        return TransformerTokenizer(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ArtifactError(f"{path} cannot be read: {error.strerror}; give a transformer's folder") from error
