"""Labels that are probably wrong: rows whose label a model of the other rows finds unlikely."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import polars as pl
import torch
from numpy.typing import NDArray
from torch import Tensor

from headstart.checks.features import Features
from headstart.checks.out_of_fold import out_of_fold
from headstart.targets.target import AnyTarget

__all__ = ["Suspicion", "suspicious_rows"]


@dataclass(frozen=True)
class Suspicion:
    """How unlikely each row's label is.

    Attributes:
        losses: float32 ``(rows,)``: of classes minus the logarithm of the label's probability, of numbers the absolute
            error; the larger, the more probably wrong.
        prediction: what the model of the other rows predicts, as columns, a row per row.
        doubtful: number of rows whose label is probably wrong; None for numbers, of which errors may be of any size.
    """

    losses: NDArray[np.float32]
    prediction: pl.DataFrame
    doubtful: int | None

    def ranked(self, count: int) -> NDArray[np.int64]:
        """Return the numbers of the rows with the largest losses, int64 ``(count,)``, the largest first."""
        order: NDArray[np.int64] = np.argsort(-self.losses, kind="stable")[:count]
        return order


def suspicious_rows(features: Features, target: AnyTarget, encoded: Tensor, *, seed: int = 0) -> Suspicion:
    """Return how unlikely each row's label is by models that did not see it.

    **Source:** Northcutt, Jiang and Chuang, "Confident Learning: Estimating Uncertainty in Dataset Labels" (2021):
    ``doubtful`` counts the rows that another class explains at least as surely as it explains its own rows on average.

    Args:
        features: of the rows.
        target: what is predicted.
        encoded: the encoded targets, ``(rows, ...)``.
        seed: seed of the folds.
    """
    prediction = out_of_fold(features, target, encoded, seed=seed)
    losses = target.row_errors(prediction, target.original(encoded))
    doubtful = _doubtful(prediction, encoded) if target.kind == "label" else None
    return Suspicion(losses.float().numpy(), pl.DataFrame(list(target.decode(prediction).values())), doubtful)


def _doubtful(probabilities: Tensor, classes: Tensor) -> int:
    """Return the number of rows of which another class is as sure as that of its own rows on average."""
    own = probabilities.gather(1, classes[:, None]).squeeze(1)  # (rows,)
    rows_of_class = torch.bincount(classes, minlength=probabilities.shape[1]).clamp_min(1)
    usual = torch.zeros(probabilities.shape[1]).index_add(0, classes, own.float()) / rows_of_class  # (classes,)
    sure = torch.where(probabilities >= usual, probabilities, -1.0)
    best, which = sure.max(1)
    return int(((best >= 0) & (which != classes)).sum())
