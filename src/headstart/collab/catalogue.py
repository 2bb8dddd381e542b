"""`Catalogue`: what a user's own table says of the items or users: titles, genres, ages; by their ids."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from headstart.core.errors import DataError
from headstart.frames.categories import Categories
from headstart.frames.door import check_columns

__all__ = ["Catalogue"]

RESERVED = ("score", "because", "similarity", "rank", "ratings", "bias", "prediction")
"""Columns of answers, which facts may not be called."""

TITLES = ("title", "name")
"""Columns that things are shown by, where nothing else is said."""


@dataclass(frozen=True)
class Catalogue:
    """Facts in columns, aligned with the ids 1 to n of a vocabulary.

    Attributes:
        columns: for each column a value per id, the first for id 1; None where the table has none.
        title: the column that things are shown by; None: by their id.
    """

    columns: Mapping[str, Sequence[Any]] = field(default_factory=dict)
    title: str | None = None

    @classmethod
    def fit(
        cls, table: pl.DataFrame | None, key: str, vocab: Categories, name: str, title: str | None = None
    ) -> Catalogue:
        """Joins a table to a vocabulary. Rows about unknown ids are left out, and of several on one id the first stays.

        Args:
            table: with the column ``key``; None gives an empty catalogue.
            key: column of ids.
            vocab: the ids known.
            name: what messages call the table.
            title: column to show things by; None: ``title`` or ``name`` where there is one.

        Raises:
            DataError: the table lacks a column, or its ids cannot be understood as the vocabulary's.
        """
        if table is None:
            return cls()
        check_columns(table, [key, *([] if title is None else [title])], f"the table of {name}")
        taken = [column for column in table.columns if column in RESERVED and column != key]
        if taken:
            raise DataError(f"the table of {name} has a column {taken[0]!r}, which answers use themselves; rename it")
        title = None if title == key else title
        ids = pl.Series("headstart_id", vocab.encode(table[key]))
        facts = table.drop(key).with_columns(ids).unique("headstart_id", keep="first", maintain_order=True)
        known = pl.DataFrame({"headstart_id": pl.Series(np.arange(1, len(vocab), dtype=np.int32))})
        joined = known.join(facts, on="headstart_id", how="left", maintain_order="left").drop("headstart_id")
        if title is None:
            title = next((column for column in TITLES if column in joined.columns), None)
        return cls({column: tuple(_plain(joined[column])) for column in joined.columns}, title)

    def names(self, vocab: Categories, ids: NDArray[np.integer[Any]]) -> list[str]:
        """What to call things: their title, else their id as text.

        Args:
            vocab: whose ids these are.
            ids: 1 to n.
        """
        values = vocab.values
        titles = self.columns[self.title] if self.title is not None else ()
        found = []
        for number in ids.tolist():
            title = titles[number - 1] if titles else None
            found.append(str(values[number - 1] if title is None else title))
        return found

    def frame(self, ids: NDArray[np.integer[Any]]) -> pl.DataFrame:
        """The facts on these ids, a row per id."""
        places = pl.Series(np.asarray(ids, dtype=np.int64) - 1)
        return pl.DataFrame([pl.Series(name, list(values)).gather(places) for name, values in self.columns.items()])

    def to_json(self) -> dict[str, Any]:
        """What `from_json` takes."""
        return {"columns": {name: list(values) for name, values in self.columns.items()}, "title": self.title}

    @classmethod
    def from_json(cls, record: Mapping[str, Any]) -> Catalogue:
        """What `to_json` gave."""
        return cls({name: tuple(values) for name, values in record["columns"].items()}, record["title"])


def _plain(series: pl.Series) -> list[Any]:
    """Values that JSON can hold: what is no text, number or boolean becomes text."""
    dtype = series.dtype
    if dtype.is_nested():
        raise DataError(f"column {series.name!r} holds lists, which facts cannot be; join them to text or leave it out")
    if dtype.is_float():
        return [None if value is None or not math.isfinite(value) else value for value in series.to_list()]
    if dtype.is_integer() or dtype == pl.Boolean:
        return series.to_list()
    return series.cast(pl.String).to_list()
