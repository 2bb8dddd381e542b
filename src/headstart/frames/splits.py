"""Splits of a table into training and validation rows.

Most functions here return a `Splitter`, which maps a frame to the numbers of its training and validation rows. The
split is made first, because everything that is learnt before training (categories, means) is learnt from the training
rows only.
"""

from __future__ import annotations

import contextlib
import datetime
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from numbers import Real
from typing import Any, TypeAlias

import numpy as np
import polars as pl
from numpy.typing import NDArray

from headstart.core.errors import ConfigError, DataError, warn
from headstart.frames.dates import zone_of
from headstart.frames.door import check_columns, matches

__all__ = [
    "Split",
    "Splitter",
    "by_column",
    "by_condition",
    "by_default",
    "by_groups",
    "by_indices",
    "by_last",
    "by_random",
    "by_time",
    "check_one_source",
    "k_fold",
    "split_rows",
    "stratified",
    "stratified_k_fold",
    "train_on_all",
]

Rows: TypeAlias = NDArray[np.int64]

USUAL_FRACTION = 0.2
"""Default fraction of validation rows."""


@dataclass(frozen=True)
class Split:
    """Numbers of the training and the validation rows, from 0, each in ascending order and without common rows.

    Attributes:
        train: int64, ``(training rows,)``.
        valid: int64, ``(validation rows,)``; empty if all rows train.
        note: what a user should know of a split that was not asked for.
    """

    train: Rows
    valid: Rows
    note: str = ""


Splitter: TypeAlias = Callable[[pl.DataFrame], Split]
"""Function that maps a frame to the numbers of its training and validation rows."""


def check_one_source(split: Splitter | None, valid: object) -> None:
    """Raise `ConfigError` if validation rows are given both by a split and by themselves."""
    if split is not None and valid is not None:
        raise ConfigError("give validation rows by split= or by valid=, not by both")


def split_rows(frame: pl.DataFrame, splitter: Splitter) -> Split:
    """Run a splitter and check that there are training rows and, except with `train_on_all`, validation rows.

    Args:
        frame: the rows.
        splitter: the splitter.

    Raises:
        DataError: there are no training rows, or no validation rows.
        ConfigError: ``splitter`` is not a function.
    """
    if not callable(splitter):
        raise ConfigError(f"split must come from a function such as by_random(0.2) or by_time; got {splitter!r}")
    split = splitter(frame)
    if splitter is train_on_all and len(frame):
        return split
    for part, rows in (("training", split.train), ("validation", split.valid)):
        if not len(rows):
            raise DataError(f"the split leaves no {part} rows of {len(frame)}; check its fraction, date or condition")
    return split


def train_on_all(frame: pl.DataFrame) -> Split:
    """Train on all rows, without validation rows.

    Args:
        frame: the rows.
    """
    return Split(np.arange(len(frame)), np.arange(0))


def by_random(fraction: float = USUAL_FRACTION, *, seed: int = 0) -> Splitter:
    """Validate on a random fraction of the rows.

    The splitter warns if the table has dates: training and validation rows are then neighbours in time, so the metrics
    are too optimistic.

    Args:
        fraction: fraction of validation rows, between 0 and 1, both excluded.
        seed: random seed of the selection, at least 0.
    """
    _check_fraction(fraction)

    def split(frame: pl.DataFrame) -> Split:
        dates = [name for name, dtype in frame.schema.items() if dtype in (pl.Date, pl.Datetime)]
        if dates:
            warn(
                f"a random split of a table with a date column ({dates[0]!r}) lets the model look into the future of"
                f" its validation rows; split by time instead: by_time({dates[0]!r}, fraction={fraction})"
            )
        return _random(frame, fraction, seed)

    return split


def by_default(fraction: float = USUAL_FRACTION, *, seed: int = 0) -> Splitter:
    """Validate on the latest rows of a table with dates, and on random rows of any other.

    The first column of dates counts that leaves at least half of the rows to train on. A model that is trained on rows
    of all times looks into the future of its validation rows, and its metrics are too optimistic.

    Args:
        fraction: fraction of validation rows, between 0 and 1, both excluded; rows of the same time stay together.
        seed: random seed of the selection, at least 0.
    """
    _check_fraction(fraction)

    def split(frame: pl.DataFrame) -> Split:
        for name, dtype in frame.schema.items():
            if dtype in (pl.Date, pl.Datetime) and frame[name].drop_nulls().n_unique() > 1:
                latest = by_time(name, fraction=fraction)(frame)
                if len(latest.train) >= len(latest.valid):
                    start = str(frame[name][latest.valid].min())
                    note = (
                        f"validation rows are the latest by {name!r}: {len(latest.valid):,} of {len(frame):,}, from"
                        f" {start} on; split=, or --time and --valid-where on the command line, choose others"
                    )
                    return Split(latest.train, latest.valid, note)
        return _random(frame, fraction, seed)

    return split


def stratified(column: str, fraction: float = USUAL_FRACTION, *, seed: int = 0) -> Splitter:
    """Validate on a random fraction of each class, so that both parts have the classes in the same shares.

    Each class has training rows: the only row of a class trains.

    Args:
        column: the classes, usually the target; missing values form a class. Of fractional numbers the tenths count.
        fraction: fraction of validation rows, between 0 and 1, both excluded.
        seed: random seed of the selection, at least 0.
    """
    _check_fraction(fraction)

    def split(frame: pl.DataFrame) -> Split:
        classes = _classes(frame, column, "stratified")
        order = _by_class(classes, seed)
        count = max(1, round(len(order) * fraction))
        chosen = order[((np.arange(count) + 0.5) * len(order) / count).astype(np.int64)]
        return _with_each_class(_mask(len(frame), chosen), classes, order)

    return split


def by_last(fraction: float = USUAL_FRACTION) -> Splitter:
    """Validate on the last rows, in the order of the table.

    Args:
        fraction: fraction of validation rows, between 0 and 1, both excluded.
    """
    _check_fraction(fraction)

    def split(frame: pl.DataFrame) -> Split:
        mask = np.zeros(len(frame), dtype=bool)
        mask[len(frame) - round(len(frame) * fraction) :] = True
        return _of_mask(mask)

    return split


def by_time(
    column: str,
    *,
    start: str | datetime.date | float | None = None,
    last_days: float | None = None,
    fraction: float | None = None,
) -> Splitter:
    """Validate on the latest rows; give exactly one of ``start``, ``last_days`` and ``fraction``.

    Args:
        column: dates, times, or numbers that increase with time; rows without a value train.
        start: date, time or number from which on rows validate; dates also as ISO text such as ``"2015-06-20"``.
        last_days: number of days, up to the latest in the table, that validate; above 0.
        fraction: approximate fraction of validation rows, between 0 and 1; rows of the same time stay together.

    Raises:
        ConfigError: not exactly one of the three is given, or it is out of range.
    """
    if sum(option is not None for option in (start, last_days, fraction)) != 1:
        raise ConfigError("by_time needs exactly one of start, last_days and fraction")
    if fraction is not None:
        _check_fraction(fraction)
    if last_days is not None and not (isinstance(last_days, Real) and math.isfinite(last_days) and last_days > 0):
        raise ConfigError(f"last_days must be a number above 0; got {last_days!r}")

    def split(frame: pl.DataFrame) -> Split:
        check_columns(frame, [column], "by_time")
        times = frame[column]
        if not (times.dtype in (pl.Date, pl.Datetime) or times.dtype.is_numeric()):
            raise DataError(
                f"by_time: column {column!r} holds {times.dtype}; it must be dates, times or numbers: parse it first"
            )
        times = times.fill_nan(None) if times.dtype.is_float() else times
        if times.null_count() == len(times):
            raise DataError(f"by_time: column {column!r} has no values")
        if start is not None:
            validates = times >= _moment(start, times)
        elif last_days is not None:
            if not times.dtype.is_temporal():
                raise DataError(f"by_time: last_days needs dates; column {column!r} holds {times.dtype}: use start")
            validates = times > pl.select(pl.lit(times.max()) - pl.duration(days=last_days)).item()
        else:
            ordered = times.drop_nulls().sort()
            validates = times >= ordered[len(ordered) - max(1, round(len(ordered) * (fraction or 0.0)))]
        return _of_mask(validates.fill_null(value=False).to_numpy())

    return split


def by_column(column: str) -> Splitter:
    """Validate on the rows that a column marks: True, 1, "valid", "validation" or "test"; all others train.

    Args:
        column: name of a column of booleans, of 0 and 1, or of text.
    """
    words = ["true", "1", "1.0", "valid", "validation", "test"]  # 1.0: pandas stores 0, 1 and missing values as floats

    def split(frame: pl.DataFrame) -> Split:
        check_columns(frame, [column], "by_column")
        if frame.schema[column].is_nested():
            raise DataError(f"by_column: column {column!r} holds {frame.schema[column]}; it must be booleans or text")
        marks = frame[column].cast(pl.String).str.to_lowercase()
        return _of_mask(marks.is_in(words).fill_null(value=False).to_numpy())

    return split


def by_condition(condition: str) -> Splitter:
    """Validate on the rows that fulfil a SQL condition.

    Args:
        condition: the condition, such as ``Date >= '2014-08-01' AND Date <= '2014-09-17'``.
    """
    return lambda frame: _of_mask(matches(frame, condition, "valid_where").to_numpy())


def by_indices(valid: Sequence[int] | NDArray[np.integer[Any]]) -> Splitter:
    """Validate on the rows with given numbers.

    Args:
        valid: integers, ``(validation rows,)``: row numbers from 0, without repetition.

    Raises:
        ConfigError: ``valid`` is a list of lists of different lengths.
    """
    try:
        chosen = np.asarray(valid)
    except ValueError:
        raise ConfigError("by_indices needs whole row numbers in one axis; got lists of different lengths") from None

    def split(frame: pl.DataFrame) -> Split:
        if chosen.ndim != 1 or not (chosen.dtype.kind in "iu" or not len(chosen)):
            raise ConfigError(f"by_indices needs whole row numbers in one axis; got {chosen.dtype} {chosen.shape}")
        if len(chosen) and not (chosen.min() >= 0 and chosen.max() < len(frame)):
            raise DataError(f"by_indices: rows go from 0 to {len(frame) - 1}; got {chosen.min()} to {chosen.max()}")
        if len(np.unique(chosen)) != len(chosen):
            raise DataError("by_indices: a row number occurs more than once; give each once")
        return _of_mask(_mask(len(frame), chosen))

    return split


def by_groups(column: str, fraction: float = USUAL_FRACTION, *, seed: int = 0) -> Splitter:
    """Validate on whole groups, such as persons, shops or scenes, so that no group has training and validation rows.

    Args:
        column: name of the column with each row's group; missing values form a group.
        fraction: fraction of the groups that validate, between 0 and 1, both excluded.
        seed: random seed of the selection, at least 0.
    """
    _check_fraction(fraction)

    def split(frame: pl.DataFrame) -> Split:
        check_columns(frame, [column], "by_groups")
        groups = frame[column].unique(maintain_order=True)
        if len(groups) < 2:
            raise DataError(f"by_groups: column {column!r} has fewer than 2 groups, so it cannot be split")
        count = min(len(groups) - 1, max(1, round(len(groups) * fraction)))
        chosen = groups.gather(_permutation(len(groups), seed)[:count])
        return _of_mask(frame[column].is_in(chosen.implode(), nulls_equal=True).to_numpy())

    return split


def k_fold(folds: int = 5, *, seed: int = 0) -> list[Splitter]:
    """Return the splitters of a cross-validation: each row validates in exactly one of the splits.

    Args:
        folds: number of splits, at least 2.
        seed: random seed of the shuffling, at least 0.
    """

    def split(frame: pl.DataFrame, number: int) -> Split:
        order = _permutation(len(frame), seed)
        return _of_mask(_mask(len(frame), np.array_split(order, folds)[number]))

    return _folds("k_fold", folds, split)


def stratified_k_fold(column: str, folds: int = 5, *, seed: int = 0) -> list[Splitter]:
    """Return the splitters of a cross-validation whose parts all have the classes in the same shares.

    Each row validates in exactly one of the splits; but the only row of a class always trains, since nothing could be
    learnt of the class without it.

    Args:
        column: the classes, as for `stratified`.
        folds: number of splits, at least 2.
        seed: random seed of the shuffling, at least 0.
    """

    def split(frame: pl.DataFrame, number: int) -> Split:
        classes = _classes(frame, column, "stratified_k_fold")
        order = _by_class(classes, seed)
        return _with_each_class(_mask(len(frame), order[number::folds]), classes, order)

    return _folds("stratified_k_fold", folds, split)


def _folds(what: str, folds: int, split: Callable[[pl.DataFrame, int], Split]) -> list[Splitter]:
    """Return the splitters of a cross-validation.

    Args:
        what: name of the public function, for messages.
        folds: number of splits.
        split: returns the split of a frame of which a fold, by its number from 0, validates.

    Raises:
        ConfigError: fewer than 2 folds; the splitters raise `DataError` for fewer rows than folds.
    """
    if not isinstance(folds, int) or folds < 2:
        raise ConfigError(f"folds must be a whole number of at least 2; got {folds!r}")

    def checked(frame: pl.DataFrame, number: int) -> Split:
        if len(frame) < folds:
            raise DataError(f"{what}: {len(frame)} rows cannot make {folds} folds")
        return split(frame, number)

    return [partial(checked, number=number) for number in range(folds)]


def _classes(frame: pl.DataFrame, column: str, what: str) -> Rows:
    """Return the number of each row's class, int64 ``(rows,)``."""
    check_columns(frame, [column], what)
    values = frame[column]
    if values.dtype.is_nested():
        raise DataError(f"{what}: column {column!r} holds {values.dtype}; it must have one class in each row")
    if values.dtype.is_float():
        known = values.fill_nan(None)
        if not (known == known.round(0)).fill_null(value=True).all():
            ranks = known.rank("ordinal").cast(pl.Int64) - 1
            return (ranks * 10 // max(1, len(known) - known.null_count())).fill_null(10).to_numpy()
        values = known
    if values.dtype in (pl.Categorical, pl.Enum):
        values = values.cast(pl.String)
    return values.rank("dense").cast(pl.Int64).fill_null(0).to_numpy()


def _by_class(classes: Rows, seed: int) -> Rows:
    """Return the row numbers, those of a class together, within a class in random order."""
    return np.lexsort((_permutation(len(classes), seed), classes))


def _with_each_class(valid: NDArray[np.bool_], classes: Rows, order: Rows) -> Split:
    """Return the split of a mask of validation rows, with a row back in training for each class that has none there."""
    numbers, places = np.unique(classes, return_inverse=True)
    without = np.bincount(places[~valid], minlength=len(numbers)) == 0
    first = np.full(len(numbers), -1)
    first[places[order[::-1]]] = order[::-1]  # the first row of each class in this order
    valid = valid.copy()
    valid[first[without]] = False
    return _of_mask(valid)


def _random(frame: pl.DataFrame, fraction: float, seed: int) -> Split:
    order = _permutation(len(frame), seed)
    return _of_mask(_mask(len(frame), order[: round(len(frame) * fraction)]))


def _permutation(rows: int, seed: int) -> Rows:
    try:
        return np.random.default_rng(seed).permutation(rows)
    except (TypeError, ValueError):
        raise ConfigError(f"seed must be a whole number of at least 0; got {seed!r}") from None


def _mask(rows: int, chosen: NDArray[np.integer[Any]]) -> NDArray[np.bool_]:
    mask = np.zeros(rows, dtype=bool)
    mask[chosen.astype(np.int64)] = True
    return mask


def _of_mask(valid: NDArray[np.bool_]) -> Split:
    return Split(np.flatnonzero(~valid), np.flatnonzero(valid))


def _moment(start: str | datetime.date | float, times: pl.Series) -> Any:
    """Convert ``start`` to the type of the times; to a series of length 1 if they have a time zone."""
    if times.dtype.is_numeric():
        if isinstance(start, int | float):
            return start
        for convert in (int, float):  # integers first, since floats round numbers of more than 15 digits
            with contextlib.suppress(TypeError, ValueError):
                return convert(start)  # type: ignore[arg-type]  # a date raises TypeError, which is reported below
        raise ConfigError(f"start must be a number, like column {times.name!r}; got {start!r}")
    if isinstance(start, str):
        try:
            start = datetime.datetime.fromisoformat(start)
        except ValueError:
            raise ConfigError(f"start must be a date such as 2015-06-20; got {start!r}") from None
    if not isinstance(start, datetime.date):
        raise ConfigError(f"start must be a date, like column {times.name!r}; got {start!r}")
    if times.dtype == pl.Date:
        return start.date() if isinstance(start, datetime.datetime) else start
    moment = start if isinstance(start, datetime.datetime) else datetime.datetime.combine(start, datetime.time())
    zone = zone_of(times.dtype)
    if zone is None and moment.tzinfo is not None:
        raise ConfigError(f"start has a time zone and column {times.name!r} has none; got {start!r}: leave it out")
    if zone is None:
        return moment
    if moment.tzinfo is not None:
        return pl.Series([moment.astimezone(datetime.UTC)]).dt.convert_time_zone(zone)
    return pl.Series([moment]).dt.replace_time_zone(
        zone, ambiguous="earliest", non_existent="null"
    )  # in the column's time zone


def _check_fraction(fraction: float) -> None:
    if not isinstance(fraction, Real) or not 0 < fraction < 1:
        raise ConfigError(f"fraction must lie between 0 and 1; got {fraction!r}")
