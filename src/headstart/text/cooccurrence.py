"""What counting a corpus says before anything is learnt: word vectors, and how often each word comes."""

from __future__ import annotations

from itertools import islice

import numpy as np
import torch
from numpy.typing import NDArray

from headstart.text.corpus import Corpus, pieces

__all__ = ["log_frequencies", "word_vectors"]

WINDOW = 3
"""How far apart two words may be to count as neighbours."""

CONTEXTS = 1500
"""Neighbours that are told apart on each side: the most frequent words, fewer for more than 20,000 words."""

MOST_COUNTS = 60_000_000
"""Numbers in the matrix of counts, at most: 240 MB; thrice that is held at the peak."""

MOST_TOKENS = 20_000_000
"""That are read for the vectors."""

SPARE = 20
"""Singular vectors that are sought beyond those wanted: the last ones of a randomised search are its least exact."""

SMOOTHING = 0.75
"""Exponent of the contexts' frequencies, so that rare ones do not stand out."""


def log_frequencies(corpus: Corpus, words: int) -> NDArray[np.float32]:
    """The logarithm of each word's share of the corpus, ``(words,)``; words that do not occur count as half a token."""
    counts = np.maximum(_counts(corpus, words), 0.5)
    shares: NDArray[np.float64] = counts / counts.sum()
    return np.log(shares).astype(np.float32)


def word_vectors(corpus: Corpus, words: int, size: int) -> NDArray[np.float32]:
    """Vectors of words that have the same neighbours on the same sides are alike.

    The positive pointwise mutual information of words and their neighbours, left and right ones apart and the nearer
    ones with more weight, brought to its ``size`` largest singular vectors, each times the root of its singular value.
    Of a corpus beyond `MOST_TOKENS` only some pieces are read, evenly spread. Some seconds, and `MOST_COUNTS` says how
    much memory, in each process.

    **Source:** Levy and Goldberg, "Neural Word Embedding as Implicit Matrix Factorization" (2014); Bullinaria and Levy,
    "Extracting semantic representations from word co-occurrence statistics" (2007).

    Args:
        corpus: texts as ids.
        words: size of the vocabulary.
        size: width of the vectors.

    Returns:
        ``(words, size)``, standard deviation 1 over the words that occur; zeros for those that do not, and in columns
        beyond the rank of the counts.
    """
    contexts = max(1, min(CONTEXTS, words, MOST_COUNTS // words // 2))
    information = torch.from_numpy(_mutual_information(_neighbours(corpus, words, contexts)))
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)  # of the subspace that the largest singular vectors are sought from
        left, values, _ = torch.svd_lowrank(information, min(size + SPARE, *information.shape), niter=4)
    left, values = left[:, :size], values[:size]
    rank = int((values > 1e-3 * values.max().clamp_min(1e-12)).sum())
    found = torch.zeros(words, size)
    found[:, :rank] = left[:, :rank] * values[:rank].sqrt()
    occurs = information.any(1)
    found[~occurs] = 0  # of them the product has rounding alone
    return (found / found[occurs].std(correction=0) if rank else found).numpy()


def _counts(corpus: Corpus, words: int) -> NDArray[np.int64]:
    counts = np.zeros(words, np.int64)
    for piece in pieces(corpus.tokens):
        counts += np.bincount(piece, minlength=words)
    return counts


def _neighbours(corpus: Corpus, words: int, contexts: int) -> NDArray[np.float32]:
    """How often each word has which neighbours on its left and right, ``(words, 2 * contexts)``, by 1 / distance."""
    frequent = np.argsort(-_counts(corpus, words), kind="stable")[:contexts]
    place_of = np.full(words, -1, np.int64)
    place_of[frequent] = np.arange(len(frequent))
    counts = np.zeros((words, 2, contexts), np.float32)
    for piece in islice(pieces(corpus.tokens), 0, None, max(1, len(corpus.tokens) // MOST_TOKENS)):
        for distance in range(1, WINDOW + 1):
            earlier, later = piece[:-distance], piece[distance:]
            for side, (word, neighbour) in enumerate(((later, earlier), (earlier, later))):
                place = place_of[neighbour]
                known = place >= 0
                pairs = word[known] * np.int64(contexts) + place[known]
                found = np.bincount(pairs, minlength=words * contexts).reshape(words, contexts)
                counts[:, side] += found / np.float32(distance)
    return counts.reshape(words, 2 * contexts)


def _mutual_information(counts: NDArray[np.float32]) -> NDArray[np.float32]:
    """The logarithm of how much likelier each pair is than chance, 0 where it is not likelier; in place."""
    of_word = counts.sum(1, keepdims=True, dtype=np.float64).astype(np.float32)
    of_context = counts.sum(0, dtype=np.float64) ** SMOOTHING
    of_context /= max(of_context.sum(), 1e-12)
    with np.errstate(divide="ignore", invalid="ignore"):
        counts /= of_word
        counts /= of_context.astype(np.float32)
        np.log(counts, out=counts)
    np.nan_to_num(counts, copy=False, nan=0.0, posinf=0.0, neginf=0.0)
    return np.maximum(counts, 0, out=counts)
