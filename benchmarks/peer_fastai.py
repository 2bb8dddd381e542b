"""fastai v2's side, run by the interpreter of ``.venv-bench``: training, or prediction of one row.

As a user would write it: `TabularPandas` with the usual processors, `tabular_learner`, `fit_one_cycle`; without the
bar, the log and metrics. But with what headstart has and fastai has not by itself: torch's fused AdamW instead of
fastai's own Adam, and an allocator that keeps freed memory. Embedding sizes, hidden layers, rows and batch size are the
task's. Its hidden layers have no bias where batch norm follows, so that it has a few hundred parameters less.

For training one measurement is one epoch: from before its first batch to after its last, without validation.
For prediction it is the median of some calls of ``learn.predict(row)``.
"""

from __future__ import annotations

import functools
import sys
import time
from typing import Any

import pandas as pd
import torch
from fastai.tabular.all import (
    Callback,
    Categorify,
    FillMissing,
    Normalize,
    OptimWrapper,
    RegressionBlock,
    TabularPandas,
    range_of,
    tabular_learner,
)

from benchmarks.protocol import Task, keep_freed_memory, read_task, serve, time_calls

CALLS = 20


class Clock(Callback):  # type: ignore[misc]  # fastai is untyped
    """Times an epoch's training."""

    def before_train(self) -> None:
        """Starts."""
        self.start = time.process_time()

    def after_train(self) -> None:
        """Stops."""
        self.seconds = time.process_time() - self.start


def make_learner(task: Task, table: pd.DataFrame, rows: int) -> Any:
    """A learner on the first ``rows`` of the table; the rest validates."""
    places = range_of(table)
    prepared = TabularPandas(
        table,
        procs=[Categorify, FillMissing, Normalize],
        cat_names=list(task.categorical),
        cont_names=list(task.continuous),
        y_names=task.target,
        y_block=RegressionBlock(),
        splits=(places[:rows], places[rows:]),
    )
    return tabular_learner(
        prepared.dataloaders(bs=task.batch_size),
        layers=list(task.hidden),
        emb_szs=task.embedding_sizes,
        opt_func=functools.partial(OptimWrapper, opt=torch.optim.AdamW, fused=True),
        path=".",
    )


def main() -> None:
    what, task = sys.argv[1], read_task(sys.argv[2])
    keep_freed_memory()
    torch.manual_seed(0)
    train, valid = pd.read_parquet(task.train), pd.read_parquet(task.valid)
    learn = make_learner(task, pd.concat([train, valid], ignore_index=True), len(train))

    rows = [row for _, row in valid.drop(columns=task.target).head(CALLS).iterrows()]

    def measure_training() -> dict[str, Any]:
        clock = Clock()
        learn.fit_one_cycle(1, task.learning_rate, cbs=[clock])
        return {"seconds": clock.seconds}

    def measure_prediction() -> dict[str, Any]:
        return time_calls(learn.predict, rows)

    with learn.no_bar(), learn.no_logging():
        parameters = sum(parameter.numel() for parameter in learn.model.parameters())
        serve(measure_training if what == "train" else measure_prediction, {"parameters": parameters})


if __name__ == "__main__":
    main()
