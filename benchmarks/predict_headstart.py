"""headstart's side of predicting one row: the median of some calls of ``learner.predict(row)`` with a dictionary."""

from __future__ import annotations

import sys

import polars as pl

from benchmarks.protocol import read_task, serve, time_calls
from benchmarks.train_headstart import make_learner

CALLS = 200


def main() -> None:
    task = read_task(sys.argv[1])
    learner = make_learner(task)
    rows = pl.read_parquet(task.valid).drop(task.target).head(CALLS).to_dicts()

    serve(lambda: time_calls(learner.predict, rows), {})


if __name__ == "__main__":
    main()
