"""`Catalogue`: facts on items or users from a table of their own (titles, genres, ages), by id."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, TypeAlias

import numpy as np
import polars as pl
from numpy.typing import NDArray

from headstart.core.errors import DataError
from headstart.frames.categories import Categories
from headstart.frames.door import check_columns

__all__ = ["Catalogue"]

Fact: TypeAlias = str | int | float | bool | None

RESERVED = ("score", "because", "similarity", "rank", "ratings", "bias", "prediction")
"""Columns of recommendations, which facts may not be called."""

TITLES = ("title", "name")
"""Columns that items are shown by if no other is given."""


@dataclass(frozen=True)
class Catalogue:
    """Facts in columns, aligned with the ids 1 to n of categories.

    Attributes:
        columns: for each column one value per id, that of id 1 first; None where the table has none.
        title: column that items are shown by; None: by their id.
    """

    columns: Mapping[str, tuple[Fact, ...]] = field(default_factory=dict)
    title: str | None = None

    @classmethod
    def fit(
        cls, table: pl.DataFrame | None, key: str, known: Categories, name: str, title: str | None = None
    ) -> Catalogue:
        """Join a table to categories. Rows on unknown ids are left out; of several rows on one id the first counts.

        Args:
            table: facts, with ids in the column ``key``; None gives an empty catalogue.
            key: column of ids.
            known: the ids of the training rows.
            name: name of the table in messages.
            title: column to show items by; None: ``title`` or ``name`` if the table has one.

        Raises:
            DataError: a column is missing, reserved, or holds lists; or the ids are of another type than ``known``.
        """
        if table is None:
            return cls()
        check_columns(table, [key, *([] if title is None else [title])], f"the table of {name}")
        clash = next((column for column in table.columns if column in RESERVED and column != key), None)
        if clash is not None:
            raise DataError(
                f"the table of {name} has a column {clash!r}, which is a column of recommendations; rename it"
            )
        title = None if title == key else title
        ids = pl.Series("headstart_id", known.encode(table[key]))
        facts = table.drop(key).with_columns(ids).unique("headstart_id", keep="first", maintain_order=True)
        every = pl.DataFrame({"headstart_id": pl.Series(np.arange(1, len(known), dtype=np.int32))})
        joined = every.join(facts, on="headstart_id", how="left", maintain_order="left").drop("headstart_id")
        if title is None:
            title = next((column for column in TITLES if column in joined.columns), None)
        return cls({column: tuple(_facts(joined[column])) for column in joined.columns}, title)

    def names(self, known: Categories, ids: NDArray[np.integer[Any]]) -> list[str]:
        """Return how to show items: their title, else their id as text.

        Args:
            known: the categories that the facts are aligned with.
            ids: int, 1 to n, ``(items,)``.
        """
        titles = self.columns[self.title] if self.title is not None else (None,) * len(known.values)
        shown = ((titles[number - 1], known.values[number - 1]) for number in ids.tolist())
        return [str(value if title is None else title) for title, value in shown]

    def frame(self, ids: NDArray[np.integer[Any]]) -> pl.DataFrame:
        """Return the facts on ids, a row per id."""
        indices = pl.Series(np.asarray(ids, dtype=np.int64) - 1)
        return pl.DataFrame([pl.Series(name, list(facts)).gather(indices) for name, facts in self.columns.items()])


def _facts(series: pl.Series) -> list[Fact]:
    """Values that JSON can hold: what is neither text, number nor boolean becomes text."""
    dtype = series.dtype
    if dtype.is_nested():
        raise DataError(f"column {series.name!r} holds lists, which facts cannot be; join them to text or leave it out")
    if dtype.is_float():
        return [None if value is None or not math.isfinite(value) else value for value in series.to_list()]
    if dtype.is_integer() or dtype == pl.Boolean:
        return series.to_list()
    return series.cast(pl.String).to_list()
