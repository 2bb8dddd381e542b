"""Word vectors and word frequencies from counts of a corpus: a start for a language model."""

from __future__ import annotations

from itertools import islice

import numpy as np
import torch
from numpy.typing import NDArray

from headstart.core.engine import seeded
from headstart.text.corpus import Corpus, pieces

__all__ = ["frequencies", "log_frequencies", "word_vectors"]

WINDOW = 3
"""Largest distance, in tokens, of two words that count as neighbours."""

CONTEXTS = 1500
"""Neighbours that are distinguished on each side: the most frequent words; fewer for more than 20,000 words."""

MOST_COUNTS = 60_000_000
"""Largest size of the matrix of counts, in numbers: 240 MB, of which three times as much is needed at the peak."""

MOST_TOKENS = 20_000_000
"""Largest number of tokens that are read for the vectors."""

SPARE = 20
"""Singular vectors computed beyond those used: the last ones of a randomised decomposition are the least exact."""

SMOOTHING = 0.75
"""Exponent of the contexts' frequencies, which keeps rare contexts from dominating."""


def frequencies(corpus: Corpus, words: int) -> NDArray[np.float32]:
    """Return each word's share of the corpus, float32 ``(words,)``."""
    return (_counts(corpus, words) / len(corpus.tokens)).astype(np.float32)


def log_frequencies(corpus: Corpus, words: int) -> NDArray[np.float32]:
    """Return the logarithm of each word's share of the corpus, float32 ``(words,)``; absent words count as 0.5."""
    counts = np.maximum(_counts(corpus, words), 0.5)
    shares: NDArray[np.float64] = counts / counts.sum()
    return np.log(shares).astype(np.float32)


def word_vectors(corpus: Corpus, words: int, size: int) -> NDArray[np.float32]:
    """Return word vectors that are alike for words with the same left and right neighbours.

    They are the ``size`` largest singular vectors, each times the root of its singular value, of the positive pointwise
    mutual information of words and their neighbours. Left and right neighbours are distinguished, and weighted by the
    inverse of their distance. Of a corpus of more than `MOST_TOKENS` tokens evenly spread pieces are read. This takes
    some seconds.

    **Source:** Levy and Goldberg, "Neural Word Embedding as Implicit Matrix Factorization" (2014); Bullinaria and Levy,
    "Extracting semantic representations from word co-occurrence statistics" (2007).

    Args:
        corpus: texts as ids.
        words: size of the vocabulary.
        size: width of the vectors.

    Returns:
        float32 ``(words, size)``, standard deviation 1 over the words that occur; 0 for words that do not, and in
        columns beyond the rank of the counts.
    """
    contexts = max(1, min(CONTEXTS, words, MOST_COUNTS // words // 2))
    information = torch.from_numpy(_mutual_information(_neighbours(corpus, words, contexts)))
    with seeded(0):  # of the random subspace of the decomposition
        left, values, _ = torch.svd_lowrank(information, min(size + SPARE, *information.shape), niter=4)
    left, values = left[:, :size], values[:size]
    rank = int((values > 1e-3 * values.max().clamp_min(1e-12)).sum())
    vectors = torch.zeros(words, size)
    vectors[:, :rank] = left[:, :rank] * values[:rank].sqrt()
    occurs = information.any(1)
    vectors[~occurs] = 0  # the product has nothing but rounding errors there
    return (vectors / vectors[occurs].std(correction=0) if rank else vectors).numpy()


def _counts(corpus: Corpus, words: int) -> NDArray[np.int64]:
    counts = np.zeros(words, np.int64)
    for piece in pieces(corpus.tokens):
        counts += np.bincount(piece, minlength=words)
    return counts


def _neighbours(corpus: Corpus, words: int, contexts: int) -> NDArray[np.float32]:
    """How often each word has which neighbours, left then right, by 1 / distance: float32 ``(words, 2 * contexts)``."""
    frequent = np.argsort(-_counts(corpus, words), kind="stable")[:contexts]
    index_of = np.full(words, -1, np.int64)
    index_of[frequent] = np.arange(len(frequent))
    counts = np.zeros((words, 2, contexts), np.float32)
    for piece in islice(pieces(corpus.tokens), 0, None, max(1, len(corpus.tokens) // MOST_TOKENS)):
        for distance in range(1, WINDOW + 1):
            earlier, later = piece[:-distance], piece[distance:]
            for side, (word, neighbour) in enumerate(((later, earlier), (earlier, later))):
                index = index_of[neighbour]
                known = index >= 0
                pairs = word[known] * np.int64(contexts) + index[known]
                occurrences = np.bincount(pairs, minlength=words * contexts).reshape(words, contexts)
                counts[:, side] += occurrences / np.float32(distance)
    return counts.reshape(words, 2 * contexts)


def _mutual_information(counts: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return the logarithm of each pair's probability over that of chance, at least 0; in place."""
    of_word = counts.sum(1, keepdims=True, dtype=np.float64).astype(np.float32)
    of_context = counts.sum(0, dtype=np.float64) ** SMOOTHING
    of_context /= max(of_context.sum(), 1e-12)
    with np.errstate(divide="ignore", invalid="ignore"):
        counts /= of_word
        counts /= of_context.astype(np.float32)
        np.log(counts, out=counts)
    np.nan_to_num(counts, copy=False, nan=0.0, posinf=0.0, neginf=0.0)
    return np.maximum(counts, 0, out=counts)
