"""`fold`: the vector of a new user, from a trained model and a few ratings, in milliseconds."""

from __future__ import annotations

import torch
from torch import Tensor

from headstart.collab.codec import RatingsCodec
from headstart.collab.ensemble import DotProductEnsemble
from headstart.collab.models.dot_product import DotProductBias

__all__ = ["fold"]

STEPS = 8
"""Gauss-Newton steps. The problem is smooth and nearly linear: the last ones change nothing any more."""

FACTOR_PENALTY, BIAS_PENALTY = 10.0, 2.0
"""In rows of unit error: a bias counts fully after a few ratings, a taste after a few dozen."""


def fold(
    model: DotProductBias | DotProductEnsemble, codec: RatingsCodec, items: Tensor, ratings: Tensor | None
) -> Tensor:
    """Return the factors and the bias of a user with these ratings, float32 ``(factors + 1,)``; the items stay fixed.

    Minimises the squared error through the model's sigmoid by Gauss-Newton steps, with a ridge penalty on the distance
    from the unknown user's vector (with implicit terms, from what the rated items say by themselves). Without ratings
    each item counts as chosen: its score shall exceed the mean bias of all items by their standard deviation plus 1.

    Args:
        model: trained.
        codec: has the ratings' mean and standard deviation.
        items: ids, int64 ``(items,)``, all different.
        ratings: in their unit, float32 ``(items,)``; None for choices.
    """
    with torch.inference_mode():
        item_table = model.eval().tables()[1].cpu().double()
        start = model.new_user(items.to(next(model.parameters()).device)).cpu().double()
        inputs = torch.cat([item_table[items, :-1], torch.ones(len(items), 1, dtype=torch.float64)], 1)
        offset = item_table[items, -1]
        if ratings is None or codec.target is None:
            target = item_table[:, -1].mean() + item_table[:, -1].std(unbiased=False) + torch.ones(len(items)).double()
        else:
            target = (ratings.double() - codec.target.mean[0]) / codec.target.sd[0]
        penalty = torch.full((len(start),), FACTOR_PENALTY, dtype=torch.float64)
        penalty[-1] = BIAS_PENALTY
        vector = start.clone()
        for _ in range(STEPS):
            score = inputs @ vector + offset
            output = model.bounded(score)
            slope = torch.ones_like(score)
            if model.range is not None:
                low, high = model.range
                slope = (output - low) * (high - output) / (high - low)
            weighted = inputs * slope[:, None]
            gradient = weighted.T @ (target - output) - penalty * (vector - start)
            vector = vector + torch.linalg.solve(weighted.T @ weighted + penalty.diag(), gradient)
        return vector.float()
