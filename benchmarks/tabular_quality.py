"""Quality on rossmann-100: the default model, three seeds, six weeks ahead.

Training rows: open days (Sales > 0) before 2015-06-20, 75,479; validation: 2015-06-20 to 2015-07-31, 3,654. All columns
but Open, the dates as their parts, the target's logarithm; ten epochs of one cycle at 0.01. Run it as
``OMP_NUM_THREADS=1 taskset -c 1 python -m benchmarks.tabular_quality``.
"""

from __future__ import annotations

import statistics

import torch

from headstart import TabularData, TabularLearner, datasets, splits


def main() -> None:
    torch.set_num_threads(1)
    found = []
    for seed in (0, 1, 2):
        data = TabularData.from_table(
            datasets.get("rossmann-100"), "Sales", split=splits.by_time("Date", start="2015-06-20"),
            where="Sales > 0", exclude=["Open"], log_target=True, seed=seed,
        )  # fmt: skip
        learner = TabularLearner(data, seed=seed, progress="none")
        history = learner.fit_one_cycle(0.01, 10)
        found.append(history[-1]["rmspe"])
        seconds = sum(figures["seconds"] for figures in history)
        print(f"seed {seed}: RMSPE {found[-1]:.4f} in {seconds:.0f} s", flush=True)
    print(f"mean {statistics.mean(found):.4f} +- {statistics.stdev(found):.4f}")


if __name__ == "__main__":
    main()
