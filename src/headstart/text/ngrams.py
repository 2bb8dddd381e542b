"""N-grams of words and of characters as numbers: TF-IDF of hashed tokens, without a list of n-grams as text.

A text's n-grams are made of its tokens: single words and pairs of neighbours; and pieces of two to five characters
inside each word, its borders included. Both are hashed to 64 bits, so that what is stored of a model is numbers alone,
and what is rare is computed once per distinct token.

**Source:** of characters inside words with their borders: scikit-learn's ``analyzer="char_wb"``; of the weights:
sublinear frequencies, smooth idf and rows of length 1, as in scikit-learn's ``TfidfVectorizer(sublinear_tf=True)``.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from headstart.text.tokens import Tokenized

__all__ = ["Grams", "Listed", "Sparse", "character_grams", "columns_of", "hash_words", "join_sparse", "word_grams"]

Hashes: TypeAlias = NDArray[np.int64]

LENGTHS = (2, 5)
"""Shortest and longest n-gram of characters."""

LEAST_TEXTS = 2
"""An n-gram of fewer training texts says nothing about others."""

ENTRIES_AT_ONCE = 1 << 22
"""N-grams of texts that are sorted together."""

# Odd constants of multiplicative hashing: 2 ** 64 divided by the golden ratio, and two of splitmix64.
_STEP, _PAIR, _MIX = np.uint64(0x9E3779B97F4A7C15), np.uint64(0xBF58476D1CE4E5B9), np.uint64(0x94D049BB133111EB)


@dataclass(frozen=True)
class Sparse:
    """A sparse matrix by rows.

    Attributes:
        columns: int64 ``(entries,)``: column of each entry, rising within a row.
        values: float32 ``(entries,)``.
        starts: int64 ``(rows + 1,)``: index of each row's first entry, and the number of entries.
    """

    columns: NDArray[np.int64]
    values: NDArray[np.float32]
    starts: NDArray[np.int64]


@dataclass(frozen=True)
class Listed:
    """The n-grams of tokenized texts.

    Attributes:
        hashes: int64 ``(distinct,)``: each n-gram once.
        pieces: of consecutive texts, for each n-gram of a text: the number of the text, int64, the index in ``hashes``,
            int64, and how often it occurs, int64. An n-gram of a text may be listed several times.
    """

    hashes: Hashes
    pieces: Iterator[tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]]


@dataclass(frozen=True)
class Grams:
    """The n-grams of one kind that a model knows.

    Attributes:
        hashes: int64 ``(columns,)``, rising.
        idf: float32 ``(columns,)``: logarithm of how rare each one is among the training texts, plus 1.
    """

    hashes: Tensor
    idf: Tensor

    def __len__(self) -> int:
        """Return the number of n-grams."""
        return len(self.hashes)

    @classmethod
    def fit(cls, listed: Listed, texts: int, most: int) -> Grams:
        """Learn which n-grams occur in at least two of the training texts.

        Args:
            listed: their n-grams, from `word_grams` or `character_grams`.
            texts: number of training texts.
            most: largest number of n-grams; of more the most frequent are kept.
        """
        frequency = np.zeros(len(listed.hashes), dtype=np.int64)
        for rows, index, _ in listed.pieces:
            keys = np.sort(rows * len(frequency) + index)
            once = keys[np.diff(keys, prepend=-1) != 0]
            frequency += np.bincount(once % len(frequency), minlength=len(frequency))
        kept = np.flatnonzero(frequency >= LEAST_TEXTS)
        if len(kept) > most:
            kept = kept[np.lexsort((listed.hashes[kept], -frequency[kept]))[:most]]
        kept = kept[np.argsort(listed.hashes[kept])]
        idf = np.log((1 + texts) / (1 + frequency[kept])) + 1
        return cls(torch.from_numpy(listed.hashes[kept]), torch.from_numpy(idf.astype(np.float32)))

    def encode(self, listed: Listed, texts: int) -> Sparse:
        """Return TF-IDF of texts: a column per known n-gram, each row of length 1, or empty.

        Args:
            listed: their n-grams.
            texts: number of texts.
        """
        column_of = columns_of(self.hashes.numpy(), listed.hashes)
        width, idf = max(1, len(self)), self.idf.numpy()
        parts: list[tuple[NDArray[np.int64], NDArray[np.float32]]] = []
        for rows, index, times in listed.pieces:
            columns = column_of[index]
            known = columns >= 0
            keys = rows[known] * width + columns[known]
            order = np.argsort(keys, kind="stable")
            keys = keys[order]
            first = np.flatnonzero(np.diff(keys, prepend=-1))
            counts = np.add.reduceat(times[known][order], first) if len(first) else np.zeros(0, dtype=np.int64)
            keys = keys[first]
            parts.append((keys, ((1 + np.log(counts)) * idf[keys % width]).astype(np.float32)))
        keys = np.concatenate([np.zeros(0, dtype=np.int64), *(part[0] for part in parts)])
        values = np.concatenate([np.zeros(0, dtype=np.float32), *(part[1] for part in parts)])
        rows = keys // width
        norms = np.sqrt(np.bincount(rows, weights=values * values, minlength=texts))
        starts = np.concatenate([[0], np.cumsum(np.bincount(rows, minlength=texts))])
        return Sparse(keys % width, (values / norms[rows]).astype(np.float32), starts)


def word_grams(texts: Tokenized) -> Listed:
    """Return words and pairs of neighbouring words."""
    words = hash_words(texts.types).view(np.uint64)
    row = np.repeat(np.arange(len(texts.lengths)), texts.lengths)
    ids = texts.ids.astype(np.int64)
    first = np.flatnonzero(row[1:] == row[:-1])  # tokens with a neighbour to the right
    pairs, index = np.unique(ids[first] * max(1, len(words)) + ids[first + 1], return_inverse=True)
    left, right = np.divmod(pairs, max(1, len(words)))
    hashes = np.concatenate([words, _mixed(words[left] * _PAIR + words[right])]).view(np.int64)

    def pieces() -> Iterator[tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]]:
        for start, end in _runs(texts.lengths, 2):
            tokens = slice(*np.searchsorted(row, (start, end)))
            couples = slice(*np.searchsorted(row[first], (start, end)))
            rows = np.concatenate([row[tokens], row[first[couples]]])
            yield rows, np.concatenate([ids[tokens], len(words) + index[couples]]), np.ones(len(rows), dtype=np.int64)

    return Listed(hashes, pieces())


def character_grams(texts: Tokenized) -> Listed:
    """Return the pieces of two to five characters of each word, a blank before and after it included."""
    of_words, sizes = _pieces_of_words(texts.types)
    hashes, index = np.unique(of_words, return_inverse=True)
    starts = np.cumsum(sizes) - sizes
    row = np.repeat(np.arange(len(texts.lengths)), texts.lengths)

    def pieces() -> Iterator[tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]]:
        for start, end in _runs(texts.lengths, 1 + int(sizes.sum()) // max(1, len(sizes))):
            tokens = slice(*np.searchsorted(row, (start, end)))
            keys, times = np.unique(row[tokens] * len(sizes) + texts.ids[tokens], return_counts=True)
            rows, types = np.divmod(keys, len(sizes))
            size = sizes[types]
            place = np.arange(int(size.sum())) + np.repeat(starts[types] - np.cumsum(size) + size, size)
            yield np.repeat(rows, size), index[place], np.repeat(times, size)

    return Listed(hashes, pieces())


def hash_words(words: Sequence[str]) -> Hashes:
    """Return a 64-bit hash of each word, int64 ``(words,)``: the same on every machine."""
    codes, lengths = _codes(words)
    if not len(words):
        return np.zeros(0, dtype=np.int64)
    starts = np.cumsum(lengths) - lengths
    place = np.arange(len(codes)) - np.repeat(starts, lengths)
    powers = np.cumprod(np.full(int(lengths.max(initial=1)), _STEP, dtype=np.uint64))
    sums = np.add.reduceat(np.append(codes * powers[place], np.uint64(0)), starts)
    sums[lengths == 0] = 0  # there reduceat gives the next word's first character
    return _mixed(sums).view(np.int64)


def columns_of(known: NDArray[np.int64], hashes: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return the index of each hash among the known ones, which rise; -1 if it is not one of them."""
    if not len(known):
        return np.full(len(hashes), -1)
    column = np.minimum(np.searchsorted(known, hashes), len(known) - 1)
    return np.where(known[column] == hashes, column, -1)


def join_sparse(first: Sparse, second: Sparse, width: int) -> Sparse:
    """Return two matrices side by side.

    Args:
        first: the columns on the left.
        second: the columns on the right, with the same rows.
        width: number of columns of ``first``.
    """
    left, right = np.diff(first.starts), np.diff(second.starts)
    starts = first.starts + second.starts
    columns = np.empty(int(starts[-1]), dtype=np.int64)
    values = np.empty(int(starts[-1]), dtype=np.float32)
    at_left = np.arange(len(first.columns)) + np.repeat(second.starts[:-1], left)
    at_right = np.arange(len(second.columns)) + np.repeat(first.starts[1:], right)
    columns[at_left], columns[at_right] = first.columns, second.columns + width
    values[at_left], values[at_right] = first.values, second.values
    return Sparse(columns, values, starts)


# ---- inside


def _runs(lengths: NDArray[np.int64], each: int) -> Iterator[tuple[int, int]]:
    """Yield runs of texts with about `ENTRIES_AT_ONCE` n-grams: the first one's number, and the next run's.

    Args:
        lengths: number of tokens of each text.
        each: number of n-grams of a token.
    """
    ends = np.cumsum(lengths)
    first = 0
    while first < len(ends) and ends[-1]:
        before = int(ends[first - 1]) if first else 0
        last = int(np.searchsorted(ends, before + ENTRIES_AT_ONCE // each, side="right"))
        yield first, max(first + 1, last)
        first = max(first + 1, last)


def _pieces_of_words(words: Sequence[str]) -> tuple[Hashes, NDArray[np.int64]]:
    """Return the hashes of all words' pieces, word after word, and each word's number of pieces."""
    codes, lengths = _codes([f" {word} " for word in words])
    number = np.repeat(np.arange(len(words)), lengths)
    left = np.repeat(np.cumsum(lengths), lengths) - np.arange(len(codes))  # characters up to the word's end
    hashes, owners = [np.zeros(0, dtype=np.uint64)], [np.zeros(0, dtype=np.int64)]
    rolling = np.zeros(len(codes) + 1, dtype=np.uint64)
    for length in range(1, min(LENGTHS[1], len(codes)) + 1):
        rolling = rolling[:-1] * _STEP + codes[length - 1 :]
        if length >= LENGTHS[0]:
            inside = left[: len(rolling)] >= length
            hashes.append(_mixed(rolling[inside]))
            owners.append(number[: len(rolling)][inside])
    owner = np.concatenate(owners)
    order = np.argsort(owner, kind="stable")
    return np.concatenate(hashes)[order].view(np.int64), np.bincount(owner, minlength=len(words))


def _codes(words: Sequence[str]) -> tuple[NDArray[np.uint64], NDArray[np.int64]]:
    """Return the characters of all words, one after the other, as numbers above 0; and each word's length."""
    lengths = np.fromiter(map(len, words), dtype=np.int64, count=len(words))
    flat = np.frombuffer("".join(words).encode("utf-32-le", "surrogatepass"), dtype="<u4")
    return flat.astype(np.uint64) + np.uint64(1), lengths


def _mixed(hashes: NDArray[np.uint64]) -> NDArray[np.uint64]:
    mixed: NDArray[np.uint64] = (hashes ^ (hashes >> np.uint64(31))) * _MIX
    return mixed
