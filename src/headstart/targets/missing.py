"""`check_no_missing`: targets have a value in each row."""

from __future__ import annotations

import polars as pl

from headstart.core.errors import DataError
from headstart.frames.door import sql_name

__all__ = ["check_no_missing"]


def check_no_missing(series: pl.Series) -> None:
    """Raise `DataError` if a target's column has missing values: null or NaN."""
    missing = series.null_count() + (int(series.is_nan().sum()) if series.dtype.is_float() else 0)
    if missing:
        raise DataError(
            f"target {series.name!r} is missing in {missing} of {len(series)} rows;"
            f" leave those out, where='{sql_name(series.name)} IS NOT NULL'"
        )
