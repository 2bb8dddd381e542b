"""What texts are like, for a look at them before training: counts of their words and of pairs of words."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from headstart.checks.features import Features, sparse_features
from headstart.text.tokens import WordTokenizer

__all__ = ["text_features"]

PAIR_FACTOR = 2_654_435_761
"""Odd number by which the numbers of a pair's words are mixed into one."""


def text_features(texts: Sequence[str]) -> Features | None:
    """Return words and pairs of words that occur in two texts or more, weighted by TF-IDF, each row of length 1.

    Args:
        texts: the texts.

    Returns:
        The features; None if no word occurs twice.
    """
    found = WordTokenizer().encode(texts)
    rows = np.repeat(np.arange(len(texts)), found.lengths)
    words = found.ids.astype(np.int64)
    paired = rows[1:] == rows[:-1]
    pairs = ((words[:-1] + 1) * PAIR_FACTOR + words[1:])[paired] + len(found.types)
    entries = np.concatenate([words, pairs])
    owners = np.concatenate([rows, rows[1:][paired]])
    _, entries = np.unique(entries, return_inverse=True)
    width = int(entries.max(initial=-1)) + 1
    if not width:
        return None
    cells, counts = np.unique(owners * width + entries, return_counts=True)
    owners, entries = np.divmod(cells, width)
    frequent = np.bincount(entries, minlength=width)
    kept = frequent[entries] > 1
    if not kept.any():
        return None
    owners, entries, counts = owners[kept], entries[kept], counts[kept]
    _, entries = np.unique(entries, return_inverse=True)
    texts_with = np.bincount(entries)
    values = (1 + np.log(counts)) * (1 + np.log(len(texts) / texts_with))[entries]
    lengths = np.sqrt(np.bincount(owners, values**2, minlength=len(texts)))
    values = (values / lengths[owners]).astype(np.float32)
    return sparse_features(owners, entries, values, (len(texts), len(texts_with)))
