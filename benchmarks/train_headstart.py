"""headstart's side of training: the public API, as a user would write it. One measurement is one epoch.

The clock runs from the start of the fit, before the order of the rows is drawn, to the end of the epoch's last step.
Validation comes after. Each measurement is a `fit_one_cycle` of one epoch: a new optimizer, and the rate and the
momentum follow the schedule at every step, which the bare loop does without.
"""

from __future__ import annotations

import sys
import time
from typing import Any

from benchmarks.protocol import Task, read_task, serve
from headstart import Callback, TabularData, TabularLearner
from headstart.tabular import TabularDesign
from headstart.training.progress import Progress

__all__ = ["make_learner"]


class Clock(Callback):
    """CPU time of a fit's first epoch without its evaluation."""

    def __init__(self) -> None:
        self.seconds = self._start = 0.0

    def on_fit_start(self, progress: Progress) -> None:
        """Start the clock."""
        self._start = time.process_time()

    def on_step_end(self, progress: Progress) -> None:
        """Stop the clock after the last step."""
        if progress.step == progress.steps:
            self.seconds = time.process_time() - self._start


def make_learner(task: Task) -> TabularLearner:
    """Return a learner with the lesson's network in the sizes of the task, without dropout."""
    data = TabularData.from_table(
        task.train,
        task.target,
        valid=task.valid,
        categorical=task.categorical,
        continuous=task.continuous,
        batch_size=task.batch_size,
    )
    design = TabularDesign(
        numeric_embedding=None, norm_first=False, hidden=tuple(task.hidden), dropout=0.0,
        embedding_sizes=task.embedding_sizes,
    )  # fmt: skip
    return TabularLearner(data, design=design, metrics=[], progress="none")


def main() -> None:
    task = read_task(sys.argv[1])
    learner = make_learner(task)

    def measure() -> dict[str, Any]:
        clock = Clock()
        learner.fit_one_cycle(task.learning_rate, 1, callbacks=[clock])
        return {"seconds": clock.seconds}

    serve(measure, {"parameters": sum(parameter.numel() for parameter in learner.model.parameters())})


if __name__ == "__main__":
    main()
