"""`Number`: a target of one or several numbers; and what all targets made of numbers have in common."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Literal, NoReturn, Protocol

import numpy as np
import polars as pl
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from headstart.core.batch import Batch, output_of, weighted_mean
from headstart.core.errors import ConfigError, DataError, did_you_mean
from headstart.frames.categories import Value
from headstart.frames.door import sql_name
from headstart.frames.readings import ReadAsNumber, Reading, texts_as_numbers
from headstart.targets.kinds import describe_kind
from headstart.targets.metrics import Measurable, Metric, mae, r2, rmse, rmspe
from headstart.targets.missing import check_no_missing

__all__ = ["Number", "Numeric", "check_shape", "checked_range", "numbers_of"]


class _Decoded(Protocol):
    @property
    def columns(self) -> tuple[str, ...]: ...

    def original(self, encoded: Tensor) -> Tensor: ...

    def decode(self, prediction: Tensor) -> dict[str, pl.Series]: ...


class Numeric:
    """Base of the targets made of numbers: what they have no use for, and their residuals."""

    @property
    def readings(self: Measurable) -> dict[str, Reading]:
        """How the columns are read in a table of text: as numbers."""
        return dict.fromkeys(self.columns, ReadAsNumber())

    @property
    def classes(self) -> tuple[Value, ...]:
        """No classes."""
        return ()

    def own_metrics(self) -> tuple[Metric, ...]:
        """Return no metrics beyond the general ones."""
        return ()

    def temperature(self, outputs: Tensor, encoded: Tensor) -> float:
        """Return 1: numbers have no probabilities that could be calibrated."""
        return 1.0

    def text_of(self: _Decoded, encoded: Tensor) -> str:
        """Return one row's numbers as text, of its encoded target."""
        values = self.original(encoded[None]).flatten().tolist()
        return ", ".join(f"{value:g}" for value in values)

    def confusion(self: Measurable, prediction: Tensor, target: Tensor) -> NoReturn:
        """Raise `ConfigError`: numbers have no confusion matrix."""
        raise ConfigError(
            f"{describe_kind(self.kind, self.columns)} and has no confusion matrix; look at the residuals instead:"
            " plot_residuals()"
        )

    def class_weights(self: Measurable, class_weight: object, encoded: Tensor) -> NoReturn:
        """Raise `ConfigError`: numbers have no classes to weight."""
        raise ConfigError(
            "class_weight needs a target with one class per row,"
            f" but {describe_kind(self.kind, self.columns)}; leave class_weight out"
        )

    def residuals(self: _Decoded, prediction: Tensor, target: Tensor, column: str | None = None) -> pl.DataFrame:
        """Return predictions beside what was true.

        Args:
            prediction: as `prediction` returns them.
            target: as `original` returns them.
            column: one of the target's columns; None: the first.

        Returns:
            ``prediction``, ``target`` and ``residual``, target less prediction, in the target's unit, a row per row.

        Raises:
            ConfigError: the target has no such column.
        """
        column = column or self.columns[0]
        if column not in self.columns:
            raise ConfigError(f"{column!r} is not predicted; {did_you_mean(column, self.columns)}")
        name = "prediction" if len(self.columns) == 1 else f"prediction_{column}"
        predicted = self.decode(prediction)[name].alias("prediction")
        true = target.reshape(len(target), -1)[:, self.columns.index(column)]  # (rows,)
        frame = pl.DataFrame([predicted, pl.Series("target", true.cpu().numpy())])
        return frame.with_columns(residual=pl.col("target") - pl.col("prediction"))


@dataclass(frozen=True)
class Number(Numeric):
    """One or several numbers, standardised for the loss.

    Attributes:
        columns: names of the columns.
        log: whether the model predicts the logarithm, for which all values must be above 0.
        mean: mean of the (log) values of the training rows, per column.
        sd: their standard deviation, per column; 1 if they do not vary.
        range: lowest and highest prediction in the target's unit, or None.
    """

    columns: tuple[str, ...]
    log: bool
    mean: tuple[float, ...]
    sd: tuple[float, ...]
    range: tuple[float, float] | None = None

    kind: ClassVar[Literal["number"]] = "number"

    @classmethod
    def fit(
        cls, frame: pl.DataFrame, columns: Sequence[str], *, log: bool = False, range: tuple[float, float] | None = None
    ) -> Number:
        """Learn mean and standard deviation from training rows.

        Args:
            frame: training rows.
            columns: the columns of the target.
            log: predict the logarithm: right for positive values whose relative errors matter (sales, prices).
            range: lowest and highest prediction (``y_range``), in the columns' unit.

        Raises:
            DataError: no rows, or a value that is missing, infinite, not a number, or not above 0 with ``log``.
            ConfigError: the range is empty, not above 0 with ``log``, or leaves out training values.
        """
        bounds = None if range is None else checked_range(range, log=log)
        values = numbers_of(frame, columns, log=log)
        if not len(values):
            raise DataError(f"target {columns[0]!r}: there are no rows to learn from")
        with np.errstate(over="ignore"):
            means, deviations = values.mean(axis=0), values.std(axis=0)
        if not (np.isfinite(means).all() and np.isfinite(deviations).all()):
            raise DataError(f"target {columns[0]!r} has values too large for their mean and deviation; rescale it")
        if bounds is not None:
            inside = np.log(bounds) if log else np.array(bounds)
            if values.min() < inside[0] or values.max() > inside[1]:
                unscaled = np.exp(values) if log else values
                raise ConfigError(
                    f"y_range={bounds} leaves out values of the target, which go from {unscaled.min():g} to"
                    f" {unscaled.max():g}: widen it"
                )
        varies = values.min(axis=0) < values.max(axis=0)  # the deviation of equal values may miss 0 by its last bit
        return cls(
            tuple(columns), log, tuple(means.tolist()), tuple(np.where(varies, deviations, 1.0).tolist()), bounds
        )

    @property
    def outputs(self) -> int:
        """The number of columns."""
        return len(self.columns)

    def output_range(self) -> tuple[list[float], list[float]] | None:
        """Return the range on the model's standardised scale, lowest and highest per output; None without one."""
        if self.range is None:
            return None
        bounds = np.log(self.range) if self.log else np.array(self.range)
        mean, sd = np.array(self.mean), np.array(self.sd)
        return ((bounds[0] - mean) / sd).tolist(), ((bounds[1] - mean) / sd).tolist()

    def encode(self, frame: pl.DataFrame) -> Tensor:
        """Return the standardised (log) values, float32 ``(rows, columns)``.

        Raises:
            DataError: a value that is missing, infinite, not a number, or not above 0 with ``log``.
        """
        return torch.from_numpy(self._standardised(numbers_of(frame, self.columns, log=self.log)))

    def loss(self, outputs: Any, batch: Batch) -> Tensor:
        """Return the mean squared error of the standardised values.

        Raises:
            ConfigError: outputs of another shape than the targets, which would be broadcast in silence.
        """
        assert batch.target is not None
        output = output_of(outputs).float()  # (rows, columns)
        check_shape(output, batch.target)
        if batch.weight is None:
            return F.mse_loss(output, batch.target)  # the same, by one kernel
        return weighted_mean((output - batch.target).square().mean(1), batch)

    def prediction(self, outputs: Tensor) -> Tensor:
        """Return values in the columns' unit, float32: ``(rows,)`` for one column, ``(rows, columns)`` for several."""
        values = self._in_unit(outputs)
        values = values if self.range is None else values.clamp(*self.range)  # the last bit of rounding
        return values.squeeze(1) if self.outputs == 1 else values

    def original(self, encoded: Tensor) -> Tensor:
        """Return encoded targets in their unit, of the shape of `prediction`.

        What was true is not clamped to ``range``: a target outside it is a row that the model cannot predict. Zeros
        come back as exactly 0, so that relative errors leave them out.
        """
        values = self._in_unit(encoded)  # (rows, columns)
        if not self.log:
            zero = encoded.new_tensor(self._standardised(np.zeros(self.outputs)).tolist())  # (columns,)
            values = torch.where(encoded == zero, 0.0, values)
        return values.squeeze(1) if self.outputs == 1 else values

    def row_errors(self, prediction: Tensor, target: Tensor) -> Tensor:
        """Return the absolute error in the target's unit, float32 ``(rows,)``.

        With ``log`` it is divided by the true value. Of several columns it is the mean of the errors, each divided by
        its column's standard deviation.

        Args:
            prediction: as `prediction` returns them.
            target: as `original` returns them.
        """
        error = (prediction - target).abs().float()
        if self.log:
            error = error / target.abs()
        elif error.ndim == 2:
            error = error / error.new_tensor(self.sd)
        return error if error.ndim == 1 else error.mean(1)

    def default_metrics(self) -> tuple[Metric, ...]:
        """Return RMSE, MAE and R2; with ``log`` RMSPE before R2."""
        return (rmse, mae, rmspe, r2) if self.log else (rmse, mae, r2)

    def decode(self, prediction: Tensor) -> dict[str, pl.Series]:
        """Return ``prediction``, or ``prediction_<column>`` for several columns, as Float32."""
        values = prediction.reshape(len(prediction), self.outputs).cpu().numpy()
        return {name: pl.Series(name, values[:, index]) for index, name in enumerate(self._names())}

    def decode_one(self, prediction: Tensor) -> dict[str, Any]:
        """Return what `decode` returns for one row as Python values."""
        return dict(zip(self._names(), prediction.flatten().tolist(), strict=True))

    def _standardised(self, values: NDArray[np.float64]) -> NDArray[np.float32]:
        """(Log) values, ``(..., columns)``, less their mean, in standard deviations."""
        standardised: NDArray[np.float32] = ((values - np.array(self.mean)) / np.array(self.sd)).astype(np.float32)
        return standardised

    def _in_unit(self, standardised: Tensor) -> Tensor:
        """Standardised values in the columns' unit, float32 ``(rows, columns)``."""
        values = standardised.float() * standardised.new_tensor(self.sd, dtype=torch.float32)
        values = values + standardised.new_tensor(self.mean, dtype=torch.float32)
        return values.exp() if self.log else values

    def _names(self) -> list[str]:
        return ["prediction"] if self.outputs == 1 else [f"prediction_{name}" for name in self.columns]


def checked_range(bounds: Sequence[float], *, log: bool) -> tuple[float, float]:
    """Return a ``y_range`` as two numbers.

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
        raise ConfigError(f"y_range is in the target's unit, so with a log target above 0; got {bounds!r}")
    return lowest, highest


def check_shape(output: Tensor, target: Tensor) -> None:
    """Raise `ConfigError` if a model's outputs and the targets differ in shape."""
    if output.shape != target.shape:
        raise ConfigError(
            f"the model's outputs have the shape {tuple(output.shape)}, but the targets {tuple(target.shape)}:"
            " (rows, columns of the target)"
        )


def numbers_of(frame: pl.DataFrame, columns: Sequence[str], *, log: bool) -> NDArray[np.float64]:
    """Return a target's values, float64 ``(rows, columns)``; with ``log`` their natural logarithms.

    Raises:
        DataError: a value that is missing, infinite, not a number, or not above 0 with ``log``.
    """
    checked: list[pl.Series] = []
    for column in columns:
        series = frame[column]
        if series.dtype == pl.String:
            series = texts_as_numbers(series, f"target {column!r}")
        if not (series.dtype.is_numeric() or series.dtype == pl.Boolean):
            raise DataError(f"target {column!r} must be numbers; got {series.dtype}")
        check_no_missing(series)
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
