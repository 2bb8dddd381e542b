"""The learning-rate finder's suggestion, and the plots of what it found."""

from __future__ import annotations

import math

import pytest
import torch

import toys
from headstart import Callback, Engine, Learner, TensorBoard
from headstart.core.batch import Batch
from headstart.training.loaders import tensor_data
from headstart.training.plots import plot_schedule
from headstart.training.progress import Progress
from headstart.training.schedules import CosineRestarts


def valley_learner() -> Learner:
    """A model whose loss is lowest when its rate is 0.3, whatever it has learnt."""
    inputs = torch.ones(64, 1)
    learner = Learner(
        torch.nn.Linear(1, 1), tensor_data((inputs, inputs), batch_size=8), loss=toys.square_loss, progress="none"
    )
    rate = [1e-6]

    class Tell(Callback):
        def on_batch(self, progress: Progress, batch: Batch) -> Batch:
            rate[0] = progress.optimizer.param_groups[0]["lr"]
            return batch

    learner.loss = lambda outputs, batch: outputs.mean() * 0 + 1 + abs(math.log10(rate[0] / 0.3))
    learner.callbacks = [Tell()]
    return learner


def test_the_suggestion_is_a_tenth_of_the_best_rate() -> None:
    curve = valley_learner().find_lr(start=1e-6, end=10.0, steps=100)
    assert len(curve.rates) == 100
    assert curve.rates[0] == pytest.approx(1e-6) and curve.rates[-1] == pytest.approx(10 / 10 ** (7 / 100))
    assert curve.suggestion == pytest.approx(0.03, rel=0.2)


def test_the_sweep_calls_no_other_hook_of_the_learner_s_callbacks() -> None:
    class Counting(Callback):
        calls: list[str] = []

        def on_fit_start(self, progress: Progress) -> None:
            self.calls.append("start")

        def on_epoch_end(self, progress: Progress) -> None:
            self.calls.append("epoch")

        def on_fit_end(self, progress: Progress) -> None:
            self.calls.append("end")

    learner = toys.plain_learner(Engine("cpu"))
    learner.callbacks = [Counting()]
    learner.find_lr(steps=20)
    assert Counting.calls == []


def test_plots_are_pictures() -> None:
    learner = toys.plain_learner(Engine("cpu"))
    learner.fit(0.01, 2)
    for plot in (learner.find_lr(steps=20).plot(), learner.history.plot(), plot_schedule(CosineRestarts(2, 1, 2))):
        assert plot._repr_png_().startswith(b"\x89PNG")


def test_tensorboard_gets_the_figures(tmp_path) -> None:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    learner = toys.plain_learner(Engine("cpu"))
    learner.fit(0.01, 2, callbacks=[TensorBoard(tmp_path)])
    read = EventAccumulator(str(tmp_path))
    read.Reload()
    assert {"train_loss", "valid_loss", "rmse", "lr/group0"} <= set(read.Tags()["scalars"])
    assert [event.value for event in read.Scalars("rmse")] == pytest.approx([row["rmse"] for row in learner.history])
