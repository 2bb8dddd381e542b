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
"""The id of ``<unk>``: whatever is not in the vocabulary."""


@dataclass(frozen=True)
class Vocabulary:
    """Tokens in the order of their ids: as a rule the special ones, then the most frequent first.

    Attributes:
        words: the tokens; a token's place is its id. The first are ``<unk>`` and ``<pad>``; ``<bos>`` and ``<eos>``
            stand somewhere.
    """

    words: tuple[str, ...]

    def __post_init__(self) -> None:
        """Checks the special tokens and that none stands twice."""
        right = self.words[:2] == SPECIALS[:2] and set(SPECIALS) <= set(self.words)
        if not right or len(set(self.words)) != len(self.words):
            raise DataError(
                f"a vocabulary begins with {', '.join(SPECIALS[:2])}, holds {', '.join(SPECIALS[2:])} somewhere, and"
                f" each token once; got {', '.join(map(repr, self.words[:6]))}, ..."
            )

    def __len__(self) -> int:
        return len(self.words)

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
        """The tokens that are frequent enough.

        Args:
            types: different tokens.
            counts: int64 ``(types,)``: how often each stands in the training texts.
            min_freq: tokens that are rarer are unknown.
            max_vocab: at most this many tokens, the special ones included.
            marks: field marks, which are known however rare they are.

        Returns:
            The most frequent first; tokens of one frequency in the order of their characters, so that neither the
            order of the texts nor the number of processes makes a difference.
        """
        checked_limits(min_freq, max_vocab)
        kept = dict.fromkeys((*SPECIALS, *marks))
        frequent = np.flatnonzero(counts >= min_freq)
        ordered = sorted(frequent.tolist(), key=lambda place: (-counts[place], types[place]))
        room = max_vocab - len(kept)
        chosen = [types[place] for place in ordered if types[place] not in kept][: max(0, room)]
        return cls((*kept, *chosen))

    def encode(self, tokens: Iterable[str]) -> NDArray[np.int32]:
        """Ids, int32 ``(tokens,)``; 0 for what is unknown."""
        get = self._ids.get
        return np.fromiter((get(token, UNKNOWN_ID) for token in tokens), dtype=np.int32)

    def id_of(self, token: str) -> int:
        """A token's id; 0 if it is unknown."""
        return self._ids.get(token, UNKNOWN_ID)

    def decode(self, ids: Iterable[int]) -> list[str]:
        """The tokens of ids."""
        return [self.words[number] for number in ids]

    @cached_property
    def _ids(self) -> dict[str, int]:
        return {word: number for number, word in enumerate(self.words)}


def checked_limits(min_freq: int, max_vocab: int) -> None:
    """That a vocabulary can be made so.

    Raises:
        ConfigError: a limit is no whole number, or too small.
    """
    for name, value, least in (("min_freq", min_freq, 1), ("max_vocab", max_vocab, len(SPECIALS) + 1)):
        if not isinstance(value, int) or isinstance(value, bool) or value < least:
            raise ConfigError(f"{name} must be a whole number of at least {least}; got {value!r}")
