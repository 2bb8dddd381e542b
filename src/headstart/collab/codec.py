"""`RatingsCodec`: what is learnt from training rows before training: users, items, the ratings' unit, who saw what."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import polars as pl
import torch
from numpy.typing import NDArray
from torch import Tensor

from headstart.collab.catalogue import Catalogue
from headstart.collab.seen import Seen
from headstart.collab.traits import Traits
from headstart.core.errors import DataError, did_you_mean
from headstart.frames.categories import Categories, canonical, is_missing
from headstart.frames.codec import Encoded
from headstart.frames.csv import CsvOptions
from headstart.frames.door import Table, check_columns, read_table
from headstart.frames.readings import Reading
from headstart.targets.missing import check_no_missing
from headstart.targets.target import Number

__all__ = ["RatingsCodec", "check_ratings"]


@dataclass(frozen=True)
class RatingsCodec:
    """Turns pairs of users and items into ids, and ratings into targets. It is learnt from training rows alone.

    Id 0 stands for users or items that the training rows do not have; the known ones have 1 to n, in sorted order.

    Attributes:
        user: column of users.
        item: column of items.
        users: the users of the training rows.
        items: the items of the training rows.
        target: the rating; None if rows only say that a user has chosen an item.
        item_facts: titles and other facts on the items.
        user_facts: facts on the users.
        item_traits: what several items have in common by the facts on them; None: nothing is learnt of it.
        user_traits: what several users have in common.
        seen: the pairs of the training rows, which are not recommended again; None until `RatingsData` adds them. Two
            codecs are equal whatever their pairs, since these do not change what an id means.
        csv: how the training rows' CSV file was read, as far as it was given, for later files.
    """

    user: str
    item: str
    users: Categories
    items: Categories
    target: Number | None
    item_facts: Catalogue = field(default_factory=Catalogue)
    user_facts: Catalogue = field(default_factory=Catalogue)
    item_traits: Traits | None = None
    user_traits: Traits | None = None
    seen: Seen | None = field(default=None, compare=False, repr=False)
    csv: CsvOptions | None = field(default=None, compare=False)

    @classmethod
    def fit(
        cls,
        frame: pl.DataFrame,
        user: str,
        item: str,
        rating: str | None = None,
        *,
        y_range: tuple[float, float] | None = None,
    ) -> RatingsCodec:
        """Learn users, items, and the ratings' mean, standard deviation and range.

        Args:
            frame: training rows.
            user: column of users.
            item: column of items.
            rating: column of ratings; None: there are none.
            y_range: lowest and highest possible rating; None: those of these rows.

        Raises:
            DataError: a column cannot hold ids or ratings, or a rating lies outside ``y_range``.
        """
        target = None if rating is None else _fit_target(frame, rating, y_range)
        return cls(user, item, _fit_ids(frame[user]), _fit_ids(frame[item]), target)

    @property
    def rating(self) -> str | None:
        """The column of ratings; None: there are none."""
        return None if self.target is None else self.target.columns[0]

    @property
    def first_columns(self) -> tuple[str, ...]:
        """The names of the first columns of a file without a header: user, item and, if there are any, ratings."""
        return tuple(column for column in (self.user, self.item, self.rating) if column is not None)

    @property
    def readings(self) -> dict[str, Reading]:
        """How each column of a table of text is read: an id ``007`` stays ``007`` if training rows have it so."""
        ratings = {} if self.target is None else self.target.readings
        return {**ratings, self.user: self.users.reading, self.item: self.items.reading}

    def read(self, table: Table, name: str = "table") -> pl.DataFrame:
        """Return any table of pairs as a frame, read as the training rows were: an id ``007`` stays ``007``.

        Args:
            table: a table, or a path; the first columns of a file without a header are user, item and rating.
            name: name of the table in messages.
        """
        return read_table(table, name, readings=self.readings, csv=self.csv, columns=self.first_columns)

    def with_facts(
        self,
        items: pl.DataFrame | None,
        users: pl.DataFrame | None,
        *,
        title: str | None = None,
        traits: bool = True,
    ) -> RatingsCodec:
        """Return the codec with facts on its items and users.

        Args:
            items: facts on items, with a column named as the codec's ``item``; None: there are none.
            users: facts on users, with a column named as the codec's ``user``; None: there are none.
            title: column of ``items`` to show items by; None: ``title`` or ``name`` if the table has one.
            traits: learn from what several items or users have in common by these facts.

        Raises:
            DataError: a table lacks a column, or has one that facts may not have.
        """
        item_facts = Catalogue.fit(items, self.item, self.items, "items", title)
        user_facts = Catalogue.fit(users, self.user, self.users, "users")
        return dataclasses.replace(
            self, item_facts=item_facts, user_facts=user_facts,
            item_traits=Traits.fit(item_facts) if traits else None,
            user_traits=Traits.fit(user_facts) if traits else None,
        )  # fmt: skip

    def with_seen(self, newer: Seen) -> RatingsCodec:
        """Return the codec with further training pairs; the newer rating of a pair counts."""
        return dataclasses.replace(self, seen=newer if self.seen is None else self.seen.joined(newer, len(self.items)))

    def encode(self, rows: pl.DataFrame, *, with_target: bool = False) -> Encoded[tuple[Tensor, Tensor]]:
        """Encode rows; columns may come in any order, and others are ignored.

        Args:
            rows: a table of pairs, with ratings if ``with_target``.
            with_target: encode the ratings too, if the codec has any.

        Returns:
            As inputs the ids of users and of items, int64 ``(rows,)`` each, 0 for unknown and missing ones; as target
            standardised ratings, float32 ``(rows, 1)``; as notes the numbers of rows with an unknown user or item,
            and of ratings outside the range of predictions.

        Raises:
            DataError: a column is missing or holds what cannot be an id of its kind; a rating is missing or no number.
        """
        check_columns(rows, (self.user, self.item), "the table")
        users, items = self.users.encode(rows[self.user]), self.items.encode(rows[self.item])
        target: Tensor | None = None
        outside: tuple[str, ...] = ()
        if with_target and self.target is not None:
            check_columns(rows, self.target.columns, "the table")
            target = self.target.encode(rows)
            outside = _outside_note(rows, self.target)
        return Encoded(
            inputs=(torch.from_numpy(users.astype(np.int64)), torch.from_numpy(items.astype(np.int64))),
            target=target,
            notes=(*_unknown_note(users, self.user), *_unknown_note(items, self.item), *outside),
        )

    def encode_one(self, row: Mapping[str, Any]) -> tuple[Tensor, Tensor]:
        """Encode one row by dictionary look-ups: ids of its user and its item, int64 ``(1,)`` each, as in a table.

        Raises:
            DataError: the row has no user or no item, or one that cannot be an id of its kind.
        """
        for name in (self.user, self.item):
            if name not in row:
                raise DataError(f"the row has no {name!r}; {did_you_mean(name, row)}")
        user = self.users.encode_one(row[self.user], self.user)
        return torch.tensor([user]), torch.tensor([self.items.encode_one(row[self.item], self.item)])

    def decode(self, prediction: Tensor) -> pl.DataFrame:
        """Return predicted ratings or scores, ``(rows,)``, as a column ``prediction``, Float32."""
        return pl.DataFrame({"prediction": prediction.cpu().numpy()})

    def known_item(self, value: Any) -> int:
        """Return the id of an item.

        Raises:
            DataError: no training row has the item; the message names the nearest.
        """
        return _known(self.items, value, self.item, "item")

    def known_user(self, value: Any) -> int:
        """Return the id of a user.

        Raises:
            DataError: no training row has the user; the message names the nearest.
        """
        return _known(self.users, value, self.user, "user")

    def known_items(self, values: Any, argument: str) -> NDArray[np.int64]:
        """Return the distinct ids of items, int64 ``(known items,)``; unknown items are left out.

        Args:
            values: a list or column of items.
            argument: name of the argument in messages.

        Raises:
            DataError: not a list, or its items are of different types.
        """
        if isinstance(values, str) or not hasattr(values, "__iter__"):
            raise DataError(f"{argument} must be a list of items; got {values!r}")
        try:
            series = values if isinstance(values, pl.Series) else pl.Series(self.item, list(values), strict=False)
        except (TypeError, pl.exceptions.PolarsError) as error:
            raise DataError(f"{argument} must be a list of items of one type; got {type(values).__name__}") from error
        ids = np.unique(self.items.encode(series.alias(self.item)))
        return ids[ids > 0].astype(np.int64)


def check_ratings(frame: pl.DataFrame, rating: str, y_range: tuple[float, float] | None) -> None:
    """Raise `DataError` if a rating is missing, no number, or outside ``y_range``; the message counts them."""
    if not frame.schema[rating].is_numeric():
        raise DataError(f"column {rating!r} must hold numbers; it holds {frame.schema[rating]}: convert it")
    check_no_missing(frame[rating])
    if y_range is None:
        return
    values = frame[rating].cast(pl.Float64)
    outside = values.filter((values < y_range[0]) | (values > y_range[1]))
    if len(outside):
        raise DataError(
            f"column {rating!r}: {len(outside):,} ratings lie outside y_range {y_range}, the first is {outside[0]:g};"
            " correct them, or widen y_range"
        )


def _fit_ids(series: pl.Series) -> Categories:
    missing = series.is_null() | (series.is_nan() if series.dtype.is_float() else False)
    if missing.any():
        raise DataError(
            f"column {series.name!r} has {int(missing.sum()):,} rows without an id; leave them out, for instance with"
            f" where='\"{series.name}\" IS NOT NULL'"
        )
    return Categories.fit(series)


def _fit_target(frame: pl.DataFrame, rating: str, y_range: tuple[float, float] | None) -> Number:
    target = Number.fit(frame, [rating], range=y_range)
    if y_range is not None:
        return target
    values = frame[rating].cast(pl.Float64)
    lowest, highest = float(values.min()), float(values.max())  # type: ignore[arg-type]  # polars: numbers, as cast
    # If all ratings are equal, their own range leaves no room for a sigmoid, and any other does.
    bounds = (lowest, highest) if lowest < highest else (lowest - 0.5, highest + 0.5)
    return dataclasses.replace(target, range=bounds)


def _unknown_note(ids: NDArray[np.int32], column: str) -> tuple[str, ...]:
    unknown = int((ids == 0).sum())
    return (f"{column}: {unknown:,} of {len(ids):,} rows have a value never seen in training",) if unknown else ()


def _outside_note(rows: pl.DataFrame, target: Number) -> tuple[str, ...]:
    if target.range is None:
        return ()
    (column,), (lowest, highest) = target.columns, target.range
    outside = int((~rows[column].cast(pl.Float64).is_between(lowest, highest)).sum())
    if not outside:
        return ()
    return (
        f"{column}: {outside:,} of {len(rows):,} ratings lie outside {lowest:g} to {highest:g}, all that is predicted",
    )


def _known(known: Categories, value: Any, column: str, what: str) -> int:
    number = 0 if is_missing(value) else known.encode_one(value, column)
    if not number:
        shown = canonical(pl.Series(column, list(known.values)), "text").to_list()
        raise DataError(f"there is no {what} {value!r} in the training rows; {did_you_mean(value, shown)}")
    return number
