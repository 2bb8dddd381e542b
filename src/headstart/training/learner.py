"""`Learner`: a model, its data, and what can be done with the two. Each method calls one function."""

from __future__ import annotations

import math
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar, TypedDict, Unpack

import torch
from rich.table import Table
from torch import Tensor, nn

from headstart.core.batch import Loss, checked_loss
from headstart.core.errors import ConfigError, HeadstartWarning, NotFittedError
from headstart.core.values import Json, replaced, to_json
from headstart.targets.metrics import Better, Metric, find_metrics
from headstart.targets.target import Target
from headstart.training import saved
from headstart.training.callbacks import Callback, Checkpoints, CycleEnd, KeepBest, checked_callbacks
from headstart.training.display import Display
from headstart.training.ensemble import loss_of
from headstart.training.evaluation import evaluate, run_model
from headstart.training.history import History
from headstart.training.loaders import Data, Loader, fingerprint_of
from headstart.training.loop import fit
from headstart.training.lr_find import RateCurve, find_lr
from headstart.training.optim import (
    Groups,
    Rates,
    freeze_to,
    frozen_groups,
    optimizer_groups,
    parameter_groups,
    rates_per_group,
)
from headstart.training.progress import FIGURES_BESIDE_METRICS, Progress
from headstart.training.schedules import OneCycle, Schedule, lesson_schedule
from headstart.training.settings import Keep, LearnerOptions, Plan, Training, check_options
from headstart.training.snapshots import Snapshots
from headstart.training.summary import summary

__all__ = ["FitOptions", "Learner"]


class FitOptions(TypedDict, total=False):
    """Keyword arguments of every way of fitting.

    Attributes:
        callbacks: callbacks for this fit: `EarlyStopping`, `TensorBoard`, your own.
        keep: ``"best"``: end with the weights of the best epoch by the first metric of the validation rows;
            ``"last"``: with those of the last epoch.
        snapshot: save the weights at the end of each cycle under this name, for `load_cycle`.
        checkpoint: a folder that gets, after each epoch, all that is needed to go on.
        resume: go on from that folder's checkpoint if it has one.
    """

    callbacks: Sequence[Callback]
    keep: Keep
    snapshot: str | None
    checkpoint: str | Path | None
    resume: bool


class Learner:
    """Trains, validates, predicts with and saves a model: an application's, or a user's own `nn.Module`.

    Args:
        model: called as ``model(*batch.inputs)``; returns a tensor, or a tuple whose first element is the output. With
            a method ``groups()`` it can be frozen in parts and have a learning rate for each.
        data: training and validation batches; None for a learner that only predicts.
        training: all that changes what a training step does; None: the defaults of `Training`.
        target: how outputs are read; None: the data's.
        options: the fields of `Training` by name (``clip=1.0``), and those of `LearnerOptions`: ``loss``, ``metrics``,
            ``callbacks``, ``folder``, ``progress``, ``engine``.

    Attributes:
        history: the figures of every epoch so far.
        figures: those of the epoch whose weights the model has; empty if they are not known.
        fits: number of fits so far; each has a random stream of its own.

    Raises:
        ConfigError: an option is unknown or out of its range.
    """

    application: ClassVar[str] = "custom"
    """Which of headstart's applications this belongs to; what `headstart.load` goes by."""

    members: int = 1
    """Number of outputs that the model returns side by side in training, ``(members, rows, ...)``; 1: no such axis."""

    def __init__(
        self,
        model: nn.Module,
        data: Data | None,
        *,
        training: Training | None = None,
        target: Target | None = None,
        **options: Unpack[LearnerOptions],
    ) -> None:
        check_options(type(self).__name__, options, Training)
        training = replaced(training or Training(), options)
        engine = options.get("engine") or (data.engine if data is not None else None) or saved.usual_engine()
        self._training, self.engine = training, engine.at(training.precision)
        self.model = model.to(self.engine.device).eval()
        self._data = data
        self.target = target or (data.target if data is not None else None)
        self.loss = checked_loss(options.get("loss"))
        self.metrics: tuple[Metric, ...] = find_metrics(options.get("metrics"), self.target)
        self.callbacks = checked_callbacks(options.get("callbacks", ()))
        self.snapshots = Snapshots(Path(options.get("folder", "models")))
        self.progress = options.get("progress", "auto")
        self.history = History()
        self.figures: dict[str, float] = {}
        self.fits = 0

    def __repr__(self) -> str:
        parameters = sum(parameter.numel() for parameter in self.model.parameters())
        trained = f"{len(self.history)} epochs trained" if self.history else "not trained"
        return f"{type(self).__name__}({type(self.model).__name__} of {parameters:,} parameters, {trained})"

    # ---- what it is made of

    @property
    def training(self) -> Training:
        """All that changes what a training step does. Can be replaced between fits."""
        return self._training

    @training.setter
    def training(self, training: Training) -> None:
        self.engine = self.engine.at(training.precision)
        self._training = training

    @property
    def data(self) -> Data | None:
        """Training and validation batches. Other data with the same codec can be set, to go on training."""
        return self._data

    @data.setter
    def data(self, data: Data | None) -> None:
        self._data = data

    @property
    def groups(self) -> Groups:
        """The model's parameter groups, from the input side to the head."""
        return parameter_groups(self.model)

    def values(self) -> dict[str, Any]:
        """Return what the learner is made of, besides its weights, by name: here its training."""
        return {"training": self.training}

    # ---- training

    def fit(
        self,
        lr: Rates,
        cycles: int,
        *,
        cycle_len: int | None = None,
        cycle_mult: int = 1,
        **options: Unpack[FitOptions],
    ) -> History:
        """Train at a constant rate for ``cycles`` epochs; or by SGDR, when ``cycle_len`` is given.

        Args:
            lr: top learning rate, or one per group (differential rates).
            cycles: epochs, or cycles of SGDR.
            cycle_len: epochs of the first cycle.
            cycle_mult: each next cycle is this many times as long.
            options: see `FitOptions`.

        Returns:
            The figures of this fit's epochs.

        Raises:
            ConfigError: a rate, length or combination that makes no sense.
            ArtifactError: the checkpoint is of another fit, or cannot be read or written.
        """
        return self.fit_schedule(lr, lesson_schedule(cycles, cycle_len, cycle_mult), **options)

    def fit_one_cycle(
        self,
        lr: Rates | None = None,
        epochs: int | None = None,
        *,
        warm_up: float | None = None,
        **options: Unpack[FitOptions],
    ) -> History:
        """Train for one cycle: the rate warms up and falls to almost nothing. A good first choice.

        Without ``epochs`` the fit follows `plan`, which also says which epoch's weights are kept.

        Args:
            lr: top learning rate, or one per group; None: the plan's.
            epochs: length of the cycle; None: the plan's.
            warm_up: share of the cycle in which the rate rises; None: 0.25.
            options: see `FitOptions`.
        """
        if lr is None or epochs is None:
            plan = self.plan()
            lr = plan.rates(len(self.groups)) if lr is None else lr
            warm_up = plan.warm_up if warm_up is None else warm_up
            if epochs is None:
                epochs = plan.epochs
                options.setdefault("keep", plan.keep)
        schedule = OneCycle(epochs, 0.25 if warm_up is None else warm_up, momenta=self.training.momenta)
        return self.fit_schedule(lr, schedule, **options)

    def plan(self) -> Plan:
        """Return how long and how fast to train on the learner's data, as the application suggests.

        Raises:
            ConfigError: a model of your own, for which there is no suggestion.
        """
        raise ConfigError(f"{type(self).__name__} has no plan for a model of your own: give lr and epochs")

    def fit_schedule(
        self,
        lr: Rates,
        schedule: Schedule,
        *,
        callbacks: Sequence[Callback] = (),
        keep: Keep = "last",
        snapshot: str | None = None,
        checkpoint: str | Path | None = None,
        resume: bool = False,
    ) -> History:
        """Train by any schedule (`Triangular`, your own); what the other ways of fitting come down to.

        Args:
            lr: learning rate, or one per group, that the schedule's factor multiplies.
            schedule: length of the fit, factor and momentum.
            callbacks: see `FitOptions`, and the same for all that follows.
            keep: whose weights the fit ends with.
            snapshot: name of the snapshots of cycles.
            checkpoint: folder of the checkpoint.
            resume: go on from the checkpoint.
        """
        data = self._own_data()
        if resume and checkpoint is None:
            raise ConfigError("resume=True needs checkpoint=, the folder to go on from")
        taking_part = [*self.training.callbacks(), *self.callbacks, *checked_callbacks(callbacks)]
        if keep == "best" and data.valid is not None:
            taking_part.append(KeepBest())
        if snapshot is not None:
            taking_part.append(CycleEnd(schedule.cycle_ends, lambda cycle: self.save_cycle(snapshot, cycle)))
        progress = self._begin(lr, schedule)
        every = [*taking_part, Display(self.progress)]
        with self.engine.random_stream(self.training.seed, self.fits):
            if checkpoint is not None:
                checkpoints = Checkpoints(Path(checkpoint), taking_part, self._setting(progress, schedule))
                every.append(checkpoints)
                if resume:
                    checkpoints.take_up(progress)
            if snapshot is not None and progress.epoch == 0:
                if self.engine.is_main:
                    self.snapshots.clear(snapshot)
                self.engine.wait()
            try:
                fit(
                    progress, data.train, self._loss(), schedule, callbacks=every,
                    evaluate=None if data.valid is None else self.validate, clip=self.training.clip,
                    accumulate=self.training.accumulate,
                )  # fmt: skip
            finally:
                self._end(progress)
        return History(figures for figures in self.history if figures["fit"] == progress.fit)

    def fine_tune(
        self, lr: float, epochs: int, *, frozen_epochs: int = 1, callbacks: Sequence[Callback] = ()
    ) -> History:
        """Train the head alone first, then everything, earlier groups more slowly.

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
        """Try growing rates on a copy of the model: a curve with a suggestion and a plot. It leaves no trace.

        Args:
            start: the first rate.
            end: the last.
            steps: how many; the sweep ends before when the loss diverges.
        """
        return find_lr(
            self.model, self._own_data().train, self._row_loss(), self.engine, self.training, start=start, end=end,
            steps=steps, members=self.members, callbacks=[*self.training.callbacks(), *self.callbacks],
        )  # fmt: skip

    def freeze_to(self, first_trained: int) -> None:
        """Freeze the groups before this one: no gradients, and batch norms keep their statistics.

        Args:
            first_trained: the group's number; negative counts from the end (-1: only the head trains).
        """
        freeze_to(self.groups, first_trained)

    def freeze(self) -> None:
        """Train the last group, the head, alone from now on.

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
        """Train everything from now on."""
        self.freeze_to(0)

    # ---- validating and predicting

    def validate(self, loader: Loader | None = None) -> dict[str, float]:
        """Return ``valid_loss`` and the metrics, over the validation rows or those of another loader."""
        loader = self._valid() if loader is None else loader
        return evaluate(self.model, loader, self.engine, self._loss(), self.target, self.metrics)

    def better(self) -> dict[str, Better]:
        """Return for each figure of an epoch whether lower or higher is better, where that is known."""
        known: dict[str, Better] = {metric.name: metric.better for metric in self.metrics if metric.better is not None}
        return {**known, "valid_loss": "lower", "train_loss": "lower"}

    def first_figure(self) -> str:
        """Return the figure by which the best epoch is chosen: the first metric, else a loss."""
        if self.data is None or self.data.valid is None:
            return "train_loss"
        return next(iter(self.better()))

    def predict_with_targets(self, *, snapshot: str | None = None) -> tuple[Tensor, Tensor]:
        """Return predictions for the validation rows, in their order, and the true targets.

        Args:
            snapshot: average the predictions of all cycles saved under this name.

        Returns:
            Probabilities ``(rows, classes)`` or numbers in the target's unit, and the targets on the same scale.
        """
        valid = self._valid()
        run = run_model(self.model, valid, self.engine)
        if run.target is None:
            raise ConfigError("the validation batches have no target")
        true = run.target if self.target is None else self.target.original(run.target)
        if snapshot is not None:
            return self.predict_batches(valid, snapshot=snapshot), true
        return run.outputs if self.target is None else self.target.prediction(run.outputs), true

    def predict_batches(self, loader: Loader, *, snapshot: str | None = None) -> Tensor:
        """Return predictions for a loader's rows, in their order.

        Args:
            loader: with or without targets.
            snapshot: average the predictions of all cycles saved under this name.
        """
        if snapshot is not None:
            each = [self.predict_batches(loader) for _ in self.snapshots.each(self.model, snapshot)]
            return torch.stack(each).mean(0)
        outputs = run_model(self.model, loader, self.engine).outputs
        return self.target.prediction(outputs) if self.target is not None else outputs

    # ---- keeping

    def save(self, folder: str | Path) -> Path:
        """Save the model to a folder: ``learner.json`` and ``weights.safetensors``, whole or not at all.

        Raises:
            ArtifactError: the folder cannot be written, or holds other files.
        """
        return saved.save(self, Path(folder))

    def load(self, folder: str | Path) -> None:
        """Take the weights that `save` wrote into this learner's model, which must be of the same make.

        Raises:
            ArtifactError: the folder is damaged, of another application, or was made with another codec or design.
        """
        saved.load_into(self, Path(folder))

    def save_cycle(self, name: str, cycle: int) -> None:
        """Save the weights as they are under a name and a cycle's number, for `load_cycle`."""
        if self.engine.is_main:
            self.snapshots.save(self.model, name, cycle)
        self.engine.wait()

    def load_cycle(self, name: str, cycle: int) -> None:
        """Take back the weights of a cycle, counted from 0, of ``fit(..., snapshot=name)``."""
        self.snapshots.load(self.model, name, cycle)
        self.figures = {}

    def summary(self) -> Table:
        """Return the model's layers by group, with their numbers of parameters and whether they train."""
        return summary(self.model, self.groups)

    # ---- inside

    def _own_data(self) -> Data:
        if self.data is None:
            raise NotFittedError("this learner has no data; set learner.data to go on training or validating")
        return self.data

    def _valid(self) -> Loader:
        valid = self._own_data().valid
        if valid is None:
            raise ConfigError("there are no validation rows: all rows train. Make data with some, or give a table")
        return valid

    def _row_loss(self) -> Loss:
        if self.loss is not None:
            return self.loss
        if self.target is None:
            raise ConfigError(
                "there is no target whose loss would be the default: give loss=, a function (outputs, batch)"
            )
        return self.target.loss

    def _loss(self) -> Loss:
        return loss_of(self.model, self._row_loss(), self.members)

    def _begin(self, lr: Rates, schedule: Schedule) -> Progress:
        prepared = self.engine.prepare(self.model)  # before the groups: it may replace batch norms
        groups = self.groups
        rates = rates_per_group(lr, len(groups))
        optimizer = self.training.optimizer(optimizer_groups(groups, rates, self.training.weight_decay))
        return Progress(
            self.model, prepared, groups, optimizer, self.engine, schedule.epochs, fit=self.fits,
            first=self.first_figure(), better=self.better(), first_epoch=len(self.history),
        )  # fmt: skip

    def _end(self, progress: Progress) -> None:
        """Record what remains of a fit, also of one that was broken off before its end."""
        self.model.eval()
        if not progress.history and progress.step == 0:
            return
        earlier = [figures for figures in self.history if figures["fit"] != progress.fit]  # all but what was resumed
        epochs = [{"fit": progress.fit, **figures} for figures in progress.history]
        if progress.kept is not None:
            epochs = [{**figures, "kept": float(number == progress.kept)} for number, figures in enumerate(epochs, 1)]
        self.history[:] = [*earlier, *epochs]
        self.fits = progress.fit + 1
        self.figures = {}
        if epochs and (progress.kept is not None or progress.step == 0):  # else the weights are of no whole epoch
            self.figures = _evaluated(epochs[(progress.kept or len(epochs)) - 1])
        if epochs and not math.isfinite(epochs[-1]["train_loss"]):
            warnings.warn(
                "the training loss is not finite: lower lr (find_lr suggests one), set clip, look at the data",
                HeadstartWarning,
                stacklevel=3,
            )

    def _setting(self, progress: Progress, schedule: Schedule) -> Json:
        """What two fits must have in common for one to go on where the other stopped."""
        data = self._own_data()
        return {
            **{name: to_json(value, {}) for name, value in self.values().items()},
            "weights": {name: list(tensor.shape) for name, tensor in self.model.state_dict().items()},
            "loss": "default" if self.loss is None else getattr(self.loss, "__qualname__", type(self.loss).__name__),
            "schedule": repr(schedule),
            "rates": [group["base_lr"] for group in progress.optimizer.param_groups],
            "frozen": list(frozen_groups(progress.groups)),
            "steps": data.train.steps(0),
            "data": fingerprint_of(data.train),
            "processes": self.engine.world_size,
        }


def _evaluated(epoch: Mapping[str, float]) -> dict[str, float]:
    """The figures of an epoch's evaluation."""
    return {name: value for name, value in epoch.items() if name not in FIGURES_BESIDE_METRICS}
