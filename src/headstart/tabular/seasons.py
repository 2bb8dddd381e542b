"""Training rows of too little time to tell a season from a trend: the parts of dates and the numbers left out there."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import polars as pl
from numpy.typing import NDArray

from headstart.tabular.columns import SortedColumns
from headstart.tabular.complete_rows import CompleteRows
from headstart.tabular.dates import RARE_PARTS, SEASONAL_PARTS
from headstart.tabular.fitted_columns import numbers_of

__all__ = ["without_seasons"]

ONE_YEAR = 365
"""Days that training rows must span for a date to say more than weekday and hour: in less time what comes back each
year cannot be told from what happened once, and later rows lie beyond both (docs/tables.md, "Rows of less than a
year")."""

TWO_YEARS = 730
"""Days that training rows must span for weeks and days of months to be parts, too."""

FEWEST_DAYS = 30
"""Different days from which on numbers that grow with them do so by no accident."""

SOME_ROWS = 1_000
"""Rows that are looked at before all are, for numbers that grow with the days."""

NO_SEASON = "training rows of less than a year cannot tell a season from a trend"
"""Why nearly all parts of dates are left out."""


def without_seasons(rows: CompleteRows, columns: SortedColumns) -> tuple[SortedColumns, dict[str, str]]:
    """Leave out what tells nothing but the time, where the training rows span too little of it.

    In less than a year that is all parts of a date but weekday and hour, and numbers that are the date once more: a
    time in seconds, 2016.5 for the second of July. Numbers that the user names as continuous stay, and so does all
    where no other column would be left. In less than two years it is weeks and days of months.

    Args:
        rows: training rows with the parts of their dates.
        columns: which of their columns are what.

    Returns:
        The columns without those numbers; and the parts, each with the reason.
    """
    spans = {date.name: _days_between(rows.columns[f"{date.name}.elapsed"]) for date in rows.dates}
    rare = {
        f"{name}.{part}": "training rows of less than two years have too few of each"
        for name, days in spans.items()
        if days < TWO_YEARS
        for part in RARE_PARTS
    }
    short = [name for name, days in spans.items() if days < ONE_YEAR]
    seasons = {f"{name}.{part}": NO_SEASON for name in short for part in SEASONAL_PARTS}
    again = {
        number: f"its numbers grow with the days of {name!r}, and {NO_SEASON}"
        for name in short
        for number in columns.continuous
        if number not in columns.named and _grows_with(rows.columns[number], rows.columns[f"{name}.elapsed"])
    }
    kept = replace(
        columns,
        categorical={name: reason for name, reason in columns.categorical.items() if name not in again},
        continuous={name: reason for name, reason in columns.continuous.items() if name not in again},
        left_out={**columns.left_out, **again},
    )
    parts = [part for date in rows.dates for part in date.parts]
    others = [name for name in parts if name not in seasons and rows.columns[name].n_unique() > 1]
    return (kept, {**rare, **seasons}) if kept.categorical or kept.continuous or others else (columns, rare)


def _grows_with(series: pl.Series, elapsed: pl.Series) -> bool:
    """Return whether each number belongs to one day, and later days have higher numbers, or lower ones throughout."""
    values, _ = numbers_of(series)
    days = elapsed.cast(pl.Float64).to_numpy()
    known = ~(np.isnan(values) | np.isnan(days))
    values, days = values[known], days[known]
    if len(np.unique(days)) < FEWEST_DAYS:
        return False
    some = slice(None, None, max(1, len(days) // SOME_ROWS))  # most columns are told apart by a few rows
    return _in_one_order(values[some], days[some]) and _in_one_order(values, days)


def _in_one_order(values: NDArray[np.float64], days: NDArray[np.float64]) -> bool:
    """Return whether equal numbers are of one day, and days rise throughout with the numbers, or fall."""
    order = np.lexsort((days, values))
    later = np.diff(days[order])
    return not later[np.diff(values[order]) == 0].any() and bool((later >= 0).all() or (later <= 0).all())


def _days_between(elapsed: pl.Series) -> int:
    """Return the days from the first to the last; 0 if there are none."""
    first, last = elapsed.min(), elapsed.max()
    return last - first if isinstance(first, int) and isinstance(last, int) else 0
