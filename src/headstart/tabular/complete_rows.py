"""`CompleteRows`: rows with all that a codec reads, the parts of dates among it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import polars as pl

from headstart.core.errors import DataError
from headstart.frames.dates import DateForm, form_of_typed, has_time
from headstart.frames.readings import ReadAsDate, Reading
from headstart.tabular.columns import SortedColumns
from headstart.tabular.dates import DateColumn, date_parts

__all__ = ["CompleteRows", "with_dates"]


@dataclass(frozen=True)
class CompleteRows:
    """Rows that have all that a codec reads, so that it is made once for fitting and encoding.

    Attributes:
        frame: the rows with the recipe's features.
        columns: the columns that are encoded, the parts of dates (``<column>.<part>``) beside the dates.
        dates: the columns of dates.
    """

    frame: pl.DataFrame
    columns: pl.DataFrame
    dates: tuple[DateColumn, ...]

    @classmethod
    def of(
        cls, frame: pl.DataFrame, columns: SortedColumns, readings: Mapping[str, Reading] | None = None
    ) -> CompleteRows:
        """Return training rows with the parts of their dates.

        Args:
            frame: training rows, with the recipe's features.
            columns: which of their columns are what.
            readings: how their columns of text were read.

        Raises:
            DataError: a column has the name of a part of a date.
        """
        dates = tuple(
            DateColumn(name, has_time(frame[name]), reason, _form_of(frame[name], (readings or {}).get(name)))
            for name, reason in columns.dates.items()
        )
        used = frame.select(list(dict.fromkeys([*columns.categorical, *columns.continuous, *columns.dates])))
        return cls(frame, with_dates(used, dates), dates)


def with_dates(frame: pl.DataFrame, dates: tuple[DateColumn, ...]) -> pl.DataFrame:
    """Return the rows with the parts of their dates as further columns."""
    for date in dates:
        parts = date_parts(frame[date.name], with_time=date.with_time, form=date.form)
        clash = next((name for name in parts if name in frame.columns), None)
        if clash is not None:
            raise DataError(f"column {clash!r} has the name of a part of the date {date.name!r}; rename one of them")
        frame = frame.with_columns(**parts)
    return frame


def _form_of(series: pl.Series, reading: Reading | None) -> DateForm:
    """Return how a column of dates was written: by its reading, or as its type says."""
    return reading.form if isinstance(reading, ReadAsDate) else form_of_typed(series)
