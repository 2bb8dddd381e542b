"""`Seen`: who has chosen what in the training rows; and `NewUser`: somebody whom those rows do not know."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

__all__ = ["NewUser", "Seen"]


@dataclass(frozen=True)
class Seen:
    """Who has chosen what in the training rows.

    Attributes:
        users: int64 ``(rows,)``, ascending.
        items: int64 ``(rows,)``, ascending within each user.
        ratings: float32 ``(rows,)`` in their own unit, or None.
        starts: int64 ``(users + 1,)``: where each user id's rows begin.
    """

    users: Tensor
    items: Tensor
    ratings: Tensor | None
    starts: Tensor

    @classmethod
    def of(cls, pairs: Tensor, ratings: Tensor | None, users: int) -> Seen:
        """Of ids ``(2, rows)``, sorted by user, then item, and the number of user ids."""
        starts = torch.zeros(users + 1, dtype=torch.int64)
        starts[1:] = torch.bincount(pairs[0], minlength=users).cumsum(0)
        return cls(pairs[0].long(), pairs[1].long(), ratings, starts)

    def joined(self, newer: Seen, items: int) -> Seen:
        """Both together; of a pair that stands in both the newer rating counts.

        Args:
            newer: of the same users.
            items: number of item ids.
        """
        keys = torch.cat([newer.users * items + newer.items, self.users * items + self.items])
        distinct, places = torch.unique(keys, return_inverse=True)
        first = torch.full_like(distinct, len(keys)).scatter_reduce(0, places, torch.arange(len(keys)), "amin")
        ratings = None
        if self.ratings is not None and newer.ratings is not None:
            ratings = torch.cat([newer.ratings, self.ratings])[first]
        pairs = torch.stack([distinct // items, distinct % items])
        return Seen.of(pairs, ratings, len(self.starts) - 1)

    def counts(self, items: int) -> Tensor:
        """How many users have chosen each item id, int64 ``(items,)``."""
        return torch.bincount(self.items, minlength=items)

    def of_user(self, user: int) -> tuple[Tensor, Tensor | None]:
        """The items of one user id, and their ratings."""
        rows = slice(int(self.starts[user]), int(self.starts[user + 1]))
        return self.items[rows], None if self.ratings is None else self.ratings[rows]

    def of_users(self, users: Tensor) -> tuple[Tensor, Tensor]:
        """The pairs of several users: places in ``users``, and items; int64, as many as there are pairs."""
        counts = self.starts[users + 1] - self.starts[users]
        places = torch.repeat_interleave(torch.arange(len(users)), counts)
        before = torch.cat([counts.new_zeros(1), counts.cumsum(0)[:-1]])
        rows = torch.arange(len(places)) - before[places] + self.starts[users][places]
        return places, self.items[rows]


@dataclass(frozen=True)
class NewUser:
    """Somebody whom the training rows do not know, by what they rated or chose; what `Recommender.fold_in` gives.

    Attributes:
        items: int64 ``(rows,)``: ids of the known items among theirs.
        ratings: float32 ``(rows,)``, or None.
        vector: their factors and, last, their bias, or what else the recommender knows users by; None: nothing.
    """

    items: Tensor
    ratings: Tensor | None
    vector: Tensor | None
