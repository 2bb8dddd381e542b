"""The lesson's collaborative filtering, by `headstart.CollabLearner`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from headstart.classic.learner import ClassicLearner, OptimizerFunction, models_folder, optimizer_factory
from headstart.collab import CollabLearner, RatingsData
from headstart.collab.design import CollabDesign, CollabOptions
from headstart.frames.door import Table
from headstart.frames.splits import by_indices

__all__ = ["CollabFilterDataset"]


class CollabFilterDataset:
    """Ratings of items by users; made by `from_csv` or `from_data_frame`.

    Args:
        path: folder whose ``models`` gets what is kept.
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
        """Ratings in a file ``csv`` in the folder ``path``."""
        return cls(path, Path(path) / csv, user_name, item_name, rating)

    @classmethod
    def from_data_frame(
        cls, path: str | Path, df: pd.DataFrame, user_name: str, item_name: str, rating: str
    ) -> CollabFilterDataset:
        """Ratings in a frame."""
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
        """A `CollabLearner` with the lesson's model: dot product and biases, without implicit terms.

        Args:
            n_factors: width of the vectors.
            val_idxs: numbers of the validation rows.
            bs: training rows per step.
            opt_fn: ``optim.Adam`` or a partial of it; None: headstart's default.
            seed: of the factors and of the order of the rows.
        """
        data = RatingsData.from_table(
            self.table, self.user, self.item, self.rating, split=by_indices(np.asarray(val_idxs)), batch_size=bs,
            seed=seed,
        )  # fmt: skip
        options: CollabOptions = {"seed": seed, "folder": models_folder(self.path)}
        if opt_fn is not None:
            options["optimizer"] = optimizer_factory(opt_fn)
        learner = CollabLearner(data, design=CollabDesign(factors=n_factors, implicit=False), **options)
        return ClassicLearner(learner)
