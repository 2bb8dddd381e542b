"""`evaluate_ranking`: how well a recommender finds what users chose later, over all items they had not chosen."""

from __future__ import annotations

import torch
from torch import Tensor

from headstart.collab.ranking import RANKING_METRICS, ranking_of
from headstart.collab.recommender import Recommender, check_count
from headstart.core.errors import DataError

__all__ = ["LENGTH", "evaluate_ranking", "usable_pairs"]

LENGTH = 10
"""Number of recommended items that metrics are of, unless another is given."""


def usable_pairs(recommender: Recommender, pairs: Tensor) -> Tensor:
    """Return which test pairs can evaluate a ranking: new pairs of known users, bool ``(pairs,)``."""
    seen, item_count = recommender.seen, len(recommender.codec.items)
    return (pairs[0] > 0) & ~torch.isin(pairs[0] * item_count + pairs[1], seen.users * item_count + seen.items)


def evaluate_ranking(recommender: Recommender, pairs: Tensor, k: int = LENGTH) -> dict[str, float]:
    """Return the metrics of `headstart.collab.ranking`, and of how many users and rows they are.

    Every item that the user has not chosen in the training rows is a candidate. Test pairs that are also training pairs
    are not relevant. A test item that no training row has is relevant, though it cannot be recommended.

    Args:
        recommender: the recommender whose `recommend` is evaluated.
        pairs: ids of users and of items, int64 ``(2, test pairs)``; 0 is unknown.
        k: number of recommended items.

    Returns:
        ``ndcg_k, precision_k, recall_k, hit_rate_k, mrr_k, coverage_k, novelty_k``; ``users``, evaluated;
        ``users_left_out``, those of the training rows without a test pair; ``rows_left_out``, those of unknown users.

    Raises:
        DataError: no test pair is a new one of a known user.
        ConfigError: ``k`` is below 1.
    """
    check_count(k, "k")
    item_count, user_count = len(recommender.codec.items), len(recommender.codec.users) - 1
    usable = usable_pairs(recommender, pairs)
    users, rows = torch.unique(pairs[0, usable], return_inverse=True)
    if not len(users):
        raise DataError("no row to evaluate the ranking with: each is of an unknown user, or is a training row")
    ranking = ranking_of(
        recommender.ranked(users, k), rows, pairs[1, usable],
        item_counts=recommender.seen.item_counts(item_count), user_count=user_count,
    )  # fmt: skip
    return {f"{metric.name}_{k}": metric.function(ranking) for metric in RANKING_METRICS} | {
        "users": float(len(users)),
        "users_left_out": float(user_count - len(users)),
        "rows_left_out": float((pairs[0] == 0).sum()),
    }
