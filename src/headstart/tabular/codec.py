"""`TableCodec`: all that is learnt from training rows before training; rows to tensors, outputs to predictions."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

import numpy as np
import polars as pl
import torch
from numpy.typing import NDArray
from torch import Tensor

from headstart.core.errors import DataError, did_you_mean, warn
from headstart.frames.categories import Categories
from headstart.frames.codec import Encoded
from headstart.frames.csv import CsvOptions
from headstart.frames.door import check_columns
from headstart.frames.readings import ReadAsAmount, ReadAsDate, ReadAsNumber, Reading
from headstart.tabular.columns import SortedColumns
from headstart.tabular.complete_rows import CompleteRows, with_dates
from headstart.tabular.dates import CATEGORICAL_PARTS, DateColumn, date_parts_of
from headstart.tabular.features import FeatureRecipe
from headstart.tabular.fitted_columns import (
    CategoricalColumn,
    ContinuousColumn,
    Floats,
    missing_values,
    number_of,
)
from headstart.tabular.seasons import without_seasons
from headstart.tabular.target_features import (
    LEAST_ROWS,
    CategoryMeans,
    Neighbours,
    TargetFeature,
    nearest_pairs,
    target_values,
)
from headstart.targets.target import AnyTarget

__all__ = ["TableCodec"]

PAIRS = 1
"""Pairs of numbers whose neighbours become features."""

FEW_EDGES = 10
"""Numbers with fewer different values than this are no coordinates."""

FEW_CATEGORIES = 10
"""Categories of so few values have rows enough for their embeddings."""


@dataclass(frozen=True)
class TableCodec:
    """Turns rows into the tensors of a network, and predictions into columns. Made from training rows alone.

    Attributes:
        dates: columns of dates, whose parts are among the columns below, named ``<column>.<part>``.
        categorical: categorical columns, in the order of the tensor of ids.
        continuous: continuous columns, in the order of the tensor of numbers: first those of the table, then the
            features made of targets; the indicators of missing numbers follow.
        target: what is predicted.
        left_out: columns that are not used, each with the reason.
        recipe: makes features that a table does not have yet; None: there are none.
        target_features: features made of the training rows' targets, in the order of the numbers.
        amounts: columns of text that are read as numbers with thousands separators and the like.
        csv: how the training rows' CSV file was read, as far as it was given, for later files; it does not change what
            a tensor means.
    """

    dates: tuple[DateColumn, ...]
    categorical: tuple[CategoricalColumn, ...]
    continuous: tuple[ContinuousColumn, ...]
    target: AnyTarget
    left_out: Mapping[str, str]
    recipe: FeatureRecipe | None = None
    target_features: tuple[TargetFeature, ...] = ()
    amounts: Mapping[str, ReadAsAmount] = field(default_factory=dict)
    csv: CsvOptions | None = field(default=None, compare=False)

    @classmethod
    def fit(
        cls,
        rows: pl.DataFrame | CompleteRows,
        columns: SortedColumns,
        target: AnyTarget,
        recipe: FeatureRecipe | None = None,
        *,
        targets: Floats | None = None,
    ) -> TableCodec:
        """Learn categories, medians, means, standard deviations and bins.

        Args:
            rows: training rows with the recipe's features, or the same completed before.
            columns: which of their columns are what.
            target: fitted on the same rows.
            recipe: what made some of the columns, kept for new rows.
            targets: the rows' targets as numbers, from `target_values`, float32 ``(rows, values)``, of which features
                are made; None: none are.

        Raises:
            DataError: infinite numbers, or values that are not what their column is taken for.
        """
        rows = rows if isinstance(rows, CompleteRows) else CompleteRows.of(rows, columns)
        columns, unclear = without_seasons(rows, columns)
        read, left_out = rows.columns, dict(columns.left_out)
        categorical = [
            CategoricalColumn(name, Categories.fit(read[name], declared=name in columns.declared), reason)
            for name, reason in columns.categorical.items()
        ]
        continuous = [ContinuousColumn.fit(read[name], reason) for name, reason in columns.continuous.items()]
        for name in (part for date in rows.dates for part in date.parts):
            if name in unclear:
                left_out[name] = unclear[name]
            elif read[name].n_unique() < 2:
                left_out[name] = f"the same value ({read[name][0]}) in all training rows"
            elif name.rpartition(".")[2] in CATEGORICAL_PARTS:
                categorical.append(CategoricalColumn(name, Categories.fit(read[name]), "part of a date"))
            else:
                continuous.append(ContinuousColumn.fit(read[name], "part of a date"))
        if not categorical and not continuous:
            raise DataError("the dates do not vary in the training rows, and there is no other column to learn from")
        codec = cls(rows.dates, tuple(categorical), tuple(continuous), target, left_out, recipe)
        return codec if targets is None else codec._fit_target_features(rows, columns, targets)

    @cached_property
    def columns(self) -> tuple[str, ...]:
        """The columns that a table must have, in the training table's terms, unless the recipe makes them."""
        parts = {part for date in self.dates for part in date.parts}
        return (*(name for name in self.inputs if name not in parts), *(date.name for date in self.dates))

    @property
    def inputs(self) -> tuple[str, ...]:
        """The columns that the model sees, each part of a date by itself, without those made of targets."""
        categorical = [column.name for column in self.categorical]
        return tuple(dict.fromkeys([*categorical, *(column.name for column in self._numbers_of_the_table)]))

    @property
    def readings(self) -> dict[str, Reading]:
        """How each column of a table of text is read: as in the training rows, whatever its values look like."""
        parts = set(self.inputs) - set(self.columns)
        categorical = {c.name: c.vocab.reading for c in self.categorical if c.name not in parts}
        continuous: dict[str, Reading] = {
            c.name: ReadAsNumber() for c in self._numbers_of_the_table if c.name not in parts
        }
        dates = {date.name: ReadAsDate(date.form) for date in self.dates}
        return {**categorical, **continuous, **dates, **self.target.readings, **self.amounts}

    @property
    def cardinalities(self) -> list[int]:
        """Number of ids of each categorical column."""
        return [len(column.vocab) for column in self.categorical]

    @property
    def numbers(self) -> int:
        """Width of the tensor of numbers: the continuous columns and the indicators of missing numbers."""
        return len(self.continuous) + len(self.indicators)

    @property
    def bin_edges(self) -> list[tuple[float, ...]]:
        """Ends of the bins of each column of the tensor of numbers, ascending, in standard deviations from the mean."""
        indicators = [column.indicator_edges for column in self.continuous if column.had_missing]
        return [*(column.bin_edges for column in self.continuous), *indicators]

    @cached_property
    def indicators(self) -> dict[str, int]:
        """For each continuous column with an indicator of missing numbers, the indicator's index among the numbers."""
        names = [column.name for column in self.continuous if column.had_missing]
        return {name: index for index, name in enumerate(names, start=len(self.continuous))}

    def complete(self, frame: pl.DataFrame) -> CompleteRows:
        """Return rows with all that is encoded: the recipe's features and the parts of dates.

        Args:
            frame: rows; without the recipe's features they must hold their history.

        Raises:
            DataError: a column is missing, or cannot be what it is read as.
        """
        return self.with_parts(frame if self.recipe is None else self.recipe.completed(frame))

    def with_parts(self, frame: pl.DataFrame) -> CompleteRows:
        """Return rows that have the recipe's features already with the parts of their dates.

        Raises:
            DataError: a column is missing, or holds no dates although it should.
        """
        check_columns(frame, self.columns, "the table")
        return CompleteRows(frame, with_dates(frame.select(self.columns), self.dates), self.dates)

    def encode(
        self, rows: pl.DataFrame | CompleteRows, *, with_target: bool = False, training: bool = False
    ) -> Encoded[tuple[Tensor, Tensor]]:
        """Encode rows: ids, and standardised numbers.

        Columns may come in any order, and others are ignored. A missing number in a column that had none in training
        is filled with the training median, with a note and a warning that count them. A table without the recipe's
        features gets them here, and must hold its rows' history; one that has them is taken as it is.

        Args:
            rows: a table, or the same completed before.
            with_target: whether the target is encoded too.
            training: whether a model is trained with these rows, so that each sees the targets of others alone in the
                features made of them; the target is encoded too.

        Returns:
            Inputs: ids, int32 ``(rows, categorical columns)``, 0 for missing and unseen values; and numbers, float32
            ``(rows, numbers)``. Notes: how many rows of each column have a value never seen in training, or a number
            beyond those of the training rows, and how many numbers were filled.

        Raises:
            DataError: a column is missing, or holds what it cannot be read as, or a number that is infinite.
        """
        rows = rows if isinstance(rows, CompleteRows) else self.complete(rows)
        target = None
        if with_target or training:
            check_columns(rows.frame, self.target.columns, "the table (target)")
            target = self.target.encode(rows.frame)
        frame = rows.columns
        ids = self._ids(frame)
        notes = [
            f"{name}: {count:,} of {len(frame):,} rows have a value never seen in training"
            for name, count in self._unseen(frame, ids).items()
        ]
        numbers = np.empty((len(frame), self.numbers), dtype=np.float32)
        filled: dict[str, int] = {}
        for index, column in enumerate(self._numbers_of_the_table):
            values, missing = column.filled(frame[column.name])
            if missing is not None and not column.had_missing:
                filled[column.name] = int(missing.sum())
            numbers[:, index], beyond = column.standardised(values)
            if beyond:
                notes.append(
                    f"{column.name}: {beyond:,} of {len(frame):,} rows lie beyond the numbers of the training rows and"
                    " count as their lowest or highest"
                )
            if column.had_missing:
                numbers[:, self.indicators[column.name]] = 0.0 if missing is None else missing
        targets = target_values(self.target, target) if training and target is not None else None
        self._fill_target_features(ids, numbers, targets)
        if filled:
            counted = ", ".join(f"{count} in {name!r}" for name, count in filled.items())
            notes.append(
                f"missing numbers in columns that had none in training were filled with the training median: {counted}"
            )
            warn(notes[-1])
        return Encoded(inputs=(torch.from_numpy(ids), torch.from_numpy(numbers)), target=target, notes=tuple(notes))

    def _ids(self, frame: pl.DataFrame) -> NDArray[np.int32]:
        """Return the ids of rows, ``(rows, categorical columns)``."""
        ids = np.empty((len(frame), len(self.categorical)), dtype=np.int32)
        for index, category in enumerate(self.categorical):
            ids[:, index] = category.vocab.encode(frame[category.name])
        return ids

    def unseen(self, rows: CompleteRows, ids: Tensor) -> dict[str, int]:
        """Return how many rows have a value never seen in training, by categorical column; only columns with such rows.

        Args:
            rows: the rows.
            ids: their ids, as `encode` returns them, ``(rows, categorical columns)``.
        """
        return self._unseen(rows.columns, ids.numpy())

    def _unseen(self, frame: pl.DataFrame, ids: NDArray[np.int32]) -> dict[str, int]:
        known = np.count_nonzero(ids, axis=0)
        counts = {
            category.name: len(frame) - int(known[index]) - missing_values(frame[category.name])
            for index, category in enumerate(self.categorical)
        }
        return {name: count for name, count in counts.items() if count}

    def encode_one(self, row: Mapping[str, Any]) -> tuple[Tensor, Tensor]:
        """Encode one row as `encode` does a table of it, by dictionary look-ups.

        Args:
            row: a value per column, None for a missing one; others are ignored.

        Returns:
            Ids, int32 ``(1, categorical columns)``, and numbers, float32 ``(1, numbers)``.

        Raises:
            DataError: as for `encode`.
        """
        for name in self.columns:
            if name not in row and self.recipe is not None and name in self.recipe.outputs:
                raise DataError(
                    f"the row has no {name!r}, which the model's recipe makes of the rows before and after it, and one"
                    " row has none: predict a table that holds them too, or a row of recipe.apply(table)"
                )
            if name not in row:
                raise DataError(f"the row has no {name!r}; {did_you_mean(name, row)} (None says that it is missing)")
        if self.dates or self.amounts:
            row = dict(row)
            for date in self.dates:
                row |= date_parts_of(row[date.name], date.name, with_time=date.with_time, form=date.form)
            for name, amount in self.amounts.items():
                if isinstance(row.get(name), str):
                    row[name] = amount.of(pl.Series(name, [row[name]]))[0]
        known = [column.vocab.encode_one(row[column.name], column.name) for column in self.categorical]
        numbers: list[float] = []
        indicators: list[float] = []
        for column in self._numbers_of_the_table:
            value = number_of(row[column.name], column.name)
            if column.had_missing:
                indicators.append(float(value is None))
            standardised = ((column.median if value is None else value) - column.mean) / column.sd
            numbers.append(min(max(standardised, column.lowest), column.highest))
        numbers += [0.0] * len(self.target_feature_indices)
        encoded = np.array([numbers + indicators], dtype=np.float32)
        ids = np.array([known], dtype=np.int32)
        self._fill_target_features(ids, encoded)
        return torch.from_numpy(ids), torch.from_numpy(encoded)

    def decode(self, prediction: Tensor) -> pl.DataFrame:
        """Return predictions, as ``target.prediction`` returns them, as columns in the user's terms, a row per row."""
        return pl.DataFrame(list(self.target.decode(prediction).values()))

    @cached_property
    def target_feature_indices(self) -> range:
        """Indices, among the numbers, of the features made of targets."""
        width = sum(feature.width for feature in self.target_features)
        return range(len(self.continuous) - width, len(self.continuous))

    @cached_property
    def _numbers_of_the_table(self) -> tuple[ContinuousColumn, ...]:
        """The continuous columns without the features made of targets."""
        return self.continuous[: self.target_feature_indices.start]

    def with_target_features(self, ids: Tensor, numbers: Tensor) -> Tensor:
        """Return numbers with the features made of targets that rows with these ids and numbers have.

        Args:
            ids: int32 ``(rows, categorical columns)``.
            numbers: as `encode` returns them, but for what has changed, float32 ``(rows, numbers)``.
        """
        if not self.target_features:
            return numbers
        values = numbers.cpu().numpy().copy()
        self._fill_target_features(ids.cpu().numpy(), values)
        return torch.from_numpy(values).to(numbers.device)

    def _fill_target_features(self, ids: NDArray[np.int32], numbers: Floats, targets: Floats | None = None) -> None:
        """Fill in the features made of targets.

        Args:
            ids: int32 ``(rows, categorical columns)``.
            numbers: float32 ``(rows, numbers)``, whose first columns are the table's own.
            targets: those of the rows if a model is trained with them, ``(rows, values)``; None: they are new.
        """
        start = self.target_feature_indices.start
        for each, (mean, sd, lowest, highest) in zip(self.target_features, self._scales, strict=True):
            if targets is None or len(targets) < 2:  # of a single row there are no others
                means = each.means(ids, numbers)
            else:
                means = each.out_of_fold(ids, numbers, targets)
            standardised = ((means - mean) / sd).astype(np.float32)
            numbers[:, start : start + each.width] = np.minimum(np.maximum(standardised, lowest), highest)
            start += each.width

    @cached_property
    def _scales(self) -> list[NDArray[np.float64]]:
        """Mean, deviation, lowest and highest of each column of the features, float64 ``(4, width)`` for each."""
        scales, start = [], self.target_feature_indices.start
        for each in self.target_features:
            columns = self.continuous[start : start + each.width]
            scales.append(np.array([[c.mean, c.sd, c.lowest, c.highest] for c in columns]).T)
            start += each.width
        return scales

    def _fit_target_features(self, rows: CompleteRows, columns: SortedColumns, targets: Floats) -> TableCodec:
        """Return the codec with features made of the targets, where they are of use: parts of dates have none."""
        if len(targets) < LEAST_ROWS:
            return self
        made: list[tuple[TargetFeature, list[str]]] = []
        values = _value_names(self.target)
        numbers = np.column_stack(
            [column.standardised(column.filled(rows.columns[column.name])[0])[0] for column in self.continuous]
            or [np.zeros((len(targets), 0), dtype=np.float32)]
        )
        ids = self._ids(rows.columns)
        places = range(len(columns.continuous))
        many = [index for index in places if len(self.continuous[index].bin_edges) > FEW_EDGES]
        for pair in nearest_pairs(numbers, targets, many)[:PAIRS]:
            near = Neighbours.fit(numbers, targets, pair)
            place = " and ".join(self.continuous[index].name for index in pair)
            made.append((near, [f"{value} near by {place} ({size})" for size in near.sizes for value in values]))
        varied = [index for index in range(len(columns.categorical)) if self.cardinalities[index] > FEW_CATEGORIES]
        if varied:
            means = CategoryMeans.fit(ids, targets, varied, self.cardinalities)
            made.append((means, [f"{value} by {self.categorical[at].name}" for at in varied for value in values]))
        features: list[ContinuousColumn] = []
        for each, names in made:
            for name, of_rows in zip(names, each.out_of_fold(ids, numbers, targets).T, strict=True):
                features.append(ContinuousColumn.fit(pl.Series(name, of_rows), "mean target of other rows"))
        return replace(self, continuous=(*self.continuous, *features), target_features=tuple(each for each, _ in made))


def _value_names(target: AnyTarget) -> tuple[str, ...]:
    """Return the names of what `target_values` returns."""
    if not target.classes:
        return target.columns
    shown = target.classes[1:] if target.kind == "label" and len(target.classes) == 2 else target.classes
    return tuple(f"{target.columns[0]} = {value}" for value in shown)
