"""The loop: what a step and an epoch consist of, and in which order."""

from __future__ import annotations

import inspect
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

import toys
from headstart import Callback, EarlyStopping, Engine, Learner
from headstart.core.batch import Batch
from headstart.training import loop
from headstart.training.callbacks import Deadline
from headstart.training.loaders import tensor_data
from headstart.training.optim import SGD
from headstart.training.progress import Progress


def test_the_loop_reads_on_one_screen() -> None:
    source = inspect.getsource(loop.fit)
    body = source[source.index('"""', source.index('"""') + 3) + 4 :]
    assert len(body.splitlines()) <= 50


def test_hooks_run_in_order_and_the_end_comes_even_after_an_error() -> None:
    seen: list[str] = []

    class Watch(Callback):
        def on_fit_start(self, progress: Progress) -> None:
            seen.append("start")

        def on_batch(self, progress: Progress, batch: Batch) -> Batch:
            seen.append(f"batch {progress.epoch}.{progress.step}")
            return batch

        def on_loss(self, progress: Progress, batch: Batch, outputs: Any, loss: Tensor) -> Tensor:
            seen.append("loss")
            return loss

        def on_step_end(self, progress: Progress) -> None:
            seen.append(f"step {progress.step}")
            if progress.epoch == 1:
                raise RuntimeError("broken")

        def on_epoch_end(self, progress: Progress) -> None:
            seen.append(f"epoch {progress.epoch}: {sorted(progress.history[-1])}")

        def on_fit_end(self, progress: Progress) -> None:
            seen.append("end")

    rows = torch.ones(6, 1)
    data = tensor_data((rows, rows), (rows, rows), batch_size=3, engine=Engine("cpu"))
    learner = Learner(torch.nn.Linear(1, 1), data, loss=toys.square_loss, progress="none")
    with pytest.raises(RuntimeError, match="broken"):
        learner.fit(0.1, 3, callbacks=[Watch()])
    figures = "['epoch', 'seconds', 'train_loss', 'valid_loss']"
    assert seen == [
        "start", "batch 0.0", "loss", "step 1", "batch 0.1", "loss", "step 2", f"epoch 1: {figures}",
        "batch 1.0", "loss", "step 1", "end",
    ]  # fmt: skip
    assert len(learner.history) == 1 and not learner.model.training


def test_the_training_loss_is_the_mean_over_rows_not_over_batches() -> None:
    inputs, target = torch.zeros(5, 1), torch.tensor([[1.0], [1.0], [1.0], [1.0], [3.0]])
    data = tensor_data((inputs, target), batch_size=3, engine=Engine("cpu"))
    model = torch.nn.Linear(1, 1, bias=False)
    history = Learner(model, data, loss=toys.square_loss, progress="none").fit(1e-9, 1)
    assert history[0]["train_loss"] == pytest.approx((4 * 1 + 9) / 5)


def test_a_model_is_what_plain_torch_makes_of_it() -> None:
    """Three epochs of plain SGD with momentum, written out, give the same weights."""
    rows = torch.randn(20, 3, generator=torch.Generator().manual_seed(0))
    target = rows.sum(1, keepdim=True)
    data = tensor_data((rows, target), batch_size=8, engine=Engine("cpu"))
    learner = Learner(
        toys.seeded(lambda: torch.nn.Linear(3, 1)),
        data,
        loss=toys.square_loss,
        optimizer=SGD(),
        weight_decay=0.0,
        progress="none",
    )
    learner.fit(0.05, 3)
    plain = toys.seeded(lambda: torch.nn.Linear(3, 1))
    optimizer = torch.optim.SGD(plain.parameters(), lr=0.05, momentum=0.9)
    for epoch in range(3):
        for batch in data.train.batches(epoch):
            optimizer.zero_grad()
            (plain(rows[batch.index]) - target[batch.index]).square().mean().backward()
            optimizer.step()
    torch.testing.assert_close(learner.model.weight, plain.weight)
    torch.testing.assert_close(learner.model.bias, plain.bias)


def test_frozen_batch_norm_keeps_its_statistics_and_dropout_stays_active() -> None:
    class Model(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.body = torch.nn.Sequential(torch.nn.Linear(2, 4), torch.nn.BatchNorm1d(4), torch.nn.Dropout(0.5))
            self.head = torch.nn.Sequential(torch.nn.BatchNorm1d(4), torch.nn.Linear(4, 1))

        def groups(self) -> list[list[torch.nn.Module | torch.nn.Parameter]]:
            return [[self.body], [self.head]]

        def forward(self, inputs: Tensor) -> Tensor:
            hidden = self.body(inputs)
            dropped.append(bool((hidden == 0).any()))
            outputs: Tensor = self.head(hidden)
            return outputs

    dropped: list[bool] = []
    rows = torch.randn(32, 2)
    data = tensor_data((rows, rows[:, :1]), batch_size=8, engine=Engine("cpu"))
    learner = Learner(Model(), data, loss=toys.square_loss, progress="none")
    learner.freeze()
    learner.fit(0.1, 1)
    assert torch.equal(learner.model.body[1].running_mean, torch.zeros(4))
    assert not torch.equal(learner.model.head[0].running_mean, torch.zeros(4))
    assert all(dropped)


def test_a_deadline_does_not_take_back_another_s_stop(tmp_path: Path) -> None:
    def trained(folder: Path) -> Learner:
        learner = toys.plain_learner(Engine("cpu"))
        stops = [
            Deadline(0),
            EarlyStopping("train_loss", better="higher", patience=1),
        ]  # the loss falls: it stops at once
        learner.fit(1e-3, 6, callbacks=stops, checkpoint=folder, resume=True)
        return learner

    assert len(trained(tmp_path).history) == 1
    assert len(trained(tmp_path).history) == 2
    assert len(trained(tmp_path).history) == 2
