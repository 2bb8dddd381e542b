"""`Categories`: values and their ids. Id 0 is for missing and unseen values; the known ones have 1 to n.

A value means the same whatever type it comes in, since files and libraries change types without a word: the text ``1``,
the number 1 and the float 1.0 are one whole number; an empty text is a missing value.
"""

from __future__ import annotations

import datetime
from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from functools import cached_property
from typing import Any, Literal, TypeAlias

import numpy as np
import polars as pl
from numpy.typing import NDArray

from headstart.core.errors import DataError
from headstart.frames.dates import row_of, zone_of
from headstart.frames.missing_texts import MISSING_TEXTS
from headstart.frames.readings import ReadAsNumber, ReadAsText, ReadAsTruth, ReadAsWhole, Reading, numbers_in

__all__ = ["Categories", "Kind", "Value", "canonical", "canonical_value", "is_missing", "kind_of"]

Value: TypeAlias = str | int | bool | float
"""A category: text, a whole number or a boolean. Fractions are numbers, unless a table declares them as categories."""

Kind = Literal["text", "integer", "boolean", "number"]

_WORDS: dict[Kind, str] = {
    "text": "text", "integer": "whole numbers", "boolean": "true or false", "number": "numbers",
}  # fmt: skip
_DTYPES: Mapping[Kind, Any] = {"text": pl.String, "integer": pl.Int64, "boolean": pl.Boolean, "number": pl.Float64}
LARGEST_EXACT = 2**53
"""Floats of this size and more do not represent each whole number."""

_BOOLEANS = {"true": True, "false": False, "1": True, "0": False, "1.0": True, "0.0": False}


@dataclass(frozen=True)
class Categories:
    """The values that a column had in the training rows, in order.

    Attributes:
        kind: text, whole numbers, booleans or, if a table declares fractions as categories, numbers.
        values: the known values; the first has id 1.
        dtype: the training column's type of numbers, in which `decode` returns them; None: that of the kind.
    """

    kind: Kind
    values: tuple[Value, ...]
    dtype: str | None = field(default=None, compare=False)

    def __len__(self) -> int:
        """Return the number of ids: those of the known values, and 0."""
        return len(self.values) + 1

    @classmethod
    def fit(cls, series: pl.Series, *, declared: bool = False) -> Categories:
        """Learn the distinct values of a training column, sorted, without missing ones.

        Args:
            series: the column.
            declared: whether the table declares it as categories, so that fractions are names, too.

        Raises:
            DataError: the column cannot hold categories (lists, fractions).
        """
        kind = kind_of(series, declared=declared)
        values = canonical(series, kind).drop_nulls().unique().sort().to_list()
        own = series.dtype.is_numeric() and not series.dtype.is_decimal() and series.dtype != _DTYPES[kind]
        return cls(kind, tuple(values), str(series.dtype) if own and kind != "text" else None)

    @property
    def reading(self) -> Reading:
        """How a column of text is read that has such values."""
        if self.kind == "integer":
            return ReadAsWhole()
        if self.kind == "boolean":
            return ReadAsTruth()
        if self.kind == "number":
            return ReadAsNumber()
        return ReadAsText(known=tuple(text for text in MISSING_TEXTS if text in self._ids))

    def encode(self, series: pl.Series) -> NDArray[np.int32]:
        """Return ids, int32 ``(rows,)``: 1 to n, and 0 for missing and unseen values.

        Raises:
            DataError: a value cannot be read as one of this kind; see `canonical`.
        """
        if not self.values:
            return np.zeros(len(series), dtype=np.int32)
        values = canonical(self._respelt(series), self.kind)
        if self._in_float32:
            values = values.cast(pl.Float32).cast(pl.Float64)
        known = pl.Series(self.values, dtype=values.dtype)
        ids = pl.Series(np.arange(1, len(self), dtype=np.int32))
        return values.replace_strict(known, ids, default=0, return_dtype=pl.Int32).to_numpy()

    def encode_one(self, value: Any, name: str) -> int:
        """Return the id of one value: what `encode` returns for a column of it.

        Args:
            value: of Python's types, or a scalar of numpy or pandas.
            name: the column's name, for messages.

        Raises:
            DataError: the value cannot be read as one of this kind.
        """
        if not self.values:
            return 0
        if self.kind == "text" and not isinstance(value, str) and (self._numbers or self._booleans):
            value = self._respelt_one(value)
        found = canonical_value(value, self.kind, name)
        if self._in_float32 and found is not None:
            found = float(np.float32(found))
        return self._ids.get(found, 0)

    def decode(self, ids: NDArray[np.integer[Any]]) -> pl.Series:
        """Return the values of ids, ``(rows,)``, in the type of the training column; null for 0."""
        values = pl.Series([None, *self.values], dtype=_DTYPES[self.kind])
        values = values if self.dtype is None else values.cast(getattr(pl, self.dtype))
        return values.gather(pl.Series(np.asarray(ids, dtype=np.int64)))

    @property
    def _in_float32(self) -> bool:
        """Whether the values are fractions in 32 bits: 0.1 in a file is the float32 next to it."""
        return self.kind == "number" and self.dtype == "Float32"

    def _respelt(self, series: pl.Series) -> pl.Series:
        """Return a column of numbers or booleans as the known texts that mean them.

        The code ``01`` is the number 1 to whoever has read the table elsewhere, and the text ``True`` a boolean.
        """
        if self.kind != "text":
            return series
        if series.dtype == pl.Boolean and self._booleans:
            return series.replace_strict(self._booleans, default=None, return_dtype=pl.String)
        if series.dtype.is_numeric() and self._numbers:
            numbers, texts = series.cast(pl.Float64).fill_nan(None), series.cast(pl.String)
            if _may_have_fractions(series.dtype):
                whole = numbers.set(~_whole(numbers), None).cast(pl.Int64).cast(pl.String)
                texts = whole.fill_null(numbers.cast(pl.String))
            return numbers.replace_strict(self._numbers, default=texts, return_dtype=pl.String).alias(series.name)
        return series

    def _respelt_one(self, value: Any) -> Any:
        """Return what `_respelt` makes of one value."""
        if is_missing(value) or not isinstance(value, bool | int | float | Decimal | np.generic):
            return value
        return self._respelt(pl.Series([value.item() if isinstance(value, np.generic) else value]))[0]

    @cached_property
    def _numbers(self) -> dict[float, str]:
        """The known texts that are numbers, by number, if they are written in one way."""
        texts = pl.Series(self.values, dtype=pl.String)
        spellings: dict[float, list[str]] = {}
        for text, number in zip(texts, numbers_in(texts).fill_nan(None), strict=True):
            if number is not None and abs(number) < LARGEST_EXACT:
                spellings.setdefault(number, []).append(text)
        return {number: spelt[0] for number, spelt in spellings.items() if len(spelt) == 1}

    @cached_property
    def _booleans(self) -> dict[bool, str]:
        """The known texts that are booleans, likewise."""
        spellings: dict[bool, list[str]] = {True: [], False: []}
        for text in self.values:
            if str(text).lower() in ("true", "false"):
                spellings[str(text).lower() == "true"].append(str(text))
        return {truth: spelt[0] for truth, spelt in spellings.items() if len(spelt) == 1}

    @cached_property
    def _ids(self) -> dict[Value | None, int]:
        return {value: number for number, value in enumerate(self.values, start=1)}


def kind_of(series: pl.Series, *, declared: bool = False) -> Kind:
    """Return the kind of categories that a column holds.

    Floats and decimals without fractions are whole numbers; whole numbers too long for 64 bits are text. Dates are text
    in ISO form.

    Args:
        series: the column.
        declared: whether the table declares it as categories, so that fractions are names, too.

    Raises:
        DataError: the column holds lists, fractions or others that are not names.
    """
    dtype = series.dtype
    if dtype == pl.Boolean:
        return "boolean"
    if dtype.is_integer():
        return "integer" if series.cast(pl.Int64, strict=False).null_count() == series.null_count() else "text"
    if _may_have_fractions(dtype) and _whole(series).all():
        return "integer"
    if declared and dtype.is_numeric() and series.cast(pl.Float64).drop_nulls().drop_nans().is_finite().all():
        return "number"
    if dtype in (pl.String, pl.Categorical, pl.Enum, pl.Null) or _is_plain_date(dtype):
        return "text"
    advice = "fractions are not categories: make it continuous" if dtype.is_numeric() else "leave it out or convert it"
    raise DataError(f"column {series.name!r} cannot be categorical: it holds {dtype}; {advice}")


def canonical(series: pl.Series, kind: Kind) -> pl.Series:
    """Return a column with the values of one kind: String, Int64, Boolean or Float64, missing ones null.

    A file format may change a column's type without changing its meaning ("0" for 0 in a CSV file), so whole numbers
    are read as text and the other way round if every value allows it. Whole numbers too long for 64 bits become null
    among whole numbers, since no training row can have had them. Empty texts are missing.

    Raises:
        DataError: a value cannot be read as one of this kind; the message names it and its row.
    """
    dtype = series.dtype
    if dtype in (pl.Categorical, pl.Enum):
        series = series.cast(pl.String)
    if series.dtype == pl.String:
        series = _without_empty(series, kind)
    if series.dtype == _DTYPES[kind]:
        return series.fill_nan(None) if kind == "number" else series
    if kind == "integer" and dtype.is_integer():
        return series.cast(pl.Int64, strict=False)
    if _may_have_fractions(dtype) and kind != "number":
        series = series.cast(pl.Float64).fill_nan(None)
        whole = _whole(series)
        if not whole.all():
            raise _wrong_kind(series.name, kind, series.filter(~whole)[0], row_of(~whole))
        series = series.cast(pl.Int64)
    if kind == "text" and _is_plain_date(dtype):
        return _date_texts(series)
    if not (dtype.is_numeric() or dtype in (pl.String, pl.Categorical, pl.Enum, pl.Boolean, pl.Null)):
        raise _wrong_kind(series.name, kind, dtype)
    if kind == "boolean" and dtype != pl.Null:
        lowered = series.cast(pl.String).str.to_lowercase()
        converted = lowered.replace_strict(_BOOLEANS, default=None, return_dtype=pl.Boolean)
    elif series.dtype == pl.String and kind in ("integer", "number"):
        converted = numbers_in(series).fill_nan(None) if kind == "number" else _whole_numbers(series)
    else:
        converted = series.cast(_DTYPES[kind], strict=False)
    lost = converted.is_null() & series.is_not_null()
    if lost.any():
        raise _wrong_kind(series.name, kind, series.filter(lost)[0], row_of(lost))
    return converted


def canonical_value(value: Any, kind: Kind, name: str) -> Value | None:
    """Return what `canonical` makes of one value; None for a missing one.

    Args:
        value: of Python's types, or a scalar of numpy or pandas.
        kind: of the categories.
        name: the column's name, for messages.

    Raises:
        DataError: the value cannot be read as one of this kind.
    """
    if is_missing(value):
        return None
    if isinstance(value, np.datetime64):
        value = value.astype("datetime64[us]").item()
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, float | Decimal) and kind != "number":
        value = float(value)
        if not (value.is_integer() and abs(value) < LARGEST_EXACT):
            raise _wrong_kind(name, kind, value)
        value = int(value)
    if isinstance(value, datetime.date) and kind == "text" and getattr(value, "tzinfo", None) is None:
        kinds = pl.Datetime("us") if isinstance(value, datetime.datetime) else pl.Date()
        return str(_date_texts(pl.Series([value], dtype=kinds))[0])
    if type(value).__name__ == "Interval" and kind == "text":  # by name: pandas is never imported
        return str(value)
    if not isinstance(value, str | int | bool | float | Decimal):
        raise _wrong_kind(name, kind, value)
    if isinstance(value, str):
        if not value or (kind != "text" and value in MISSING_TEXTS):
            return None
        if kind in ("integer", "number"):  # polars decides which texts are numbers, here as in `canonical`
            number: int | float = canonical(pl.Series(name, [value]), kind)[0]
            return number
    if kind == "boolean":
        text = str(value).lower()
        if text not in _BOOLEANS:
            raise _wrong_kind(name, kind, value)
        return _BOOLEANS[text]
    if kind == "text":
        return str(value).lower() if isinstance(value, bool) else str(value)
    return float(value) if kind == "number" else int(value)


def is_missing(value: Any) -> bool:
    """Return whether a single value stands for a missing one: None, NaN, or pandas' NA and NaT."""
    if isinstance(value, float | np.floating | np.datetime64):
        return bool(value != value)
    return value is None or type(value).__name__ in ("NAType", "NaTType")  # by name: pandas is never imported


def _may_have_fractions(dtype: pl.DataType) -> bool:
    return dtype.is_float() or dtype.is_decimal()


def _whole(series: pl.Series) -> pl.Series:
    """Whether each number is whole, and exact as a float; null where it is missing."""
    values = series.cast(pl.Float64).fill_nan(None)
    return values.is_finite() & (values == values.round(0)) & (values.abs() < LARGEST_EXACT)


def _without_empty(series: pl.Series, kind: Kind) -> pl.Series:
    """Return text with null for what stands for a missing value: of text only the empty one, which no name is."""
    missing = series == "" if kind == "text" else series.is_in(MISSING_TEXTS)
    return series.set(missing, None) if missing.any() else series


def _whole_numbers(series: pl.Series) -> pl.Series:
    """Return text as whole numbers, Int64: also ``1.0``; null for what is none."""
    whole = series.cast(pl.Int64, strict=False)
    if whole.null_count() == series.null_count():
        return whole
    numbers = numbers_in(series)
    return whole.zip_with(whole.is_not_null(), numbers.set(~_whole(numbers), None).cast(pl.Int64))


def _is_plain_date(dtype: pl.DataType) -> bool:
    return dtype == pl.Date or (dtype == pl.Datetime and zone_of(dtype) is None)


def _date_texts(series: pl.Series) -> pl.Series:
    """Return dates as text in ISO form, without a time of day where it is midnight."""
    if series.dtype == pl.Date:
        return series.cast(pl.String)
    return series.cast(pl.Datetime("us")).dt.to_string("%Y-%m-%d %H:%M:%S%.f").str.strip_suffix(" 00:00:00")


def _wrong_kind(name: str, kind: Kind, given: Any, row: str = "") -> DataError:
    what = f"the type {given}" if isinstance(given, pl.DataType) else f"the value {given!r}"
    where = f" in {row}" if row else ""
    return DataError(
        f"column {name!r}: expected {_WORDS[kind]}, as in the training rows, but got {what}{where}; convert it"
    )
