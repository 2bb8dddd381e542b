"""The tables that quality is judged on: which rows, columns and splits, the same for every side.

Each task has an outer split, whose validation rows only ever judge, and an inner one of its training rows, by which
whatever is chosen (parameters, epochs) is chosen.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

import polars as pl

from examples import rossmann
from headstart import TabularData, datasets, features, splits

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


def _rossmann_100_features() -> pl.DataFrame:
    """With what the shops' calendar says before and after each day, from all its rows, closed days too."""
    table = pl.read_parquet(datasets.get("rossmann-100")).with_columns(weekday=pl.col("Date").dt.weekday())
    made: pl.DataFrame = ROSSMANN_100_RECIPE.apply(table)
    return made.drop("weekday").filter(pl.col("Sales") > 0)


def _rossmann(protocol: str) -> QualityTask:
    """The example's own tables, columns and days that judge; the inner split's days are as many."""
    judged = rossmann.PROTOCOLS[protocol]
    inner = {"A": "Date >= '2014-03-20' AND Date <= '2014-05-06'", "B": "Date >= '2015-05-09'"}[protocol]
    return QualityTask(
        lambda: rossmann.joined(datasets.get("rossmann")).filter(pl.col("Sales") > 0).select(
            *judged.categorical, *judged.continuous, "Date", "Sales"
        ),
        "Sales",
        "rmspe",
        outer=lambda seed: splits.by_condition(judged.validates),
        inner=lambda seed: splits.by_condition(inner),
        options={
            "log_target": True, "categorical": judged.categorical, "continuous": judged.continuous,
            "exclude": ["Date"], "batch_size": 512,
        },
    )  # fmt: skip


def _flights() -> pl.DataFrame:
    return pl.read_parquet(datasets.get("flights")).filter(pl.col("arr_delay").is_not_null())


CALENDAR = {
    "Promo": "Promo = 1", "SchoolHoliday": "SchoolHoliday = 1", "Closed": "Open = 0 AND weekday < 7",
}  # fmt: skip
"""What is known of a shop's days in advance; closed on a weekday is a public holiday, or a planned closing."""

ROSSMANN_100_RECIPE = features.FeatureRecipe(
    [
        features.AddElapsed(CALENDAR, date="Date", group="Store", cap=30),
        features.AddRolling(CALENDAR, date="Date", group="Store", window=7),
    ]
)

ROSSMANN_100 = QualityTask(
    _rossmann_100,
    "Sales",
    "rmspe",
    outer=lambda seed: splits.by_time("Date", start="2015-06-20"),
    inner=lambda seed: splits.by_time("Date", start="2015-05-09"),
    options={"log_target": True, "exclude": ["Open"]},
)

TASKS = {
    "rossmann-100": ROSSMANN_100,
    "rossmann-100, features": replace(ROSSMANN_100, table=_rossmann_100_features),
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
    "rossmann A": _rossmann("A"),
    "rossmann B": _rossmann("B"),
}
"""By name. Those of Rossmann's at full size are `examples/rossmann.py`'s."""
