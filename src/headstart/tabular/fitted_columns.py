"""`CategoricalColumn` and `ContinuousColumn`: what is learnt of a column of training rows, by which it is encoded."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
import polars as pl
import torch
from numpy.typing import NDArray

from headstart.core.errors import DataError
from headstart.frames.categories import Categories, is_missing
from headstart.frames.readings import texts_as_numbers
from headstart.tabular.models.numeric import bin_edges

__all__ = ["CategoricalColumn", "ContinuousColumn", "Floats", "missing_values", "number_of", "numbers_of"]

Floats: TypeAlias = NDArray[np.float32]

SMALLEST = 1e-150
"""Standard deviations below this one have a square that float64 cannot hold; below its square they count as 0."""


@dataclass(frozen=True)
class CategoricalColumn:
    """A column of ids: 0 for missing and unseen values, 1 to n for the values of the training rows.

    Attributes:
        name: the column's name; of a part of a date ``<column>.<part>``.
        vocab: the values of the training rows.
        reason: why it is categorical.
    """

    name: str
    vocab: Categories
    reason: str


@dataclass(frozen=True)
class ContinuousColumn:
    """A column of numbers, standardised by mean and standard deviation of the training rows.

    A number beyond those of the training rows counts as their lowest or highest, so that predictions stay bounded.

    Attributes:
        name: the column's name; of a part of a date ``<column>.<part>``.
        median: median of the training rows, in the column's unit; stands in for a missing number.
        mean: mean of the training rows, missing numbers filled, in the column's unit.
        sd: their standard deviation, likewise; 1 if they do not vary.
        had_missing: whether training rows had missing numbers, so that the model sees an indicator ``<column>_na``.
        reason: why it is continuous.
        bin_edges: ends of bins of as many training rows each, ascending, in standard deviations from the mean.
        indicator_edges: the same for the indicator; empty without one.
    """

    name: str
    median: float
    mean: float
    sd: float
    had_missing: bool
    reason: str
    bin_edges: tuple[float, ...] = ()
    indicator_edges: tuple[float, ...] = ()

    @classmethod
    def fit(cls, series: pl.Series, reason: str) -> ContinuousColumn:
        """Learn median, mean, standard deviation and bins.

        Args:
            series: the column of the training rows.
            reason: why it is continuous.

        Raises:
            DataError: no values, infinite ones, values that are no numbers, or too large for their mean and deviation.
        """
        values, missing = numbers_of(series)
        known = values if missing is None else values[~missing]
        if not len(known):
            raise DataError(f"column {series.name!r} cannot be continuous: it has no values in the training rows")
        with np.errstate(over="ignore"):
            median = float(np.median(known))
            filled = values if missing is None else np.where(missing, median, values)
            mean, sd = float(filled.mean()), float(filled.std())
        if not (math.isfinite(median) and math.isfinite(mean) and math.isfinite(sd)):
            raise DataError(f"column {series.name!r} has values too large for their mean and deviation; rescale it")
        varies = known.min() < known.max()  # the deviation of equal values may miss 0 by its last bit
        if varies and sd < SMALLEST:  # its square may have been 0
            spread = float(np.abs(filled - mean).max())
            sd = spread * float(((filled - mean) / spread).std()) if spread else 0.0
        sd = sd if varies and sd >= SMALLEST**2 else 1.0
        standardised = torch.from_numpy(((filled - mean) / sd).astype(np.float32))
        indicator = () if missing is None else tuple(bin_edges(torch.from_numpy(missing.astype(np.float32))))
        return cls(
            series.name, median, mean, sd, missing is not None, reason, tuple(bin_edges(standardised)), indicator
        )

    @property
    def lowest(self) -> float:
        """Lowest standardised number of the training rows."""
        return self.bin_edges[0] if self.bin_edges else -math.inf

    @property
    def highest(self) -> float:
        """Highest standardised number of the training rows."""
        return self.bin_edges[-1] if self.bin_edges else math.inf

    def standardised(self, values: NDArray[np.float64]) -> tuple[Floats, int]:
        """Return numbers less the mean in standard deviations, and how many lie beyond those of the training rows.

        Args:
            values: numbers in the column's unit, ``(rows,)``, without missing ones.

        Returns:
            float32 ``(rows,)``, within the training rows' range; and the number of rows that lie outside.
        """
        with np.errstate(over="ignore"):
            standardised = ((values - self.mean) / self.sd).astype(np.float32)
        limited = np.clip(standardised, self.lowest, self.highest)
        return limited, int(np.count_nonzero(limited != standardised))

    def filled(self, series: pl.Series) -> tuple[NDArray[np.float64], NDArray[np.bool_] | None]:
        """Return the numbers of this column in some rows, and which are missing.

        Args:
            series: the column of these rows.

        Returns:
            Float64 ``(rows,)`` in the column's unit, missing numbers filled with the median of the training rows; and
            bool ``(rows,)``, or None if none is missing.

        Raises:
            DataError: infinite values, or values that are no numbers.
        """
        values, missing = numbers_of(series)
        return (values if missing is None else np.where(missing, self.median, values)), missing


def missing_values(series: pl.Series) -> int:
    """Return how many values are null, NaN or empty texts."""
    if series.dtype == pl.String:
        return series.null_count() + int((series == "").sum())
    return series.null_count() + (int(series.is_nan().sum()) if series.dtype.is_float() else 0)


def numbers_of(series: pl.Series) -> tuple[NDArray[np.float64], NDArray[np.bool_] | None]:
    """Return a column's numbers, float64 ``(rows,)``, and which are missing (null or NaN); None if none is."""
    if series.dtype in (pl.Categorical, pl.Enum):
        series = series.cast(pl.String)
    if not (series.dtype.is_numeric() or series.dtype in (pl.String, pl.Boolean, pl.Null)):
        raise DataError(f"column {series.name!r}: expected numbers, as in the training rows, but got {series.dtype}")
    is_text = series.dtype == pl.String
    read = texts_as_numbers(series, f"column {series.name!r}") if is_text else series.cast(pl.Float64, strict=False)
    values = read.to_numpy()  # null becomes NaN
    missing = np.isnan(values)
    infinite = int(np.isinf(values).sum())
    if infinite:
        raise DataError(
            f"column {series.name!r} has {infinite} infinite values; replace them (None says that a value is missing)"
        )
    return values, missing if missing.any() else None


def number_of(value: Any, name: str) -> float | None:
    """Return what `numbers_of` makes of one value; None for a missing one."""
    if is_missing(value):
        return None
    if isinstance(value, str):  # polars decides which texts are numbers, here as in `numbers_of`
        value = float(numbers_of(pl.Series(name, [value]))[0][0])
    try:
        number = float(value)
    except (TypeError, ValueError, OverflowError):
        raise DataError(f"column {name!r}: expected a number, but got {value!r}") from None
    if number != number:
        return None
    if number in (float("inf"), float("-inf")):
        raise DataError(f"column {name!r} is infinite; replace it (None says that a value is missing)")
    return number
