"""The lesson's collaborative filtering, by `headstart.CollabLearner`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from headstart.classic.learner import ClassicLearner, OptimizerFunction, common_options
from headstart.collab import CollabLearner, RatingsData
from headstart.frames.door import Table
from headstart.frames.splits import by_indices

__all__ = ["CollabFilterDataset"]


class CollabFilterDataset:
    """Ratings of items by users; made by `from_csv` or `from_data_frame`.

    Args:
        path: folder whose ``models`` gets saved weights.
        table: a table, or a path to one.
        user: column of users.
        item: column of items.
        rating: column of ratings.
    """

    def __init__(self, path: str | Path, table: Table, user: str, item: str, rating: str) -> None:
        self.path, self.table = path, table
        self.user, self.item, self.rating = user, item, rating

    @classmethod
    def from_csv(cls, path: str | Path, csv: str, user_name: str, item_name: str, rating: str) -> CollabFilterDataset:
        """Take ratings from a file ``csv`` in the folder ``path``."""
        return cls(path, Path(path) / csv, user_name, item_name, rating)

    @classmethod
    def from_data_frame(
        cls, path: str | Path, df: pd.DataFrame, user_name: str, item_name: str, rating: str
    ) -> CollabFilterDataset:
        """Take ratings from a frame."""
        return cls(path, df, user_name, item_name, rating)

    def get_learner(
        self,
        n_factors: int,
        val_idxs: Sequence[int] | NDArray[np.int64],
        bs: int,
        *,
        opt_fn: OptimizerFunction | None = None,
        seed: int = 0,
    ) -> ClassicLearner:
        """Return a `CollabLearner` with the lesson's model: dot product and biases, without implicit terms.

        Args:
            n_factors: number of factors of each user and item.
            val_idxs: numbers of the validation rows, from 0 on.
            bs: batch size, in ratings.
            opt_fn: ``optim.Adam`` or a partial of it; None: headstart's default.
            seed: seed of the factors and of the order of the rows.
        """
        data = RatingsData.from_table(
            self.table, self.user, self.item, self.rating, split=by_indices(np.asarray(val_idxs)), batch_size=bs,
            seed=seed,
        )  # fmt: skip
        options = common_options(self.path, opt_fn, seed)
        return ClassicLearner(CollabLearner(data, factors=n_factors, implicit=False, **options))
