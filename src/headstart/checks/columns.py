"""What a table's columns hold: type, missing values, different values, range, and what each is taken for."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import polars as pl

__all__ = ["Role", "column_table"]

Role = tuple[str, str]
"""What a column is taken for (``target``, ``number``, ``category``, ``date``, ``text``, ``left out`` ...), and why."""


def column_table(frame: pl.DataFrame, roles: Mapping[str, Role]) -> pl.DataFrame:
    """Return a row for each column of a table.

    Args:
        frame: the rows of both parts.
        roles: what the application takes each column for; columns without a role are not used.

    Returns:
        ``column``, ``type``, ``missing`` (number of rows), ``unique``, ``lowest``, ``highest``, ``taken_as``,
        ``reason``.
    """
    rows = []
    for series in frame:
        if series.dtype.is_float():
            series = series.fill_nan(None)
        lowest, highest = _range(series)
        taken_as, reason = roles.get(series.name, ("not used", ""))
        rows.append(
            {
                "column": series.name, "type": str(series.dtype), "missing": series.null_count(),
                "unique": _different(series), "lowest": lowest, "highest": highest, "taken_as": taken_as,
                "reason": reason,
            }
        )  # fmt: skip
    names = ("column", "type", "lowest", "highest", "taken_as", "reason")
    return pl.DataFrame(
        rows, schema_overrides=dict.fromkeys(names, pl.String) | {"missing": pl.Int64, "unique": pl.Int64}
    )


def _different(series: pl.Series) -> int | None:
    try:
        return series.drop_nulls().n_unique()
    except pl.exceptions.PolarsError:  # lists of lists and objects cannot be compared
        return None


def _range(series: pl.Series) -> tuple[str | None, str | None]:
    """Return the lowest and the highest value as text; of text its first and last in the alphabet."""
    if series.dtype.is_nested() or series.dtype in (pl.Object, pl.Binary, pl.Null) or not series.drop_nulls().len():
        return None, None
    if series.dtype in (pl.Categorical, pl.Enum):
        series = series.cast(pl.String)
    return _short(series.min()), _short(series.max())


def _short(value: Any) -> str:
    text = f"{value:.6g}" if isinstance(value, float) else str(value).replace("\n", " ")
    return text if len(text) <= 24 else f"{text[:23]}…"
