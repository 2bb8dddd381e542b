"""`Vocabulary`: the tokens that a model knows, and their ids."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from headstart.core.errors import ConfigError, DataError
from headstart.text.tokens import SPECIALS

__all__ = ["UNKNOWN_ID", "Vocabulary", "checked_limits"]

UNKNOWN_ID = 0
"""Id of ``<unk>``, which stands for every token outside the vocabulary."""


@dataclass(frozen=True)
class Vocabulary:
    """The known tokens; usually the special ones first, then the others by falling frequency.

    Attributes:
        words: the tokens; a token's index is its id. The first two are ``<unk>`` and ``<pad>``; ``<bos>`` and ``<eos>``
            may stand anywhere.

    Raises:
        DataError: a special token is missing or misplaced, or a token occurs twice.
    """

    words: tuple[str, ...]

    def __post_init__(self) -> None:
        """Check the special tokens, and that all tokens are distinct."""
        specials = self.words[:2] == SPECIALS[:2] and set(SPECIALS) <= set(self.words)
        if not specials or len(set(self.words)) != len(self.words):
            raise DataError(
                f"a vocabulary begins with {', '.join(SPECIALS[:2])}, holds {', '.join(SPECIALS[2:])} somewhere, and"
                f" each token once; got {', '.join(map(repr, self.words[:6]))}, ..."
            )

    def __len__(self) -> int:
        return len(self.words)

    def __repr__(self) -> str:
        return f"Vocabulary({len(self):,} words: {', '.join(self.words[:6])}, ...)"

    @classmethod
    def of_counts(
        cls,
        types: Sequence[str],
        counts: NDArray[np.int64],
        *,
        min_freq: int = 3,
        max_vocab: int = 60_000,
        marks: Iterable[str] = (),
    ) -> Vocabulary:
        """Return the vocabulary of the most frequent tokens.

        Args:
            types: distinct tokens.
            counts: int64 ``(types,)``: occurrences of each in the training texts.
            min_freq: lowest number of occurrences, at least 1; rarer tokens are left out.
            max_vocab: largest size, special tokens included; at least 5.
            marks: field marks, which are included however rare they are.

        Returns:
            Special tokens, marks, then tokens by falling frequency. Tokens of equal frequency are sorted, so that
            neither the order of the texts nor the number of processes matters.

        Raises:
            ConfigError: a limit is not a whole number, or too small.
        """
        checked_limits(min_freq, max_vocab)
        reserved = dict.fromkeys((*SPECIALS, *marks))
        frequent = np.flatnonzero(counts >= min_freq)
        ordered = sorted(frequent.tolist(), key=lambda index: (-counts[index], types[index]))
        room = max_vocab - len(reserved)
        chosen = [types[index] for index in ordered if types[index] not in reserved][: max(0, room)]
        return cls((*reserved, *chosen))

    def encode(self, tokens: Iterable[str]) -> NDArray[np.int32]:
        """Return the ids of tokens, int32 ``(tokens,)``; 0 for unknown ones."""
        get = self._ids.get
        return np.fromiter((get(token, UNKNOWN_ID) for token in tokens), dtype=np.int32)

    def id_of(self, token: str) -> int:
        """Return the id of a token; 0 if it is unknown."""
        return self._ids.get(token, UNKNOWN_ID)

    def decode(self, ids: Iterable[int]) -> list[str]:
        """Return the tokens of ids."""
        return [self.words[number] for number in ids]

    @cached_property
    def _ids(self) -> dict[str, int]:
        return {word: number for number, word in enumerate(self.words)}


def checked_limits(min_freq: int, max_vocab: int) -> None:
    """Raise `ConfigError` if a limit of a vocabulary is not a whole number, or too small."""
    for name, value, least in (("min_freq", min_freq, 1), ("max_vocab", max_vocab, len(SPECIALS) + 1)):
        if not isinstance(value, int) or isinstance(value, bool) or value < least:
            raise ConfigError(f"{name} must be a whole number of at least {least}; got {value!r}")
