"""Metrics of a ranking at k, and what they are measured on: all items that a user has not chosen in training.

A recommendation is a hit when the user chose the item in the test rows. Where scores are equal the item whose id sorts
first comes first (`headstart.collab.recommender.top`). Users without test rows are left out, and counted.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from headstart.core.errors import ConfigError

__all__ = ["coverage", "novelty", "ranking_metrics"]


def ranking_metrics(ranked: Tensor, users: Tensor, items: Tensor, k: int) -> dict[str, float]:
    """Means over the users of what is counted for each.

    ``precision_k``: share of the k places that are hits. ``recall_k``: share of the relevant items among them.
    ``ndcg_k``: each hit counts 1 / log2(1 + place), divided by what the best order would give. ``hit_rate_k``: share of
    users with a hit. ``mrr_k``: 1 / place of the first hit, 0 without one.

    **Source:** Järvelin and Kekäläinen, "Cumulated Gain-Based Evaluation of IR Techniques" (2002), with binary gains.

    Args:
        ranked: item ids, int64 ``(users, at least k)``, the best first; 0 fills up where there are no more.
        users: for each test pair the row of ``ranked``, int64 ``(pairs,)``.
        items: for each test pair the item's id, int64 ``(pairs,)``; an unknown one, 0, is relevant and never a hit.
        k: length of the list.

    Returns:
        The five figures, not finite if no user has a test row.

    Raises:
        ConfigError: ``k`` is below 1, or longer than the lists.
    """
    if not 1 <= k <= ranked.shape[1]:
        raise ConfigError(f"k must be 1 to {ranked.shape[1]}, the length of the lists; got {k}")
    places, chosen = users.numpy(), items.numpy()
    best = ranked[:, :k].numpy()
    width = int(max(best.max(initial=0), chosen.max(initial=0))) + 1
    relevant = np.unique(places[chosen > 0] * width + chosen[chosen > 0])
    own = np.arange(len(best))[:, None] * width + best
    hits = np.isin(own, relevant) & (best > 0)  # (users, k)
    count = np.bincount(relevant // width, minlength=len(best)) + np.bincount(places[chosen == 0], minlength=len(best))
    judged = count > 0
    if not judged.any():
        return {f"{name}_{k}": float("nan") for name in ("precision", "recall", "ndcg", "hit_rate", "mrr")}
    hits, count = hits[judged], count[judged]
    gains = 1.0 / np.log2(np.arange(2, k + 2))
    ideal = np.cumsum(gains)[np.minimum(count, k) - 1]
    any_hit = hits.any(1)
    first = np.where(any_hit, 1.0 / (hits.argmax(1) + 1), 0.0)
    return {
        f"precision_{k}": float(hits.mean()),
        f"recall_{k}": float((hits.sum(1) / count).mean()),
        f"ndcg_{k}": float(((hits * gains).sum(1) / ideal).mean()),
        f"hit_rate_{k}": float(any_hit.mean()),
        f"mrr_{k}": float(first.mean()),
    }


def coverage(ranked: Tensor, items: int) -> float:
    """Share of the items that are recommended to anybody.

    Args:
        ranked: item ids, int64 ``(users, k)``; 0 is none.
        items: number of item ids, with 0.
    """
    return len(np.unique(ranked[ranked > 0].numpy())) / max(1, items - 1)


def novelty(ranked: Tensor, counts: Tensor, users: int) -> float:
    """Mean surprise of what is recommended, in bits: minus log2 of the share of users who have chosen it.

    An item that nobody has chosen counts as chosen by one.

    **Source:** Zhou et al., "Solving the Apparent Diversity-Accuracy Dilemma of Recommender Systems" (2010): the mean
    self-information.

    Args:
        ranked: item ids, int64 ``(users, k)``; 0 is none.
        counts: how many training users have chosen each item id, int64 ``(items,)``.
        users: how many training users there are.
    """
    chosen: NDArray[np.int64] = counts.numpy()[ranked[ranked > 0].numpy()]
    if not len(chosen):
        return float("nan")
    return float(-np.log2(np.maximum(chosen, 1) / users).mean())
