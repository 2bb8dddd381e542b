"""Callbacks: hooks into the training loop. They receive the `Progress` of the fit, never the learner."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, get_args

from torch import Tensor

from headstart.core.batch import Batch
from headstart.core.errors import ConfigError, did_you_mean
from headstart.targets.metrics import Better
from headstart.training.progress import Progress

__all__ = [
    "Callback",
    "CycleEnd",
    "Deadline",
    "EarlyStopping",
    "KeepBest",
    "TensorBoard",
    "checked_callbacks",
]


class Callback:
    """Base class of callbacks, with six hooks that do nothing. Subclasses with state also define `state` and `restore`.

    `on_batch`, `on_loss` and `on_step_end` run in every step, so reading a value from the device there slows down
    training.
    """

    def on_fit_start(self, progress: Progress) -> None:
        """Run before the first batch of a new or resumed fit."""

    def on_batch(self, progress: Progress, batch: Batch) -> Batch:
        """Return the batch for the forward pass: the same one, or a modified one, for instance with noise."""
        return batch

    def on_loss(self, progress: Progress, batch: Batch, outputs: Any, loss: Tensor) -> Tensor:
        """Return the loss for the backward pass, for instance with a penalty, which the recorded loss does not include.

        Args:
            progress: state of the fit.
            batch: the current batch.
            outputs: what the model returned.
            loss: scalar, with the penalties of earlier callbacks.
        """
        return loss

    def on_step_end(self, progress: Progress) -> None:
        """Run after each optimizer step."""

    def on_epoch_end(self, progress: Progress) -> None:
        """Run after the evaluation of each epoch, whose figures are the last entry of ``progress.history``."""

    def on_fit_end(self, progress: Progress) -> None:
        """Run after the last step, even if the user or an error interrupted the fit."""

    def state(self) -> dict[str, Any]:
        """Return the state to store in checkpoints: tensors, numbers, strings, and lists and dictionaries of them."""
        return {}

    def restore(self, state: dict[str, Any]) -> None:
        """Restore the state that `state` returned."""


def checked_callbacks(callbacks: Sequence[Callback]) -> list[Callback]:
    """Return callbacks as a list.

    Raises:
        ConfigError: ``callbacks`` is not a sequence of callbacks.
    """
    if not isinstance(callbacks, Sequence) or not all(isinstance(callback, Callback) for callback in callbacks):
        raise ConfigError(f"callbacks must be a list of callbacks such as [KeepBest()]; got {callbacks!r}")
    return list(callbacks)


class _Watch(Callback):
    """Base class of callbacks that monitor one figure of the history."""

    def __init__(self, monitor: str | None, better: Better | None) -> None:
        if better not in (None, *get_args(Better)):
            raise ConfigError(f"better must be 'lower' or 'higher'; got {better!r}")
        self.monitor, self.better = monitor, better
        self.best = math.inf
        self._figure, self._sign = "", 1.0

    def on_fit_start(self, progress: Progress) -> None:
        """Discard the state of an earlier fit, unless this fit is resumed, and determine the figure to monitor."""
        if progress.epoch == 0:
            self.forget()
        self._figure = progress.first if self.monitor is None else self.monitor
        better = self.better or progress.better.get(self._figure)
        if better is None:
            raise ConfigError(
                f"monitor={self._figure!r}: {did_you_mean(self._figure, progress.better)}; for a custom figure, also"
                " give better='lower' or better='higher'"
            )
        self._sign = 1.0 if better == "lower" else -1.0

    def forget(self) -> None:
        """Discard all state."""
        self.best = math.inf

    def improved(self, progress: Progress, least: float = 0.0, *, ties: bool = False) -> bool:
        """Return whether the last epoch is the best so far; False for NaN.

        Args:
            progress: state of the fit.
            least: minimum change that counts as an improvement.
            ties: whether an epoch that equals the best so far counts as an improvement.
        """
        figures = progress.history[-1]
        if self._figure not in figures:
            raise ConfigError(
                f"monitor={self._figure!r} is no figure of this fit; {did_you_mean(self._figure, figures)}"
            )
        value = self._sign * figures[self._figure]
        if value < self.best - least or (ties and value == self.best):
            self.best = value
            return True
        return False


class EarlyStopping(_Watch):
    """Stop the fit when a figure has stopped improving.

    Args:
        monitor: name of a figure in the history, such as ``"valid_loss"`` or a metric; None: that of
            `Learner.first_figure`.
        patience: number of epochs without improvement after which the fit stops, at least 1.
        least: minimum change of the figure that counts as an improvement.
        better: whether ``"lower"`` or ``"higher"`` figures are better; None: as the metric defines.

    Raises:
        ConfigError: an argument is out of range.
    """

    def __init__(
        self, monitor: str | None = None, *, patience: int = 3, least: float = 0.0, better: Better | None = None
    ) -> None:
        super().__init__(monitor, better)
        if patience < 1:
            raise ConfigError(f"patience must be at least 1 epoch; got {patience}")
        self.patience, self.least, self.waited = patience, least, 0

    def on_fit_start(self, progress: Progress) -> None:
        """Determine the figure to monitor, and stop at once if the resumed fit had already been stopped."""
        super().on_fit_start(progress)
        if self.waited >= self.patience:
            progress.stop = True

    def forget(self) -> None:
        """Discard all state."""
        super().forget()
        self.waited = 0

    def on_epoch_end(self, progress: Progress) -> None:
        """Count epochs without improvement, and stop the fit when there are too many."""
        self.waited = 0 if self.improved(progress, self.least) else self.waited + 1
        if self.waited >= self.patience:
            progress.stop = True

    def state(self) -> dict[str, Any]:
        """Return the best figure and the number of epochs since then."""
        return {"best": self.best, "waited": self.waited}

    def restore(self, state: dict[str, Any]) -> None:
        """Restore the state that `state` returned."""
        self.best, self.waited = state["best"], state["waited"]


class Deadline(Callback):
    """Stop the fit after the epoch in which a time limit is reached; with a checkpoint, it can be resumed later.

    Later fits stop at once, so that training in several stages ends, too. At least one epoch is always trained. The
    clock of the main process decides for all processes.

    Args:
        minutes: time limit in minutes from the construction of the callback, at least 0.

    Attributes:
        reached: whether the time limit stopped a fit before its last epoch.

    Raises:
        ConfigError: ``minutes`` is not a number of at least 0.
    """

    def __init__(self, minutes: float) -> None:
        if not (isinstance(minutes, int | float) and minutes >= 0):
            raise ConfigError(f"minutes must be a number of at least 0; got {minutes!r}")
        self.ends, self.reached = time.perf_counter() + 60 * minutes, False
        self._stopped = self._trained = False

    def on_fit_start(self, progress: Progress) -> None:
        """Clear a stop that an earlier deadline left in the checkpoint, and stop at once if the limit is reached."""
        if self._stopped:
            progress.stop = self._stopped = False
        self._look(progress)

    def on_epoch_end(self, progress: Progress) -> None:
        """Stop the fit if the time limit is reached."""
        self._trained = True
        self._look(progress)

    def _look(self, progress: Progress) -> None:
        late = progress.engine.from_main(self._trained and time.perf_counter() > self.ends)
        if late and progress.epoch < progress.epochs and not progress.stop:
            progress.stop = self.reached = True

    def state(self) -> dict[str, Any]:
        """Return whether the time limit stopped the fit."""
        return {"reached": self.reached}

    def restore(self, state: dict[str, Any]) -> None:
        """Restore the state that `state` returned."""
        self._stopped = state["reached"]


class KeepBest(_Watch):
    """Copy the weights of the best epoch, and restore them at the end of the fit.

    The last of several equally good epochs is kept: with few validation rows, metrics such as the accuracy are often
    equal, and later epochs have trained longer.

    Args:
        monitor: name of a figure in the history, such as ``"valid_loss"`` or a metric; None: that of
            `Learner.first_figure`.
        better: whether ``"lower"`` or ``"higher"`` figures are better; None: as the metric defines.
    """

    def __init__(self, monitor: str | None = None, *, better: Better | None = None) -> None:
        super().__init__(monitor, better)
        self.epoch = 0
        self.weights: dict[str, Tensor] = {}

    def forget(self) -> None:
        """Discard all state."""
        super().forget()
        self.epoch, self.weights = 0, {}

    def on_epoch_end(self, progress: Progress) -> None:
        """Copy the weights if the epoch is the best so far."""
        if self.improved(progress, ties=True):
            self.epoch = progress.epoch
            self.weights = {name: tensor.detach().clone() for name, tensor in progress.model.state_dict().items()}

    def on_fit_end(self, progress: Progress) -> None:
        """Restore the weights of the best epoch."""
        if self.weights:
            progress.model.load_state_dict(self.weights)
            progress.kept = self.epoch

    def state(self) -> dict[str, Any]:
        """Return the best figure, its epoch and its weights."""
        return {"best": self.best, "epoch": self.epoch, "weights": self.weights}

    def restore(self, state: dict[str, Any]) -> None:
        """Restore the state that `state` returned."""
        self.best, self.epoch, self.weights = state["best"], state["epoch"], dict(state["weights"])


class CycleEnd(Callback):
    """Call a function at the end of each cycle of the schedule, for instance to save a snapshot.

    Args:
        ends: epochs, counted from 1, at whose end a cycle ends.
        action: function that is called with the number of the cycle, from 0.
    """

    def __init__(self, ends: tuple[int, ...], action: Callable[[int], None]) -> None:
        self.ends, self.action = ends, action

    def on_epoch_end(self, progress: Progress) -> None:
        """Call the function if a cycle is complete."""
        if progress.epoch in self.ends:
            self.action(self.ends.index(progress.epoch))


class TensorBoard(Callback):
    """Log the figures and learning rates of each epoch for TensorBoard (needs the extra ``tensorboard``).

    Args:
        folder: folder of the log; view it with ``tensorboard --logdir FOLDER``.

    Raises:
        ConfigError: TensorBoard is not installed.
    """

    def __init__(self, folder: str | Path) -> None:
        try:
            from torch.utils.tensorboard import SummaryWriter
        except ImportError as error:
            raise ConfigError(
                "TensorBoard needs a package that is not installed: pip install 'headstart[tensorboard]'"
            ) from error
        self._make = SummaryWriter
        self.folder = str(folder)
        self._writer: Any = None

    def on_fit_start(self, progress: Progress) -> None:
        """Open the log, on the main process only."""
        if progress.engine.is_main:
            self._writer = self._make(self.folder)

    def on_epoch_end(self, progress: Progress) -> None:
        """Write the figures and learning rates of the epoch."""
        if self._writer is None:
            return
        for name, value in progress.history[-1].items():
            if name != "epoch":
                self._writer.add_scalar(name, value, progress.epoch)
        for group in progress.optimizer.param_groups:
            self._writer.add_scalar(f"lr/group{group['group']}", group["lr"], progress.epoch)

    def on_fit_end(self, progress: Progress) -> None:
        """Close the log."""
        if self._writer is not None:
            self._writer.close()
