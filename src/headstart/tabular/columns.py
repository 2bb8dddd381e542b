"""Which columns are categorical, continuous or dates: clear rules, each overridden by naming the column.

1. A column that the user names as categorical, continuous or dates is taken as such.
2. A column without a name, without values, or with the same value in every row, is left out. A column that the table
   declares as categories (pandas' ``category``, polars' ``Categorical`` and ``Enum``) is categorical, whatever it has.
3. Dates, with or without times of day, are dates: they become their parts.
4. Text, booleans and categories are categorical; text that differs in most rows is left out.
5. Numbers are continuous: years, counts and distances that training has not seen lie between or beyond those that it
   has. Whole numbers are categorical, too, if they have few values, 3 to 24 with at least 25 rows each on average,
   unless they are years; or if they name something, such as shops or codes of occupations: the target differs from
   value to value far more than from range to range.
6. Anything else (lists, times of day, durations) is left out.

Whether a column of text holds numbers or dates at all is settled before, by `headstart.frames.readings`. All counts
are those of the training rows. `TableCodec` keeps the reason for each column, and ``headstart info`` prints
it.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl
from numpy.typing import NDArray

from headstart.core.errors import ConfigError, DataError
from headstart.frames.dates import as_moments, has_time
from headstart.frames.door import check_columns
from headstart.frames.readings import Reading, texts_as_numbers
from headstart.frames.rows import types_in

__all__ = ["SortedColumns", "sort_columns"]

MOST_NAMES = 50_000
"""Whole numbers with more values are no names that a model could learn."""

MOST_FEW = 24
"""Whole numbers with so many values or fewer are categories, too: a customer's calls to the service, a house's rooms.
Losses of telecom, ames, caravan, visits, loans and deliveries became 0.907, 0.967, 0.982, 0.992, 0.999 and 1.007 times
as large (split 0, three seeds)."""

YEARS = range(1800, 2201)
"""Whole numbers that are all in this range are taken for years."""

ROWS_PER_NAME = 25
"""Rows on average of each whole number that is a name: fewer say too little of it."""

LEAST_GAIN = 0.02
"""Share of the target's variance that the values of whole numbers explain beyond their ranges if they are names. Shops
of Rossmann: 0.54; codes of occupations in wages: 0.09; years, ages, distances and counts of the development suite: at
most 0.01."""

RANGES = 32
"""Ranges that a network's bends tell apart, as many as its bins."""

MOST_ROWS = 100_000
"""Rows that are looked at for names."""

SHRINKAGE = 5.0
"""Rows that what was known before counts for, beside those of a value."""

MOST_TEXT_SHARE = 0.5
"""Text with more distinct values than this share of the rows (and than 100) identifies single rows."""


@dataclass(frozen=True)
class SortedColumns:
    """The columns of a table by what they are taken as, in the table's order, each with the reason.

    Whole numbers that name something are both categorical and continuous.

    Attributes:
        categorical: reasons by column.
        continuous: reasons by column.
        dates: reasons by column.
        left_out: reasons by column.
        declared: columns that the table declares as categories, so that fractions are names there, too.
        named: columns that the user named as one of these or excluded.
    """

    categorical: dict[str, str]
    continuous: dict[str, str]
    dates: dict[str, str]
    left_out: dict[str, str]
    declared: frozenset[str] = frozenset()
    named: frozenset[str] = frozenset()


def sort_columns(
    frame: pl.DataFrame,
    *,
    categorical: Sequence[str] = (),
    continuous: Sequence[str] = (),
    dates: Sequence[str] = (),
    exclude: Sequence[str] = (),
    declared: Collection[str] = (),
    readings: Mapping[str, Reading] | None = None,
    targets: NDArray[np.float32] | None = None,
) -> SortedColumns:
    """Sort the columns of training rows by the rules at the head of this module.

    Args:
        frame: training rows, without the target.
        categorical: columns to take as categorical, whatever the rules say.
        continuous: columns to take as continuous, likewise.
        dates: columns to take as dates, likewise; they may hold text such as 2015-06-20.
        exclude: columns to leave out.
        declared: columns that the table declares as categories.
        readings: how its columns of text were read.
        targets: the rows' targets as numbers, float32 ``(rows, values)``, by which whole numbers that name something
            are found; None: none is.

    Raises:
        DataError: a named column is missing, or cannot be what it is named; no column is left to learn from.
        ConfigError: a column is named twice, or a single name is given instead of a list.
    """
    named = {"categorical": categorical, "continuous": continuous, "dates": dates, "exclude": exclude}
    for argument, names in named.items():
        if isinstance(names, str):
            raise ConfigError(f"{argument} must be a list of columns; got the text {names!r}: write [{names!r}]")
    every = [name for names in named.values() for name in names]
    used = [name for name in every if name not in exclude or name not in frame.columns]
    check_columns(frame, used, "categorical, continuous, dates and exclude")
    twice = next((name for name in every if sum(name in names for names in named.values()) > 1), None)
    if twice is not None:
        raise ConfigError(f"column {twice!r} is named in two of categorical, continuous, dates and exclude")
    columns = SortedColumns({}, {}, {}, {}, frozenset(declared), frozenset(every))
    for name in frame.columns:
        series = frame[name]
        if name in exclude:
            columns.left_out[name] = "excluded"
        elif name in categorical:
            columns.categorical[name] = "named categorical"
        elif name in continuous:
            _check_numeric(series)
            columns.continuous[name] = "named continuous"
        elif name in dates:
            _check_dates(series, (readings or {}).get(name))
            columns.dates[name] = "named as dates"
        else:
            kind, reason = _kind_of(series, declared=name in declared)
            getattr(columns, kind)[name] = reason
            if kind == "continuous" and _are_few(series):
                columns.categorical[name] = f"{reason}, few enough to learn each"
            elif kind == "continuous" and targets is not None and _are_names(series, targets):
                columns.categorical[name] = f"{reason} that name something: the target differs from one to the next"
    if not (columns.categorical or columns.continuous or columns.dates):
        reasons = "; ".join(f"{name!r}: {reason}" for name, reason in list(columns.left_out.items())[:5])
        raise DataError(f"no column is left to learn from ({reasons or 'the target is the only one'})")
    return columns


def _kind_of(series: pl.Series, *, declared: bool) -> tuple[str, str]:
    """Return the field of `SortedColumns` that a column belongs to, and the reason."""
    dtype = series.dtype
    values = series.drop_nulls()
    if dtype.is_float():
        values = values.drop_nans()
    if not series.name or series.name.startswith("Unnamed: "):
        return "left_out", "has no name, as row numbers that were saved along; rename it to use it"
    if not len(values):
        return "left_out", "no values in the training rows"
    if declared and (dtype.is_numeric() or dtype in (pl.Boolean, pl.Date, pl.Datetime)):
        distinct = values.n_unique()
        if distinct > 1 or len(values) < len(series):
            return "categorical", f"declared as categories, with {distinct:,} values"
    if dtype in (pl.Date, pl.Datetime):
        return "dates", "dates" if dtype == pl.Date else "dates with a time of day"
    if not (dtype.is_numeric() or dtype in (pl.String, pl.Categorical, pl.Enum, pl.Boolean)):
        types = types_in(series) if dtype == pl.Object else ""
        several = f"values of several types ({types})" if ", " in types else f"values of the type {types}"
        held = several if types else dtype
        return "left_out", f"holds {held}; convert it to use it"
    distinct = values.n_unique()
    if distinct == 1 and len(values) == len(series):
        return "left_out", f"the same value ({values[0]!r}) in all training rows"
    if dtype.is_float() or dtype.is_decimal():
        return "continuous", "floating-point numbers"
    if dtype.is_integer():
        own = " (each row its own)" if distinct == len(series) else ""
        return "continuous", f"whole numbers with {distinct:,} values{own}"
    if dtype == pl.Boolean:
        return "categorical", "true or false"
    if distinct > max(100, MOST_TEXT_SHARE * len(values)):
        return "left_out", f"text of which most rows have their own value ({distinct:,} of {len(values):,})"
    return "categorical", f"text with {distinct:,} values"


def _are_few(series: pl.Series) -> bool:
    """Return whether numbers are whole, and so few that each has enough rows to learn what it says by itself.

    Years are not: the coming one must not be unknown.
    """
    values = series.drop_nulls()
    if not values.dtype.is_integer() or not 2 < values.n_unique() <= min(MOST_FEW, len(values) / ROWS_PER_NAME):
        return False
    return not (values.min() in YEARS and values.max() in YEARS)


def _are_names(series: pl.Series, targets: NDArray[np.float32]) -> bool:
    """Return whether numbers are whole and say by their single values far more of the target than by their ranges.

    Half of the rows say what the target is by value, shrunk towards that of the range, and by range; the other half
    says which is nearer.
    """
    values = series.cast(pl.Float64).to_numpy()  # null becomes NaN
    known = np.flatnonzero(np.isfinite(values))
    known = np.random.default_rng(0).permutation(known)[:MOST_ROWS]
    values, targets = values[known], targets[known].astype(np.float64)
    if not len(known) or (values != np.round(values)).any():
        return False
    names, name = np.unique(values, return_inverse=True)
    if not 2 < len(names) <= min(MOST_NAMES, len(known) / ROWS_PER_NAME):
        return False
    ends = np.unique(np.quantile(values, np.linspace(0, 1, RANGES + 1)))
    range_ = np.searchsorted(ends, values, side="right")
    half, other = np.array_split(np.arange(len(known)), 2)

    def means(group: NDArray[np.int64], groups: int, before: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the mean targets of each row's group, shrunk by a few rows towards what is known before."""
        counts = np.bincount(group[half], minlength=groups)[:, None]
        sums = np.column_stack([np.bincount(group[half], column, groups) for column in targets[half].T])
        shrunk: NDArray[np.float64] = (sums[group] + SHRINKAGE * before) / (counts[group] + SHRINKAGE)
        return shrunk

    overall = np.broadcast_to(targets[half].mean(0), targets.shape)
    by_range = means(range_, len(ends) + 1, overall)
    by_name = means(name, len(names), by_range)
    variance = ((targets[other] - overall[other]) ** 2).sum()
    gain = ((targets[other] - by_range[other]) ** 2).sum() - ((targets[other] - by_name[other]) ** 2).sum()
    return bool(gain > LEAST_GAIN * variance)


def _check_dates(series: pl.Series, reading: Reading | None) -> None:
    """Raise `DataError` if a column is named as dates and is none, or not certainly."""
    formats = () if reading is None else reading.formats
    if formats:
        one, other = formats[:2]
        raise DataError(
            f"column {series.name!r} may have the day or the month first, as in {series.drop_nulls()[0]!r}: say which"
            f" by date_format={one!r} or date_format={other!r}"
        )
    as_moments(series, with_time=has_time(series))


def _check_numeric(series: pl.Series) -> None:
    if series.dtype == pl.String:
        texts_as_numbers(series, f"column {series.name!r} cannot be continuous")
    elif not (series.dtype.is_numeric() or series.dtype == pl.Boolean):
        raise DataError(f"column {series.name!r} cannot be continuous: it holds {series.dtype}; convert it to numbers")
    if series.null_count() == len(series):
        raise DataError(f"column {series.name!r} cannot be continuous: it has no values in the training rows")
