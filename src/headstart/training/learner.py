"""`Learner`: a model, its data, and what can be done with the two. Each method calls one core function."""

from __future__ import annotations

import math
import warnings
from collections.abc import Sequence
from pathlib import Path

from rich.table import Table
from torch import nn

from headstart.core.artefact import Json
from headstart.core.batch import Loss
from headstart.core.engine import Engine
from headstart.core.errors import ConfigError, HeadstartWarning
from headstart.targets.metrics import Metric
from headstart.targets.target import Target
from headstart.training.callbacks import Callback, Checkpoints, CycleEnd, checked_callbacks
from headstart.training.display import Display, Verbosity
from headstart.training.history import History
from headstart.training.loaders import Data
from headstart.training.loop import fit
from headstart.training.lr_find import RateCurve, find_lr
from headstart.training.optim import (
    Groups,
    OptimizerFactory,
    Rates,
    adamw,
    freeze_to,
    frozen_groups,
    optimizer_groups,
    parameter_groups,
    rates_per_group,
)
from headstart.training.predictor import Predictor
from headstart.training.progress import Progress
from headstart.training.schedules import FlatCosine, OneCycle, Schedule, lesson_schedule
from headstart.training.summary import summary

__all__ = ["Learner"]


class Learner(Predictor):
    """Trains, judges and saves a model: an application's, or a user's own `nn.Module`.

    Args:
        model: called as ``model(*batch.inputs)``; gives a tensor, or a tuple whose first element is the output. With a
            method ``groups()`` it can be frozen in parts and have a learning rate for each.
        data: training and validation batches; None for a loaded model that only predicts.
        loss: ``loss(outputs, batch)``, a mean over ``batch.rows``; None: the target's own.
        metrics: names or functions ``f(prediction, target)``; None: those that suit the target.
        optimizer: a factory; None: `adamw`. An optimizer is made anew for each fit.
        weight_decay: of weights with two axes or more; biases and norms have none.
        clip: the largest norm of all gradients together; None: no limit.
        accumulate: batches per optimizer step.
        callbacks: for every fit (penalties, mix-ups).
        seed: of dropout in each fit; the order of rows has the data's own.
        folder: where snapshots of cycles are kept.
        progress: what a fit shows: ``"auto"``, ``"bar"``, ``"lines"`` or ``"none"``.
        engine: device and precision; None: the data's.
        target: how outputs are read; None: the data's.

    Attributes:
        history: the figures of every epoch so far.
        figures: those of the epoch whose weights the model has; empty if it cannot be told.
        fits: how many fits there were; each has a random stream of its own.
    """

    def __init__(
        self,
        model: nn.Module,
        data: Data | None,
        *,
        loss: Loss | None = None,
        metrics: Sequence[str | Metric] | None = None,
        optimizer: OptimizerFactory | None = None,
        weight_decay: float = 0.01,
        clip: float | None = None,
        accumulate: int = 1,
        callbacks: Sequence[Callback] = (),
        seed: int = 0,
        folder: str | Path = "models",
        progress: Verbosity = "auto",
        engine: Engine | None = None,
        target: Target | None = None,
    ) -> None:
        if not isinstance(accumulate, int) or accumulate < 1:
            raise ConfigError(f"accumulate must be a whole number of at least 1 batch; got {accumulate!r}")
        if clip is not None and not (isinstance(clip, int | float) and clip > 0):
            raise ConfigError(f"clip must be a number above 0, or None for no limit; got {clip!r}")
        super().__init__(model, data, loss=loss, metrics=metrics, folder=folder, engine=engine, target=target)
        self.optimizer = optimizer or adamw()
        self.weight_decay, self.clip, self.accumulate = weight_decay, clip, accumulate
        self.callbacks, self.seed, self.progress = checked_callbacks(callbacks), seed, progress

    @property
    def groups(self) -> Groups:
        """The model's parameter groups, from the input side to the head."""
        return parameter_groups(self.model)

    def fit(
        self,
        lr: Rates,
        cycles: int,
        *,
        cycle_len: int | None = None,
        cycle_mult: int = 1,
        callbacks: Sequence[Callback] = (),
        snapshot: str | None = None,
        checkpoint: str | Path | None = None,
        resume: bool = False,
    ) -> History:
        """Trains at a constant rate for ``cycles`` epochs; or by SGDR, when ``cycle_len`` is given.

        Args:
            lr: top learning rate, or one per group (differential rates).
            cycles: epochs, or cycles of SGDR.
            cycle_len: epochs of the first cycle.
            cycle_mult: each next cycle is this many times as long.
            callbacks: for this fit: `EarlyStopping`, `KeepBest`, `TensorBoard`, your own.
            snapshot: save the weights at the end of each cycle under this name, for `load_cycle`.
            checkpoint: a folder that gets, after each epoch, all that is needed to go on.
            resume: go on from that folder's checkpoint if it has one.

        Returns:
            The figures of this fit's epochs.

        Raises:
            ConfigError: a rate, length or combination that makes no sense.
            ArtifactError: the checkpoint is of another fit, or cannot be read or written.
        """
        return self.fit_schedule(
            lr, lesson_schedule(cycles, cycle_len, cycle_mult), callbacks=callbacks, snapshot=snapshot,
            checkpoint=checkpoint, resume=resume,
        )  # fmt: skip

    def fit_one_cycle(
        self,
        lr: Rates,
        epochs: int,
        *,
        warm_up: float = 0.25,
        callbacks: Sequence[Callback] = (),
        snapshot: str | None = None,
        checkpoint: str | Path | None = None,
        resume: bool = False,
    ) -> History:
        """Trains for one cycle: the rate warms up and falls to almost nothing. A good first choice.

        Args:
            lr: top learning rate, or one per group; about what `find_lr` suggests.
            epochs: length of the cycle.
            warm_up: the share of it that rises.
            callbacks: as for `fit`.
            snapshot: as for `fit`.
            checkpoint: as for `fit`.
            resume: as for `fit`.
        """
        return self.fit_schedule(
            lr, OneCycle(epochs, warm_up), callbacks=callbacks, snapshot=snapshot, checkpoint=checkpoint, resume=resume
        )

    def fit_flat_cosine(
        self,
        lr: Rates,
        epochs: int,
        *,
        flat: float = 0.72,
        callbacks: Sequence[Callback] = (),
        snapshot: str | None = None,
        checkpoint: str | Path | None = None,
        resume: bool = False,
    ) -> History:
        """Trains at the top rate for most of the fit, then down along half a cosine.

        Args:
            lr: top learning rate, or one per group; lower than for one cycle, since it stays there longer.
            epochs: length of the fit.
            flat: the share of it after which the rate falls.
            callbacks: as for `fit`.
            snapshot: as for `fit`.
            checkpoint: as for `fit`.
            resume: as for `fit`.
        """
        return self.fit_schedule(
            lr, FlatCosine(epochs, flat), callbacks=callbacks, snapshot=snapshot, checkpoint=checkpoint, resume=resume
        )

    def fit_schedule(
        self,
        lr: Rates,
        schedule: Schedule,
        *,
        callbacks: Sequence[Callback] = (),
        snapshot: str | None = None,
        checkpoint: str | Path | None = None,
        resume: bool = False,
    ) -> History:
        """Trains by any schedule (`Triangular`, your own); what the other ways of fitting come down to.

        Args:
            lr: learning rate, or one per group, that the schedule's factor multiplies.
            schedule: length of the fit, factor and momentum.
            callbacks: as for `fit`.
            snapshot: as for `fit`.
            checkpoint: as for `fit`.
            resume: as for `fit`.
        """
        data = self._own_data()
        if resume and checkpoint is None:
            raise ConfigError("resume=True needs checkpoint=, the folder to go on from")
        kept = [*self.callbacks, *checked_callbacks(callbacks)]
        if snapshot is not None:
            kept.append(CycleEnd(schedule.cycle_ends, lambda cycle: self.save_cycle(snapshot, cycle)))
        progress = self._begin(lr, schedule)
        shown = [*kept, Display(self.progress)]
        with self.engine.random_stream(self.seed, self.fits):
            if checkpoint is not None:
                checkpoints = Checkpoints(Path(checkpoint), kept, self._setting(progress, schedule))
                shown.append(checkpoints)
                if resume:
                    checkpoints.take_up(progress)
            if snapshot is not None and progress.epoch == 0:
                self.snapshots.clear(snapshot)
            try:
                fit(
                    progress, data.train, self._loss(), schedule, callbacks=shown,
                    evaluate=None if data.valid is None else self.validate, clip=self.clip, accumulate=self.accumulate,
                )  # fmt: skip
            finally:
                self._end(progress)
        return History(figures for figures in self.history if figures["fit"] == progress.fit)

    def fine_tune(
        self, lr: float, epochs: int, *, frozen_epochs: int = 1, callbacks: Sequence[Callback] = ()
    ) -> History:
        """Trains the head alone first, then everything, earlier groups more slowly.

        **Source:** fastai v2's ``fine_tune``, whose division of the rates is kept: the second stage has half the rate
        at the head, and each earlier group a share of it down to a hundredth at the input side.

        Args:
            lr: the head's top rate in the first stage.
            epochs: of the second stage.
            frozen_epochs: of the first.
            callbacks: for both stages.
        """
        started, count = len(self.history), len(self.groups)
        self.freeze()
        self.fit_one_cycle(lr, frozen_epochs, warm_up=0.9, callbacks=callbacks)
        self.unfreeze()
        rates = [lr / 2 * 100 ** (-(count - 1 - number) / max(1, count - 1)) for number in range(count)]
        self.fit_one_cycle(rates, epochs, warm_up=0.3, callbacks=callbacks)
        return History(self.history[started:])

    def find_lr(self, *, start: float = 1e-6, end: float = 10.0, steps: int = 100) -> RateCurve:
        """Tries growing rates on a copy of the model: a curve with a suggestion and a plot. It leaves no trace.

        Args:
            start: the first rate.
            end: the last.
            steps: how many; the sweep ends before when the loss diverges.
        """
        return find_lr(
            self.model, self._own_data().train, self._row_loss(), self.engine, optimizer=self.optimizer,
            weight_decay=self.weight_decay, start=start, end=end, steps=steps, seed=self.seed, clip=self.clip,
            accumulate=self.accumulate, callbacks=self.callbacks,
        )  # fmt: skip

    def freeze_to(self, first_trained: int) -> None:
        """Freezes the groups before this one: no gradients, and batch norms keep their statistics.

        Args:
            first_trained: the group's number; negative counts from the end (-1: only the head trains).
        """
        freeze_to(self.groups, first_trained)

    def freeze(self) -> None:
        """Only the last group, the head, trains.

        Raises:
            ConfigError: the model is one group, of which nothing would be frozen.
        """
        if len(self.groups) == 1:
            raise ConfigError(
                f"{type(self.model).__name__} is one group, so there is nothing to freeze beside the head:"
                " give it a method groups() that lists its parts, from the input side to the head"
            )
        self.freeze_to(-1)

    def unfreeze(self) -> None:
        """Everything trains."""
        self.freeze_to(0)

    def summary(self) -> Table:
        """The model's layers by group, with their numbers of parameters and whether they train."""
        return summary(self.model, self.groups)

    def _begin(self, lr: Rates, schedule: Schedule) -> Progress:
        prepared = self.engine.prepare(self.model)  # before the groups: it may replace batch norms
        groups = self.groups
        rates = rates_per_group(lr, len(groups))
        optimizer = self.optimizer(optimizer_groups(groups, rates, self.weight_decay))
        return Progress(self.model, prepared, groups, optimizer, self.engine, schedule.epochs, fit=self.fits)

    def _end(self, progress: Progress) -> None:
        """What remains of a fit, also of one that was broken off; nothing of one that was stopped before it began."""
        self.model.eval()
        if not progress.history and progress.step == 0:
            return
        earlier = [figures for figures in self.history if figures["fit"] != progress.fit]  # all but what was resumed
        self.history[:] = [*earlier, *({"fit": progress.fit, **figures} for figures in progress.history)]
        self.fits = progress.fit + 1
        self.figures = {}
        if progress.history:
            self.figures = self.history[len(earlier) + (progress.kept or len(progress.history)) - 1]
            if not math.isfinite(progress.history[-1]["train_loss"]):
                warnings.warn(
                    "the training loss is not finite: lower lr (find_lr suggests one), set clip, look at the data",
                    HeadstartWarning,
                    stacklevel=3,
                )

    def _setting(self, progress: Progress, schedule: Schedule) -> Json:
        """What two fits must have in common for one to go on where the other stopped."""
        return {
            "seed": self.seed,
            "weights": {name: list(tensor.shape) for name, tensor in self.model.state_dict().items()},
            "schedule": repr(schedule),
            "rates": [group["base_lr"] for group in progress.optimizer.param_groups],
            "frozen": list(frozen_groups(progress.groups)),
            "weight_decay": self.weight_decay,
            "clip": self.clip,
            "accumulate": self.accumulate,
            "steps": self._own_data().train.steps(0),
            "order": {name: getattr(self._own_data().train, name, None) for name in ("rows", "batch_size", "seed")},
            "processes": self.engine.world_size,
            "precision": self.engine.precision,
        }
