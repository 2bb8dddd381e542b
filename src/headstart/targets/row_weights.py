"""`row_weights`: how much each training row counts in the loss, by a column of weights, by its class, or by both."""

from __future__ import annotations

import numpy as np
import polars as pl
import torch
from numpy.typing import NDArray
from torch import Tensor

from headstart.core.errors import DataError
from headstart.targets.classes import ClassWeight
from headstart.targets.target import Target

__all__ = ["ClassWeight", "row_weights"]


def row_weights(
    frame: pl.DataFrame, encoded: Tensor, column: str | None, class_weight: ClassWeight | None, target: Target
) -> Tensor | None:
    """Return each training row's weight in the loss, float32 ``(rows,)``, with mean 1; None if all count the same.

    Args:
        frame: training rows.
        encoded: their targets, ``(rows, ...)``.
        column: a column of finite numbers of 0 or more, or None.
        class_weight: ``"balanced"``: each class counts the same; or a weight per class; or None.
        target: what is predicted.

    Raises:
        DataError: the column holds something else, or only zeros.
        ConfigError: class weights for a target without one class per row, for other classes, or not above 0.
    """
    if column is None and class_weight is None:
        return None
    weights = np.ones(len(frame)) if column is None else _column_weights(frame[column])
    if class_weight is not None:
        weights = weights * target.class_weights(class_weight, encoded).numpy()
    if not weights.any():
        raise DataError(f"weight {column!r} is 0 in all training rows, so there is nothing to learn from")
    return torch.from_numpy(weights / weights.mean()).float()


def _column_weights(series: pl.Series) -> NDArray[np.float64]:
    if series.dtype.is_numeric():
        values: NDArray[np.float64] = series.cast(pl.Float64).to_numpy()
        if np.isfinite(values).all() and (values >= 0).all():
            return values
    raise DataError(f"weight {series.name!r} must be finite numbers of 0 or more, in each row")
