"""`Recommender`: what every recommender does, whatever it learns: recommend, give reasons, find similar items."""

from __future__ import annotations

import math
import warnings
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Mapping, Sequence
from numbers import Real
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import torch
from torch import Tensor
from torch.nn import functional as F

from headstart.collab.codec import RatingsCodec
from headstart.collab.seen import NewUser, Seen
from headstart.core.errors import ConfigError, DataError, HeadstartWarning
from headstart.core.paths import expanded
from headstart.frames.door import Table, check_columns, check_output, values_of, write_table

__all__ = ["Recommender", "check_count", "top"]

CHUNK = 2_000_000
"""Scores held at a time: users of a chunk times items."""


class Recommender(ABC):
    """Ranks items for users.

    Attributes:
        codec: the users and items of the training rows, and who has chosen what.
    """

    codec: RatingsCodec

    @property
    def seen(self) -> Seen:
        """What the users of the training rows have rated or chosen."""
        return Seen.none(len(self.codec.users)) if self.codec.seen is None else self.codec.seen

    def read(self, table: Table, name: str = "table") -> pl.DataFrame:
        """Return any table as a frame, read as the training rows were: an id ``007`` stays ``007``.

        Args:
            table: a pandas, polars or pyarrow table, or a path to CSV or Parquet.
            name: name of the table in messages.
        """
        return self.codec.read(table, name)

    @abstractmethod
    def user_scores(self, users: Tensor) -> Tensor:
        """Return the scores of all items, the higher the better, float32 ``(users, items)``.

        Args:
            users: ids, int64 ``(users,)``; 0 is the unknown user.
        """

    @abstractmethod
    def new_user_scores(self, user: NewUser) -> Tensor:
        """Return the scores of all items for a new user, float32 ``(items,)``."""

    @abstractmethod
    def item_profiles(self) -> Tensor:
        """Return a vector for each item id, float32 ``(items, width)``: similar for items liked by the same users."""

    @abstractmethod
    def fold_in(self, ratings: Mapping[Any, float] | Iterable[Any] | Table) -> NewUser:
        """Return a new user described by rated or chosen items, in milliseconds and without training."""

    def influences(self, items: Tensor, of: Tensor) -> Tensor:
        """Return how much each chosen item speaks for each recommended one; here their similarity.

        Args:
            items: ids of recommended items, int64 ``(recommended,)``.
            of: ids of chosen items, int64 ``(chosen,)``.

        Returns:
            float32 ``(recommended, chosen)``.
        """
        profiles = self._unit_profiles()
        return profiles[items] @ profiles[of].T

    def recommend(
        self,
        user: Any,
        n: int = 10,
        *,
        exclude_seen: bool = True,
        only: Iterable[Any] | None = None,
        exclude: Iterable[Any] | None = None,
        because: bool = False,
    ) -> pl.DataFrame:
        """Return the best items for one user.

        Args:
            user: a user id as in the training table, or a `NewUser` from `fold_in`. For an unknown id a warning says
                so, and the items are those that suit most users. A list of users is given to `recommend_all`.
            n: largest number of items.
            exclude_seen: leave out the items that the user has in the training rows.
            only: recommend only these items; unknown ones are ignored.
            exclude: leave these items out besides.
            because: name for each item the one that the user liked and that speaks for it the most.

        Returns:
            A row per item, the best first, and of equally good items the one whose id sorts first: the item, the facts
            on it, ``score`` (for ratings the predicted rating), and ``because``.

        Raises:
            ConfigError: ``n`` is below 1.
            DataError: the user or an item cannot be an id of its column's kind.
        """
        users = user if isinstance(user, list | tuple | set | frozenset) else values_of(user)
        if users is not None:
            return self.recommend_all(
                n, users=users, exclude_seen=exclude_seen, only=only, exclude=exclude, because=because
            )
        check_count(n)
        if isinstance(user, NewUser):
            chosen, ratings = user.items, user.ratings
            scores = self.new_user_scores(user)[None]
        else:
            known = self.codec.users.encode_one(user, self.codec.user)
            if not known:
                warnings.warn(
                    f"there is no {self.codec.user} {user!r} in the training rows: these are what suits most users",
                    HeadstartWarning,
                    stacklevel=2,
                )
            chosen, ratings = self.seen.of_user(known)
            scores = self.user_scores(torch.tensor([known]))
        scores = scores.cpu().clone()
        if exclude_seen:
            scores[0, chosen] = -torch.inf
        scores[:, self._barred(only, exclude)] = -torch.inf
        items, values = top(scores, n)
        kept = values[0] > -torch.inf
        items, values = items[0][kept], values[0][kept]
        frame = self._items_frame(items).with_columns(pl.Series("score", self.shown(values, user).numpy()))
        if because:
            frame = frame.with_columns(pl.Series("because", self._reasons(items, chosen, ratings), dtype=pl.String))
        return frame

    def recommend_all(
        self,
        n: int = 10,
        *,
        users: Iterable[Any] | None = None,
        exclude_seen: bool = True,
        only: Iterable[Any] | None = None,
        exclude: Iterable[Any] | None = None,
        because: bool = False,
        out: str | Path | None = None,
    ) -> pl.DataFrame:
        """Return the best items for all users of the training rows, or for some.

        Args:
            n: largest number of items per user.
            users: user ids; None: all known.
            exclude_seen: as for `recommend`.
            only: as for `recommend`.
            exclude: as for `recommend`.
            because: as for `recommend`; slower.
            out: a .csv or .parquet file to write the table to; None: none.

        Returns:
            Columns for the user, ``rank`` (from 1), the item, its title if there are titles, ``score``, ``because``.

        Raises:
            DataError: a user is unknown, or the file cannot be written.
        """
        check_count(n)
        if out is not None:
            check_output(expanded(out))
        barred = self._barred(only, exclude)
        ids = torch.arange(1, len(self.codec.users))
        if users is not None:
            ids = torch.tensor([self.codec.known_user(user) for user in users], dtype=torch.int64)
        parts: list[tuple[Tensor, Tensor, Tensor]] = []
        reasons: list[str | None] = []
        for chunk in self._chunks(ids):
            scores = self.user_scores(chunk).cpu()
            if exclude_seen:
                rows, chosen = self.seen.of_users(chunk)
                scores[rows, chosen] = -torch.inf
            scores[:, barred] = -torch.inf
            items, values = top(scores, n)
            kept = values > -torch.inf
            if because:
                for user, row, mask in zip(chunk.tolist(), items, kept, strict=True):
                    reasons += self._reasons(row[mask], *self.seen.of_user(user))
            rank = torch.arange(1, items.shape[1] + 1).expand_as(items)
            parts.append((torch.stack([chunk[:, None].expand_as(items)[kept], rank[kept]]), items[kept], values[kept]))
        keys = torch.cat([part[0] for part in parts], 1) if parts else torch.zeros(2, 0, dtype=torch.int64)
        items = torch.cat([part[1] for part in parts]) if parts else torch.zeros(0, dtype=torch.int64)
        values = torch.cat([part[2] for part in parts]) if parts else torch.zeros(0)
        columns = [
            self.codec.users.decode(keys[0].numpy()).alias(self.codec.user),
            pl.Series("rank", keys[1].numpy().astype(np.int32)),
            self.codec.items.decode(items.numpy()).alias(self.codec.item),
            *([self._titles(items)] if self.codec.item_facts.title else []),
            pl.Series("score", self.shown(values, None).numpy()),
            *([pl.Series("because", reasons, dtype=pl.String)] if because else []),
        ]
        frame = pl.DataFrame(columns)
        if out is not None:
            write_table(frame, expanded(out))
        return frame

    def similar_items(self, item: Any, n: int = 10) -> pl.DataFrame:
        """Return the items most similar to one, by the cosine of their vectors: 1 for the same taste, -1 for opposites.

        Args:
            item: an item id as in the training table.
            n: largest number of items.

        Returns:
            A row per item, the most similar first: the item, the facts on it, and ``similarity``.

        Raises:
            DataError: no training row has this item.
        """
        check_count(n)
        known = self.codec.known_item(item)
        profiles = self._unit_profiles()
        scores = profiles @ profiles[known]
        scores[known] = -torch.inf
        scores[0] = -torch.inf
        items, values = top(scores[None], min(n, len(self.codec.items) - 2)) if len(scores) > 2 else _nothing()
        return self._items_frame(items[0]).with_columns(pl.Series("similarity", values[0].numpy()))

    def ranked(self, users: Tensor, n: int) -> Tensor:
        """Return the best unseen items of each user: item ids, int64 ``(users, n)``, 0 where there are no more.

        Args:
            users: ids, int64 ``(users,)``.
            n: number of items.
        """
        parts: list[Tensor] = []
        for chunk in self._chunks(users):
            scores = self.user_scores(chunk).cpu()
            rows, chosen = self.seen.of_users(chunk)
            scores[rows, chosen] = -torch.inf
            scores[:, 0] = -torch.inf
            items, values = top(scores, n)
            parts.append(F.pad(torch.where(values > -torch.inf, items, 0), (0, n - items.shape[1])))
        return torch.cat(parts) if parts else torch.zeros(0, n, dtype=torch.int64)

    def shown(self, scores: Tensor, user: Any) -> Tensor:
        """Return scores as users shall see them, in the ratings' unit where ratings are predicted.

        Args:
            scores: of items for one user, or for several, ``(items,)``.
            user: the user, or None.
        """
        return scores

    # ---- inside

    def _chunks(self, users: Tensor) -> Iterator[Tensor]:
        size = max(1, CHUNK // len(self.codec.items))
        for start in range(0, len(users), size):
            yield users[start : start + size]

    def _barred(self, only: Iterable[Any] | None, exclude: Iterable[Any] | None) -> Tensor:
        """Whether each item id is not to be recommended, bool ``(items,)``."""
        barred = torch.full((len(self.codec.items),), only is not None)
        if only is not None:
            barred[torch.from_numpy(self.codec.known_items(only, "only"))] = False
        if exclude is not None:
            barred[torch.from_numpy(self.codec.known_items(exclude, "exclude"))] = True
        barred[0] = True  # the unknown
        return barred

    def _items_frame(self, items: Tensor) -> pl.DataFrame:
        ids = items.numpy()
        facts = self.codec.item_facts.frame(ids)
        return pl.DataFrame([self.codec.items.decode(ids).alias(self.codec.item), *facts.get_columns()])

    def _titles(self, items: Tensor) -> pl.Series:
        assert self.codec.item_facts.title is not None
        return self.codec.item_facts.frame(items.numpy())[self.codec.item_facts.title]

    def _reasons(self, items: Tensor, chosen: Tensor, ratings: Tensor | None) -> list[str | None]:
        liked = chosen if ratings is None else chosen[ratings >= ratings.mean() - 1e-6]
        if not len(liked) or not len(items):
            return [None] * len(items)
        strongest = liked[self.influences(items, liked).cpu().argmax(1)]
        return list(self.codec.item_facts.names(self.codec.items, strongest.numpy()))

    def _unit_profiles(self) -> Tensor:
        return F.normalize(self.item_profiles().cpu(), dim=1)

    def _known_ratings(self, given: Any) -> tuple[Tensor, Tensor | None]:
        """Ids and ratings of a new user's items, from a dictionary, a list, or a table; unknown items are left out."""
        values: Sequence[float] | None = None
        if isinstance(given, Mapping):
            items, values = pl.Series(self.codec.item, list(given), strict=False), list(given.values())
        elif isinstance(given, list | tuple | set | frozenset | pl.Series):
            items = pl.Series(self.codec.item, list(given), strict=False)
        else:
            frame = self.read(given, "ratings")
            needed = [self.codec.item, *([] if self.codec.rating is None else [self.codec.rating])]
            check_columns(frame, needed, "ratings")
            items = frame[self.codec.item]
            values = None if self.codec.rating is None else frame[self.codec.rating].cast(pl.Float64).to_list()
        ids = torch.from_numpy(self.codec.items.encode(items.alias(self.codec.item)).astype(np.int64))
        known = ids > 0
        if len(ids) and not known.any():
            raise DataError(f"none of the {len(ids)} items given is one of the training rows")
        if len(torch.unique(ids[known])) != int(known.sum()):
            raise DataError("an item stands twice among the ratings given; give each once")
        if values is None:
            return ids[known], None
        for value in values:
            if isinstance(value, bool) or not isinstance(value, Real) or not math.isfinite(value):
                raise DataError(f"a rating given is missing or no finite number: {value!r}")
        bounds = None if self.codec.target is None else self.codec.target.range
        if bounds is not None and any(not bounds[0] <= value <= bounds[1] for value in values):
            raise DataError(f"a rating given lies outside the range of the ratings, {bounds[0]:g} to {bounds[1]:g}")
        return ids[known], torch.tensor(values, dtype=torch.float32)[known]


def top(scores: Tensor, n: int) -> tuple[Tensor, Tensor]:
    """Return the highest scores of each row, descending; of equal scores that of the lower column, also at the end.

    Args:
        scores: float ``(rows, columns)``.
        n: number of scores.

    Returns:
        Column indices, int64, and scores, both ``(rows, min(n, columns))``.
    """
    n = min(n, scores.shape[1])
    values, columns = scores.topk(n, dim=1)
    # Which of several equal scores topk takes is not defined: rows in which one is left out are sorted whole.
    unclear = (scores >= values[:, -1:]).sum(1) > n
    order = columns.argsort(1)
    columns, values = columns.gather(1, order), values.gather(1, order)
    order = values.argsort(dim=1, descending=True, stable=True)
    columns, values = columns.gather(1, order), values.gather(1, order)
    if unclear.any():
        whole, indices = scores[unclear].sort(dim=1, descending=True, stable=True)
        columns[unclear], values[unclear] = indices[:, :n], whole[:, :n]
    return columns, values


def _nothing() -> tuple[Tensor, Tensor]:
    return torch.zeros(1, 0, dtype=torch.int64), torch.zeros(1, 0)


def check_count(value: int, name: str = "n") -> None:
    """Raise `ConfigError` if a number of items is not a whole number of at least 1."""
    if not isinstance(value, int) or isinstance(value, bool) or value < 1:
        raise ConfigError(f"{name} must be a whole number of at least 1; got {value!r}")
