"""`Traits`: what several items or users have in common by the facts on them, such as a genre, a job, an age."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor

from headstart.collab.catalogue import Catalogue, Fact

__all__ = ["Traits"]

FEWEST = 3
"""Smallest number of items or users that have a trait: of fewer nothing can be learnt."""

MOST_NUMBERS = 20
"""Number of distinct numbers of a column up to which each is a trait; of more, each range of them is."""

RANGES = 16
"""Number of ranges of a column of numbers, with about as many items or users each."""

SEPARATORS = ("|", ";", ",")
"""Characters that separate several values in one text, such as ``Comedy|Drama``."""


@dataclass(frozen=True)
class Traits:
    """Which ids have which traits.

    Attributes:
        names: name of each trait: its column and its value.
        pairs: int32 ``(2, pairs)``: ids and indices of traits, ascending, no pair twice.
    """

    names: tuple[str, ...]
    pairs: Tensor = field(compare=False, repr=False)

    @classmethod
    def fit(cls, catalogue: Catalogue) -> Traits | None:
        """Return the traits in facts, or None if there are none.

        A trait is a value of a column: of text each part of ``Comedy|Drama``; of numbers with more than twenty values
        one of sixteen ranges. Values that fewer than three ids have, such as titles, are none; nor are those that all
        have.

        Args:
            catalogue: facts on the ids 1 to n.
        """
        names: list[str] = []
        parts: list[tuple[list[int], int]] = []
        for column, facts in catalogue.columns.items():
            owners: dict[str, list[int]] = {}
            for number, values in enumerate(_values(facts), start=1):
                for value in dict.fromkeys(values):
                    owners.setdefault(value, []).append(number)
            for value in sorted(owners):
                if FEWEST <= len(owners[value]) < len(facts):
                    parts.append((owners[value], len(names)))
                    names.append(f"{column}: {value}")
        if not names:
            return None
        ids = np.concatenate([np.asarray(owned, dtype=np.int32) for owned, _ in parts])
        traits = np.repeat(np.arange(len(names), dtype=np.int32), [len(owned) for owned, _ in parts])
        order = np.lexsort((traits, ids))
        return cls(tuple(names), torch.from_numpy(np.stack([ids[order], traits[order]])))

    def __len__(self) -> int:
        """Return the number of traits."""
        return len(self.names)


def _values(facts: Sequence[Fact]) -> list[list[str]]:
    """Return the values of each fact of a column as texts; of a missing one none."""
    known = [fact for fact in facts if fact is not None]
    if known and all(isinstance(fact, int | float) and not isinstance(fact, bool) for fact in known):
        name = _number_names([float(fact) for fact in known])
        return [[] if fact is None else [name(float(fact))] for fact in facts]
    texts = [None if fact is None else str(fact) for fact in facts]
    separator = _separator([text for text in texts if text is not None])
    return [_parts(text, separator) for text in texts]


def _number_names(numbers: Sequence[float]) -> Callable[[float], str]:
    """Return the function that names a number's trait: the number itself, or the range that it lies in."""
    distinct = sorted(set(numbers))
    if len(distinct) <= MOST_NUMBERS:
        return dict(zip(distinct, _written(distinct), strict=True)).__getitem__
    edges = np.unique(np.quantile(np.asarray(numbers), np.arange(1, RANGES) / RANGES))
    names = _written(edges.tolist())

    def range_of(number: float) -> str:
        place = int(np.searchsorted(edges, number, side="right"))
        low = "" if place == 0 else f"from {names[place - 1]} "
        return f"{low}{'' if place == len(edges) else f'below {names[place]}'}".strip()

    return range_of


def _written(numbers: Sequence[float]) -> list[str]:
    """Return different numbers as texts of six digits, or of as many more as it takes for them to differ."""
    for digits in range(6, 17):
        texts = [f"{number:.{digits}g}" for number in numbers]
        if len(set(texts)) == len(texts):
            return texts
    return [f"{number:.17g}" for number in numbers]  # which tells all numbers of 64 bits apart


def _separator(texts: Sequence[str]) -> str | None:
    """Return the separator that leaves the fewest distinct parts, if that is under half of the distinct texts."""
    distinct = Counter(texts)
    best: tuple[float, str | None] = (len(distinct) / 2, None)
    for separator in SEPARATORS:
        if any(separator in text for text in distinct):
            count = len({part for text in distinct for part in _parts(text, separator)})
            best = min(best, (count, separator), key=lambda found: found[0])
    return best[1]


def _parts(text: str | None, separator: str | None) -> list[str]:
    if text is None:
        return []
    parts = [text] if separator is None else text.split(separator)
    return [part.strip() for part in parts if part.strip()]
