"""`DateColumn`: a column of dates, and their parts, which a model sees instead of them."""

from __future__ import annotations

import datetime
from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl

from headstart.frames.categories import is_missing
from headstart.frames.dates import ISO, OWN_CLOCK, DateForm, as_moments, check_clock, on_one_clock
from headstart.frames.missing_texts import MISSING_TEXTS

__all__ = [
    "CATEGORICAL_PARTS",
    "CONTINUOUS_PARTS",
    "RARE_PARTS",
    "SEASONAL_PARTS",
    "DateColumn",
    "date_parts",
    "date_parts_of",
]

CATEGORICAL_PARTS = ("month", "week", "day", "day_of_week", "hour")
"""Parts that repeat: each value gets an embedding. ``hour`` for columns with a time of day only."""

CONTINUOUS_PARTS = ("day_of_year", "elapsed")
"""Parts that are numbers. ``elapsed``, days since 1970-01-01, stands for the year too: a year yet to come would be an
unknown category, but days beyond the training rows' count as the last of them."""

RARE_PARTS = ("week", "day")
"""Parts of which a year has few rows of each value."""

SEASONAL_PARTS = ("month", *RARE_PARTS, "day_of_year", "elapsed")
"""Parts that say when in the year, in the month or in all time a day is; in less than a year all say the same."""

EPOCH = datetime.date(1970, 1, 1).toordinal()


@dataclass(frozen=True)
class DateColumn:
    """A column of dates, of which the model sees the parts.

    Attributes:
        name: the column's name.
        with_time: whether it has times of day, so that the hour is one of the parts.
        reason: why it holds dates.
        form: how text is written that holds it, and whose clock counts.
    """

    name: str
    with_time: bool
    reason: str
    form: DateForm = DateForm()

    @property
    def parts(self) -> tuple[str, ...]:
        """Names of its parts, ``<column>.<part>``, the categorical ones first."""
        return _part_names(self.name, with_time=self.with_time)


def date_parts(series: pl.Series, *, with_time: bool, form: DateForm | None = None) -> dict[str, pl.Series]:
    """Return a date column's parts by name (``Date.month``), whole numbers; null where the date is missing.

    Weeks are those of ISO 8601; Monday is day 1 of the week.

    Args:
        series: dates, times, or text.
        with_time: whether the hour is one of the parts.
        form: how text is written, and whose clock counts: that of the training rows. None: ISO text, and each value's
            own clock.

    Raises:
        DataError: a value is no date, or has a time zone where the training rows have none, or the other way round.
    """
    if form is not None:
        check_clock(series, form)
    moments = as_moments(series, with_time=with_time, form=form or DateForm(ISO, OWN_CLOCK)).dt
    parts = {
        "month": moments.month(),
        "week": moments.week(),
        "day": moments.day(),
        "day_of_week": moments.weekday(),
        "day_of_year": moments.ordinal_day(),
        "elapsed": moments.date().to_physical(),
    }
    if with_time:
        parts["hour"] = moments.hour()
    return {f"{series.name}.{part}": values.alias(f"{series.name}.{part}") for part, values in parts.items()}


def date_parts_of(value: Any, name: str, *, with_time: bool, form: DateForm = DateForm()) -> dict[str, int | None]:
    """Return what `date_parts` makes of one value.

    Args:
        value: a date or a datetime (Python's, pandas' or numpy's), text, or None.
        name: the column's name.
        with_time: whether the hour is one of the parts.
        form: how text is written, and whose clock counts: that of the training rows.

    Raises:
        DataError: the value is no date, or has a time zone where the training rows have none, or the other way round.
    """
    if is_missing(value) or (isinstance(value, str) and value in MISSING_TEXTS):
        return dict.fromkeys(_part_names(name, with_time=with_time))
    if isinstance(value, np.datetime64):
        value = value.astype("datetime64[us]").item()
    value = on_one_clock(value, name, form)
    parts: dict[str, int | None] = {
        f"{name}.month": value.month,
        f"{name}.week": value.isocalendar()[1],
        f"{name}.day": value.day,
        f"{name}.day_of_week": value.isoweekday(),
        f"{name}.day_of_year": value.timetuple().tm_yday,
        f"{name}.elapsed": value.toordinal() - EPOCH,
    }
    if with_time:
        parts[f"{name}.hour"] = getattr(value, "hour", 0)
    return parts


def _part_names(name: str, *, with_time: bool) -> tuple[str, ...]:
    """Return the names of a column's parts; the hour is one of a column with times of day alone."""
    parts = (*CATEGORICAL_PARTS, *CONTINUOUS_PARTS)
    return tuple(f"{name}.{part}" for part in parts if part != "hour" or with_time)
