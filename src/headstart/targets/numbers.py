"""Targets that are numbers: the numbers themselves, quantiles of them, and counts."""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl
import torch
from torch import Tensor
from torch.nn import functional as F

from headstart.core.batch import Batch, output_of, weighted_mean
from headstart.core.errors import ConfigError, DataError
from headstart.frames.door import sql_name
from headstart.targets.classes import check_no_gaps

__all__ = ["Count", "Number", "Quantiles", "checked_range"]


@dataclass(frozen=True)
class Number:
    """One or several numbers, standardised for the loss.

    Attributes:
        columns: their names.
        log: whether the model predicts the logarithm, for which all values must be above 0.
        mean: of the (log) values of the training rows, per column.
        sd: their standard deviation.
        range: lowest and highest prediction in the user's own unit, or None.
    """

    columns: tuple[str, ...]
    log: bool
    mean: tuple[float, ...]
    sd: tuple[float, ...]
    range: tuple[float, float] | None = None

    @classmethod
    def fit(
        cls, frame: pl.DataFrame, columns: Sequence[str], *, log: bool = False, range: tuple[float, float] | None = None
    ) -> Number:
        """Learns mean and standard deviation from training rows.

        Args:
            frame: training rows.
            columns: the target's columns.
            log: predict the logarithm: right for positive values whose relative errors matter (sales, prices).
            range: lowest and highest prediction (``y_range``), in the columns' own unit.

        Raises:
            DataError: no rows, or a value that is missing, infinite, no number, or not above 0 with ``log``.
            ConfigError: the range is empty, not above 0 with ``log``, or leaves out training values.
        """
        bounds = None if range is None else checked_range(range, log=log)
        values = _numbers(frame, columns, log=log)
        if not len(values):
            raise DataError(f"target {columns[0]!r}: there are no rows to learn from")
        with np.errstate(over="ignore"):
            means, deviations = values.mean(axis=0), values.std(axis=0)
        if not (np.isfinite(means).all() and np.isfinite(deviations).all()):
            raise DataError(f"target {columns[0]!r} has values too large for their mean and deviation; rescale it")
        if bounds is not None:
            inside = np.log(bounds) if log else np.array(bounds)
            if values.min() < inside[0] or values.max() > inside[1]:
                own = np.exp(values) if log else values
                raise ConfigError(
                    f"y_range={bounds} leaves out values of the target, which go from {own.min():g} to {own.max():g}:"
                    " widen it"
                )
        varies = values.min(axis=0) < values.max(axis=0)  # the deviation of equal values may miss 0 by its last bit
        return cls(
            tuple(columns), log, tuple(means.tolist()), tuple(np.where(varies, deviations, 1.0).tolist()), bounds
        )

    @property
    def outputs(self) -> int:
        """One per column."""
        return len(self.columns)

    def output_range(self) -> tuple[list[float], list[float]] | None:
        """The range in the model's own, standardised unit: lowest and highest per output."""
        if self.range is None:
            return None
        bounds = np.log(self.range) if self.log else np.array(self.range)
        mean, sd = np.array(self.mean), np.array(self.sd)
        return ((bounds[0] - mean) / sd).tolist(), ((bounds[1] - mean) / sd).tolist()

    def encode(self, frame: pl.DataFrame) -> Tensor:
        """Standardised (log) values, float32 ``(rows, columns)``."""
        values = (_numbers(frame, self.columns, log=self.log) - np.array(self.mean)) / np.array(self.sd)
        return torch.from_numpy(values.astype(np.float32))

    def loss(self, outputs: Any, batch: Batch) -> Tensor:
        """Mean squared error of the standardised values.

        Raises:
            ConfigError: outputs of another shape than the targets; subtracted, they would be spread out in silence.
        """
        assert batch.target is not None
        found = output_of(outputs).float()
        if found.shape != batch.target.shape:
            raise ConfigError(
                f"the model's outputs have the shape {tuple(found.shape)}, but the targets {tuple(batch.target.shape)}:"
                " (rows, columns of the target)"
            )
        if batch.weight is None:
            return F.mse_loss(found, batch.target)  # the same, by one kernel
        return weighted_mean((found - batch.target).square().mean(1), batch)

    def prediction(self, outputs: Tensor) -> Tensor:
        """Values in the columns' own unit, float32: ``(rows,)`` for one column, ``(rows, columns)`` for several."""
        values = outputs.float() * outputs.new_tensor(self.sd, dtype=torch.float32)
        values = values + outputs.new_tensor(self.mean, dtype=torch.float32)
        values = values.exp() if self.log else values
        values = values if self.range is None else values.clamp(*self.range)  # the last bit of rounding
        return values.squeeze(1) if self.outputs == 1 else values

    def original(self, encoded: Tensor) -> Tensor:
        """Targets in their own unit, shaped as `prediction`."""
        return self.prediction(encoded)

    def decode(self, prediction: Tensor) -> dict[str, pl.Series]:
        """``prediction``, or ``prediction_<column>`` for several columns, as Float32."""
        values = prediction.reshape(len(prediction), self.outputs).cpu().numpy()
        return {name: pl.Series(name, values[:, number]) for number, name in enumerate(self._answers())}

    def decode_one(self, prediction: Tensor) -> dict[str, Any]:
        """The same of one row."""
        return dict(zip(self._answers(), prediction.flatten().tolist(), strict=True))

    def _answers(self) -> list[str]:
        return ["prediction"] if self.outputs == 1 else [f"prediction_{name}" for name in self.columns]

    def to_json(self) -> dict[str, Any]:
        """What `target_from_json` takes."""
        return {
            "kind": "number", "columns": list(self.columns), "log": self.log, "mean": list(self.mean),
            "sd": list(self.sd), "range": None if self.range is None else list(self.range),
        }  # fmt: skip

    @classmethod
    def from_json(cls, record: Mapping[str, Any]) -> Number:
        """What `to_json` gave."""
        bounds = record["range"]
        return cls(
            tuple(record["columns"]), bool(record["log"]), tuple(record["mean"]), tuple(record["sd"]),
            None if bounds is None else (bounds[0], bounds[1]),
        )  # fmt: skip


@dataclass(frozen=True)
class Quantiles:
    """Quantiles of a number: instead of one answer the values that it stays below in 10, 50, 90 of 100 cases, say.

    **Source:** Koenker and Bassett, "Regression Quantiles", Econometrica 46 (1978): the loss.

    Attributes:
        number: the number: its column, logarithm, mean and standard deviation, and range.
        quantiles: ascending, each above 0 and below 1.
    """

    number: Number
    quantiles: tuple[float, ...]

    @classmethod
    def of(cls, number: Number, quantiles: Sequence[float]) -> Quantiles:
        """The quantiles of a `Number` that was learnt from the same rows.

        Raises:
            ConfigError: not ascending numbers between 0 and 1, or several columns.
        """
        try:
            levels = tuple(float(level) for level in quantiles)
        except (TypeError, ValueError):
            levels = ()
        ascending = all(low < high for low, high in itertools.pairwise(levels))
        if not levels or not ascending or not 0 < levels[0] <= levels[-1] < 1:
            raise ConfigError(
                f"quantiles must be numbers between 0 and 1, ascending, such as [0.1, 0.5, 0.9]; got {quantiles!r}"
            )
        if len(number.columns) > 1:
            raise ConfigError(f"quantiles are for one target; got {', '.join(number.columns)}")
        return cls(number, levels)

    @property
    def columns(self) -> tuple[str, ...]:
        """The one column."""
        return self.number.columns

    @property
    def outputs(self) -> int:
        """One per quantile."""
        return len(self.quantiles)

    def output_range(self) -> tuple[list[float], list[float]] | None:
        """As for `Number`, for each quantile."""
        found = self.number.output_range()
        return None if found is None else (found[0] * self.outputs, found[1] * self.outputs)

    def encode(self, frame: pl.DataFrame) -> Tensor:
        """As `Number`: float32 ``(rows, 1)``."""
        return self.number.encode(frame)

    def loss(self, outputs: Any, batch: Batch) -> Tensor:
        """The pinball loss of the standardised values, the mean over the quantiles."""
        assert batch.target is not None
        found = output_of(outputs).float()
        if found.shape != (len(batch.target), self.outputs):
            raise ConfigError(
                f"the model's outputs have the shape {tuple(found.shape)}, but there are {self.outputs} quantiles of"
                f" {len(batch.target)} rows"
            )
        missed, level = batch.target - found, found.new_tensor(self.quantiles)  # (rows, quantiles), (quantiles,)
        return weighted_mean(torch.maximum(level * missed, (level - 1) * missed).mean(1), batch)

    def prediction(self, outputs: Tensor) -> Tensor:
        """Values in the column's own unit, float32 ``(rows, quantiles)``, ascending."""
        return self.number.prediction(outputs.reshape(-1, 1)).reshape(-1, self.outputs).sort(1).values

    def original(self, encoded: Tensor) -> Tensor:
        """Targets in their own unit, ``(rows,)``."""
        return self.number.original(encoded)

    def decode(self, prediction: Tensor) -> dict[str, pl.Series]:
        """``prediction``, of the quantile nearest to 0.5, and ``prediction_<quantile>`` for each, as Float32."""
        values = prediction.cpu().numpy()
        return {name: pl.Series(name, values[:, place]) for name, place in self._answers().items()}

    def decode_one(self, prediction: Tensor) -> dict[str, Any]:
        """The same of one row."""
        values = prediction[0].tolist()
        return {name: values[place] for name, place in self._answers().items()}

    def pinball(self, prediction: Tensor, target: Tensor) -> float:
        """The metric: the pinball loss in the target's own unit, the mean over the quantiles.

        Args:
            prediction: ``(rows, quantiles)``.
            target: ``(rows,)``.
        """
        missed, level = target.double()[:, None] - prediction.double(), prediction.new_tensor(self.quantiles).double()
        return float(torch.maximum(level * missed, (level - 1) * missed).mean())

    def coverage(self, prediction: Tensor, target: Tensor) -> float:
        """The metric: share of the rows between the lowest and the highest quantile; 0.8 is right for 0.1 and 0.9."""
        return float(((prediction[:, 0] <= target) & (target <= prediction[:, -1])).double().mean())

    def to_json(self) -> dict[str, Any]:
        """What `target_from_json` takes."""
        return {"kind": "quantiles", "number": self.number.to_json(), "quantiles": list(self.quantiles)}

    def _answers(self) -> dict[str, int]:
        middle = min(range(self.outputs), key=lambda place: abs(self.quantiles[place] - 0.5))
        return {"prediction": middle} | {f"prediction_{level:g}": place for place, level in enumerate(self.quantiles)}


@dataclass(frozen=True)
class Count:
    """How often something happens: visits, claims, goals. The model predicts the logarithm of the expected count.

    **Source:** the Poisson likelihood of log-linear models, McCullagh and Nelder, "Generalized Linear Models" (1989),
    chapter 6; counts are divided by their mean for the loss.

    Attributes:
        column: its name.
        mean: of the training rows.
    """

    column: str
    mean: float

    @classmethod
    def fit(cls, frame: pl.DataFrame, column: str) -> Count:
        """Learns the mean from training rows.

        Raises:
            DataError: no rows, a value that is missing, infinite, no number or below 0, or all are 0.
        """
        values = _counts(frame, column)
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

    def encode(self, frame: pl.DataFrame) -> Tensor:
        """Counts divided by their mean, float32 ``(rows, 1)``."""
        return torch.from_numpy((_counts(frame, self.column) / self.mean).astype(np.float32)[:, None])

    def loss(self, outputs: Any, batch: Batch) -> Tensor:
        """The negative Poisson likelihood, without its constant."""
        assert batch.target is not None
        found = output_of(outputs).float()
        if found.shape != batch.target.shape:
            raise ConfigError(
                f"the model's outputs have the shape {tuple(found.shape)}, but the targets {tuple(batch.target.shape)}"
            )
        return weighted_mean((found.exp() - batch.target * found).squeeze(1), batch)

    def prediction(self, outputs: Tensor) -> Tensor:
        """Expected counts, float32 ``(rows,)``."""
        return outputs.float().squeeze(1).exp() * self.mean

    def original(self, encoded: Tensor) -> Tensor:
        """Counts, ``(rows,)``."""
        return encoded.squeeze(1) * self.mean

    def decode(self, prediction: Tensor) -> dict[str, pl.Series]:
        """``prediction``: the expected count, Float32."""
        return {"prediction": pl.Series("prediction", prediction.cpu().numpy())}

    def decode_one(self, prediction: Tensor) -> dict[str, Any]:
        """The same of one row."""
        return {"prediction": prediction[0].item()}

    def to_json(self) -> dict[str, Any]:
        """What `target_from_json` takes."""
        return {"kind": "count", "column": self.column, "mean": self.mean}


def checked_range(bounds: Sequence[float], *, log: bool) -> tuple[float, float]:
    """A ``y_range`` as two numbers.

    Raises:
        ConfigError: not two finite numbers in order, or not above 0 with ``log``.
    """
    try:
        lowest, highest = (float(bound) for bound in bounds)
    except (TypeError, ValueError):
        raise ConfigError(f"y_range must be two numbers, (lowest, highest); got {bounds!r}") from None
    if not (math.isfinite(lowest) and math.isfinite(highest) and lowest < highest):
        raise ConfigError(f"y_range must be (lowest, highest), finite and in this order; got {bounds!r}")
    if log and lowest <= 0:
        raise ConfigError(f"y_range is in the target's own unit, so with a log target above 0; got {bounds!r}")
    return lowest, highest


def _numbers(frame: pl.DataFrame, columns: Sequence[str], *, log: bool) -> np.ndarray[Any, np.dtype[np.float64]]:
    """The target's values, float64 ``(rows, columns)``, their logarithms with ``log``."""
    checked: list[pl.Series] = []
    for column in columns:
        series = frame[column]
        if not (series.dtype.is_numeric() or series.dtype == pl.Boolean):
            raise DataError(f"target {column!r} must be numbers; got {series.dtype}")
        check_no_gaps(series)
        series = series.cast(pl.Float64)
        if not series.is_finite().all():
            raise DataError(f"target {column!r} has {len(series) - series.is_finite().sum()} infinite values")
        if log and (series <= 0).any():
            raise DataError(
                f"target {column!r} has {(series <= 0).sum()} values of 0 or less, which have no logarithm;"
                f" leave those rows out, where='{sql_name(column)} > 0', or train without a log target"
            )
        checked.append(series.log() if log else series)
    return np.column_stack([series.to_numpy() for series in checked])


def _counts(frame: pl.DataFrame, column: str) -> np.ndarray[Any, np.dtype[np.float64]]:
    """The target's values, float64 ``(rows,)``."""
    values = _numbers(frame, [column], log=False)[:, 0]
    if (values < 0).any():
        raise DataError(
            f"target {column!r} has {int((values < 0).sum())} values below 0, which count nothing;"
            f" leave those rows out, where='{sql_name(column)} >= 0', or use target_kind='number'"
        )
    return values
