"""Pretrained vectors of words: what a word means, from counts of six billion other words.

**Source:** Pennington et al., "GloVe: Global Vectors for Word Representation" (2014); the weights of words in the mean
of a text: Arora et al., "A Simple but Tough-to-Beat Baseline for Sentence Embeddings" (2017), section 3.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from headstart import datasets
from headstart.core.errors import ArtifactError
from headstart.core.paths import expanded
from headstart.text.ngrams import Sparse, columns_of, hash_words
from headstart.text.tokens import Tokenized

__all__ = ["WordVectors", "mean_of_words", "read_vectors", "usual_vectors"]

DATA_SET = "word-vectors"
"""The data set of pretrained vectors."""

MOST_WORDS = 100_000
"""Number of words that are read, the most frequent ones."""

COMMON = 1e-3
"""Share of all words at which a word counts half in a text's mean (Arora et al.)."""


@dataclass(frozen=True)
class WordVectors:
    """Vectors of words.

    Attributes:
        hashes: int64 ``(words,)``, rising: `hash_words` of each.
        vectors: float32 ``(words, width)``.
        weights: float32 ``(words,)``: weight of each word in a text's mean: less for frequent words.
    """

    hashes: NDArray[np.int64]
    vectors: NDArray[np.float32]
    weights: NDArray[np.float32]

    def of_words(self, words: list[str] | tuple[str, ...]) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
        """Return the vectors of words, float32 ``(words, width)``, 0 for unknown ones, and which are known."""
        column = columns_of(self.hashes, hash_words(words))
        return np.where((column >= 0)[:, None], self.vectors[column], np.float32(0)), column >= 0


def mean_of_words(hashes: NDArray[np.int64], weights: NDArray[np.float32], texts: Tokenized) -> Sparse:
    """Return the share of each known word in the weighted mean of a text's words: rows that add up to 1, or empty.

    Args:
        hashes: int64 ``(words,)``, rising.
        weights: float32 ``(words,)``.
        texts: the texts.
    """
    column = columns_of(hashes, hash_words(texts.types))[texts.ids]
    row = np.repeat(np.arange(len(texts.lengths)), texts.lengths)[column >= 0]
    column = column[column >= 0]
    value = weights[column]
    total = np.bincount(row, weights=value, minlength=len(texts.lengths))
    starts = np.concatenate([[0], np.cumsum(np.bincount(row, minlength=len(texts.lengths)))])
    return Sparse(column, (value / total[row]).astype(np.float32), starts)


def usual_vectors(chosen: str | Path, notes: list[str]) -> WordVectors | None:
    """Return the vectors that were chosen.

    Args:
        chosen: ``"auto"``: those of the data set ``word-vectors``, if it need not be fetched; ``"none"``; or a folder.
        notes: receives a line if there are none although they were not declined.

    Raises:
        ArtifactError: the folder does not hold word vectors.
    """
    if chosen == "none":
        return None
    folder = datasets.find(DATA_SET) if chosen == "auto" else expanded(chosen)
    if folder is None:
        notes.append(
            f"no word vectors, which help most with few texts: 'headstart datasets get {DATA_SET}' fetches them once"
        )
        return None
    return read_vectors(folder)


@cache
def read_vectors(folder: Path) -> WordVectors:
    """Return the vectors in a folder, which the data set ``word-vectors`` has: ``vectors.npy`` and ``words.parquet``.

    Raises:
        ArtifactError: the folder does not hold them.
    """
    matrices, lists = list(folder.glob("*.npy")), list(folder.glob("*.parquet"))
    if len(matrices) != 1 or len(lists) != 1:
        raise ArtifactError(
            f"{folder} does not hold word vectors: one .npy of vectors and one .parquet of words are expected, and"
            f" there are {len(matrices)} and {len(lists)}"
        )
    try:
        vectors: NDArray[Any] = np.load(matrices[0], mmap_mode="r", allow_pickle=False)[:MOST_WORDS]
        names = pl.read_parquet(lists[0]).to_series()[:MOST_WORDS].cast(pl.String).to_list()
    except (OSError, ValueError, pl.exceptions.PolarsError) as error:
        raise ArtifactError(f"{folder} does not hold word vectors that can be read: {error}") from error
    if vectors.ndim != 2 or len(vectors) != len(names):
        raise ArtifactError(f"{folder}: there are {len(names):,} words and vectors of shape {vectors.shape}")
    rank = np.arange(1, len(names) + 1)
    share = 1 / rank / (1 / rank).sum()  # Zipf's law: the words come by falling frequency
    hashes = hash_words(names)
    hashes, index = np.unique(hashes, return_index=True)
    weights = (COMMON / (COMMON + share))[index]
    return WordVectors(hashes, np.ascontiguousarray(vectors[index], dtype=np.float32), weights.astype(np.float32))
