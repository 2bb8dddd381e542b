"""`TableCodec`: all that is learnt from training rows before training; rows to tensors, outputs to answers."""

from __future__ import annotations

import math
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import polars as pl
import torch
from numpy.typing import NDArray
from torch import Tensor

from headstart.core.errors import DataError, HeadstartWarning, did_you_mean
from headstart.core.values import from_json, to_json
from headstart.frames.categories import Categories, is_missing
from headstart.frames.door import check_columns
from headstart.tabular.columns import SortedColumns
from headstart.tabular.dates import CATEGORICAL_PARTS, date_parts, date_parts_of, has_time
from headstart.tabular.features import FeatureRecipe
from headstart.tabular.models.numeric import bin_edges
from headstart.targets.target import AnyTarget

__all__ = ["CategoricalColumn", "ContinuousColumn", "DateColumn", "TableCodec"]


LARGEST = float(np.finfo(np.float32).max)
"""What a standardised number may be: the model's numbers are float32."""


@dataclass(frozen=True)
class CategoricalColumn:
    """A column of ids: 0 for missing and never seen, 1 to n for the values of the training rows."""

    name: str
    vocab: Categories
    reason: str


@dataclass(frozen=True)
class ContinuousColumn:
    """A column of numbers, standardised by what the training rows had.

    Attributes:
        name: the column's.
        median: stands in for a missing number, in the column's unit.
        mean: of the training rows, gaps filled.
        sd: their standard deviation; 1 if they do not vary.
        had_gaps: whether training rows had gaps, so that the model sees an indicator ``<column>_na`` beside it.
        reason: why it is continuous.
        bin_edges: ends of bins of as many training rows each, ascending, in standard deviations from the mean.
        indicator_edges: likewise of the indicator; empty without one.
    """

    name: str
    median: float
    mean: float
    sd: float
    had_gaps: bool
    reason: str
    bin_edges: tuple[float, ...] = ()
    indicator_edges: tuple[float, ...] = ()


@dataclass(frozen=True)
class DateColumn:
    """A column of dates, which the model sees as its parts."""

    name: str
    with_time: bool
    reason: str


@dataclass(frozen=True)
class TableCodec:
    """Turns rows into the tensors of a `TabularModel`, and its outputs into answers. Made from training rows alone.

    Attributes:
        dates: whose parts are among the columns below, named ``<column>.<part>``.
        categorical: in the order of the ids' columns.
        continuous: in the order of the numbers' columns; the indicators of gaps follow them.
        target: what is predicted.
        left_out: columns that are not used, with the reason.
        recipe: makes features that a table does not have yet; None: there are none such.
    """

    dates: tuple[DateColumn, ...]
    categorical: tuple[CategoricalColumn, ...]
    continuous: tuple[ContinuousColumn, ...]
    target: AnyTarget
    left_out: Mapping[str, str]
    recipe: FeatureRecipe | None = None

    @classmethod
    def fit(
        cls,
        frame: pl.DataFrame,
        columns: SortedColumns,
        target: AnyTarget,
        recipe: FeatureRecipe | None = None,
    ) -> TableCodec:
        """Learns categories, medians, means and deviations.

        Args:
            frame: training rows.
            columns: which are what.
            target: fitted on the same rows.
            recipe: what has made some of the columns, to be kept for new rows.

        Raises:
            DataError: infinite numbers, or values that are not what their column is taken for.
        """
        dates = tuple(DateColumn(name, has_time(frame[name]), reason) for name, reason in columns.dates.items())
        used = frame.select([*columns.categorical, *columns.continuous, *columns.dates])
        parts = _with_dates(used, dates)
        left_out = dict(columns.left_out)
        categorical = [
            CategoricalColumn(name, Categories.fit(frame[name]), reason) for name, reason in columns.categorical.items()
        ]
        continuous = [_fit_continuous(frame[name], reason) for name, reason in columns.continuous.items()]
        for name in parts.columns[used.width :]:
            if parts[name].n_unique() < 2:
                left_out[name] = f"the same value ({parts[name][0]}) in all training rows"
            elif name.rpartition(".")[2] in CATEGORICAL_PARTS:
                categorical.append(CategoricalColumn(name, Categories.fit(parts[name]), "part of a date"))
            else:
                continuous.append(_fit_continuous(parts[name], "part of a date"))
        if not categorical and not continuous:
            raise DataError("the dates do not vary in the training rows, and there is no other column to learn from")
        return cls(dates, tuple(categorical), tuple(continuous), target, left_out, recipe)

    @property
    def columns(self) -> tuple[str, ...]:
        """The columns that a table to predict must have, in the training table's terms; or a recipe can make them."""
        own = [column.name for column in self._inputs]
        return tuple(name for name in own if name not in self._parts) + tuple(date.name for date in self.dates)

    @property
    def inputs(self) -> tuple[str, ...]:
        """The columns that the model sees, parts of dates for themselves."""
        return tuple(column.name for column in self._inputs)

    @property
    def cardinalities(self) -> list[int]:
        """Number of ids of each categorical column."""
        return [len(column.vocab) for column in self.categorical]

    @property
    def numbers(self) -> int:
        """Width of the tensor of numbers: the continuous columns and the indicators of gaps."""
        return len(self.continuous) + len(self._with_gaps)

    @property
    def bin_edges(self) -> list[tuple[float, ...]]:
        """Ends of the bins of each column of the tensor of numbers."""
        indicators = [column.indicator_edges for column in self.continuous if column.had_gaps]
        return [*(column.bin_edges for column in self.continuous), *indicators]

    def encode(self, frame: pl.DataFrame) -> tuple[Tensor, Tensor]:
        """Ids, int32 ``(rows, categorical columns)``, and standardised numbers, float32 ``(rows, numbers)``.

        Columns may come in any order, and others are ignored. A gap in a column that had none in training is filled
        with the training median, with a warning that counts them. A table without the recipe's features gets them here,
        and must hold its rows' history; one that has them is taken as it is.

        Raises:
            DataError: a column is missing, or holds what it cannot be read as, or a number that is infinite or so far
                from the training rows' that float32 cannot hold it.
        """
        frame = self._read(frame)
        ids = np.empty((len(frame), len(self.categorical)), dtype=np.int32)
        for place, category in enumerate(self.categorical):
            ids[:, place] = category.vocab.encode(frame[category.name])
        numbers = np.empty((len(frame), self.numbers), dtype=np.float32)
        filled: dict[str, int] = {}
        for place, column in enumerate(self.continuous):
            values, missing = _numbers(frame[column.name])
            if missing is not None:
                values = np.where(missing, column.median, values)
                if not column.had_gaps:
                    filled[column.name] = int(missing.sum())
            with np.errstate(over="ignore"):
                standardised = (values - column.mean) / column.sd
            _check_near(float(np.abs(standardised).max(initial=0.0)), column)
            numbers[:, place] = standardised
            if column.had_gaps:
                indicator = len(self.continuous) + self._with_gaps[column.name]
                numbers[:, indicator] = 0.0 if missing is None else missing
        if filled:
            counted = ", ".join(f"{count} in {name!r}" for name, count in filled.items())
            warnings.warn(
                f"missing numbers in columns that had none in training were filled with the training median: {counted}",
                HeadstartWarning,
                stacklevel=2,
            )
        return torch.from_numpy(ids), torch.from_numpy(numbers)

    def encode_one(self, row: Mapping[str, Any]) -> tuple[Tensor, Tensor]:
        """What `encode` gives for a table of this one row, by dictionary look-ups; tensors ``(1, ...)``.

        Args:
            row: a value per column, None for a missing one; others are ignored.

        Raises:
            DataError: as for `encode`.
        """
        for name in self._names:
            if name not in row and self.recipe is not None and name in self.recipe.outputs:
                raise DataError(
                    f"the row has no {name!r}, which the model's recipe makes of the rows before and after it, and one"
                    " row has none: predict a table that holds them too, or a row of recipe.apply(table)"
                )
            if name not in row:
                raise DataError(f"the row has no {name!r}; {did_you_mean(name, row)} (None says that it is missing)")
        if self.dates:
            row = dict(row)
            for date in self.dates:
                row |= date_parts_of(row[date.name], date.name, with_time=date.with_time)
        ids = [column.vocab.encode_one(row[column.name], column.name) for column in self.categorical]
        numbers: list[float] = []
        indicators: list[float] = []
        for column in self.continuous:
            value = _number(row[column.name], column.name)
            if column.had_gaps:
                indicators.append(float(value is None))
            numbers.append(((column.median if value is None else value) - column.mean) / column.sd)
            _check_near(abs(numbers[-1]), column)
        return torch.tensor([ids], dtype=torch.int32), torch.tensor([numbers + indicators], dtype=torch.float32)

    def decode(self, prediction: Tensor) -> pl.DataFrame:
        """Predictions (what ``target.prediction`` gives) as columns in the user's terms, a row per row."""
        return pl.DataFrame(list(self.target.decode(prediction).values()))

    def notes(self, frame: pl.DataFrame, ids: Tensor) -> list[str]:
        """What of a table the training rows did not know: counts of categories never seen, by column.

        Args:
            frame: the table.
            ids: what `encode` made of it, int32 ``(rows, categorical columns)``.
        """
        frame = self._read(frame)
        found: list[str] = []
        for column, known in zip(self.categorical, (ids != 0).cpu().numpy().T, strict=True):
            series = frame[column.name]
            missing = series.is_null() | (series.is_nan() if series.dtype.is_float() else False)
            unseen = int((~known & ~missing.to_numpy()).sum())
            if unseen:
                found.append(f"{column.name}: {unseen:,} of {len(frame):,} rows have a value never seen in training")
        return found

    def to_json(self) -> dict[str, Any]:
        """What `from_json` takes."""
        return {
            "dates": [{**vars(column)} for column in self.dates],
            "categorical": [
                {"name": column.name, "vocab": to_json(column.vocab), "reason": column.reason}
                for column in self.categorical
            ],
            "continuous": [{**vars(column)} for column in self.continuous],
            "target": to_json(self.target, kind=AnyTarget),
            "left_out": dict(self.left_out),
            **({} if self.recipe is None else {"recipe": self.recipe.to_json()}),
        }

    @classmethod
    def from_json(cls, record: Mapping[str, Any]) -> TableCodec:
        """What `to_json` gave."""
        return cls(
            tuple(DateColumn(**column) for column in record["dates"]),
            tuple(
                CategoricalColumn(column["name"], from_json(Categories, column["vocab"]), column["reason"])
                for column in record["categorical"]
            ),
            tuple(ContinuousColumn(**column) for column in record["continuous"]),
            from_json(AnyTarget, record["target"]),
            dict(record["left_out"]),
            FeatureRecipe.from_json(record["recipe"]) if "recipe" in record else None,
        )

    def _read(self, frame: pl.DataFrame) -> pl.DataFrame:
        """The columns that are encoded, features and parts of dates made where need be."""
        frame = frame if self.recipe is None else self.recipe.completed(frame)
        check_columns(frame, self.columns, "the table")
        return _with_dates(frame.select(self.columns), self.dates)

    @property
    def _inputs(self) -> tuple[CategoricalColumn | ContinuousColumn, ...]:
        return (*self.categorical, *self.continuous)

    @cached_property
    def _names(self) -> tuple[str, ...]:
        return self.columns

    @cached_property
    def _parts(self) -> frozenset[str]:
        dates = {date.name for date in self.dates}
        return frozenset(column.name for column in self._inputs if column.name.rpartition(".")[0] in dates)

    @cached_property
    def _with_gaps(self) -> dict[str, int]:
        """Columns with an indicator, and its place among the indicators."""
        return {
            name: place
            for place, name in enumerate(column.name for column in self.continuous if column.had_gaps)
        }  # fmt: skip


def _with_dates(frame: pl.DataFrame, dates: Sequence[DateColumn]) -> pl.DataFrame:
    for date in dates:
        parts = date_parts(frame[date.name], with_time=date.with_time)
        clash = next((name for name in parts if name in frame.columns), None)
        if clash is not None:
            raise DataError(f"column {clash!r} has the name of a part of the date {date.name!r}; rename one of them")
        frame = frame.with_columns(**parts)
    return frame


def _fit_continuous(series: pl.Series, reason: str) -> ContinuousColumn:
    values, missing = _numbers(series)
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
    sd = sd if varies else 1.0
    standardised = torch.from_numpy(((filled - mean) / sd).astype(np.float32))
    indicator = () if missing is None else tuple(bin_edges(torch.from_numpy(missing.astype(np.float32))))
    return ContinuousColumn(
        series.name, median, mean, sd, missing is not None, reason, tuple(bin_edges(standardised)), indicator
    )


def _check_near(largest: float, column: ContinuousColumn) -> None:
    if largest > LARGEST:
        raise DataError(
            f"column {column.name!r} has a value that lies {largest:.0e} standard deviations from the training rows'"
            " mean; correct it (None says that a value is missing)"
        )


def _numbers(series: pl.Series) -> tuple[NDArray[np.float64], NDArray[np.bool_] | None]:
    """A column's numbers, float64 ``(rows,)``, and which are missing (null or NaN), or None if none is."""
    if not (series.dtype.is_numeric() or series.dtype in (pl.String, pl.Boolean, pl.Null)):
        raise DataError(f"column {series.name!r}: expected numbers, as in the training rows, but got {series.dtype}")
    read = series.cast(pl.Float64, strict=False)
    if series.dtype == pl.String:
        lost = read.is_null() & series.is_not_null()
        if lost.any():
            raise DataError(f"column {series.name!r}: expected numbers, but got the text {series.filter(lost)[0]!r}")
    values = read.to_numpy()  # null becomes NaN
    missing = np.isnan(values)
    infinite = int(np.isinf(values).sum())
    if infinite:
        raise DataError(
            f"column {series.name!r} has {infinite} infinite values; replace them (None says that a value is missing)"
        )
    return values, missing if missing.any() else None


def _number(value: Any, name: str) -> float | None:
    """What `_numbers` makes of one value."""
    if is_missing(value):
        return None
    if isinstance(value, str):  # polars is the judge of which texts are numbers, here as in `_numbers`
        value = float(_numbers(pl.Series(name, [value]))[0][0])
    try:
        number = float(value)
    except (TypeError, ValueError, OverflowError):
        raise DataError(f"column {name!r}: expected a number, but got {value!r}") from None
    if number != number:
        return None
    if number in (float("inf"), float("-inf")):
        raise DataError(f"column {name!r} is infinite; replace it (None says that a value is missing)")
    return number
