"""Dates: how a column writes them, and on whose clock; settled from a whole column, and used again for every later row.

A column of text is read by one *form*: ISO 8601, or a format as of Python's ``strptime``. `forms_of` returns the forms
that fit all values of a column; one is an answer, two are a question that only its owner can answer (``1/2/2015``):
such a column stays text (`headstart.frames.readings.settle`), and a warning asks its owner.
A form has a *zone* as well, since ``23:30+02:00`` is another hour in Berlin than in UTC: later values are converted to
the clock of the training rows, or refused.
"""

from __future__ import annotations

import datetime
import re
from dataclasses import dataclass
from typing import Any

import polars as pl

from headstart.core.errors import ConfigError, DataError
from headstart.frames.missing_texts import without_missing

__all__ = [
    "ISO",
    "OWN_CLOCK",
    "DateForm",
    "as_moments",
    "check_clock",
    "checked_format",
    "form_of_typed",
    "forms_of",
    "has_time",
    "iso_moment",
    "on_one_clock",
    "read_dates",
    "row_of",
    "zone_of",
]

ISO = "iso"
"""The form 2015-06-20, 2015-06-20T23:30, 2015-06-20 23:30:59.5+02:00, ..."""

OWN_CLOCK = "own"
"""Instead of a zone: each value is read by the clock it was written by; its offset from UTC is not used."""

_ISO_TEXT = (
    r"([1-9][0-9]{3}-[0-9]{2}-[0-9]{2})"
    r"(?:[ T]((?:[01][0-9]|2[0-3]):[0-5][0-9])(:[0-5][0-9](?:\.[0-9]{1,9})?)?(Z|[+-][0-9]{2}:?[0-9]{2})?)?"
)
"""A date, with or without a time, its seconds, and its offset from UTC. One pattern serves columns and single values,
so that both read the same."""

_ISO_VALUE = re.compile(_ISO_TEXT)
_ISO_COLUMN = f"^{_ISO_TEXT}$"

_TIME = (
    r"(?P<gap>T|,? )(?P<hour>[0-9]{1,2}):[0-9]{2}(?P<second>:[0-9]{2})?(?P<fraction>\.[0-9]+)?(?P<half> ?[AaPp][Mm])?"
)
_DAY_OR_MONTH_FIRST = re.compile(
    rf"[0-9]{{1,2}}(?P<by>[/.-])[0-9]{{1,2}}(?P=by)(?P<year>[0-9]{{4}}|[0-9]{{2}})(?:{_TIME})?"
)
_YEAR_FIRST = re.compile(rf"[1-9][0-9]{{3}}(?P<by>[/.-])[0-9]{{1,2}}(?P=by)[0-9]{{1,2}}(?:{_TIME})?")
_DAY_AND_NAME = re.compile(
    rf"[0-9]{{1,2}}(?P<by>[ -])[A-Za-z]{{3,9}}(?P=by)(?P<year>[0-9]{{4}}|[0-9]{{2}})(?:{_TIME})?"
)
_NAME_AND_DAY = re.compile(rf"[A-Za-z]{{3,9}} [0-9]{{1,2}}(?P<comma>,?) [0-9]{{4}}(?:{_TIME})?")

EARLIEST_YEAR = 1000
"""Years of fewer digits are two-digit years read by a format of four."""


@dataclass(frozen=True)
class DateForm:
    """How a column writes its dates.

    Attributes:
        format: ``"iso"``; or a format as of ``strptime``, such as ``%d/%m/%Y``.
        zone: zone to whose clock moments are converted, such as ``Europe/Berlin``; ``"own"``: each is read by the clock
            it was written by; None: they have no zone.
        offsets: of values on their own clock, the offsets from UTC that they have, in minutes, ascending, if these are
            those of one place: one, or two in summer and winter. Empty: of many places.
    """

    format: str = ISO
    zone: str | None = None
    offsets: tuple[int, ...] = ()


def forms_of(series: pl.Series, *, date_format: str | None = None) -> tuple[DateForm, ...]:
    """Return the forms by which every value of a column of text is a date.

    A day above 12 tells 20/6/2015 from 6/20/2015. Dates with points have the day first.

    Args:
        series: text; missing values are null.
        date_format: a format that is tried besides, first; if it fits it is the only one.

    Returns:
        None of them: the column has no dates; one: its form; two: it is not certain whether day or month comes first.
    """
    texts = series.drop_nulls()
    if not len(texts):
        return ()
    if date_format is not None and _fits(texts, date_format):
        return (DateForm(date_format, _zone_of_format(date_format)),)
    first = texts[0].strip()
    if _plain_dates(texts) is not None:
        return (DateForm(ISO),)
    if _ISO_VALUE.fullmatch(first) and texts.str.contains(_ISO_COLUMN).all() and _read_iso(texts).null_count() == 0:
        return _iso_forms(texts)
    return tuple(DateForm(candidate) for candidate in _candidates(first) if _fits(texts, candidate))


def checked_format(date_format: str) -> str:
    """Return a format of dates.

    Raises:
        ConfigError: it does not have a day, a month and a year, by Python's ``strptime``.
    """
    day = datetime.datetime(2015, 6, 20)
    try:
        read = datetime.datetime.strptime(day.strftime(date_format), date_format)
    except ValueError:
        read = None
    if read is None or read.date() != day.date():
        raise ConfigError(
            f"date_format must have a day, a month and a year as in Python's strptime, such as '%d/%m/%Y' for"
            f" 20/06/2015; got {date_format!r}"
        )
    return date_format


def has_time(series: pl.Series) -> bool:
    """Return whether a column of dates, or of dates as text, has times of day."""
    if series.dtype == pl.String:
        return bool(series.str.contains(":").any())
    return series.dtype == pl.Datetime


def form_of_typed(series: pl.Series) -> DateForm:
    """Return the form of a column that holds dates as such: its zone."""
    return DateForm(ISO, zone_of(series.dtype))


def zone_of(dtype: pl.DataType) -> str | None:
    """Return the time zone of a column's type; None: it has none, or holds no moments."""
    return dtype.time_zone if isinstance(dtype, pl.Datetime) else None


def read_dates(series: pl.Series, form: DateForm) -> pl.Series:
    """Return text as dates, or as dates with a time of day; null where a text is no date of this form.

    Args:
        series: text.
        form: how it is written. With a zone the result has that zone; on its own clock it has none. A text that cannot
            be put on that clock is null, too.

    Returns:
        Date if no value has a time of day, else Datetime in microseconds.
    """
    if form.format == ISO:
        plain = _plain_dates(series) if form.zone is None else None
        if plain is not None:
            return plain
        offset = series.str.extract(_ISO_COLUMN, 4)
        read = _read_iso(series).set(_on_another_clock(offset, form), None)
        if form.zone not in (None, OWN_CLOCK):
            instants = (read - _offsets(offset)).dt.replace_time_zone("UTC")
            return instants.dt.convert_time_zone(form.zone)
        with_time = has_time(series)
    else:
        read = _read_format(series, form.format)
        with_time = any(part in form.format for part in ("%H", "%I", "%T", "%R"))
        if zone_of(read.dtype) is not None:
            return read.dt.convert_time_zone(form.zone or "UTC")
    return read if with_time else read.cast(pl.Date)


def as_moments(series: pl.Series, *, with_time: bool, form: DateForm = DateForm(ISO, OWN_CLOCK)) -> pl.Series:
    """Return a column as dates, or as dates with a time of day, on one clock and without a zone.

    Args:
        series: dates, times, or text.
        with_time: whether the result has times of day.
        form: how text is written, and whose clock counts.

    Raises:
        DataError: a value is not a date; the message names it and its row.
    """
    dtype = pl.Datetime("us") if with_time else pl.Date()
    if series.dtype == pl.String:
        series = without_missing(series)
        read = read_dates(series, form)
        lost = read.is_null() & series.is_not_null()
        if lost.any():
            example = "2015-06-20" if form.format == ISO else datetime.date(2015, 6, 20).strftime(form.format)
            raise DataError(
                f"column {series.name!r}: expected dates such as {example}, but got"
                f" {series.filter(lost)[0]!r} in {row_of(lost)}"
            )
        series = read
    if zone_of(series.dtype) is not None:
        series = series.dt.convert_time_zone(form.zone) if form.zone not in (None, OWN_CLOCK) else series
        series = series.dt.replace_time_zone(None)
    if series.dtype.is_float() and not series.drop_nulls().drop_nans().len():
        return series.clear(len(series)).cast(dtype)  # pandas' column of nothing but NaN
    if series.dtype in (pl.Date, pl.Datetime, pl.Null):
        return series.cast(dtype)
    raise DataError(f"column {series.name!r}: expected dates, as in the training rows, but got {series.dtype}")


def check_clock(series: pl.Series, form: DateForm) -> None:
    """Raise `DataError` if the moments of a column cannot be put on the clock of the training rows.

    Args:
        series: dates, times, or text.
        form: that of the training rows.
    """
    if series.dtype == pl.String:
        if form.format != ISO:
            return
        offset = series.str.extract(_ISO_COLUMN, 4)
        wrong = _on_another_clock(offset, form) & without_missing(series).is_not_null()
        if wrong.any():
            raise _other_clock(series.name, form, f"{series.filter(wrong)[0]!r} in {row_of(wrong)}")
        return
    if series.dtype not in (pl.Date, pl.Datetime) or series.null_count() == len(series):
        return
    zone = zone_of(series.dtype)
    if form.zone == OWN_CLOCK and form.offsets and zone is not None:
        if not _offset_of_types(series.drop_nulls()).is_in(form.offsets).all():
            raise _other_clock(series.name, form, f"moments in {zone}")
    elif (zone is None) != (form.zone in (None, OWN_CLOCK)):
        raise _other_clock(series.name, form, f"{series.dtype}" if zone is None else f"moments in {zone}")


def on_one_clock(value: Any, name: str, form: DateForm) -> datetime.date:
    """Return one value's moment on the clock of the training rows, without a zone: as `as_moments` does of a column.

    Args:
        value: a date or datetime of Python, or text.
        name: the column's name.
        form: that of the training rows.

    Raises:
        DataError: it is no date, or cannot be put on that clock.
    """
    if isinstance(value, str):
        if form == DateForm():
            return iso_moment(value, name)
        series = pl.Series(name, [value])
        check_clock(series, form)
        read: datetime.date = as_moments(series, with_time=True, form=form)[0]
        return read
    if not isinstance(value, datetime.date):
        raise DataError(f"column {name!r}: expected a date, as in the training rows, but got {value!r}")
    zoned = getattr(value, "tzinfo", None) is not None
    if zoned and form.offsets:
        assert isinstance(value, datetime.datetime)
        offset = value.utcoffset() or datetime.timedelta()
        if offset.total_seconds() // 60 not in form.offsets:
            raise _other_clock(name, form, repr(value))
        return value.replace(tzinfo=None)
    if zoned != (form.zone not in (None, OWN_CLOCK)):
        raise _other_clock(name, form, repr(value))
    if not zoned:
        return value
    assert isinstance(value, datetime.datetime) and form.zone is not None
    instant = pl.Series([value.astimezone(datetime.UTC).replace(tzinfo=None)], dtype=pl.Datetime("us"))
    moment: datetime.datetime = (
        instant.dt.replace_time_zone("UTC").dt.convert_time_zone(form.zone).dt.replace_time_zone(None)[0]
    )
    return moment


def iso_moment(text: str, name: str) -> datetime.datetime:
    """Return the moment of one text in ISO form without an offset.

    Raises:
        DataError: it is none.
    """
    match = _ISO_VALUE.fullmatch(text)
    if match is not None and match[4] is not None:
        raise _other_clock(name, DateForm(), repr(text))
    try:
        if match is None:
            raise ValueError
        return datetime.datetime.fromisoformat(f"{match[1]}T{match[2] or '00:00'}{match[3] or ''}")
    except ValueError:  # no date by its form, or the 31st of June
        raise DataError(f"column {name!r}: expected dates such as 2015-06-20, but got {text!r}") from None


def row_of(wrong: pl.Series) -> str:
    """Return which row is the first that a mask marks, for messages: ``row 17``, counted from 1."""
    return f"row {wrong.arg_max() + 1:,}"  # type: ignore[operator]  # called where a row is marked


def _plain_dates(series: pl.Series) -> pl.Series | None:
    """Return text as dates if each value is written 2015-06-20, the quick way for clean files; None for all others."""
    first = series.drop_nulls().head(1)
    if not len(first) or not _ISO_VALUE.fullmatch(first[0]) or not (series.str.len_bytes() == 10).all():
        return None
    read = series.str.to_date("%Y-%m-%d", strict=False)
    if read.null_count() > series.null_count() or (read.dt.year() < EARLIEST_YEAR).any():
        return None
    return read if (read.cast(pl.String) == series).all() else None  # +015-06-20 is none


def _read_iso(series: pl.Series) -> pl.Series:
    """Return the moments that text in ISO form has written, its offsets aside; null for other text."""
    date, time, seconds = (series.str.extract(_ISO_COLUMN, part) for part in (1, 2, 3))
    whole = date + "T" + time.fill_null("00:00") + seconds.fill_null(":00")
    return whole.str.strptime(pl.Datetime("us"), "%Y-%m-%dT%H:%M:%S%.f", strict=False)


def _read_format(series: pl.Series, date_format: str) -> pl.Series:
    """Return the moments of text by a format; null for other text. Two-digit years are those of Python's strptime."""
    try:
        read = series.str.strptime(pl.Datetime("us"), date_format, strict=False)
    except pl.exceptions.PolarsError as error:
        raise ConfigError(f"date_format {date_format!r} cannot be read: {error}") from error
    if "%y" in date_format:  # Python reads 69 as 1969, polars as 2069
        column = pl.col(read.name)
        return read.to_frame().select(
            pl.when(column.dt.year() == 2069).then(column.dt.offset_by("-100y")).otherwise(column)
        )[read.name]
    return read.set(read.dt.year() < EARLIEST_YEAR, None)


def _fits(texts: pl.Series, date_format: str) -> bool:
    few = texts.head(100)
    return _read_format(few, date_format).null_count() == 0 and _read_format(texts, date_format).null_count() == 0


def _candidates(text: str) -> list[str]:
    """Return the formats by which one text may be a date."""
    if match := _DAY_OR_MONTH_FIRST.fullmatch(text):
        by, short = match["by"], len(match["year"]) == 2
        if short and by != "/" and not re.match(r"[0-9]{2}[.-][0-9]{2}[.-]", text):
            return []  # a version, such as 1.2.15
        year, time = "%y" if short else "%Y", _time_format(match)
        forms = [f"%d{by}%m{by}{year}{time}"]
        return forms if by == "." else [*forms, f"%m{by}%d{by}{year}{time}"]
    if match := _YEAR_FIRST.fullmatch(text):
        return [f"%Y{match['by']}%m{match['by']}%d{_time_format(match)}"]
    if match := _DAY_AND_NAME.fullmatch(text):
        year = "%y" if len(match["year"]) == 2 else "%Y"
        return [f"%d{match['by']}%B{match['by']}{year}{_time_format(match)}"]
    if match := _NAME_AND_DAY.fullmatch(text):
        return [f"%B %d{match['comma']} %Y{_time_format(match)}"]
    return []


def _time_format(match: re.Match[str]) -> str:
    if match["hour"] is None:
        return ""
    second = "" if match["second"] is None else ":%S"
    fraction = "" if match["fraction"] is None else "%.f"
    if match["half"] is None:
        return f"{match['gap']}%H:%M{second}{fraction}"
    return f"{match['gap']}%I:%M{second}{fraction}{' ' if match['half'].startswith(' ') else ''}%p"


def _zone_of_format(date_format: str) -> str | None:
    return "UTC" if "%z" in date_format or "%Z" in date_format else None


def _on_another_clock(offset: pl.Series, form: DateForm) -> pl.Series:
    """Return which texts cannot be put on the clock of a form, by their offsets from UTC, null where they have none."""
    if form.zone is None:
        return offset.is_not_null()
    if form.zone != OWN_CLOCK:
        return offset.is_null()
    if form.offsets:
        return ~_minutes(offset).is_in(form.offsets).fill_null(value=False)
    return pl.Series([False]).new_from_index(0, len(offset))


def _iso_forms(texts: pl.Series) -> tuple[DateForm, ...]:
    """Return the form of ISO text: of one offset that polars has a zone for, in that zone; of others, on its own clock.

    None if some values have an offset and others have none.
    """
    offsets = texts.str.extract(_ISO_COLUMN, 4)
    if offsets.null_count():
        return (DateForm(),) if offsets.null_count() == len(offsets) else ()
    minutes = _minutes(offsets).unique().sort().to_list()
    hours, rest = divmod(minutes[0], 60)
    if len(minutes) == 1 and not rest and -12 <= hours <= 14:
        zone = "UTC" if not hours else f"Etc/GMT{-hours:+d}"  # its sign is that of POSIX: behind Greenwich is positive
        return (DateForm(ISO, zone),)
    of_one_place = len(minutes) == 1 or (len(minutes) == 2 and minutes[1] - minutes[0] <= 60)
    return (DateForm(ISO, OWN_CLOCK, tuple(minutes) if of_one_place else ()),)


def _offsets(texts: pl.Series) -> pl.Series:
    """Return offsets from UTC such as ``+0200`` or ``Z`` as durations."""
    return (_minutes(texts) * 60_000_000).cast(pl.Duration("us"))


def _minutes(texts: pl.Series) -> pl.Series:
    """Return offsets from UTC such as ``+0200`` or ``Z`` in minutes, Int64."""
    digits = texts.str.replace("Z", "+0000").str.replace(":", "")
    minutes = digits.str.slice(1, 2).cast(pl.Int64) * 60 + digits.str.slice(3, 2).cast(pl.Int64)
    return minutes.zip_with(~texts.str.starts_with("-"), -minutes)


def _offset_of_types(series: pl.Series) -> pl.Series:
    """Return the offset from UTC of each moment of a column with a time zone, in minutes, Int64."""
    return (series.dt.base_utc_offset() + series.dt.dst_offset()).dt.total_minutes()


def _other_clock(name: str, form: DateForm, got: str) -> DataError:
    if form.zone is None:
        return DataError(
            f"column {name!r}: the training rows have no time zone, but got {got}: convert it to their clock, and leave"
            " the zone out"
        )
    if form.zone == OWN_CLOCK:
        return DataError(
            f"column {name!r}: the training rows are texts with several offsets from UTC, each read by its own clock,"
            f" but got {got}: give texts with such offsets, or train on a column with one time zone"
        )
    return DataError(
        f"column {name!r}: the training rows have the time zone {form.zone}, but got {got}, which has none: add its"
        " zone"
    )
