"""Which columns are categorical, continuous or dates: clear rules, each overridden by naming the column.

1. A column that the user names as categorical, continuous or dates is taken as such.
2. A column without a name, without values, or with the same value in every row, is left out. A column that the table
   declares as categories (pandas' ``category``, polars' ``Categorical`` and ``Enum``) is categorical, whatever it holds.
3. Dates, with or without times of day, are dates: they become their parts.
4. Text, booleans and categories are categorical; text that differs in most rows is left out.
5. Whole numbers are categorical if none is negative, they have at most 2,000 values and each has 100 rows on average:
   shops, months, weekdays. Otherwise they are continuous.
6. Floating-point numbers are continuous.
7. Anything else (lists, times of day, durations) is left out.

All counts are those of the training rows. `TableCodec` keeps the reason for each column, and ``headstart info`` prints
it.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

import polars as pl

from headstart.core.errors import ConfigError, DataError
from headstart.frames.dates import as_moments, has_time
from headstart.frames.door import check_columns
from headstart.frames.readings import Reading, texts_as_numbers

__all__ = ["MOST_WHOLE_VALUES", "ROWS_PER_WHOLE_VALUE", "SortedColumns", "sort_columns"]

MOST_WHOLE_VALUES = 2_000
ROWS_PER_WHOLE_VALUE = 100
MOST_TEXT_SHARE = 0.5
"""Text with more distinct values than this share of the rows (and than 100) identifies single rows."""


@dataclass(frozen=True)
class SortedColumns:
    """The columns of a table by what they are taken as, in the table's order, each with the reason.

    Attributes:
        categorical: reasons by column.
        continuous: reasons by column.
        dates: reasons by column.
        left_out: reasons by column.
    """

    categorical: dict[str, str]
    continuous: dict[str, str]
    dates: dict[str, str]
    left_out: dict[str, str]


def sort_columns(
    frame: pl.DataFrame,
    *,
    categorical: Sequence[str] = (),
    continuous: Sequence[str] = (),
    dates: Sequence[str] = (),
    exclude: Sequence[str] = (),
    declared: Collection[str] = (),
    readings: Mapping[str, Reading] | None = None,
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

    Raises:
        DataError: a named column is missing, or cannot be what it is named; no column is left to learn from.
        ConfigError: a column is named twice, or a single name is given instead of a list.
    """
    named = {"categorical": categorical, "continuous": continuous, "dates": dates, "exclude": exclude}
    for argument, names in named.items():
        if isinstance(names, str):
            raise ConfigError(f"{argument} must be a list of columns; got the text {names!r}: write [{names!r}]")
    every = [name for names in named.values() for name in names]
    check_columns(frame, every, "categorical, continuous, dates and exclude")
    twice = next((name for name in every if sum(name in names for names in named.values()) > 1), None)
    if twice is not None:
        raise ConfigError(f"column {twice!r} is named in two of categorical, continuous, dates and exclude")
    columns = SortedColumns({}, {}, {}, {})
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
        return "left_out", f"holds {dtype}; convert it to use it"
    distinct = values.n_unique()
    if distinct == 1 and len(values) == len(series):
        return "left_out", f"the same value ({values[0]!r}) in all training rows"
    if dtype.is_float() or dtype.is_decimal():
        return "continuous", "floating-point numbers"
    if dtype.is_integer():
        counted = f"whole numbers with {distinct:,} values"
        if (values < 0).any():
            return "continuous", f"{counted}, some negative"
        many = distinct > MOST_WHOLE_VALUES or len(values) < ROWS_PER_WHOLE_VALUE * distinct
        return "continuous" if many else "categorical", counted
    if dtype == pl.Boolean:
        return "categorical", "true or false"
    if distinct > max(100, MOST_TEXT_SHARE * len(values)):
        return "left_out", f"text of which most rows have their own value ({distinct:,} of {len(values):,})"
    return "categorical", f"text with {distinct:,} values"


def _check_dates(series: pl.Series, reading: Reading | None) -> None:
    """Raise `DataError` if a column is named as dates and is none, or not certainly."""
    formats = () if reading is None else reading.formats
    if formats:
        one, other = formats[:2]
        raise DataError(
            f"column {series.name!r} may have the day or the month first, as in {series.drop_nulls()[0]!r}: say which by"
            f" date_format={one!r} or date_format={other!r}"
        )
    as_moments(series, with_time=has_time(series))


def _check_numeric(series: pl.Series) -> None:
    if series.dtype == pl.String:
        texts_as_numbers(series, f"column {series.name!r} cannot be continuous")
    elif not (series.dtype.is_numeric() or series.dtype == pl.Boolean):
        raise DataError(f"column {series.name!r} cannot be continuous: it holds {series.dtype}; convert it to numbers")
    if series.null_count() == len(series):
        raise DataError(f"column {series.name!r} cannot be continuous: it has no values in the training rows")
