"""`RatingsCodec`: what is learnt from training ratings before training: who the users, what the items, which unit."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl
import torch
from numpy.typing import NDArray
from torch import Tensor

from headstart.collab.catalogue import Catalogue
from headstart.core import values
from headstart.core.errors import DataError, did_you_mean
from headstart.frames.categories import Categories, canonical, is_missing
from headstart.frames.door import check_columns
from headstart.targets.missing import check_no_missing
from headstart.targets.target import Number

__all__ = ["RatingsCodec"]


@dataclass(frozen=True)
class RatingsCodec:
    """Turns (user, item) pairs into ids and ratings into targets. Made from training rows alone.

    Id 0 is for whoever or whatever the training rows do not know; the known are 1 to n, in the order of their values.

    Attributes:
        user: column of users.
        item: column of items.
        users: the users of the training rows.
        items: their items.
        target: the rating; None where rows only say that a user has chosen an item.
        item_facts: titles and other facts on the items, from a table of the user's own.
        user_facts: facts on the users.
    """

    user: str
    item: str
    users: Categories
    items: Categories
    target: Number | None
    item_facts: Catalogue
    user_facts: Catalogue

    @classmethod
    def fit(
        cls,
        frame: pl.DataFrame,
        user: str,
        item: str,
        rating: str | None,
        *,
        y_range: tuple[float, float] | None = None,
        items: pl.DataFrame | None = None,
        users: pl.DataFrame | None = None,
        title: str | None = None,
    ) -> RatingsCodec:
        """Learns users, items, mean and deviation of the ratings.

        Args:
            frame: training rows.
            user: column of users.
            item: column of items.
            rating: column of ratings, or None.
            y_range: the lowest and the highest rating there can be; None: the lowest and highest of these rows.
            items: facts on items, with a column named as ``item``.
            users: facts on users, with a column named as ``user``.
            title: column of ``items`` that items shall be shown by; None: ``title`` or ``name`` where there is one.

        Raises:
            DataError: a column cannot hold ids or ratings, or a rating lies outside ``y_range``.
        """
        known_users, known_items = _fit_vocab(frame[user]), _fit_vocab(frame[item])
        target = None if rating is None else _fit_target(frame, rating, y_range)
        return cls(
            user, item, known_users, known_items, target,
            Catalogue.fit(items, item, known_items, "items", title), Catalogue.fit(users, user, known_users, "users"),
        )  # fmt: skip

    @property
    def rating(self) -> str | None:
        """The column of ratings."""
        return None if self.target is None else self.target.columns[0]

    def encode(self, frame: pl.DataFrame) -> tuple[Tensor, Tensor]:
        """Ids of users and of items, int64 ``(rows,)`` each; 0 for the unknown and the missing.

        Raises:
            DataError: a column is missing, or holds what cannot be an id of its kind.
        """
        check_columns(frame, (self.user, self.item), "the table")
        users, items = self.users.encode(frame[self.user]), self.items.encode(frame[self.item])
        return torch.from_numpy(users.astype(np.int64)), torch.from_numpy(items.astype(np.int64))

    def encode_one(self, row: Mapping[str, Any]) -> tuple[Tensor, Tensor]:
        """What `encode` gives for a table of this one row, by dictionary look-ups; int64 ``(1,)`` each.

        Raises:
            DataError: the row has no user or no item, or one that cannot be an id of its kind.
        """
        for name in (self.user, self.item):
            if name not in row:
                raise DataError(f"the row has no {name!r}; {did_you_mean(name, row)}")
        user = self.users.encode_one(row[self.user], self.user)
        return torch.tensor([user]), torch.tensor([self.items.encode_one(row[self.item], self.item)])

    def encode_target(self, frame: pl.DataFrame) -> Tensor | None:
        """Standardised ratings, float32 ``(rows, 1)``; None without ratings.

        Raises:
            DataError: a rating is missing, no number, or outside the range declared.
        """
        if self.target is None:
            return None
        check_columns(frame, self.target.columns, "the table")
        return self.target.encode(frame)

    def decode(self, prediction: Tensor) -> pl.DataFrame:
        """Predicted ratings as a column ``prediction``, Float32, a row per row."""
        return pl.DataFrame({"prediction": prediction.cpu().numpy()})

    def known_item(self, value: Any) -> int:
        """The id of an item, which must be known.

        Raises:
            DataError: no training row has it; the message gives the nearest.
        """
        return _known(self.items, value, self.item, "item")

    def known_user(self, value: Any) -> int:
        """The id of a user, who must be known.

        Raises:
            DataError: no training row has them; the message gives the nearest.
        """
        return _known(self.users, value, self.user, "user")

    def some_items(self, values: Any, argument: str) -> NDArray[np.int64]:
        """The ids of items, int64; those that no training row has are left out.

        Args:
            values: a list or column of items.
            argument: what messages call it.
        """
        if isinstance(values, str) or not hasattr(values, "__iter__"):
            raise DataError(f"{argument} must be a list of items; got {values!r}")
        try:
            series = values if isinstance(values, pl.Series) else pl.Series(self.item, list(values), strict=False)
        except (TypeError, pl.exceptions.PolarsError) as error:
            raise DataError(f"{argument} must be a list of items of one type; got {type(values).__name__}") from error
        ids = np.unique(self.items.encode(series.alias(self.item)))
        return ids[ids > 0].astype(np.int64)

    def notes(self, frame: pl.DataFrame) -> list[str]:
        """What of a table the training rows did not know: counts of rows with an unknown user or item."""
        found: list[str] = []
        for name, vocab in ((self.user, self.users), (self.item, self.items)):
            unknown = int((vocab.encode(frame[name]) == 0).sum())
            if unknown:
                found.append(f"{name}: {unknown:,} of {len(frame):,} rows have one never seen in training")
        return found

    def to_json(self) -> dict[str, Any]:
        """What `from_json` takes."""
        return {
            "user": self.user,
            "item": self.item,
            "users": values.to_json(self.users),
            "items": values.to_json(self.items),
            "target": values.to_json(self.target, kind=Number | None),
            "item_facts": self.item_facts.to_json(),
            "user_facts": self.user_facts.to_json(),
        }

    @classmethod
    def from_json(cls, record: Mapping[str, Any]) -> RatingsCodec:
        """What `to_json` gave."""
        return cls(
            record["user"],
            record["item"],
            values.from_json(Categories, record["users"]),
            values.from_json(Categories, record["items"]),
            values.from_json(Number | None, record["target"]),
            Catalogue.from_json(record["item_facts"]),
            Catalogue.from_json(record["user_facts"]),
        )


def _fit_vocab(series: pl.Series) -> Categories:
    missing = series.is_null() | (series.is_nan() if series.dtype.is_float() else False)
    if missing.any():
        raise DataError(
            f"column {series.name!r} has {int(missing.sum()):,} rows without an id; leave them out, for instance with"
            f" where='\"{series.name}\" IS NOT NULL'"
        )
    return Categories.fit(series)


def _fit_target(frame: pl.DataFrame, rating: str, y_range: tuple[float, float] | None) -> Number:
    fitted = Number.fit(frame, [rating])
    values = frame[rating].cast(pl.Float64)
    lowest, highest = float(values.min()), float(values.max())  # type: ignore[arg-type]  # polars: numbers, as cast
    if y_range is None:
        # All ratings alike leave no room for a sigmoid; then any room will do.
        bounds = (lowest, highest) if lowest < highest else (lowest - 0.5, highest + 0.5)
        return Number(fitted.columns, fitted.log, fitted.mean, fitted.sd, bounds)
    return Number.fit(frame, [rating], range=y_range)


def check_ratings(frame: pl.DataFrame, rating: str, y_range: tuple[float, float] | None) -> None:
    """That all rows have a rating, inside the range declared.

    Raises:
        DataError: one has none, or lies outside; the message counts them and shows the first.
    """
    if not frame.schema[rating].is_numeric():
        raise DataError(f"column {rating!r} must hold numbers; it holds {frame.schema[rating]}: convert it")
    check_no_missing(frame[rating])
    values = frame[rating].cast(pl.Float64)
    if y_range is None:
        return
    outside = values.filter((values < y_range[0]) | (values > y_range[1]))
    if len(outside):
        raise DataError(
            f"column {rating!r}: {len(outside):,} ratings lie outside y_range {y_range}, the first is {outside[0]:g};"
            " correct them, or widen y_range"
        )


def _known(vocab: Categories, value: Any, column: str, what: str) -> int:
    number = 0 if is_missing(value) else vocab.encode_one(value, column)
    if not number:
        shown = canonical(pl.Series(column, list(vocab.values)), "text").to_list()
        raise DataError(f"there is no {what} {value!r} in the training rows; {did_you_mean(value, shown)}")
    return number
