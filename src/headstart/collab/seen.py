"""`Seen`: which items the users of the training rows have rated or chosen; and `NewUser`: a user they do not have."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

__all__ = ["NewUser", "Seen"]


@dataclass(frozen=True, eq=False)
class Seen:
    """Which items each user has rated or chosen in the training rows.

    Attributes:
        pairs: int32 ``(2, pairs)``: ids of users and of items, ascending by user, then by item; no pair occurs twice.
        ratings: float32 ``(pairs,)``, in their unit; None without ratings.
        user_count: number of user ids, 0 (the unknown) included.
    """

    pairs: Tensor
    ratings: Tensor | None
    user_count: int

    def __repr__(self) -> str:
        return f"Seen({len(self):,} pairs{'' if self.ratings is None else ' with ratings'})"

    @classmethod
    def none(cls, user_count: int) -> Seen:
        """Return that no user has seen any item."""
        return cls(torch.zeros(2, 0, dtype=torch.int32), None, user_count)

    def __len__(self) -> int:
        """Return the number of pairs."""
        return self.pairs.shape[1]

    @cached_property
    def users(self) -> Tensor:
        """The pairs' user ids, int64 ``(pairs,)``."""
        return self.pairs[0].long()

    @cached_property
    def items(self) -> Tensor:
        """The pairs' item ids, int64 ``(pairs,)``."""
        return self.pairs[1].long()

    @cached_property
    def starts(self) -> Tensor:
        """The index of each user id's first pair, and the number of pairs: int64 ``(user_count + 1,)``."""
        starts = torch.zeros(self.user_count + 1, dtype=torch.int64)
        starts[1:] = torch.bincount(self.users, minlength=self.user_count).cumsum(0)
        return starts

    def joined(self, newer: Seen, item_count: int) -> Seen:
        """Return the pairs of both; the newer rating of a pair counts.

        Args:
            newer: pairs of the same ids.
            item_count: number of item ids, 0 included.
        """
        keys = torch.cat([newer.users * item_count + newer.items, self.users * item_count + self.items])
        distinct, inverse = torch.unique(keys, return_inverse=True)
        first = torch.full_like(distinct, len(keys)).scatter_reduce(0, inverse, torch.arange(len(keys)), "amin")
        ratings = None
        if self.ratings is not None and newer.ratings is not None:
            ratings = torch.cat([newer.ratings, self.ratings])[first]
        pairs = torch.stack([distinct // item_count, distinct % item_count])
        return Seen(pairs.int(), ratings, self.user_count)

    def item_counts(self, item_count: int) -> Tensor:
        """Return the number of users who have seen each item id, int64 ``(item_count,)``."""
        return torch.bincount(self.items, minlength=item_count)

    def of_user(self, user: int) -> tuple[Tensor, Tensor | None]:
        """Return the items of one user id, int64 ``(items,)``, and their ratings."""
        rows = slice(int(self.starts[user]), int(self.starts[user + 1]))
        return self.items[rows], None if self.ratings is None else self.ratings[rows]

    def of_users(self, users: Tensor) -> tuple[Tensor, Tensor]:
        """Return the pairs of several users as indices into ``users`` and item ids, both int64 ``(pairs,)``."""
        counts = self.starts[users + 1] - self.starts[users]
        indices = torch.repeat_interleave(torch.arange(len(users)), counts)
        before = torch.cat([counts.new_zeros(1), counts.cumsum(0)[:-1]])
        rows = torch.arange(len(indices)) - before[indices] + self.starts[users][indices]
        return indices, self.items[rows]


@dataclass(frozen=True)
class NewUser:
    """A user whom the training rows do not have, described by rated or chosen items: from `Recommender.fold_in`.

    Attributes:
        items: int64 ``(items,)``: ids of the items that are known.
        ratings: float32 ``(items,)``; None for choices without ratings.
        vector: float32, the user's factors and, last, bias, if the recommender represents users by such a vector.
    """

    items: Tensor
    ratings: Tensor | None
    vector: Tensor | None
