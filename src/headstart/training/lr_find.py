"""Learning-rate finder: a short fit of a copy of the model, with increasing learning rates.

**Source:** Smith, "Cyclical Learning Rates for Training Neural Networks" (2017), section 3.3.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from headstart.core.batch import Batch
from headstart.core.engine import Engine
from headstart.core.errors import ConfigError
from headstart.targets.target import Loss
from headstart.training.callbacks import Callback
from headstart.training.ensemble import loss_of
from headstart.training.loaders import Loader
from headstart.training.loop import fit
from headstart.training.optim import optimizer_groups, parameter_groups
from headstart.training.progress import Progress
from headstart.training.schedules import Exponential
from headstart.training.settings import Training

if TYPE_CHECKING:
    from headstart.training.plots import Plot

__all__ = ["RateCurve", "find_lr"]

RUNNING = 0.9
"""Weight of earlier losses in the running mean that ends the sweep."""

DIVERGED = 4.0
"""Multiple of its minimum at which the running mean of the loss ends the sweep; fastai's rule."""

SMOOTHING = 7
"""Number of steps before and after each step over which the curve is smoothed, with triangular weights. A running mean
would lag behind the learning rate by a factor of ten."""


@dataclass(frozen=True)
class RateCurve:
    """Training loss as a function of the learning rate.

    Attributes:
        rates: learning rate of the head at each step, in ascending order.
        losses: smoothed training loss at each step.
        suggestion: suggested maximum rate of a cycle: a tenth of the rate with the lowest loss (the lesson's rule).
    """

    rates: tuple[float, ...]
    losses: tuple[float, ...]
    suggestion: float

    def plot(self) -> Plot:
        """Plot the loss against the learning rate, with the suggestion marked."""
        from headstart.training.plots import plot_rates  # here, since matplotlib is slow to import

        return plot_rates(self.rates, self.losses, self.suggestion)


@dataclass
class _Sweep(Callback):
    """Record rate and loss of each step, and end the sweep when the loss diverges. It reads the loss in every step.

    The hooks ``on_batch`` and ``on_loss`` of the learner's callbacks run, because they change a step; no others do.
    """

    steps: int
    callbacks: Sequence[Callback]
    rates: list[float] = field(default_factory=list)
    losses: list[float] = field(default_factory=list)
    running: list[float] = field(default_factory=list)
    _sum: float | Tensor = 0.0
    _rows: int = 0

    def on_batch(self, progress: Progress, batch: Batch) -> Batch:
        for callback in self.callbacks:
            batch = callback.on_batch(progress, batch)
        return batch

    def on_loss(self, progress: Progress, batch: Batch, outputs: Any, loss: Tensor) -> Tensor:
        self._sum += loss.detach() * batch.rows
        self._rows += batch.rows
        for callback in self.callbacks:
            loss = callback.on_loss(progress, batch, outputs, loss)
        return loss

    def on_step_end(self, progress: Progress) -> None:
        assert isinstance(self._sum, Tensor)
        # All processes must end the sweep at the same step, so the loss of the rows of all processes decides.
        total, rows = progress.engine.sum(torch.stack([self._sum, self._sum.new_tensor(self._rows)])).tolist()
        self._sum, self._rows, loss = 0.0, 0, total / rows
        mean = RUNNING * self.running[-1] + (1.0 - RUNNING) * loss if self.running else loss
        if not math.isfinite(mean) or (self.running and mean > DIVERGED * min(self.running) > 0):
            progress.stop = True
            return
        self.rates.append(float(progress.optimizer.param_groups[-1]["lr"]))
        self.losses.append(loss)
        self.running.append(mean)
        if len(self.losses) >= self.steps:
            progress.stop = True


def find_lr(
    model: nn.Module,
    loader: Loader,
    loss: Loss,
    engine: Engine,
    training: Training,
    *,
    start: float = 1e-6,
    end: float = 10.0,
    steps: int = 100,
    members: int = 1,
    callbacks: Sequence[Callback] = (),
) -> RateCurve:
    """Train a copy of a model with learning rates that increase from ``start`` to ``end``.

    Args:
        model: the model; frozen groups stay frozen.
        loader: training batches, repeated as often as necessary.
        loss: ``loss(outputs, batch)`` of one member of the model.
        engine: device, precision and processes.
        training: settings that determine a training step.
        start: first learning rate of all groups, above 0.
        end: last learning rate, above ``start``.
        steps: number of steps, at least 10; fewer are taken if the loss diverges or becomes NaN.
        members: number of members in the model; see `loss_of`.
        callbacks: callbacks; only their hooks ``on_batch`` and ``on_loss`` run.

    Returns:
        The loss at each learning rate, with a suggested rate.

    Raises:
        ConfigError: an argument is out of range, or the loss is not finite from the start.
    """
    if not 0 < start < end:
        raise ConfigError(f"find_lr needs 0 < start < end; got start={start}, end={end}")
    if steps < 10:
        raise ConfigError(f"find_lr needs at least 10 steps to see a slope; got {steps}")
    copied = copy.deepcopy(model)
    prepared = engine.prepare(copied)
    groups = parameter_groups(copied)
    steps_per_epoch = math.ceil(loader.steps(0) / training.accumulate)
    epochs = math.ceil(steps / steps_per_epoch)
    ratio = (end / start) ** (epochs * steps_per_epoch / steps)
    optimizer = training.optimizer(optimizer_groups(groups, [start] * len(groups), training.weight_decay))
    progress = Progress(copied, prepared, groups, optimizer, engine, epochs)
    sweep = _Sweep(steps, copy.deepcopy(list(callbacks)))
    with engine.random_stream(training.seed):
        schedule = Exponential(epochs, ratio)
        total = loss_of(copied, loss, members)  # of the copy, whose training mode it depends on
        fit(progress, loader, total, schedule, callbacks=[sweep], clip=training.clip, accumulate=training.accumulate)
    if len(sweep.losses) < 5:
        raise ConfigError(
            f"find_lr: the loss is not finite after {len(sweep.losses)} steps from lr={start:g};"
            " check the data and the model, or give a lower start"
        )
    losses = _smoothed(np.array(sweep.losses))
    lowest = sweep.rates[int(np.argmin(losses))]
    return RateCurve(tuple(sweep.rates), tuple(losses.tolist()), max(start, lowest / 10))


def _smoothed(losses: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return a moving average with triangular weights, over the existing steps near both ends; ``(steps,)``."""
    triangle = 1 - np.abs(np.arange(-SMOOTHING, SMOOTHING + 1)) / (SMOOTHING + 1)
    total_weight = np.convolve(np.ones_like(losses), triangle, "full")[SMOOTHING:-SMOOTHING]
    return np.convolve(losses, triangle, "full")[SMOOTHING:-SMOOTHING] / total_weight
