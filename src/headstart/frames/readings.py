"""How text is read: as text, whole numbers, numbers, true or false, or dates. Files of text have nothing else.

What a column is, is settled once, from all of its values (`settle`), and kept by the codec: later tables are read by
its readings, so that a file that happens to have codes ``01`` and ``02`` alone still has the codes and not the numbers
1 and 2. A reading never fails: if a value cannot be read so, the column stays text, and the codec that needs it
says which value in which row it is.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import ClassVar, TypeAlias

import polars as pl

from headstart.core.errors import DataError
from headstart.frames.amounts import AmountForm, amounts_in
from headstart.frames.dates import DateForm, forms_of, read_dates, row_of
from headstart.frames.missing_texts import without_missing

__all__ = [
    "ReadAsAmount",
    "ReadAsDate",
    "ReadAsNumber",
    "ReadAsText",
    "ReadAsTruth",
    "ReadAsWhole",
    "Reading",
    "numbers_in",
    "read_columns",
    "settle",
    "texts_as_numbers",
]

SAMPLE = 200
"""Number of values that are tried first: most columns show there what they cannot be."""


@dataclass(frozen=True)
class ReadAsText:
    """As it is.

    Attributes:
        known: texts that are values of this column although they usually stand for a missing one, such as ``NA`` for
            Namibia.
        missing: whether texts that stand for a missing value become null, the known ones aside.
        formats: formats by which each value would be a date, if there are several, so that none is certain.
    """

    known: tuple[str, ...] = ()
    missing: bool = True
    formats: tuple[str, ...] = ()

    def of(self, series: pl.Series) -> pl.Series:
        """Return the column with missing values as null."""
        return without_missing(series, self.known) if self.missing else series


@dataclass(frozen=True)
class ReadAsWhole:
    """As whole numbers, Int64."""

    formats: ClassVar[tuple[str, ...]] = ()

    def of(self, series: pl.Series) -> pl.Series:
        """Return the column as whole numbers, if each value is one."""
        plain = _at_once(series, pl.Int64())
        if plain is not None:
            return plain
        texts = without_missing(series)
        return _unless_lost(texts, _whole_numbers(texts))


@dataclass(frozen=True)
class ReadAsNumber:
    """As numbers, Float64."""

    formats: ClassVar[tuple[str, ...]] = ()

    def of(self, series: pl.Series) -> pl.Series:
        """Return the column as numbers, if each value is one."""
        plain = _at_once(series, pl.Float64())
        if plain is not None:
            return plain
        texts = without_missing(series)
        return _unless_lost(texts, numbers_in(texts))


@dataclass(frozen=True)
class ReadAsTruth:
    """As true or false."""

    formats: ClassVar[tuple[str, ...]] = ()

    def of(self, series: pl.Series) -> pl.Series:
        """Return the column as booleans, if each value is ``true`` or ``false`` in whatever case."""
        texts = without_missing(series)
        return _unless_lost(texts, _truth(texts))


@dataclass(frozen=True)
class ReadAsDate:
    """As dates or times.

    Attributes:
        form: how they are written, and on whose clock.
    """

    formats: ClassVar[tuple[str, ...]] = ()

    form: DateForm = DateForm()

    def of(self, series: pl.Series) -> pl.Series:
        """Return the column as dates or times, if each value is one of this form."""
        texts = without_missing(series)
        return _unless_lost(texts, read_dates(texts, self.form))


@dataclass(frozen=True)
class ReadAsAmount:
    """As numbers with thousands separators, currency signs and the like; what is no number becomes null.

    Attributes:
        form: how they are written.
    """

    formats: ClassVar[tuple[str, ...]] = ()

    form: AmountForm = field(default_factory=AmountForm)

    def of(self, series: pl.Series) -> pl.Series:
        """Return the column as numbers."""
        return amounts_in(series, self.form)


Reading: TypeAlias = ReadAsText | ReadAsWhole | ReadAsNumber | ReadAsTruth | ReadAsDate | ReadAsAmount


def read_columns(frame: pl.DataFrame, readings: Mapping[str, Reading]) -> pl.DataFrame:
    """Return a frame with its columns of text read by their readings; all other columns stay as they are.

    Args:
        frame: any frame.
        readings: by column; columns that the frame does not have are ignored.
    """
    read = [
        readings[series.name].of(series) for series in frame if series.name in readings and series.dtype == pl.String
    ]
    return frame.with_columns(read) if read else frame


def settle(
    series: pl.Series,
    *,
    only_dates: bool = False,
    dates: bool = True,
    date_format: str | None = None,
    known: Collection[str] = (),
) -> Reading:
    """Return what a column of text holds, by all of its values.

    Whole numbers with leading zeros, and those too long for 64 bits, are text: they are codes.

    Args:
        series: text.
        only_dates: the column is text by its type, as in a frame, and may hold dates, but no numbers.
        dates: whether it may hold dates.
        date_format: format of dates that is tried first.
        known: texts that are values here although they usually stand for a missing one.
    """
    if not only_dates and series.null_count() < len(series):
        start = series.head(SAMPLE)
        if _at_once(start, pl.Int64()) is not None and _at_once(series, pl.Int64()) is not None:
            return ReadAsText() if _leading_zeros(series) else ReadAsWhole()
        if _at_once(start, pl.Float64()) is not None and _at_once(series, pl.Float64()) is not None:
            return ReadAsText() if _leading_zeros(series) or _only_digits(series) else ReadAsNumber()
    if dates and only_dates:
        start = without_missing(series.head(SAMPLE), tuple(known)).drop_nulls()
        if len(start) and not forms_of(start, date_format=date_format):
            return ReadAsText()
    texts = without_missing(series, tuple(known)).drop_nulls()
    few = texts.head(SAMPLE)
    if not len(few):
        return ReadAsText()
    if not only_dates:
        if _whole_numbers(few).null_count() == 0 and _whole_numbers(texts).null_count() == 0:
            return ReadAsText() if _leading_zeros(texts) else ReadAsWhole()
        if numbers_in(few).null_count() == 0 and numbers_in(texts).null_count() == 0:
            return ReadAsText() if _leading_zeros(texts) or _only_digits(texts) else ReadAsNumber()
        if _truth(few).null_count() == 0 and _truth(texts).null_count() == 0:
            return ReadAsTruth()
    forms = forms_of(texts, date_format=date_format) if dates else ()
    if len(forms) == 1:
        return ReadAsDate(forms[0])
    return ReadAsText(formats=tuple(form.format for form in forms))


def numbers_in(series: pl.Series) -> pl.Series:
    """Return text as numbers, Float64; null for what is none. ``true`` and ``false`` are no numbers."""
    return _parsed(series, pl.Float64())


def texts_as_numbers(series: pl.Series, subject: str) -> pl.Series:
    """Return text as numbers, Float64; ``true`` and ``false`` are 1 and 0, as booleans are.

    Args:
        series: text; what stands for a missing value becomes null.
        subject: whose values they are, for the message: ``column 'price'``.

    Raises:
        DataError: a text is no number; the message names it and its row.
    """
    texts = without_missing(series)
    read = numbers_in(texts)
    if read.null_count() > texts.null_count():
        read = read.fill_null(_truth(texts).cast(pl.Float64))
    lost = read.is_null() & texts.is_not_null()
    if lost.any():
        raise DataError(
            f"{subject}: expected numbers, but got the text {texts.filter(lost)[0]!r} in {row_of(lost)}; correct it, or"
            " leave it empty if it is missing"
        )
    return read


def _at_once(series: pl.Series, dtype: pl.DataType) -> pl.Series | None:
    """Return text as numbers if each value plainly is one, the quick way for clean files; None for all others."""
    read = series.cast(dtype, strict=False)
    if read.null_count() > series.null_count() or (dtype.is_float() and read.is_nan().any()):
        return None
    return read


def _whole_numbers(series: pl.Series) -> pl.Series:
    return _parsed(series, pl.Int64())


def _parsed(series: pl.Series, dtype: pl.DataType) -> pl.Series:
    """Return text as numbers of a type; blanks around them do not matter."""
    read = series.cast(dtype, strict=False)
    if read.null_count() == series.null_count():
        return read
    return series.str.strip_chars().cast(dtype, strict=False)


def _truth(series: pl.Series) -> pl.Series:
    words = {"true": True, "false": False}
    return series.str.to_lowercase().replace_strict(words, default=None, return_dtype=pl.Boolean)


def _leading_zeros(texts: pl.Series) -> bool:
    return bool(texts.str.contains(r"^\s*[+-]?0[0-9]").any())


def _only_digits(texts: pl.Series) -> bool:
    return bool(texts.str.contains(r"^[0-9]{19,}$").any())


def _unless_lost(texts: pl.Series, read: pl.Series) -> pl.Series:
    return read if read.null_count() == texts.null_count() else texts
