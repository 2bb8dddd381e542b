"""`Count`: a target that counts events."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import numpy as np
import polars as pl
import torch
from numpy.typing import NDArray
from torch import Tensor

from headstart.core.batch import Batch, output_of, weighted_mean
from headstart.core.errors import DataError
from headstart.frames.door import sql_name
from headstart.targets.metrics import Metric, mae, poisson_deviance, r2, rmse
from headstart.targets.numbers import Numeric, check_shape, numbers_of

__all__ = ["Count"]


@dataclass(frozen=True)
class Count(Numeric):
    """How often something happens: visits, claims, goals. The model predicts the logarithm of the expected count.

    **Source:** the Poisson likelihood of log-linear models, McCullagh and Nelder, "Generalized Linear Models" (1989),
    chapter 6; counts are divided by their mean for the loss.

    Attributes:
        column: name of the column.
        mean: mean count of the training rows.
    """

    column: str
    mean: float

    kind: ClassVar[Literal["count"]] = "count"

    @classmethod
    def fit(cls, frame: pl.DataFrame, column: str) -> Count:
        """Learn the mean from training rows.

        Raises:
            DataError: no rows, a value that is missing, infinite, not a number or below 0, or all are 0.
        """
        values = _counts_of(frame, column)
        if not len(values):
            raise DataError(f"target {column!r}: there are no rows to learn from")
        if not values.any():
            raise DataError(f"target {column!r} is 0 in all training rows, so there is nothing to learn")
        return cls(column, float(values.mean()))

    @property
    def columns(self) -> tuple[str, ...]:
        """The one column."""
        return (self.column,)

    @property
    def outputs(self) -> int:
        """One."""
        return 1

    def output_range(self) -> None:
        """Return None: the logarithm of an expected count has no bounds."""

    def encode(self, frame: pl.DataFrame) -> Tensor:
        """Return the counts divided by their mean, float32 ``(rows, 1)``.

        Raises:
            DataError: a value that is missing, infinite, not a number or below 0.
        """
        return torch.from_numpy((_counts_of(frame, self.column) / self.mean).astype(np.float32)[:, None])

    def loss(self, outputs: Any, batch: Batch) -> Tensor:
        """Return the negative Poisson log-likelihood without its constant, a mean over the rows.

        Raises:
            ConfigError: outputs of another shape than the targets, which would be broadcast in silence.
        """
        assert batch.target is not None
        output = output_of(outputs).float()  # (rows, 1)
        check_shape(output, batch.target)
        return weighted_mean((output.exp() - batch.target * output).squeeze(1), batch)

    def prediction(self, outputs: Tensor) -> Tensor:
        """Return expected counts, float32 ``(rows,)``."""
        return outputs.float().squeeze(1).exp() * self.mean

    def original(self, encoded: Tensor) -> Tensor:
        """Return counts, float32 ``(rows,)``."""
        return encoded.squeeze(1) * self.mean

    def row_errors(self, prediction: Tensor, target: Tensor) -> Tensor:
        """Return the absolute error of the expected count, float32 ``(rows,)``."""
        return (prediction - target).abs().float()

    def default_metrics(self) -> tuple[Metric, ...]:
        """Return Poisson deviance, RMSE, MAE and R2."""
        return (poisson_deviance, rmse, mae, r2)

    def decode(self, prediction: Tensor) -> dict[str, pl.Series]:
        """Return ``prediction``: the expected count, Float32."""
        return {"prediction": pl.Series("prediction", prediction.cpu().numpy())}

    def decode_one(self, prediction: Tensor) -> dict[str, Any]:
        """Return what `decode` returns for one row, ``(1,)``, as Python values."""
        return {"prediction": prediction[0].item()}


def _counts_of(frame: pl.DataFrame, column: str) -> NDArray[np.float64]:
    """Return the target's values, float64 ``(rows,)``."""
    values: NDArray[np.float64] = numbers_of(frame, [column], log=False)[:, 0]
    if (values < 0).any():
        raise DataError(
            f"target {column!r} has {int((values < 0).sum())} values below 0, which are not counts;"
            f" leave those rows out, where='{sql_name(column)} >= 0', or use target_kind='number'"
        )
    return values
