"""The tables that quality is judged on: which rows, columns and splits, the same for every side.

Each task has an outer split, whose validation rows only ever judge, and an inner one of its training rows, by which
whatever is chosen (parameters, epochs) is chosen.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import polars as pl

from headstart import TabularData, datasets, splits

__all__ = ["TASKS", "QualityTask"]


@dataclass(frozen=True)
class QualityTask:
    """A table and how it is judged.

    Attributes:
        table: gives all usable rows.
        target: the column to predict.
        metric: the metric that counts, one of headstart's.
        higher_is_better: whether more of it is.
        options: what `TabularData.from_table` is told beside.
        outer: the split for a seed.
        inner: the split of the training rows for a seed.
    """

    table: Callable[[], pl.DataFrame]
    target: str
    metric: str
    outer: Callable[[int], splits.Splitter]
    inner: Callable[[int], splits.Splitter]
    higher_is_better: bool = False
    options: dict[str, Any] = field(default_factory=dict)

    def outer_data(self, seed: int, **options: Any) -> TabularData:
        """Training rows, and those that judge."""
        return self._data(self.table(), self.outer(seed), seed, options)

    def inner_data(self, seed: int, **options: Any) -> TabularData:
        """Training rows parted once more: the second part chooses, and those that judge are not looked at."""
        table = self.table()
        return self._data(table[splits.split_rows(table, self.outer(seed)).train], self.inner(seed), seed, options)

    def _data(self, table: pl.DataFrame, split: splits.Splitter, seed: int, options: dict[str, Any]) -> TabularData:
        return TabularData.from_table(table, self.target, split=split, seed=seed, **{**self.options, **options})


def _random(seed: int) -> splits.Splitter:
    return splits.by_random(0.2, seed=seed)


def _rossmann_100() -> pl.DataFrame:
    return pl.read_parquet(datasets.get("rossmann-100")).filter(pl.col("Sales") > 0)


def _flights() -> pl.DataFrame:
    return pl.read_parquet(datasets.get("flights")).filter(pl.col("arr_delay").is_not_null())


TASKS = {
    "rossmann-100": QualityTask(
        _rossmann_100,
        "Sales",
        "rmspe",
        outer=lambda seed: splits.by_time("Date", start="2015-06-20"),
        inner=lambda seed: splits.by_time("Date", start="2015-05-09"),
        options={"log_target": True, "exclude": ["Open"]},
    ),
    "flights": QualityTask(
        _flights,
        "arr_delay",
        "rmse",
        outer=lambda seed: splits.by_time("date", start="2013-12-01"),
        inner=lambda seed: splits.by_time("date", start="2013-11-01"),
        options={"exclude": ["date", "flight"]},
    ),
    "adult": QualityTask(
        lambda: pl.read_parquet(datasets.get("adult")),
        "income",
        "accuracy",
        outer=_random,
        inner=_random,
        higher_is_better=True,
    ),
    "california-housing": QualityTask(
        lambda: pl.read_parquet(datasets.get("california-housing")), "MedHouseVal", "rmse", outer=_random, inner=_random
    ),
}
"""By name. The features that need a table's history are added by the example of Rossmann's, not here."""
