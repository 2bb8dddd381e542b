"""`Categories`: values and their ids. Id 0 is for missing and unseen values; the known ones have 1 to n."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from functools import cached_property
from typing import Any, Literal, TypeAlias

import numpy as np
import polars as pl
from numpy.typing import NDArray

from headstart.core.errors import DataError

__all__ = ["Categories", "Kind", "Value", "canonical", "canonical_value", "is_missing", "kind_of"]

Value: TypeAlias = str | int | bool
"""A category: text, a whole number or a boolean. Fractions are numbers, not names."""

Kind = Literal["text", "integer", "boolean"]

_WORDS: dict[Kind, str] = {"text": "text", "integer": "whole numbers", "boolean": "true or false"}
LARGEST_EXACT = 2**53
"""Floats of this size and more do not represent each whole number."""

_BOOLEANS = {"true": True, "false": False, "1": True, "0": False}


@dataclass(frozen=True)
class Categories:
    """The values that a column had in the training rows, in order.

    Attributes:
        kind: text, whole numbers or booleans.
        values: the known values; the first has id 1.
    """

    kind: Kind
    values: tuple[Value, ...]

    def __len__(self) -> int:
        """Return the number of ids: those of the known values, and 0."""
        return len(self.values) + 1

    @classmethod
    def fit(cls, series: pl.Series) -> Categories:
        """Learn the distinct values of a training column, sorted, without missing ones.

        Raises:
            DataError: the column cannot hold categories (dates, lists, fractions).
        """
        kind = kind_of(series)
        return cls(kind, tuple(canonical(series, kind).drop_nulls().unique().sort().to_list()))

    def encode(self, series: pl.Series) -> NDArray[np.int32]:
        """Return ids, int32 ``(rows,)``: 1 to n, and 0 for missing and unseen values.

        Raises:
            DataError: a value cannot be read as one of this kind; see `canonical`.
        """
        if not self.values:
            return np.zeros(len(series), dtype=np.int32)
        values = canonical(series, self.kind)
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
        return self._ids.get(canonical_value(value, self.kind, name), 0) if self.values else 0

    def decode(self, ids: NDArray[np.integer[Any]]) -> pl.Series:
        """Return the values of ids, ``(rows,)``; null for 0."""
        values = pl.Series([None, *self.values], dtype=_dtype(self.kind))
        return values.gather(pl.Series(np.asarray(ids, dtype=np.int64)))

    @cached_property
    def _ids(self) -> dict[Value | None, int]:
        return {value: number for number, value in enumerate(self.values, start=1)}


def kind_of(series: pl.Series) -> Kind:
    """Return the kind of categories that a column holds.

    Floats and decimals without fractions are whole numbers; whole numbers too long for 64 bits are text.

    Raises:
        DataError: the column holds dates, lists, fractions or others that are not names.
    """
    dtype = series.dtype
    if dtype == pl.Boolean:
        return "boolean"
    if dtype.is_integer():
        return "integer" if series.cast(pl.Int64, strict=False).null_count() == series.null_count() else "text"
    if _may_have_fractions(dtype) and _whole(series).all():
        return "integer"
    if dtype in (pl.String, pl.Categorical, pl.Enum, pl.Null):
        return "text"
    advice = "fractions are not categories: make it continuous" if dtype.is_numeric() else "leave it out or convert it"
    raise DataError(f"column {series.name!r} cannot be categorical: it holds {dtype}; {advice}")


def canonical(series: pl.Series, kind: Kind) -> pl.Series:
    """Return a column with the values of one kind: String, Int64 or Boolean, missing ones null.

    A file format may change a column's type without changing its meaning ("0" for 0 in a CSV file), so whole numbers
    are read as text and the other way round if every value allows it. Whole numbers too long for 64 bits become null
    among whole numbers, since no training row can have had them.

    Raises:
        DataError: a value cannot be read as one of this kind; the message names it.
    """
    dtype = series.dtype
    if dtype == _dtype(kind):
        return series
    if kind == "integer" and dtype.is_integer():
        return series.cast(pl.Int64, strict=False)
    if _may_have_fractions(dtype):
        series = series.cast(pl.Float64).fill_nan(None)
        whole = _whole(series)
        if not whole.all():
            raise _wrong_kind(series.name, kind, series.filter(~whole)[0])
        series = series.cast(pl.Int64)
    looks_like_dates = dtype == pl.Date and kind == "text"  # as a file that has only some of the texts may
    if dtype in (pl.Categorical, pl.Enum) or looks_like_dates:
        series = series.cast(pl.String)
    if not (dtype.is_numeric() or dtype in (pl.String, pl.Categorical, pl.Enum, pl.Boolean, pl.Null)):
        raise _wrong_kind(series.name, kind, dtype)
    if kind == "boolean" and dtype != pl.Null:
        lowered = series.cast(pl.String).str.to_lowercase()
        converted = lowered.replace_strict(_BOOLEANS, default=None, return_dtype=pl.Boolean)
    else:
        converted = series.cast(_dtype(kind), strict=False)
    lost = converted.is_null() & series.is_not_null()
    if lost.any():
        raise _wrong_kind(series.name, kind, series.filter(lost)[0])
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
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, float | Decimal):
        value = float(value)
        if not (value.is_integer() and abs(value) < LARGEST_EXACT):
            raise _wrong_kind(name, kind, value)
        value = int(value)
    if not isinstance(value, str | int | bool):
        raise _wrong_kind(name, kind, value)
    if kind == "boolean":
        text = str(value).lower()
        if text not in _BOOLEANS:
            raise _wrong_kind(name, kind, value)
        return _BOOLEANS[text]
    if kind == "text":
        return str(value).lower() if isinstance(value, bool) else str(value)
    if isinstance(value, str):
        # polars decides which texts are whole numbers, here as in `canonical`.
        number = pl.Series([value]).cast(pl.Int64, strict=False)[0]
        if number is None:
            raise _wrong_kind(name, kind, value)
        return int(number)
    return int(value)


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


def _dtype(kind: Kind) -> pl.DataType:
    return {"text": pl.String(), "integer": pl.Int64(), "boolean": pl.Boolean()}[kind]


def _wrong_kind(name: str, kind: Kind, given: Any) -> DataError:
    what = f"the type {given}" if isinstance(given, pl.DataType) else f"the value {given!r}"
    return DataError(f"column {name!r}: expected {_WORDS[kind]}, as in the training rows, but got {what}; convert it")
