"""A running mean of the weights: by value, and by what a fit does with it."""

from __future__ import annotations

import copy
from pathlib import Path

import pytest
import torch
from torch import Tensor

import toys
from headstart import Callback, Engine, Learner
from headstart.core.batch import Batch
from headstart.core.errors import ConfigError
from headstart.training.averaging import AverageWeights
from headstart.training.callbacks import KeepBest
from headstart.training.loaders import Data, tensor_data
from headstart.training.progress import Progress
from headstart.training.settings import Plan


class Weights(Callback):
    """Note the weights after each step, before other callbacks change them."""

    def __init__(self) -> None:
        self.seen: list[Tensor] = []

    def on_step_end(self, progress: Progress) -> None:
        self.seen.append(next(progress.model.parameters()).detach().clone())


def data_of(rows: int = 12) -> Data:
    inputs = torch.randn(rows, 2, generator=torch.Generator().manual_seed(1))
    target = inputs.sum(1, keepdim=True) + torch.randn(rows, 1, generator=torch.Generator().manual_seed(2))
    return tensor_data((inputs, target), (inputs, target), batch_size=4, engine=Engine("cpu"))


def learner_of(data: Data) -> Learner:
    torch.manual_seed(0)
    model = torch.nn.Sequential(torch.nn.Linear(2, 1))
    return Learner(model, data, loss=toys.square_loss, progress="none")


def test_the_mean_forgets_early_weights_polynomially() -> None:
    learner, weights = learner_of(data_of()), Weights()
    learner.fit(0.1, 2, callbacks=[weights, AverageWeights(decay=1.0)])
    mean = weights.seen[0]
    for step, seen in enumerate(weights.seen[1:], start=2):
        mean = mean + 2.0 / (step + 1.0) * (seen - mean)
    assert len(weights.seen) == 6
    assert torch.allclose(next(learner.model.parameters()), mean, atol=1e-6)
    shares = torch.tensor([1.0, 2, 3, 4, 5, 6])  # with decay 1, weights count as their step
    assert torch.allclose(mean, (torch.stack(weights.seen) * (shares / shares.sum())[:, None, None]).sum(0), atol=1e-6)


def test_training_goes_on_from_the_weights_and_evaluation_sees_the_mean() -> None:
    plain, averaged = learner_of(data_of()), learner_of(data_of())
    before, beside = Weights(), Weights()
    plain.fit(0.1, 3, callbacks=[before])
    history = averaged.fit(0.1, 3, callbacks=[beside, AverageWeights()])
    assert torch.equal(torch.stack(before.seen), torch.stack(beside.seen))
    assert averaged.validate()["valid_loss"] == history[-1]["valid_loss"] != plain.history[-1]["valid_loss"]


def test_an_interrupted_epoch_leaves_the_mean() -> None:
    class Stop(Callback):
        def on_step_end(self, progress: Progress) -> None:
            progress.stop = progress.epoch == 1

    learner, weights = learner_of(data_of()), Weights()
    learner.fit(0.1, 3, callbacks=[weights, AverageWeights(decay=0.0), Stop()])
    assert len(weights.seen) == 4
    assert torch.allclose(next(learner.model.parameters()), torch.stack(weights.seen).mean(0), atol=1e-6)


def test_an_interrupted_epoch_leaves_the_best_epoch_where_that_is_kept() -> None:
    class Stop(Callback):
        def on_step_end(self, progress: Progress) -> None:
            progress.stop = progress.epoch == 2

    learner = learner_of(data_of())
    history = learner.fit(0.1, 3, callbacks=[KeepBest(), AverageWeights(), Stop()])
    kept = history.kept()
    assert kept is not None
    assert learner.validate()["valid_loss"] == history[kept - 1]["valid_loss"] == learner.figures["valid_loss"]


def test_a_resumed_fit_equals_an_uninterrupted_one(tmp_path: Path) -> None:
    class Break(Callback):
        def on_batch(self, progress: Progress, batch: Batch) -> Batch:
            if progress.epoch == 2:
                raise KeyboardInterrupt
            return batch

    plan = Plan(lr=0.1, epochs=4, schedule="constant", patience=3)
    whole = learner_of(data_of())
    whole.fit_plan(plan)
    broken = learner_of(data_of())
    with pytest.raises(KeyboardInterrupt):
        broken.fit_plan(plan, checkpoint=tmp_path / "checkpoint", callbacks=[Break()])
    resumed = learner_of(data_of())
    resumed.fit_plan(plan, checkpoint=tmp_path / "checkpoint", resume=True, callbacks=[_Same()])
    for name, tensor in whole.model.state_dict().items():
        assert torch.equal(resumed.model.state_dict()[name], tensor), name


def _Same() -> Callback:
    """Return a callback that does nothing, of a class with the name of the one that broke the fit."""
    return type("Break", (Callback,), {})()


def test_a_plan_with_patience_ends_where_validation_no_longer_improves() -> None:
    """Four noisy rows and ten inputs of noise: training goes on to gain where validation rows lose."""
    random = torch.Generator().manual_seed(3)
    inputs, more = torch.randn(12, 10, generator=random), torch.randn(40, 10, generator=random)
    target, other = torch.randn(12, 1, generator=random), torch.randn(40, 1, generator=random)
    data = tensor_data((inputs, target), (more, other), batch_size=4, engine=Engine("cpu"))
    torch.manual_seed(0)
    learner = Learner(torch.nn.Linear(10, 1), data, loss=toys.square_loss, progress="none")
    history = learner.fit_plan(Plan(lr=0.05, epochs=100, schedule="constant", patience=3))
    kept = history.kept()
    assert kept is not None and len(history) == kept + 3 < 100
    assert learner.validate()["valid_loss"] == min(epoch["valid_loss"] for epoch in history)


def test_a_plan_with_a_given_length_is_one_cycle() -> None:
    plan = Plan(lr=0.1, epochs=100, schedule="constant", patience=3, depth=2.0)
    assert plan.lasting(7) == Plan(lr=0.1, epochs=7, depth=2.0)


def test_a_negative_decay_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"decay must be a number of at least 0; got -1"):
        AverageWeights(decay=-1)


def test_the_average_of_batch_norms_is_theirs() -> None:
    inputs = torch.randn(64, 2, generator=torch.Generator().manual_seed(0))
    data = tensor_data((inputs, inputs.sum(1, keepdim=True)), batch_size=8, engine=Engine("cpu"))
    torch.manual_seed(0)
    model = torch.nn.Sequential(torch.nn.BatchNorm1d(2), torch.nn.Linear(2, 1))
    learner = Learner(model, data, loss=toys.square_loss, progress="none")
    means: list[Tensor] = []

    class Note(Callback):
        def on_step_end(self, progress: Progress) -> None:
            means.append(copy.deepcopy(progress.model.state_dict()["0.running_mean"]))

    learner.fit(0.05, 1, callbacks=[Note(), AverageWeights(decay=0.0)])
    assert torch.allclose(model.state_dict()["0.running_mean"], torch.stack(means).mean(0), atol=1e-6)
