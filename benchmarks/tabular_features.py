"""Time of the lesson's features on all of Rossmann's rows: 1,017,209, three events, three groups of features.

Run it as ``OMP_NUM_THREADS=1 POLARS_MAX_THREADS=1 taskset -c 1 python -m benchmarks.tabular_features``; it needs the
folder of ``headstart datasets get rossmann``. The median of five runs, in seconds, beside pandas where it has the same:
rolling sums by shop, and the lesson's loop over rows on a tenth of them.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import polars as pl

from headstart import datasets, features

EVENTS = {"SchoolHoliday": "SchoolHoliday = 1", "StateHoliday": "StateHoliday <> '0'", "Promo": "Promo = 1"}
OPTIONS: dict[str, Any] = {"date": "Date", "group": "Store"}


def main() -> None:
    table = pl.read_parquet(datasets.get("rossmann") / "train.parquet")
    table = table.sample(fraction=1, shuffle=True, seed=0)  # rows come in any order
    steps: dict[str, Any] = {
        "add_dateparts": features.AddDateparts("Date"),
        "add_elapsed": features.AddElapsed(EVENTS, **OPTIONS),
        "add_rolling, 7 rows": features.AddRolling(EVENTS, window=7, **OPTIONS),
        "add_rolling, 7 days": features.AddRolling(EVENTS, window=7, unit="days", **OPTIONS),
    }
    print(f"{len(table):,} rows")
    for name, step in steps.items():
        print(f"{name:<24} {median_seconds(partial(features.FeatureRecipe([step]).apply, table)):6.2f} s")
    lesson = features.FeatureRecipe([steps["add_dateparts"], steps["add_elapsed"], steps["add_rolling, 7 rows"]])
    print(f"{'all of the lesson':<24} {median_seconds(lambda: lesson.apply(table)):6.2f} s")
    print(f"{'pandas: rolling sums':<24} {median_seconds(lambda: pandas_rolling(table), runs=1):6.2f} s")
    tenth = table.filter(pl.col("Store") % 10 == 0)
    loops = median_seconds(lambda: loops_over_rows(tenth), runs=1) * len(table) / len(tenth)
    print(f"{'loops: days since, until':<24} {loops:6.2f} s  (from a tenth of the shops)")


def median_seconds(work: Callable[[], object], runs: int = 5) -> float:
    times = []
    for _ in range(runs):
        started = time.perf_counter()
        work()
        times.append(time.perf_counter() - started)
    return statistics.median(times)


def pandas_rolling(table: pl.DataFrame) -> None:
    """Six sums of seven rows, as the lesson's notebook makes them."""
    holiday = pl.col("StateHoliday") != "0"
    frame = table.select("Store", "Date", "SchoolHoliday", "Promo", StateHoliday=holiday.cast(pl.Int8)).to_pandas()
    for ascending in (True, False):
        ordered = frame.sort_values("Date", ascending=ascending).set_index("Date")
        ordered.groupby("Store")[["SchoolHoliday", "StateHoliday", "Promo"]].rolling(7, min_periods=1).sum()


def loops_over_rows(table: pl.DataFrame) -> None:
    """Days since and until of three events, as the lesson's notebook makes them: a loop over the rows for each."""
    for descending in (False, True):
        ordered = table.sort("Store", "Date", descending=[False, descending])
        shops, dates = ordered["Store"].to_numpy(), ordered["Date"].to_numpy()
        for event in (ordered["SchoolHoliday"] == 1, ordered["StateHoliday"] != "0", ordered["Promo"] == 1):
            last, shop, days = np.datetime64("NaT"), None, []
            for own, happened, date in zip(shops, event.to_numpy(), dates, strict=True):
                if own != shop:
                    last, shop = np.datetime64("NaT"), own
                if happened:
                    last = date
                days.append(date - last)


if __name__ == "__main__":
    main()
