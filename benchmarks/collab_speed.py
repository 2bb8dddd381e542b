"""Speed on ratings: training beside fastai v2 and a bare tensor loop, and recommending to all users of ml-1m.

    python -m benchmarks.collab_speed [--rounds 5] [--peer PYTHON] [--json FILE]

Protocol. Training: the 80,000 ratings of ml-100k's random four fifths, 50 factors, plain dot product and bias, a
sigmoid for the range; torch's fused AdamW and an allocator that keeps freed memory on all sides; batch 64 and 2,048.
One measurement is the CPU time of one epoch: for headstart a whole ``fit_one_cycle`` of one epoch without validation,
for fastai its training part alone. headstart and the bare loop take turns in one process (A B A B ...), fastai, in a
process of its own with the interpreter given by --peer (where fastai 2 is installed), takes its turn between them; a
ratio is the median over the rounds. The bare loop is what a good user of torch would write: four `nn.Embedding`, fused
AdamW at a fixed rate, an order and an `index_select` per tensor.

Recommending: `recommend_all(10)` for the 6,040 users of ml-1m, seen items excluded, by a plain model of one epoch (what
is measured does not depend on how well it was trained).

One thread; pin it to a core: ``taskset -c 0 python -m benchmarks.collab_speed``.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import polars as pl
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from benchmarks.workers import ROOT
from headstart import CollabLearner, RatingsData, datasets

GOALS = {"of_bare": 0.9, "of_fastai_64": 6.0, "of_fastai_2048": 5.0, "recommend_users": 5000.0}

PEER = """
import functools, sys, time, torch
from benchmarks.protocol import keep_freed_memory
torch.set_num_threads(1)
keep_freed_memory()
import pandas as pd
from fastai.collab import CollabDataLoaders, collab_learner
from fastai.callback.core import Callback
from fastai.optimizer import OptimWrapper
path, batch_size = sys.argv[1], int(sys.argv[2])
frame = pd.read_csv(path)[["user", "item", "rating"]]
loaders = CollabDataLoaders.from_df(frame, valid_pct=0.2, seed=0, bs=batch_size, device=torch.device("cpu"))
fused = functools.partial(OptimWrapper, opt=torch.optim.AdamW, fused=True)
learner = collab_learner(loaders, n_factors=50, y_range=(0.5, 5.5), metrics=[], opt_func=fused)
rows = len(loaders.train_ds)

class Timer(Callback):
    def before_train(self): self.start = time.process_time()
    def after_train(self): self.seconds = time.process_time() - self.start

timer = Timer()
for line in sys.stdin:
    with learner.no_bar(), learner.no_logging():
        learner.fit(1, 5e-3, cbs=[timer])
    print(rows / timer.seconds, flush=True)
"""


class Bare(nn.Module):
    """Embeddings and biases of users and items, their product through a sigmoid."""

    def __init__(self, users: int, items: int) -> None:
        super().__init__()
        self.users, self.items = nn.Embedding(users, 50), nn.Embedding(items, 50)
        self.user_bias, self.item_bias = nn.Embedding(users, 1), nn.Embedding(items, 1)

    def forward(self, users: Tensor, items: Tensor) -> Tensor:
        """Return ratings, ``(rows,)``."""
        product = (self.users(users) * self.items(items)).sum(1)
        score: Tensor = product + self.user_bias(users).squeeze(1) + self.item_bias(items).squeeze(1)
        return torch.sigmoid(score) * 5 + 0.5


def bare_epoch(data: RatingsData, batch_size: int) -> Callable[[], float]:
    seen = data.codec.seen
    assert seen is not None and seen.ratings is not None
    users, items, ratings = seen.users, seen.items, seen.ratings
    net = Bare(len(data.codec.users), len(data.codec.items)).train()
    optimizer = torch.optim.AdamW(net.parameters(), lr=5e-3, fused=True)

    def epoch() -> float:
        started = time.process_time()
        order = torch.randperm(len(users))
        for start in range(0, len(users), batch_size):
            rows = order[start : start + batch_size]
            found = net(users.index_select(0, rows), items.index_select(0, rows))
            loss = F.mse_loss(found, ratings.index_select(0, rows))
            loss.backward()  # type: ignore[no-untyped-call]  # torch leaves backward untyped
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)
        return len(users) / (time.process_time() - started)

    return epoch


def headstart_epoch(data: RatingsData) -> Callable[[], float]:
    learner = CollabLearner(data, implicit=False, factors=50, progress="none")
    learner.data = replace(data, valid=None, valid_pairs=None)

    def epoch() -> float:
        started = time.process_time()
        learner.fit_one_cycle(5e-3, 1)
        return len(learner.seen) / (time.process_time() - started)

    return epoch


def fastai_epoch(python: str, path: Path, batch_size: int) -> Callable[[], float]:
    process = subprocess.Popen(
        [python, "-c", PEER, str(path), str(batch_size)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        cwd=ROOT,
    )  # fmt: skip

    def epoch() -> float:
        assert process.stdin is not None and process.stdout is not None
        process.stdin.write("go\n")
        process.stdin.flush()
        return float(process.stdout.readline())

    return epoch


def run_in_turn(sides: dict[str, Callable[[], float]], rounds: int) -> dict[str, list[float]]:
    runs: dict[str, list[float]] = {name: [] for name in sides}
    for number in range(rounds + 1):
        for name, side in sides.items():
            rate = side()
            if number:  # the first warms up
                runs[name].append(rate)
    return runs


def measure_training(batch_size: int, rounds: int, peer: str | None) -> dict[str, Any]:
    path = datasets.get("ml-100k")
    data = RatingsData.from_table(path, "user", "item", "rating", batch_size=batch_size)
    sides = {"headstart": headstart_epoch(data), "bare": bare_epoch(data, batch_size)}
    with tempfile.TemporaryDirectory(prefix="headstart-bench-") as folder:
        if peer is not None:
            pl.read_parquet(path).write_csv(Path(folder) / "ratings.csv")
            sides["fastai"] = fastai_epoch(peer, Path(folder) / "ratings.csv", batch_size)
        runs = run_in_turn(sides, rounds)
    found: dict[str, Any] = {
        f"{name}_ratings_per_second": round(statistics.median(rates)) for name, rates in runs.items()
    }
    for other in list(runs)[1:]:
        ratios = [ours / theirs for ours, theirs in zip(runs["headstart"], runs[other], strict=True)]
        found[f"of_{other}"] = round(statistics.median(ratios), 3)
        found[f"of_{other}_spread"] = [round(min(ratios), 3), round(max(ratios), 3)]
    return found


def measure_recommending(rounds: int) -> dict[str, Any]:
    data = RatingsData.from_table(datasets.get("ml-1m"), "user", "item", "rating")
    learner = CollabLearner(data, implicit=False, progress="none")
    learner.fit_one_cycle(5e-3, 1)
    users, rates = len(data.codec.users) - 1, []
    for _ in range(rounds):
        started = time.process_time()
        assert len(learner.recommend_all(10)) == 10 * users
        rates.append(users / (time.process_time() - started))
    return {"users_per_second": round(statistics.median(rates)), "spread": [round(min(rates)), round(max(rates))]}


def main(arguments: Sequence[str] | None = None) -> int:
    """Print the figures, and which goals they miss; return 1 if one is missed, else 0."""
    parser = argparse.ArgumentParser(description="Speed on ratings.")
    parser.add_argument("--rounds", type=int, default=5, help="measurements of each side")
    parser.add_argument("--peer", metavar="PYTHON", help="an interpreter with fastai 2; without it fastai is left out")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures here as well")
    asked = parser.parse_args(arguments)
    torch.set_num_threads(1)
    figures: dict[str, dict[str, Any]] = {}
    missed: list[str] = []
    for batch_size in (64, 2048):
        name = f"training, batch {batch_size}"
        figures[name] = measure_training(batch_size, asked.rounds, asked.peer)
        print(name, json.dumps(figures[name]), flush=True)
        for other, goal in (("bare", GOALS["of_bare"]), ("fastai", GOALS[f"of_fastai_{batch_size}"])):
            if figures[name].get(f"of_{other}", goal) < goal:
                missed.append(f"{name}, of {other}")
    figures["recommending"] = measure_recommending(asked.rounds)
    print("recommending", json.dumps(figures["recommending"]), flush=True)
    if figures["recommending"]["users_per_second"] < GOALS["recommend_users"]:
        missed.append("recommending")
    print("missed: " + (", ".join(missed) or "nothing"))
    if asked.json is not None:
        asked.json.write_text(json.dumps(figures, indent=2) + "\n")
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
