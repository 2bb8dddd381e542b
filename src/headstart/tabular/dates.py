"""Dates: how a column of them is read, and their parts, which a model sees instead."""

from __future__ import annotations

import datetime
import re
from typing import Any

import numpy as np
import polars as pl

from headstart.core.errors import DataError
from headstart.frames.categories import is_missing

__all__ = ["CATEGORICAL_PARTS", "CONTINUOUS_PARTS", "as_moments", "date_parts", "date_parts_of", "has_time"]

CATEGORICAL_PARTS = ("month", "week", "day", "day_of_week", "hour")
"""Parts that repeat: each value gets an embedding. ``hour`` for columns with a time of day only."""

CONTINUOUS_PARTS = ("day_of_year", "elapsed")
"""Parts that are numbers. ``elapsed``, days since 1970-01-01, stands for the year too: a year yet to come would be an
unknown category, but days beyond the training rows' count as the last of them."""

EPOCH = datetime.date(1970, 1, 1).toordinal()


ISO = (
    r"([1-9][0-9]{3}-[0-9]{2}-[0-9]{2})"
    r"(?:[ T]((?:[01][0-9]|2[0-3]):[0-5][0-9])(:[0-5][0-9](?:\.[0-9]{1,9})?)?(?:Z|[+-][0-9]{2}:?[0-9]{2})?)?"
)
"""A date, with or without a time, its seconds, and its zone. One pattern serves columns and single values, so that both
read the same; the zone is ignored, since people live by the local clock."""

_ISO_VALUE = re.compile(ISO)
_ISO_COLUMN = f"^{ISO}$"


def as_moments(series: pl.Series, *, with_time: bool) -> pl.Series:
    """Return a column as dates, or as dates with a time of day; text in ISO form is read.

    Raises:
        DataError: a value is not a date; the message names it.
    """
    dtype = pl.Datetime("us") if with_time else pl.Date()
    if series.dtype == pl.String:
        date, time, seconds = (series.str.extract(_ISO_COLUMN, part) for part in (1, 2, 3))
        whole = date + "T" + time.fill_null("00:00") + seconds.fill_null(":00")
        read = whole.str.strptime(pl.Datetime("us"), "%Y-%m-%dT%H:%M:%S%.f", strict=False).cast(dtype)
        lost = read.is_null() & series.is_not_null()
        if lost.any():
            raise DataError(
                f"column {series.name!r}: expected dates such as 2015-06-20, but got {series.filter(lost)[0]!r}"
            )
        return read
    if series.dtype == pl.Datetime and getattr(series.dtype, "time_zone", None):
        series = series.dt.replace_time_zone(None)
    if series.dtype.is_float() and not series.drop_nulls().drop_nans().len():
        return series.clear(len(series)).cast(dtype)  # pandas' column of nothing but NaN
    if series.dtype in (pl.Date, pl.Datetime, pl.Null):
        return series.cast(dtype)
    raise DataError(f"column {series.name!r}: expected dates, as in the training rows, but got {series.dtype}")


def has_time(series: pl.Series) -> bool:
    """Return whether a column of dates, or of dates as text, has times of day."""
    if series.dtype == pl.String:
        return bool(series.str.contains(":").any())
    return series.dtype == pl.Datetime


def date_parts(series: pl.Series, *, with_time: bool) -> dict[str, pl.Series]:
    """Return a date column's parts by name (``Date.month``), whole numbers; null where the date is missing.

    Weeks are those of ISO 8601; Monday is day 1 of the week.

    Args:
        series: dates, times, or ISO text.
        with_time: whether the hour is one of the parts.
    """
    moments = as_moments(series, with_time=with_time).dt
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


def date_parts_of(value: Any, name: str, *, with_time: bool) -> dict[str, int | None]:
    """Return what `date_parts` makes of one value.

    Args:
        value: a date or a datetime (Python's, pandas' or numpy's), ISO text, or None.
        name: the column's name.
        with_time: whether the hour is one of the parts.
    """
    if is_missing(value):
        names = (*CATEGORICAL_PARTS[: None if with_time else -1], *CONTINUOUS_PARTS)
        return {f"{name}.{part}": None for part in names}
    if isinstance(value, np.datetime64):
        value = value.astype("datetime64[us]").item()
    if isinstance(value, str):
        value = _read_iso(value, name)
    if not isinstance(value, datetime.date):
        raise DataError(f"column {name!r}: expected a date, as in the training rows, but got {value!r}")
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


def _read_iso(text: str, name: str) -> datetime.datetime:
    match = _ISO_VALUE.fullmatch(text)
    try:
        if match is None:
            raise ValueError
        return datetime.datetime.fromisoformat(f"{match[1]}T{match[2] or '00:00'}{match[3] or ''}")
    except ValueError:  # no date by its form, or the 31st of June
        raise DataError(f"column {name!r}: expected dates such as 2015-06-20, but got {text!r}") from None
