"""Quality of tables with the defaults: the judges' rows of `benchmarks.quality_tasks`, three seeds with their spread.

Network, rate, batch size and epochs are what ``headstart train tabular`` takes without being told; they were chosen on
the inner splits (`benchmarks.tabular_study`). LightGBM's side is `benchmarks.lightgbm_peer`. Run it as
``OMP_NUM_THREADS=1 taskset -c 1 python -m benchmarks.tabular_quality [--ensemble K] [--lesson] [TASK ...]``.
"""

from __future__ import annotations

import argparse
import statistics
import time
from dataclasses import replace

import torch

from benchmarks.quality_tasks import TASKS
from headstart import TabularLearner
from headstart.tabular import TabularDesign


def main() -> None:
    torch.set_num_threads(1)
    parser = argparse.ArgumentParser()
    parser.add_argument("tasks", nargs="*", metavar="TASK", help=f"of {', '.join(TASKS)}; all if none is named")
    parser.add_argument("--ensemble", type=int, default=1, help="models to average")
    parser.add_argument("--lesson", action="store_true", help="the lesson's network")
    asked = parser.parse_args()
    design = TabularDesign(ensemble=asked.ensemble)
    if asked.lesson:
        design = replace(design, numeric_embedding=None, norm_first=False)
    for name in asked.tasks or TASKS:
        task, found = TASKS[name], []
        for seed in (0, 1, 2):
            started = time.process_time()
            learner = TabularLearner(task.outer_data(seed), design=design, seed=seed, progress="none")
            plan = learner.plan()
            history = learner.fit_one_cycle(plan.lr, plan.epochs, keep="last")
            found.append(history[-1][task.metric])
            seconds = time.process_time() - started
            print(f"{name}, seed {seed}: {task.metric} {found[-1]:.4f} in {seconds:.0f} s of CPU time", flush=True)
        print(f"{name}: {task.metric} {statistics.mean(found):.4f} +- {statistics.stdev(found):.4f}", flush=True)


if __name__ == "__main__":
    main()
