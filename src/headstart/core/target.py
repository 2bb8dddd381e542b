"""Targets: how a column becomes what the loss compares with, and how outputs become answers in the user's own terms."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import polars as pl
import torch
from torch import Tensor
from torch.nn import functional as F

from headstart.core.batch import Batch
from headstart.core.errors import ConfigError, DataError
from headstart.core.labels import Label, Labels, check_no_gaps
from headstart.core.loss import Loss, output_of, weighted_mean
from headstart.core.tables import sql_name
from headstart.core.vocab import Vocab

__all__ = ["Label", "Labels", "Loss", "Number", "Target", "checked_range", "target_from_json", "weighted_mean"]


class Target(Protocol):
    """What a supervised codec holds: the bridge between a column and a model's outputs."""

    @property
    def outputs(self) -> int:
        """How many outputs the model needs."""

    @property
    def columns(self) -> tuple[str, ...]:
        """The columns it is made of."""

    def encode(self, frame: pl.DataFrame) -> Tensor:
        """What the loss compares with, ``(rows, ...)``."""

    def loss(self, outputs: Any, batch: Batch) -> Tensor:
        """The default loss, a mean over the rows."""

    def prediction(self, outputs: Tensor) -> Tensor:
        """Probabilities ``(rows, classes)``, or numbers in the user's own unit."""

    def original(self, encoded: Tensor) -> Tensor:
        """Encoded targets on their original scale: what metrics compare predictions with."""

    def decode(self, prediction: Tensor) -> dict[str, pl.Series]:
        """Predictions as columns, in the user's own terms."""

    def decode_one(self, prediction: Tensor) -> dict[str, Any]:
        """What `decode` gives for one row, ``(1, ...)``, as Python's own values and without a frame."""

    def to_json(self) -> dict[str, Any]:
        """What `target_from_json` takes."""


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


def target_from_json(record: Mapping[str, Any]) -> Number | Label | Labels:
    """The target that ``to_json`` described."""
    if record["kind"] == "number":
        bounds = record["range"]
        return Number(
            tuple(record["columns"]), bool(record["log"]), tuple(record["mean"]), tuple(record["sd"]),
            None if bounds is None else (bounds[0], bounds[1]),
        )  # fmt: skip
    if record["kind"] in ("label", "labels"):
        make = Label if record["kind"] == "label" else Labels
        return make(record["column"], Vocab.from_json(record["vocab"]))
    raise ValueError(f"unknown kind of target {record['kind']!r}")


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
