"""Which network is worth being the default: variants side by side, on the inner splits, so that no judge is consulted.

Each variant changes one thing. All train on the same rows in the same order with the same seeds; the judges' rows (the
outer splits of `benchmarks.quality_tasks`) are not looked at. Rows per second are those of the training steps, in CPU
time of one thread, with the encoding and the validation left out. bf16, many times slower on a processor without such
products, runs only where ``--variant`` names it. Run it as
``OMP_NUM_THREADS=1 taskset -c 1 python -m benchmarks.tabular_study``, with ``--help`` for what to leave out.
"""

from __future__ import annotations

import argparse
import statistics
import time
from dataclasses import dataclass, field, replace
from typing import cast

import torch

from benchmarks.quality_tasks import TASKS, QualityTask
from headstart import Callback, TabularLearner
from headstart.tabular import LESSON_NETWORK, MEMBERS_NETWORK
from headstart.tabular.design import TabularOptions
from headstart.training.optim import AdamW
from headstart.training.progress import Progress

__all__ = ["VARIANTS", "Variant"]


@dataclass(frozen=True)
class Variant:
    """One way to train.

    Attributes:
        options: options of `TabularLearner` that are not its defaults.
        batch_size: rows per step; None: the default.
        lr: the top rate; None: that of the plan.
    """

    options: TabularOptions = field(default_factory=TabularOptions)
    batch_size: int | None = None
    lr: float | None = None


MEMBERS = Variant(MEMBERS_NETWORK, batch_size=512, lr=0.003)

VARIANTS = {
    "default": Variant(),
    "the lesson's": Variant(LESSON_NETWORK),
    "the lesson's, norm first": Variant({"numeric_embedding": None}),
    "batch norm": Variant({"batch_norm": True}),
    "no factors on inputs": Variant({"input_scale": False}),
    "periodic numbers": Variant({"numeric_embedding": "periodic"}),
    "weight decay 0.1": Variant({"weight_decay": 0.1}),
    "hidden 256 and 128": Variant({"hidden": (256, 128)}),
    "dropout of embeddings": Variant({"embedding_dropout": 0.1}),
    "eps 1e-5": Variant({"optimizer": AdamW()}),
    "bf16": Variant({"precision": "bf16"}),
    "three models": Variant({"ensemble": 3}),
    "members": MEMBERS,
    "members, numbers as they are": replace(MEMBERS, options=MEMBERS_NETWORK | {"numeric_embedding": None}),
    "members, periodic numbers": replace(MEMBERS, options=MEMBERS_NETWORK | {"numeric_embedding": "periodic"}),
    "members, batch norm": replace(MEMBERS, options=MEMBERS_NETWORK | {"batch_norm": True}),
}
"""By name; each changes one thing in the default or in the members."""


class StepClock(Callback):
    """CPU time of the training steps, validation left out."""

    def __init__(self) -> None:
        self.seconds = 0.0
        self._last = 0.0

    def on_fit_start(self, progress: Progress) -> None:
        """Start the clock."""
        self._last = time.process_time()

    def on_step_end(self, progress: Progress) -> None:
        """Add a step's time."""
        now = time.process_time()
        self.seconds += now - self._last
        self._last = now

    def on_epoch_end(self, progress: Progress) -> None:
        """Leave the validation out."""
        self._last = time.process_time()


def measure(task: QualityTask, variant: Variant, seed: int, *, epochs: int | None = None) -> tuple[float, float]:
    """Return the metric of the epoch that was kept, and rows per second while training."""
    data = task.inner_data(seed, batch_size=variant.batch_size)
    options = cast("TabularOptions", {**variant.options, "seed": seed, "progress": "none"})
    learner = TabularLearner(data, **options)
    plan = learner.plan() if epochs is None else learner.plan().lasting(epochs)
    clock = StepClock()
    history = learner.fit_plan(plan, lr=variant.lr, callbacks=[clock])
    figure = learner.figures[task.metric]
    return figure, getattr(data.train, "rows", 0) * len(history) / clock.seconds


def main() -> None:
    torch.set_num_threads(1)
    parser = argparse.ArgumentParser()
    parser.add_argument("--task", action="append", choices=list(TASKS))
    parser.add_argument("--variant", action="append", choices=list(VARIANTS))
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--epochs", type=int, help="of one cycle; by the number of rows")
    asked = parser.parse_args()
    variants = asked.variant or [name for name, variant in VARIANTS.items() if "precision" not in variant.options]
    for name in asked.task or TASKS:
        for variant in variants:
            runs = [measure(TASKS[name], VARIANTS[variant], seed, epochs=asked.epochs) for seed in range(asked.seeds)]
            figures, speeds = zip(*runs, strict=True)
            spread = statistics.stdev(figures) if len(figures) > 1 else float("nan")
            told = (
                f"{statistics.mean(figures):.4f} +- {spread:.4f} [{', '.join(f'{figure:.4f}' for figure in figures)}]"
            )
            print(
                f"{name}: {variant}: {TASKS[name].metric} {told}, {statistics.median(speeds):,.0f} rows/s", flush=True
            )


if __name__ == "__main__":
    main()
