"""The tables that are trained on, as Parquet files in a temporary folder: every side reads the same rows."""

from __future__ import annotations

from pathlib import Path

import polars as pl

from benchmarks.protocol import Task
from headstart import datasets

__all__ = ["CATEGORICAL", "CONTINUOUS", "TARGET", "big_flights", "flights", "flights_task", "rossmann_task"]

CATEGORICAL = ("carrier", "tailnum", "origin", "dest", "month", "hour", "weekday")
CONTINUOUS = ("dep_delay", "distance", "temp", "wind_speed", "pressure")
TARGET = "arr_delay"
VALID_ROWS = 256
"""Drawn from the training rows: nobody judges the model here, and all sides must know the same categories."""


def flights() -> pl.DataFrame:
    """All flights: seven categorical columns, five continuous, and the delay at arrival. With their gaps."""
    table = pl.read_parquet(datasets.get("flights"))
    date = pl.col("date")
    return table.with_columns(month=date.dt.month(), weekday=date.dt.weekday()).select(
        *CATEGORICAL, *CONTINUOUS, TARGET
    )


def flights_task(folder: Path, rows: int, batch_size: int) -> Task:
    """Delay at arrival of flights without gaps, hidden layers [200, 100]."""
    return _task(folder, "flights", flights().drop_nulls(), CATEGORICAL, CONTINUOUS, TARGET, rows, batch_size)


def rossmann_task(folder: Path, rows: int, batch_size: int) -> Task:
    """Sales of open stores by store, calendar and promotion, hidden layers [1000, 500]: the lesson's."""
    date = pl.col("Date")
    table = pl.read_parquet(datasets.get("rossmann-100")).filter(pl.col("Sales") > 0)
    table = table.with_columns(
        pl.col(pl.Boolean).cast(pl.Int8),
        year=date.dt.year(),
        month=date.dt.month(),
        week=date.dt.week(),
        weekday=date.dt.weekday(),
        day=date.dt.day(),
        day_of_year=date.dt.ordinal_day(),
    )
    categorical = (
        "Store", "weekday", "year", "month", "day", "week", "Promo", "Promo2", "SchoolHoliday", "StoreType",
        "Assortment", "State",
    )  # fmt: skip
    continuous = ("day_of_year",)
    return _task(folder, "rossmann", table, categorical, continuous, "Sales", rows, batch_size, hidden=(1000, 500))


def big_flights(folder: Path, rows: int, batch_size: int) -> Task:
    """As many rows as asked for: flights drawn with replacement, their numbers moved a little."""
    drawn = flights().drop_nulls().sample(rows, with_replacement=True, seed=1)
    noise = pl.int_range(pl.len()).hash(seed=2).cast(pl.Float32) / 2**64 - 0.5
    moved = drawn.with_columns((pl.col(name) + noise).cast(pl.Float32) for name in CONTINUOUS)
    return _write(folder, "big", moved, CATEGORICAL, CONTINUOUS, TARGET, (200, 100), batch_size)


def _task(
    folder: Path,
    name: str,
    table: pl.DataFrame,
    categorical: tuple[str, ...],
    continuous: tuple[str, ...],
    target: str,
    rows: int,
    batch_size: int,
    *,
    hidden: tuple[int, ...] = (200, 100),
) -> Task:
    if rows % batch_size:
        raise ValueError(f"{rows} rows are no multiple of {batch_size}; fastai would leave out the last batch")
    table = table.select(*categorical, *continuous, target).sample(rows, shuffle=True, seed=0)
    return _write(folder, name, table, categorical, continuous, target, hidden, batch_size)


def _write(
    folder: Path,
    name: str,
    train: pl.DataFrame,
    categorical: tuple[str, ...],
    continuous: tuple[str, ...],
    target: str,
    hidden: tuple[int, ...],
    batch_size: int,
) -> Task:
    paths = [folder / f"{name}-{side}.parquet" for side in ("train", "valid")]
    for path, table in zip(paths, (train, train.head(VALID_ROWS)), strict=True):
        table.write_parquet(path)
    # Half the ids, at most 50; there is one id more than values, for the missing and the never seen.
    sizes = {column: min(50, (train[column].n_unique() + 2) // 2) for column in categorical}
    return Task(
        train=str(paths[0]), valid=str(paths[1]), categorical=categorical, continuous=continuous, target=target,
        embedding_sizes=sizes, hidden=hidden, batch_size=batch_size,
    )  # fmt: skip
