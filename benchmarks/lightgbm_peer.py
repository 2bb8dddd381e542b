"""LightGBM on the tables that quality is judged on, with the same columns, tuned in good faith.

It gets the columns that headstart's codec makes (ids as categories, numbers, indicators of gaps). Sets of parameters
are drawn, for numbers the loss too (squared or Huber's); the inner split chooses among them and says after how many
trees to stop. Then it is fitted to all training rows, with a tenth more trees, and judged by the outer split, for three
seeds. One thread: ``OMP_NUM_THREADS=1 taskset -c 1 python -m benchmarks.lightgbm_peer [--draws N] [--ensemble K] [TASK
...]``. On Rossmann's whole table, of 800,000 rows, the trees are fewer and learn faster. With ``--ensemble K`` the mean
of K boosters with seeds of their own predicts, as beside `benchmarks.tabular_quality --ensemble K`.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Sequence
from typing import Any

import lightgbm
import numpy as np
import torch
from numpy.typing import NDArray

from benchmarks.quality_tasks import TASKS, QualityTask
from headstart import TabularData
from headstart.targets.metrics import METRICS
from headstart.targets.target import Number
from headstart.training.loaders import TensorLoader

SEEDS = (0, 1, 2)
MOST_TREES = 3000
MANY_ROWS = 500_000
"""Beyond so many, a third of the trees at a three times higher rate."""
Side = tuple[NDArray[np.float32], NDArray[np.float64]]


def sides(data: TabularData) -> tuple[Side, Side]:
    """Features and (log) targets of both sides."""
    found = []
    for loader in (data.train, data.valid):
        assert isinstance(loader, TensorLoader) and loader.target is not None
        features = torch.cat([tensor.float() for tensor in loader.inputs], 1).numpy()
        found.append((features, loader.target.double().squeeze(-1).numpy()))
    return found[0], found[1]


def parameters(random: np.random.Generator, *, number: bool, rates: Sequence[float]) -> dict[str, Any]:
    """One draw."""
    objective = {"objective": str(random.choice(["regression", "huber"])), "alpha": 0.3} if number else {}
    return {
        **objective,
        "num_leaves": int(random.choice([15, 31, 63, 127, 255])),
        "min_data_in_leaf": int(random.choice([5, 20, 50, 100])),
        "feature_fraction": float(random.choice([0.4, 0.6, 0.8, 1.0])),
        "bagging_fraction": float(random.choice([0.7, 0.9])),
        "bagging_freq": 1,
        "lambda_l2": float(random.choice([0.0, 1.0, 10.0])),
        "cat_smooth": float(random.choice([1.0, 10.0, 100.0])),
        "cat_l2": float(random.choice([1.0, 10.0])),
        "max_cat_threshold": int(random.choice([32, 128])),
        "learning_rate": float(random.choice(rates)),
    }


def train(data: TabularData, options: dict[str, Any], trees: int, *, stop: bool) -> lightgbm.Booster:
    """A booster on the training rows; with ``stop`` the validation rows say when it has enough trees."""
    (features, target), (valid_features, valid_target) = sides(data)
    fixed = {"objective": "binary", "verbosity": -1, "num_threads": 1}
    categories = list(range(len(data.codec.categorical)))
    rows = lightgbm.Dataset(features, target, categorical_feature=categories)
    judges = [lightgbm.Dataset(valid_features, valid_target, reference=rows)] if stop else []
    callbacks: list[Any] = [lightgbm.early_stopping(60, verbose=False)] if stop else []
    return lightgbm.train({**fixed, **options}, rows, trees, valid_sets=judges, callbacks=callbacks)


def judge(boosters: Sequence[lightgbm.Booster], data: TabularData, metric: str) -> float:
    """The metric of the boosters' mean prediction over the validation rows, on the target's own scale."""
    _, (features, target) = sides(data)
    predictions = [np.asarray(booster.predict(features), dtype=np.float64) for booster in boosters]
    found = torch.from_numpy(np.mean(predictions, axis=0))
    read = data.codec.target
    if isinstance(read, Number):
        return METRICS[metric](read.prediction(found[:, None]), read.original(torch.from_numpy(target)[:, None]))
    return METRICS[metric](torch.stack([1 - found, found], 1), torch.from_numpy(target).long())


def measure(name: str, task: QualityTask, draws: int, members: int) -> None:
    """Tunes on the inner split of the first seed, then fits and judges for every seed."""
    random, inner, started = np.random.default_rng(0), task.inner_data(0), time.process_time()
    best: tuple[float, dict[str, Any], int] | None = None
    many = len(sides(inner)[0][0]) > MANY_ROWS
    rates, most = ([0.1, 0.2], MOST_TREES // 3) if many else ([0.03, 0.06], MOST_TREES)
    for _ in range(draws):
        options = parameters(random, number=isinstance(inner.codec.target, Number), rates=rates)
        booster = train(inner, {**options, "seed": 0}, most, stop=True)
        judged = judge([booster], inner, task.metric)
        print(f"{name}: drew {options}: {judged:.4f}, {booster.best_iteration} trees", flush=True)
        score = judged * (-1 if task.higher_is_better else 1)
        if best is None or score < best[0]:
            best = (score, options, booster.best_iteration)
    assert best is not None
    _, options, trees = best
    print(f"{name}: tuned in {time.process_time() - started:.0f} s; inner {abs(best[0]):.4f}; {trees} trees {options}")
    found, seconds = [], []
    for seed in SEEDS:
        outer, begun = task.outer_data(seed), time.process_time()
        numbers = range(members * seed, members * (seed + 1))
        boosters = [train(outer, {**options, "seed": number}, round(trees * 1.1), stop=False) for number in numbers]
        seconds.append(time.process_time() - begun)
        found.append(judge(boosters, outer, task.metric))
    spread = f"{statistics.mean(found):.4f} +- {statistics.stdev(found):.4f}"
    print(
        f"{name}: {task.metric} {spread} {[round(x, 4) for x in found]}, {statistics.median(seconds):.0f} s", flush=True
    )


def main() -> None:
    torch.set_num_threads(1)
    parser = argparse.ArgumentParser()
    parser.add_argument("tasks", nargs="*", metavar="TASK", help=f"of {', '.join(TASKS)}; all if none is named")
    parser.add_argument("--draws", type=int, default=20, help="draws of parameters (%(default)s)")
    parser.add_argument("--ensemble", type=int, default=1, help="boosters to average (%(default)s)")
    asked = parser.parse_args()
    for name in asked.tasks or list(TASKS):
        measure(name, TASKS[name], asked.draws, asked.ensemble)


if __name__ == "__main__":
    main()
