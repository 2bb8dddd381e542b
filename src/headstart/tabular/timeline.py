"""`Timeline`: a table's rows in the order of time, group by group, and what lies before and after each of them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, TypeAlias

import numpy as np
import polars as pl
from numpy.typing import NDArray

from headstart.core.errors import DataError
from headstart.frames.dates import as_moments, has_time

__all__ = ["Timeline", "Unit", "check_dates"]

Unit: TypeAlias = Literal["rows", "days"]

Ints: TypeAlias = NDArray[np.int64]

MICROSECONDS_A_DAY = 86_400_000_000


class Timeline:
    """The rows of a table that have a date, sorted by group and then by date; rows of one moment in the table's order.

    All work is by sorting and binary search: a million rows take well under a second.

    Args:
        frame: the table, in any order.
        date: its column of dates or times.
        group: columns that identify which rows belong together (a shop); empty: all do. Missing values form a group.

    Attributes:
        order: indices of the rows in the table, int64 ``(dated rows,)``.
        with_time: whether the dates have a time of day.
    """

    def __init__(self, frame: pl.DataFrame, date: str, group: Sequence[str]) -> None:
        self.rows = len(frame)
        check_dates(frame[date])
        self.with_time = has_time(frame[date])
        moments = as_moments(frame[date], with_time=self.with_time)
        self._day = MICROSECONDS_A_DAY if self.with_time else 1
        dated = moments.is_not_null().to_numpy()
        moment = moments.to_physical().fill_null(0).to_numpy().astype(np.int64)
        groups = _group_numbers(frame, group)
        order = np.lexsort((moment, groups))  # stable: rows of one moment stay in the table's order
        self.order: Ints = order[dated[order]]
        self._group, self._moment = groups[self.order], moment[self.order]
        self._moments, rank = np.unique(self._moment, return_inverse=True)
        # One whole number per row that sorts by group and then by moment: below rows times rows, so within 64 bits.
        self._count = len(self._moments) + 1
        self._key = self._group * self._count + rank

    def since(self, event: NDArray[np.bool_]) -> pl.Series:
        """Return the days since the latest event of each row's group, at its moment or before; null without one.

        Args:
            event: whether each row of the table is an event, bool ``(rows,)``.

        Returns:
            Int32, or Float64 for dates with a time of day, ``(rows,)`` in the table's order.
        """
        return self._distance(event, side="right", step=-1)

    def until(self, event: NDArray[np.bool_]) -> pl.Series:
        """Return the days until the next event, at each row's moment or after; otherwise as `since`."""
        return self._distance(event, side="left", step=0)

    def window_sum(
        self, values: NDArray[np.generic], size: int, unit: Unit, *, forward: bool, present: bool
    ) -> pl.Series:
        """Return the sum over the rows before (or after) each row within its group.

        Args:
            values: int64 or float64 ``(rows,)``, in the table's order.
            size: length of the window, the present row or day counted if it takes part.
            unit: ``"rows"``, or ``"days"`` from the row's own moment.
            forward: look ahead instead of back.
            present: whether the row itself takes part (with days: all rows of its moment).

        Returns:
            Int64 or Float64 ``(rows,)``: 0 for an empty window, null for a row without a date.
        """
        first, last = (
            self._rows(size, forward=forward, present=present)
            if unit == "rows"
            else self._days(size, forward=forward, present=present)
        )
        sums = np.concatenate([np.zeros(1, values.dtype), np.cumsum(values[self.order])])
        return self._in_table_order(sums[last] - sums[first])

    def window_sum_behind(
        self, values: NDArray[np.generic], known: NDArray[np.bool_], size: int, unit: Unit, horizon: int
    ) -> pl.Series:
        """Return the sum over a window that ends a horizon before each row, within its group.

        Args:
            values: int64 or float64 ``(rows,)``, in the table's order.
            known: whether each value is known, bool ``(rows,)``.
            size: length of the window.
            unit: ``"rows"``, the last ones at the horizon or before it; or ``"days"``, the last one the horizon's.
            horizon: number of days from the end of the window to the row, at least 1.

        Returns:
            Int64 or Float64 ``(rows,)``: null for a window that is empty or has an unknown value, and for a row without
            a date.
        """
        last = self._first_row_after(self._moment - horizon * self._day)
        if unit == "rows":
            first = np.maximum(last - size, np.searchsorted(self._group, self._group, "left"))
        else:
            first = self._first_row_after(self._moment - (horizon + size) * self._day)
        sums = np.concatenate([np.zeros(1, values.dtype), np.cumsum(np.where(known, values, 0)[self.order])])
        counts = np.concatenate([np.zeros(1, np.int64), np.cumsum(known[self.order])])
        complete = (last > first) & (counts[last] - counts[first] == last - first)
        return self._in_table_order(sums[last] - sums[first], known=complete)

    def _first_row_after(self, moment: Ints) -> Ints:
        """Return the first row of each row's group after a moment."""
        return self._first_row_of(np.searchsorted(self._moments, moment, "right"))

    def _distance(self, event: NDArray[np.bool_], *, side: Literal["left", "right"], step: int) -> pl.Series:
        at = np.flatnonzero(event[self.order])
        index = np.searchsorted(self._key[at], self._key, side) + step
        inside = (index >= 0) & (index < len(at))
        nearest = at[np.where(inside, index, 0)] if len(at) else np.zeros(len(self.order), dtype=np.int64)
        inside &= self._group[nearest] == self._group if len(at) else False
        distance = np.abs(self._moment[nearest] - self._moment) / self._day
        days = self._in_table_order(distance, known=inside)
        return days if self.with_time else days.cast(pl.Int32)

    def _rows(self, size: int, *, forward: bool, present: bool) -> tuple[Ints, Ints]:
        here = np.arange(len(self.order))
        if forward:
            start, end = here + (not present), here + (not present) + size
        else:
            start, end = here + present - size, here + present
        lowest, highest = (np.searchsorted(self._group, self._group, side) for side in ("left", "right"))
        return np.maximum(start, lowest), np.minimum(end, highest)

    def _days(self, size: int, *, forward: bool, present: bool) -> tuple[Ints, Ints]:
        reach = self._moment + size * self._day * (1 if forward else -1)
        far_side: Literal["left", "right"] = "left" if present == forward else "right"
        far = self._first_row_of(np.searchsorted(self._moments, reach, far_side))
        near = np.searchsorted(self._key, self._key, "left" if present == forward else "right")
        return (near, far) if forward else (far, near)

    def _first_row_of(self, rank: Ints) -> Ints:
        """Return the first row of each row's group whose moment has this rank or a later one."""
        first: Ints = np.searchsorted(self._key, self._group * self._count + rank)
        return first

    def _in_table_order(self, values: NDArray[np.generic], known: NDArray[np.bool_] | None = None) -> pl.Series:
        ordered = np.zeros(self.rows, dtype=values.dtype)
        valid = np.zeros(self.rows, dtype=bool)
        ordered[self.order] = values
        valid[self.order] = True if known is None else known
        return pl.select(pl.when(pl.Series(valid)).then(pl.Series(ordered))).to_series()


def check_dates(series: pl.Series) -> None:
    """Raise `DataError` if a column's type cannot hold dates; whether text does is seen when it is read."""
    missing = series.null_count() + (int(series.is_nan().sum()) if series.dtype.is_float() else 0)
    if series.dtype not in (pl.Date, pl.Datetime, pl.String, pl.Null) and missing < len(series):
        raise DataError(f"column {series.name!r}: expected dates or times, but got {series.dtype}; convert it to dates")


def _group_numbers(frame: pl.DataFrame, group: Sequence[str]) -> Ints:
    """Return the number of each row's group, int64 ``(rows,)``."""
    if not group:
        return np.zeros(len(frame), dtype=np.int64)
    for name in group:
        if frame.schema[name].is_nested():
            raise DataError(f"group: column {name!r} holds {frame.schema[name]}; it must be text, numbers or dates")
    keys = frame.select(pl.col(name).alias(f"{place}") for place, name in enumerate(group))
    numbers = keys.unique(maintain_order=True).with_row_index("number")
    joined = keys.join(numbers, on=keys.columns, how="left", nulls_equal=True, maintain_order="left")
    return joined["number"].to_numpy().astype(np.int64)
