"""Python's own values as columns: rows as dictionaries, and columns that Arrow cannot convert as they are.

Text is valid Unicode afterwards: half of a surrogate pair, such as JSON of a cut message holds, becomes the replacement
character U+FFFD.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import polars as pl

from headstart.core.errors import DataError

__all__ = ["clean_text", "frame_of_rows", "series_of", "types_in"]


def clean_text(text: str) -> str:
    """Return a text without halves of surrogate pairs, each of which becomes the replacement character."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    return text


def frame_of_rows(rows: Iterable[Any], label: str) -> pl.DataFrame:
    """Return rows as a frame, with the columns of all rows; a value that a row lacks is missing.

    Args:
        rows: dictionaries of values by column.
        label: what messages call the table.

    Raises:
        DataError: a row is no dictionary, or its columns are no text.
    """
    columns: dict[str, list[Any]] = {}
    for number, row in enumerate(rows):
        if not isinstance(row, Mapping) or not all(isinstance(name, str) for name in row):
            raise DataError(f"{label}: row {number + 1} is no dictionary of values by column; got {str(row)[:80]}")
        for name, value in row.items():
            if name not in columns:
                columns[name] = [None] * number
            columns[name].append(value)
        if len(row) < len(columns):
            for column in columns.values():
                column.extend([None] * (number + 1 - len(column)))
    return pl.DataFrame([series_of(clean_text(name), values) for name, values in columns.items()])


def series_of(name: str, values: Sequence[Any]) -> pl.Series:
    """Return values as a column: of a type of polars, or of the type Object if they are of several types.

    A column of objects can be carried along and left out, and is refused where it is used.

    Args:
        name: the column's name.
        values: of Python's, numpy's or pandas' types.
    """
    kinds = {type(value) for value in values}
    if any(issubclass(kind, str) for kind in kinds):
        values = [clean_text(value) if isinstance(value, str) else value for value in values]
    if any(issubclass(kind, os.PathLike) for kind in kinds):
        values = [os.fspath(value) if isinstance(value, os.PathLike) else value for value in values]
    if any(issubclass(kind, float | np.generic) or kind.__name__ in ("NAType", "NaTType") for kind in kinds):
        values = [_plain(value) for value in values]
    try:
        return pl.Series(name, values, strict=True)
    except (TypeError, ValueError, OverflowError, pl.exceptions.PolarsError):
        known = {type(value) for value in values if value is not None}
        if known <= {int, float}:  # 1 and 2.5
            return pl.Series(name, values, dtype=pl.Float64, strict=False)
        return pl.Series(name, values, dtype=pl.Object)


def types_in(series: pl.Series) -> str:
    """Return the names of the types in a column of objects, for messages."""
    return ", ".join(sorted({type(value).__name__ for value in series.drop_nulls().to_list()}))


def _plain(value: Any) -> Any:
    if isinstance(value, np.generic):
        value = value.item()
    missing = value != value if isinstance(value, float) else type(value).__name__ in ("NAType", "NaTType")
    return None if missing else value
