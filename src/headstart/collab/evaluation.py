"""`evaluate_ranking`: how well a recommender finds what users chose later, over all items they had not chosen."""

from __future__ import annotations

import torch
from torch import Tensor

from headstart.collab.ranking import coverage, novelty, ranking_metrics
from headstart.collab.recommender import Recommender, check_count
from headstart.core.errors import DataError

__all__ = ["evaluate_ranking", "judging_rows"]


def judging_rows(recommender: Recommender, pairs: Tensor) -> Tensor:
    """Which test rows a ranking can be judged by: of known users, and no training rows; bool ``(test rows,)``."""
    seen, items = recommender.seen, len(recommender.codec.items)
    return (pairs[0] > 0) & ~torch.isin(pairs[0] * items + pairs[1], seen.users * items + seen.items)


def evaluate_ranking(recommender: Recommender, pairs: Tensor, k: int = 10) -> dict[str, float]:
    """The figures of `ranking_metrics`, coverage and novelty, and how many users were judged.

    Every item that the user has not chosen in the training rows is a candidate. Test rows that are also training rows
    are not relevant. A test item that no training row has is relevant, though it cannot be found.

    Args:
        recommender: whose `recommend` is judged.
        pairs: ids of users and of items, int64 ``(2, test rows)``; 0 is unknown.
        k: length of the recommendations.

    Returns:
        ``precision_k, recall_k, ndcg_k, hit_rate_k, mrr_k, coverage_k, novelty_k``; ``users``, judged;
        ``users_left_out``: of the training rows, without a test row; ``rows_left_out``: test rows of unknown users.

    Raises:
        DataError: no test row is of a known user, and new.
        ConfigError: ``k`` is below 1.
    """
    check_count(k, "k")
    seen, items = recommender.seen, len(recommender.codec.items)
    relevant = judging_rows(recommender, pairs)
    users, places = torch.unique(pairs[0, relevant], return_inverse=True)
    if not len(users):
        raise DataError("no row to judge the ranking by: each is of an unknown user, or is a training row")
    ranked = recommender.ranked(users, k)
    trained = len(recommender.codec.users) - 1
    return ranking_metrics(ranked, places, pairs[1, relevant], k) | {
        f"coverage_{k}": coverage(ranked, items),
        f"novelty_{k}": novelty(ranked, seen.counts(items), trained),
        "users": float(len(users)),
        "users_left_out": float(trained - len(users)),
        "rows_left_out": float((pairs[0] == 0).sum()),
    }
