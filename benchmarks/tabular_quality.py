"""Quality of tables with the defaults: the judges' rows of `benchmarks.quality_tasks`, three seeds with their spread.

Network, rate and batch size are what ``headstart train tabular`` takes without being told. The judges' rows do not
validate: the length of a fit is found on training rows. LightGBM's side is `benchmarks.lightgbm_peer`. Run it as
``OMP_NUM_THREADS=1 taskset -c 1 python -m benchmarks.tabular_quality [--ensemble K] [--lesson] [TASK ...]``.
"""

from __future__ import annotations

import argparse
import statistics
import time
from dataclasses import replace
from typing import Any, cast

import torch

from benchmarks.quality_tasks import TASKS
from headstart import TabularLearner
from headstart.tabular import LESSON_NETWORK, TabularDesign


def main() -> None:
    torch.set_num_threads(1)
    parser = argparse.ArgumentParser()
    parser.add_argument("tasks", nargs="*", metavar="TASK", help=f"of {', '.join(TASKS)}; all if none is named")
    parser.add_argument("--ensemble", type=int, default=1, help="models to average")
    parser.add_argument("--lesson", action="store_true", help="the lesson's network")
    asked = parser.parse_args()
    design = TabularDesign(ensemble=asked.ensemble)
    if asked.lesson:
        options = cast("dict[str, Any]", LESSON_NETWORK)
        design = replace(design, **options)
    for name in asked.tasks or TASKS:
        task, found = TASKS[name], []
        for seed in (0, 1, 2):
            started = time.process_time()
            data = task.outer_data(seed)
            learner = TabularLearner(
                replace(data, valid=None, valid_rows=None), design=design, seed=seed, progress="none"
            )  # fmt: skip
            learner.fit_plan()
            found.append(learner.validate(data.valid)[task.metric])
            seconds = time.process_time() - started
            print(f"{name}, seed {seed}: {task.metric} {found[-1]:.4f} in {seconds:.0f} s of CPU time", flush=True)
        print(f"{name}: {task.metric} {statistics.mean(found):.4f} +- {statistics.stdev(found):.4f}", flush=True)


if __name__ == "__main__":
    main()
