"""Callbacks: what happens beside the loop. Each gets the `Progress`, never the learner."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, get_args

from torch import Tensor

from headstart.core.batch import Batch
from headstart.core.errors import ConfigError, did_you_mean
from headstart.core.values import Json
from headstart.targets.metrics import Better
from headstart.training.progress import Progress, read_checkpoint, write_checkpoint

__all__ = [
    "Callback",
    "Checkpoints",
    "CycleEnd",
    "Deadline",
    "EarlyStopping",
    "KeepBest",
    "TensorBoard",
    "checked_callbacks",
]


class Callback:
    """Six hooks, all of which do nothing here. A subclass with state of its own gives it in `state`.

    Only `on_batch` and `on_loss` run inside a step: what they read from the device, every step waits for.
    """

    def on_fit_start(self, progress: Progress) -> None:
        """Before the first batch, or the first after a resume."""

    def on_batch(self, progress: Progress, batch: Batch) -> Batch:
        """Before the forward pass; may give another batch (mixed up, with noise)."""
        return batch

    def on_loss(self, progress: Progress, batch: Batch, outputs: Any, loss: Tensor) -> Tensor:
        """Before the backward pass; may add a penalty to what is minimised. The recorded loss is without it."""
        return loss

    def on_step_end(self, progress: Progress) -> None:
        """After the optimizer's step."""

    def on_epoch_end(self, progress: Progress) -> None:
        """After the epoch was evaluated: its figures are the last of ``progress.history``."""

    def on_fit_end(self, progress: Progress) -> None:
        """After the last step, also when a user interrupted or an error ended the fit."""

    def state(self) -> dict[str, Any]:
        """What a checkpoint must hold for this callback: tensors, numbers, text and their lists."""
        return {}

    def restore(self, state: dict[str, Any]) -> None:
        """Takes back what `state` gave."""


def checked_callbacks(callbacks: Sequence[Callback]) -> list[Callback]:
    """The callbacks as a list.

    Raises:
        ConfigError: not a list of callbacks.
    """
    if not isinstance(callbacks, Sequence) or not all(isinstance(callback, Callback) for callback in callbacks):
        raise ConfigError(f"callbacks must be a list of callbacks such as [KeepBest()]; got {callbacks!r}")
    return list(callbacks)


class _Watch(Callback):
    """Follows one figure of the history."""

    def __init__(self, monitor: str | None, better: Better | None) -> None:
        if better not in (None, *get_args(Better)):
            raise ConfigError(f"better must be 'lower' or 'higher'; got {better!r}")
        self.monitor, self.better = monitor, better
        self.best = math.inf
        self._figure, self._sign = "", 1.0

    def on_fit_start(self, progress: Progress) -> None:
        """Forget an earlier fit, unless this one was just resumed; settle which figure is followed."""
        if progress.epoch == 0:
            self.forget()
        self._figure = progress.first if self.monitor is None else self.monitor
        better = self.better or progress.better.get(self._figure)
        if better is None:
            raise ConfigError(
                f"monitor={self._figure!r}: {did_you_mean(self._figure, progress.better)} For a figure of your own also"
                " give better='lower' or better='higher'"
            )
        self._sign = 1.0 if better == "lower" else -1.0

    def forget(self) -> None:
        """Start anew."""
        self.best = math.inf

    def improved(self, progress: Progress, least: float = 0.0, *, ties: bool = False) -> bool:
        """Return whether the last epoch is the best so far; NaN never is.

        Args:
            progress: the fit.
            least: difference that counts as better.
            ties: whether an epoch as good as the best so far counts as better.
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
    """Ends the fit when a figure has not become better for a while.

    Args:
        monitor: a column of the history, such as ``valid_loss`` or a metric's name; None: the first metric.
        patience: number of epochs without a better figure after which the fit ends.
        least: difference that counts as better.
        better: whether a ``"lower"`` or a ``"higher"`` figure is better; None: as the metric says.
    """

    def __init__(
        self, monitor: str | None = None, *, patience: int = 3, least: float = 0.0, better: Better | None = None
    ) -> None:
        super().__init__(monitor, better)
        if patience < 1:
            raise ConfigError(f"patience must be at least 1 epoch; got {patience}")
        self.patience, self.least, self.waited = patience, least, 0

    def on_fit_start(self, progress: Progress) -> None:
        """As before; after a resume what had ended the fit ends it still."""
        super().on_fit_start(progress)
        if self.waited >= self.patience:
            progress.stop = True

    def forget(self) -> None:
        """As new."""
        super().forget()
        self.waited = 0

    def on_epoch_end(self, progress: Progress) -> None:
        """Counts, and stops."""
        self.waited = 0 if self.improved(progress, self.least) else self.waited + 1
        if self.waited >= self.patience:
            progress.stop = True

    def state(self) -> dict[str, Any]:
        """The best figure, and how long it has stood."""
        return {"best": self.best, "waited": self.waited}

    def restore(self, state: dict[str, Any]) -> None:
        """Takes them back."""
        self.best, self.waited = state["best"], state["waited"]


class Deadline(Callback):
    """Ends a fit after the epoch that passes a time; with a checkpoint the same command, run again, goes on from there.

    Fits that begin later do nothing, so that a run of several stages ends as well; but a run trains one epoch at least.
    By the main process's clock, on every process.

    Args:
        minutes: from now on, at least 0.

    Attributes:
        reached: whether something remains to be done.

    Raises:
        ConfigError: no number of minutes.
    """

    def __init__(self, minutes: float) -> None:
        if not (isinstance(minutes, int | float) and minutes >= 0):
            raise ConfigError(f"minutes must be a number of at least 0; got {minutes!r}")
        self.ends, self.reached = time.perf_counter() + 60 * minutes, False
        self._stopped = self._trained = False

    def on_fit_start(self, progress: Progress) -> None:
        """Takes back the stop that an earlier run's deadline left in the checkpoint; too late, it stops again."""
        if self._stopped:
            progress.stop = self._stopped = False
        self._look(progress)

    def on_epoch_end(self, progress: Progress) -> None:
        """Looks at the clock."""
        self._trained = True
        self._look(progress)

    def _look(self, progress: Progress) -> None:
        late = progress.engine.from_main(self._trained and time.perf_counter() > self.ends)
        if late and progress.epoch < progress.epochs and not progress.stop:
            progress.stop = self.reached = True

    def state(self) -> dict[str, Any]:
        """Whether it was the deadline that ended the fit."""
        return {"reached": self.reached}

    def restore(self, state: dict[str, Any]) -> None:
        """Takes it back."""
        self._stopped = state["reached"]


class KeepBest(_Watch):
    """Keeps a copy of the weights at the best epoch, and puts them back at the end of the fit.

    Of equally good epochs the last counts: on few validation rows an accuracy soon ties, and the later epoch has seen
    more.

    Args:
        monitor: as for `EarlyStopping`.
        better: as for `EarlyStopping`.
    """

    def __init__(self, monitor: str | None = None, *, better: Better | None = None) -> None:
        super().__init__(monitor, better)
        self.epoch = 0
        self.weights: dict[str, Tensor] = {}

    def forget(self) -> None:
        """As new."""
        super().forget()
        self.epoch, self.weights = 0, {}

    def on_epoch_end(self, progress: Progress) -> None:
        """Copies the weights if they are the best so far."""
        if self.improved(progress, ties=True):
            self.epoch = progress.epoch
            self.weights = {name: tensor.detach().clone() for name, tensor in progress.model.state_dict().items()}

    def on_fit_end(self, progress: Progress) -> None:
        """Puts the best back."""
        if self.weights:
            progress.model.load_state_dict(self.weights)
            progress.kept = self.epoch

    def state(self) -> dict[str, Any]:
        """The best figure, its epoch and weights."""
        return {"best": self.best, "epoch": self.epoch, "weights": self.weights}

    def restore(self, state: dict[str, Any]) -> None:
        """Takes them back."""
        self.best, self.epoch, self.weights = state["best"], state["epoch"], dict(state["weights"])


class CycleEnd(Callback):
    """Does something at the end of each cycle of the schedule: saves a snapshot, say.

    Args:
        ends: the epochs, counted from 1, that end a cycle.
        action: called with the cycle's number, from 0.
    """

    def __init__(self, ends: tuple[int, ...], action: Callable[[int], None]) -> None:
        self.ends, self.action = ends, action

    def on_epoch_end(self, progress: Progress) -> None:
        """Acts if a cycle is complete."""
        if progress.epoch in self.ends:
            self.action(self.ends.index(progress.epoch))


class Checkpoints(Callback):
    """Writes a checkpoint after each epoch. It comes last, so that it holds what the other callbacks made.

    Args:
        folder: where to.
        callbacks: the others, whose own state goes along.
        setting: what the fit depends on; a resume must depend on the same.
    """

    def __init__(self, folder: Path, callbacks: Sequence[Callback], setting: Json) -> None:
        self.folder, self.callbacks, self.setting = folder, callbacks, setting

    def take_up(self, progress: Progress) -> None:
        """Puts the fit and the callbacks where the folder's checkpoint saw them, if it has one."""
        if (self.folder / "checkpoint.json").is_file():
            read_checkpoint(self.folder, progress, self.callbacks, self.setting)

    def on_epoch_end(self, progress: Progress) -> None:
        """Writes it; an earlier one is replaced."""
        write_checkpoint(self.folder, progress, self.callbacks, self.setting)


class TensorBoard(Callback):
    """Writes each epoch's figures, and the learning rates, for TensorBoard (extra ``tensorboard``).

    Args:
        folder: where to; open it with ``tensorboard --logdir FOLDER``.
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
        """Opens the log; the main process's alone."""
        if progress.engine.is_main:
            self._writer = self._make(self.folder)

    def on_epoch_end(self, progress: Progress) -> None:
        """Writes the epoch's figures."""
        if self._writer is None:
            return
        for name, value in progress.history[-1].items():
            if name != "epoch":
                self._writer.add_scalar(name, value, progress.epoch)
        for group in progress.optimizer.param_groups:
            self._writer.add_scalar(f"lr/group{group['group']}", group["lr"], progress.epoch)

    def on_fit_end(self, progress: Progress) -> None:
        """Closes the log."""
        if self._writer is not None:
            self._writer.close()
