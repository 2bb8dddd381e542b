"""`row_weights`: how much each training row counts in the loss, by a column of weights, by its class, or by both."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal, TypeAlias

import numpy as np
import polars as pl
import torch
from numpy.typing import NDArray
from torch import Tensor

from headstart.core.errors import ConfigError, DataError
from headstart.frames.categories import canonical_value
from headstart.targets.target import Label, Target

__all__ = ["ClassWeight", "row_weights"]

ClassWeight: TypeAlias = Literal["balanced"] | Mapping[Any, float]


def row_weights(
    frame: pl.DataFrame, encoded: Tensor, column: str | None, class_weight: ClassWeight | None, target: Target
) -> Tensor | None:
    """Each training row's weight in the loss, float32 ``(rows,)``, with the mean 1; None where all count the same.

    Args:
        frame: training rows.
        encoded: their targets, ``(rows, ...)``.
        column: with finite numbers of 0 or more, or None.
        class_weight: ``"balanced"``: each class counts the same; or a weight per class; or None.
        target: what is predicted.

    Raises:
        DataError: the column holds something else, or nothing above 0.
        ConfigError: class weights without one class per row, for other classes, or not above 0.
    """
    weights = np.ones(len(frame)) if column is None else _column_weights(frame[column])
    if class_weight is not None:
        if not isinstance(target, Label):
            raise ConfigError("class_weight is for a target with one class per row")
        weights = weights * _class_weights(class_weight, target, encoded.numpy())[encoded.numpy()]
    if column is None and class_weight is None:
        return None
    if not weights.any():
        raise DataError(f"weight {column!r} is 0 in all training rows, so there is nothing to learn from")
    return torch.from_numpy(weights / weights.mean()).float()


def _column_weights(series: pl.Series) -> NDArray[np.float64]:
    if series.dtype.is_numeric():
        values: NDArray[np.float64] = series.cast(pl.Float64).to_numpy()
        if np.isfinite(values).all() and (values >= 0).all():
            return values
    raise DataError(f"weight {series.name!r} must be finite numbers of 0 or more, in each row")


def _class_weights(asked: ClassWeight, target: Label, places: NDArray[np.int64]) -> NDArray[np.float64]:
    if isinstance(asked, str):
        if asked != "balanced":
            raise ConfigError(f"class_weight must be 'balanced' or a weight per class; got {asked!r}")
        return len(places) / np.maximum(1, np.bincount(places, minlength=target.outputs)).astype(np.float64)
    given = {canonical_value(name, target.vocab.kind, "class_weight"): float(value) for name, value in asked.items()}
    missing: list[Any] = [name for name in target.classes if name not in given]
    if missing or len(given) != len(target.classes):
        strange = missing or [name for name in given if name not in target.classes]
        raise ConfigError(f"class_weight needs one weight for each of {list(target.classes)}; look at {strange[0]!r}")
    if not all(np.isfinite(value) and value > 0 for value in given.values()):
        raise ConfigError(f"class_weight must be finite numbers above 0; got {dict(asked)}")
    return np.array([given[name] for name in target.classes])
