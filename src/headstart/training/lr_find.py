"""The learning-rate finder: a short sweep of growing rates on a copy of the model.

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
"""Weight of the past in the running mean by which the sweep is ended."""

DIVERGED = 4.0
"""The sweep ends when the running mean of the loss is this many times its lowest (fastai's rule)."""

SMOOTHING = 7
"""The curve is smoothed afterwards by a triangle that reaches this many steps to either side: a running mean would lag
behind the rate by a power of ten."""


@dataclass(frozen=True)
class RateCurve:
    """How the loss went while the rate grew.

    Attributes:
        rates: of the head's group at each step, ascending.
        losses: the smoothed training loss at each step.
        suggestion: a good top rate for a cycle: a tenth of the rate at which the loss is lowest (the lesson's rule).
    """

    rates: tuple[float, ...]
    losses: tuple[float, ...]
    suggestion: float

    def plot(self) -> Plot:
        """The loss against the rate, with the suggestion marked."""
        from headstart.training.plots import plot_rates  # matplotlib takes a moment to import

        return plot_rates(self.rates, self.losses, self.suggestion)


@dataclass
class _Sweep(Callback):
    """Notes rate and loss of each step and ends the sweep in time. It reads the loss at every step: it must know.

    The learner's own callbacks take part in what a step is (inputs, penalties), and see nothing else of the sweep.
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
        # Among processes the sweep must end at one step for all, so they look at the loss of all rows.
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
    """Sweeps the rate from ``start`` to ``end`` on a copy of the model; nothing else is touched.

    Args:
        model: copied; frozen groups stay frozen.
        loader: of training batches, gone through as often as ``steps`` needs.
        loss: ``loss(outputs, batch)`` of one member of the model.
        engine: where it runs.
        training: what a step does.
        start: the first rate, of all groups.
        end: the last.
        steps: how many, at least 10. A loss that diverges or becomes NaN ends the sweep before.
        members: number of members that one model computes side by side: see `loss_of`.
        callbacks: what they do to batches and to the loss counts; their other hooks are not called.

    Raises:
        ConfigError: rates or steps out of range, or the loss is not finite from the start.
    """
    if not 0 < start < end:
        raise ConfigError(f"find_lr needs 0 < start < end; got start={start}, end={end}")
    if steps < 10:
        raise ConfigError(f"find_lr needs at least 10 steps to see a slope; got {steps}")
    copied = copy.deepcopy(model)
    prepared = engine.prepare(copied)
    groups = parameter_groups(copied)
    an_epoch = math.ceil(loader.steps(0) / training.accumulate)
    epochs = math.ceil(steps / an_epoch)
    ratio = (end / start) ** (epochs * an_epoch / steps)
    made = training.optimizer(optimizer_groups(groups, [start] * len(groups), training.weight_decay))
    progress = Progress(copied, prepared, groups, made, engine, epochs)
    sweep = _Sweep(steps, copy.deepcopy(list(callbacks)))
    with engine.random_stream(training.seed):
        schedule = Exponential(epochs, ratio)
        whole = loss_of(copied, loss, members)  # of the copy, since it is the copy that is in training mode
        fit(progress, loader, whole, schedule, callbacks=[sweep], clip=training.clip, accumulate=training.accumulate)
    if len(sweep.losses) < 5:
        raise ConfigError(
            f"find_lr: the loss is not finite after {len(sweep.losses)} steps from lr={start:g};"
            " look at the data and the model, or give a lower start"
        )
    losses = _smoothed(np.array(sweep.losses))
    lowest = sweep.rates[int(np.argmin(losses))]
    return RateCurve(tuple(sweep.rates), tuple(losses.tolist()), max(start, lowest / 10))


def _smoothed(losses: NDArray[np.float64]) -> NDArray[np.float64]:
    """A mean with weights that fall to either side; towards the ends over the steps that there are."""
    triangle = 1 - np.abs(np.arange(-SMOOTHING, SMOOTHING + 1)) / (SMOOTHING + 1)
    reached = np.convolve(np.ones_like(losses), triangle, "full")[SMOOTHING:-SMOOTHING]
    return np.convolve(losses, triangle, "full")[SMOOTHING:-SMOOTHING] / reached
