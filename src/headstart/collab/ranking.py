"""Metrics of rankings at k, as closed values, over all items that a user has not chosen in training.

A recommended item is a hit if the user chose it in the test rows. Of items with equal scores the one whose id sorts
first comes first (`headstart.collab.recommender.top`). Users without test rows are left out.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from headstart.targets.metrics import Better

__all__ = ["RANKING_METRICS", "Ranking", "RankingMetric", "ranking_of"]


@dataclass(frozen=True)
class Ranking:
    """Recommendations beside what the users chose.

    Attributes:
        items: ids of the recommended items, the best first, int64 ``(users, k)``; 0 fills up where there are no more.
        hits: whether each of them is in the test rows, bool ``(users with test rows, k)``.
        relevant: number of items in the test rows of each such user, int64 ``(users with test rows,)``.
        item_counts: number of training users who have chosen each item id, int64 ``(item ids,)``.
        user_count: number of training users.
    """

    items: NDArray[np.int64]
    hits: NDArray[np.bool_]
    relevant: NDArray[np.int64]
    item_counts: NDArray[np.int64]
    user_count: int


@dataclass(frozen=True)
class RankingMetric:
    """A figure of a ranking.

    Attributes:
        name: its name, to which ``_k`` is added: ``ndcg_10``.
        function: computes it; not finite if there is nothing to compute it of.
        better: whether higher or lower is better; None: neither.
    """

    name: str
    function: Callable[[Ranking], float]
    better: Better | None = "higher"


def ranking_of(recommended: Tensor, users: Tensor, items: Tensor, *, item_counts: Tensor, user_count: int) -> Ranking:
    """Return recommendations beside the test rows.

    Args:
        recommended: item ids, int64 ``(users, k)``, the best first; 0 fills up where there are no more.
        users: row of ``recommended`` for each test pair, int64 ``(pairs,)``.
        items: item id of each test pair, int64 ``(pairs,)``; an unknown one, 0, is relevant and never a hit.
        item_counts: number of training users who have chosen each item id, int64 ``(item ids,)``.
        user_count: number of training users.
    """
    best, rows, chosen = recommended.numpy(), users.numpy(), items.numpy()
    width = int(max(best.max(initial=0), chosen.max(initial=0))) + 1
    relevant = np.unique(rows[chosen > 0] * width + chosen[chosen > 0])
    keys = np.arange(len(best))[:, None] * width + best
    hits = np.isin(keys, relevant) & (best > 0)  # (users, k)
    counts = np.bincount(relevant // width, minlength=len(best)) + np.bincount(rows[chosen == 0], minlength=len(best))
    return Ranking(best, hits[counts > 0], counts[counts > 0], item_counts.numpy(), user_count)


def precision(ranking: Ranking) -> float:
    """Return the mean share of the k recommended items that are hits."""
    return _mean(ranking.hits)


def recall(ranking: Ranking) -> float:
    """Return the mean share of the relevant items that are recommended."""
    return _mean(ranking.hits.sum(1) / ranking.relevant)


def ndcg(ranking: Ranking) -> float:
    """Return the normalised discounted cumulated gain: a hit at rank r counts 1 / log2(1 + r), the best order gives 1.

    **Source:** Järvelin and Kekäläinen, "Cumulated Gain-Based Evaluation of IR Techniques" (2002), with binary gains.
    """
    k = ranking.hits.shape[1]
    gains = 1.0 / np.log2(np.arange(2, k + 2))
    ideal = np.cumsum(gains)[np.minimum(ranking.relevant, k) - 1]
    return _mean((ranking.hits * gains).sum(1) / ideal)


def hit_rate(ranking: Ranking) -> float:
    """Return the share of users with a hit."""
    return _mean(np.asarray(ranking.hits.any(1)))


def mrr(ranking: Ranking) -> float:
    """Return the mean reciprocal rank of the first hit, 0 for a user without one."""
    return _mean(np.where(ranking.hits.any(1), 1.0 / (ranking.hits.argmax(1) + 1), 0.0))


def coverage(ranking: Ranking) -> float:
    """Return the share of all known items that are recommended to somebody."""
    distinct = np.unique(ranking.items[ranking.items > 0])
    return len(distinct) / max(1, len(ranking.item_counts) - 1)


def novelty(ranking: Ranking) -> float:
    """Return the mean surprise of a recommendation, in bits: minus log2 of the share of users who have chosen the item.

    An item that nobody has chosen counts as chosen by one user.

    **Source:** Zhou et al., "Solving the Apparent Diversity-Accuracy Dilemma of Recommender Systems" (2010): the mean
    self-information.
    """
    chosen_by = ranking.item_counts[ranking.items[ranking.items > 0]]
    return _mean(-np.log2(np.maximum(chosen_by, 1) / ranking.user_count))


RANKING_METRICS = (
    RankingMetric("ndcg", ndcg),
    RankingMetric("precision", precision),
    RankingMetric("recall", recall),
    RankingMetric("hit_rate", hit_rate),
    RankingMetric("mrr", mrr),
    RankingMetric("coverage", coverage),
    RankingMetric("novelty", novelty, better=None),
)
"""The metrics of a ranking; models are compared by the first."""


def _mean(values: NDArray[np.generic]) -> float:
    return float(values.mean()) if len(values) else float("nan")
