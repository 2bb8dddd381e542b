"""Losses of a ranking: the chosen item shall score above items drawn at random.

Outputs are ``(rows, 1 + negatives)``, the chosen item's score first.
"""

from __future__ import annotations

from typing import Any

from torch import Tensor
from torch.nn import functional as F

from headstart.core.batch import Batch, weighted_mean

__all__ = ["bpr_loss", "softmax_loss"]


def softmax_loss(outputs: Any, batch: Batch) -> Tensor:
    """Return the cross-entropy of the chosen item among the drawn ones, a mean over the rows.

    **Source:** Wu et al., "On the Effectiveness of Sampled Softmax Loss for Item Recommendation" (2022), equation 3.
    """
    scores = outputs.float()
    return weighted_mean(scores.logsumexp(1) - scores[:, 0], batch)


def bpr_loss(outputs: Any, batch: Batch) -> Tensor:
    """Return minus the log probability that the chosen item beats a drawn one, a mean over drawn items and rows.

    **Source:** Rendle et al., "BPR: Bayesian Personalized Ranking from Implicit Feedback" (2009), section 4.1.
    """
    scores = outputs.float()
    return weighted_mean(-F.logsigmoid(scores[:, :1] - scores[:, 1:]).mean(1), batch)
