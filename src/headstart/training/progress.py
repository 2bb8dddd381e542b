"""`Progress`: the mutable state of a fit, which callbacks receive and checkpoints store."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from headstart.core.engine import Engine
from headstart.targets.metrics import Better
from headstart.training.optim import Groups

__all__ = ["FIGURES_BESIDE_METRICS", "Progress"]


FIGURES_BESIDE_METRICS = ("fit", "epoch", "train_loss", "temperature", "seconds", "kept")
"""Names of the figures of an epoch that evaluation does not compute."""


@dataclass
class Progress:
    """State of a fit.

    Attributes:
        model: the model.
        prepared: the module that is called in training: the model, possibly wrapped in `DistributedDataParallel`.
        groups: parameter groups of the model.
        optimizer: optimizer of this fit.
        engine: device, precision and processes.
        steps: number of batches in the current epoch.
        fit: number of the fit in its learner, from 0.
        epochs: number of epochs of the fit.
        epoch: number of completed epochs.
        step: number of completed batches in the current epoch.
        loss_sum: scalar on the device, float64 where supported: sum of the training loss over the epoch's rows.
        rows: number of rows of this process in that sum.
        loss: training loss of the last batch, a scalar on the device; reading it waits for the device.
        history: one dictionary per epoch: ``epoch``, ``train_loss``, the figures of evaluation and ``seconds``.
        kept: epoch, counted from 1, whose weights the model has after the fit; None: the last.
        stop: callbacks set it to True to stop the fit after the current step.
        first: the figure by which epochs are compared; see `Learner.first_figure`.
        better: whether ``"lower"`` or ``"higher"`` is better, for each figure of which this is known.
        first_epoch: number of epochs in the learner's earlier fits.
    """

    model: nn.Module
    prepared: nn.Module
    groups: Groups
    optimizer: torch.optim.Optimizer
    engine: Engine
    epochs: int
    fit: int = 0
    steps: int = 0
    epoch: int = 0
    step: int = 0
    loss_sum: Tensor = field(init=False)
    rows: int = 0
    loss: Tensor | None = None
    history: list[dict[str, float]] = field(default_factory=list)
    kept: int | None = None
    stop: bool = False
    first: str = "train_loss"
    better: Mapping[str, Better] = field(default_factory=lambda: {"train_loss": "lower"})
    first_epoch: int = 0

    def __post_init__(self) -> None:
        """Create the loss sum on the device."""
        self.loss_sum = self.engine.accumulator()

    @property
    def data_epoch(self) -> int:
        """Number of the current epoch over all fits of the learner, on which the order of the rows depends."""
        return self.first_epoch + self.epoch

    def add_loss(self, rows: int) -> None:
        """Add the loss of the last batch, a mean over ``rows``, to the epoch's sum, without waiting for the device."""
        assert self.loss is not None
        self.loss_sum.add_(self.loss.detach(), alpha=rows)
        self.rows += rows

    def epoch_loss(self) -> float:
        """Return the mean training loss per row over all processes; the only read from the device in an epoch."""
        total = self.engine.sum(torch.stack([self.loss_sum, self.loss_sum.new_tensor(float(self.rows))]))
        loss_sum, rows = total.tolist()
        return float(loss_sum / rows) if rows else math.nan

    def end_epoch(self, figures: dict[str, float]) -> None:
        """Record the figures of an epoch and begin the next one."""
        self.history.append(figures)
        self.epoch, self.step, self.rows = self.epoch + 1, 0, 0
        self.loss_sum = self.engine.accumulator()

    def state(self) -> dict[str, Any]:
        """Return everything that the rest of the fit depends on, except the state of the callbacks.

        All processes must call it: what differs between them (states of random generators, hidden states, sums) is
        gathered, one process after the other, each flattened, with its shape: hidden states differ in size.
        """
        persistent = self.model.state_dict()
        carried = {name: buffer for name, buffer in self.model.named_buffers() if name not in persistent}
        local = {"loss_sum": self.loss_sum, "rows": torch.tensor(self.rows), **_prefixed("carried", carried)}
        local |= _prefixed("random", self.engine.random_state())
        shapes = self.engine.from_all({name: list(value.shape) for name, value in local.items()})
        gathered = {name: self.engine.gather(value.to(self.engine.device).flatten()) for name, value in local.items()}
        return {
            "fit": self.fit,
            "first_epoch": self.first_epoch,
            "epoch": self.epoch,
            "step": self.step,
            "stop": self.stop,
            "history": self.history,
            "model": persistent,
            "optimizer": self.optimizer.state_dict(),
            "scaler": self.engine.scaler.state_dict(),
            "processes": gathered,
            "shapes": shapes,
        }

    def restore(self, state: Mapping[str, Any]) -> None:
        """Restore the state that `state` returned.

        Args:
            state: state of a fit with the same model, optimizer and number of processes.
        """
        local = {}
        for name, value in state["processes"].items():
            sizes = [math.prod(shapes[name]) for shapes in state["shapes"]]
            part = value.split(sizes)[self.engine.rank].reshape(state["shapes"][self.engine.rank][name])
            local[name] = part.clone()  # torch's set_rng_state reads from the start of a view's storage
        self.fit, self.first_epoch, self.epoch = (state[name] for name in ("fit", "first_epoch", "epoch"))
        self.step, self.stop = state["step"], state["stop"]
        self.loss_sum, self.rows = local["loss_sum"].to(self.engine.device), int(local["rows"])
        self.history[:] = state["history"]
        self.model.load_state_dict(state["model"], strict=True)
        for name, value in _without_prefix("carried", local).items():
            # Replaced instead of copied into, because a hidden state has the shape of the last batch.
            module_name, _, buffer_name = name.rpartition(".")
            self.model.get_submodule(module_name)._buffers[buffer_name] = value.to(self.engine.device)
        self.optimizer.load_state_dict(state["optimizer"])
        self.engine.scaler.load_state_dict(state["scaler"])
        self.engine.set_random_state({name: value.cpu() for name, value in _without_prefix("random", local).items()})


def _prefixed(prefix: str, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {f"{prefix}/{name}": tensor for name, tensor in tensors.items()}


def _without_prefix(prefix: str, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {
        name.removeprefix(f"{prefix}/"): tensor for name, tensor in tensors.items() if name.startswith(f"{prefix}/")
    }
