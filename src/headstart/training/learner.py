"""`Learner`: a model and its data, with methods to train, evaluate, predict and save."""

from __future__ import annotations

import dataclasses
import math
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar, TypedDict, Unpack

import torch
from rich.table import Table
from torch import Tensor, nn

from headstart.core.batch import Loss, checked_loss
from headstart.core.engine import Engine
from headstart.core.errors import ConfigError, HeadstartWarning, NotFittedError
from headstart.core.paths import expanded
from headstart.core.values import Json, checked, replaced, to_json
from headstart.targets.metrics import Better, Metric, find_metrics, log_loss
from headstart.targets.target import Target
from headstart.training import saved
from headstart.training.callbacks import Callback, CycleEnd, KeepBest, checked_callbacks
from headstart.training.checkpoints import Checkpoints, optimizer_setting, schedule_setting
from headstart.training.display import Display
from headstart.training.ensemble import loss_of
from headstart.training.evaluation import evaluate, prediction_of, run_model
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
from headstart.training.schedules import Constant, OneCycle, Schedule, lesson_schedule
from headstart.training.settings import Keep, LearnerOptions, Plan, Training, check_options, given_fields
from headstart.training.snapshots import Snapshots
from headstart.training.summary import summary

__all__ = ["FitOptions", "Learner"]


class FitOptions(TypedDict, total=False):
    """Keyword arguments of all methods that fit.

    Attributes:
        callbacks: callbacks for this fit, such as `EarlyStopping` or `TensorBoard`.
        keep: which weights the model has after the fit: those of the ``"best"`` epoch, by the figure of the validation
            rows that `Learner.first_figure` names, or of the ``"last"``.
        snapshot: name under which the weights are saved at the end of each cycle, for `load_cycle`; None: not saved.
        checkpoint: folder of a checkpoint, written after each epoch, from which the fit can be resumed; None: none.
        resume: whether to resume the fit from the checkpoint, if there is one.
    """

    callbacks: Sequence[Callback]
    keep: Keep
    snapshot: str | None
    checkpoint: str | Path | None
    resume: bool


class Learner:
    """Train, evaluate, save and predict with a model: that of an application, or any `nn.Module`.

    Args:
        model: called as ``model(*batch.inputs)``; returns a tensor, or a tuple whose first element is the output. With
            a method ``groups()``, its parts can be frozen and can have different learning rates.
        data: training and validation batches; None for a learner that only predicts.
        training: settings that determine a training step; None: the defaults of `Training`.
        target: converts outputs to predictions; None: the target of the data.
        options: fields of `Training` by name, such as ``clip=1.0``, and the fields of `LearnerOptions`: ``loss``,
            ``metrics``, ``callbacks``, ``folder``, ``progress`` and ``engine``.

    Attributes:
        history: figures of all epochs so far.
        figures: figures of the epoch whose weights the model has; empty if they are unknown.
        fits: number of fits so far; the random generators of each fit are seeded with it.
        temperature: divisor of the outputs of a classifier that calibrates its probabilities, fitted on the validation
            rows after each epoch; 1 without them, and for other targets.

    Raises:
        ConfigError: an option is unknown or out of its range.
    """

    application: ClassVar[str] = "custom"
    """Name of the application, by which `headstart.load` finds the class."""

    training_type: ClassVar[type[Training]] = Training
    """Class of its training."""

    members: int = 1
    """Number of members in the model, whose outputs in training are ``(members, rows, ...)``; 1: no such axis."""

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
        if not isinstance(data, Data | None):
            raise ConfigError(f"data must be Data, such as tensor_data(...) returns, or None; got {data!r}")
        self._training_given = given_fields(self.training_type, training, options)
        training = replaced(self._checked_training(training or Training()), options)
        engine = options.get("engine") or (data.engine if data is not None else None) or saved.usual_engine()
        self._training, self.engine = training, engine.at(training.precision)
        self.model = model.to(self.engine.device).eval()
        self._data = data
        self.target = target or (data.target if data is not None else None)
        self.loss = checked_loss(options.get("loss"))
        self._metrics_given = options.get("metrics")
        self.metrics: tuple[Metric, ...] = find_metrics(self._metrics_given, self.target)
        self.callbacks = checked_callbacks(options.get("callbacks", ()))
        self.snapshots = Snapshots(expanded(options.get("folder", "models")))
        self.progress = options.get("progress", "auto")
        self.history = History()
        self.figures: dict[str, float] = {}
        self.fits = 0
        self.temperature = 1.0

    def __repr__(self) -> str:
        parameters = sum(parameter.numel() for parameter in self.model.parameters())
        trained = f"{len(self.history)} epochs trained" if self.history else "not trained"
        return f"{type(self).__name__}({type(self.model).__name__} of {parameters:,} parameters, {trained})"

    def __setattr__(self, name: str, value: Any) -> None:
        if name in {field.name for field in dataclasses.fields(self.training_type)}:
            raise ConfigError(
                f"{name} is a field of learner.training, which is replaced as a whole: learner.training ="
                f" dataclasses.replace(learner.training, {name}=...)"
            )
        super().__setattr__(name, value)

    # ---- values

    @property
    def training(self) -> Training:
        """Settings that determine a training step. They can be replaced between fits."""
        return self._training

    @training.setter
    def training(self, training: Training) -> None:
        self._set_training(training)
        self._training_given = given_fields(self.training_type, training, {})

    def _set_training(self, training: Training) -> None:
        self.check_engine(self._checked_training(training), self.engine)
        self.engine = self.engine.at(training.precision)
        self._training = training

    @classmethod
    def check_engine(cls, training: Training, engine: Engine) -> None:
        """Raise `ConfigError` if the model cannot run on the engine at the training's precision."""
        engine.at(training.precision)

    @property
    def data(self) -> Data | None:
        """Training and validation batches. Data with the same codec can be assigned, to train on new rows."""
        return self._data

    @data.setter
    def data(self, data: Data | None) -> None:
        if not isinstance(data, Data | None):
            raise ConfigError(f"learner.data must be Data, such as tensor_data(...) returns, or None; got {data!r}")
        self._data = data
        if self.target is None and data is not None and data.target is not None:
            self.target = data.target
            self.metrics = find_metrics(self._metrics_given, self.target)

    @property
    def groups(self) -> Groups:
        """The model's parameter groups, from the input side to the head."""
        return parameter_groups(self.model)

    def values(self) -> dict[str, Any]:
        """Return the values that define the learner, except its weights, by name."""
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
        """Train at a constant learning rate, or by SGDR if ``cycle_len`` is given.

        Args:
            lr: maximum learning rate, or one per parameter group, from the input side to the head.
            cycles: number of epochs, or of SGDR cycles.
            cycle_len: number of epochs in the first cycle; None: a constant rate.
            cycle_mult: factor by which each cycle is longer than the one before.
            options: see `FitOptions`.

        Returns:
            The figures of this fit's epochs.

        Raises:
            ConfigError: an argument is out of range, or incompatible with another.
            NotFittedError: the learner has no data.
            ArtifactError: the checkpoint belongs to another fit, or cannot be read or written.
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
        """Train for one cycle, in which the learning rate warms up and then decreases to almost 0.

        Where ``lr`` or ``epochs`` is omitted, it is that of `plan`, which also determines which epoch's weights are
        kept; without ``epochs``, the fit also has the plan's schedule, and ends when the plan ends it: see `fit_plan`.

        Args:
            lr: maximum learning rate, or one per parameter group, from the input side to the head; None: the plan's.
            epochs: number of epochs; None: the plan's.
            warm_up: fraction of the cycle in which the rate increases, between 0 and 1; None: the plan's, or 0.25 if
                both ``lr`` and ``epochs`` are given.
            options: see `FitOptions`.

        Returns:
            The figures of this fit's epochs.

        Raises:
            ConfigError: an argument is out of range, or there is no plan for the model.
            NotFittedError: the learner has no data.
            ArtifactError: the checkpoint belongs to another fit, or cannot be read or written.
        """
        if lr is not None and epochs is not None:
            schedule = OneCycle(epochs, 0.25 if warm_up is None else warm_up, momenta=self.training.momenta)
            return self.fit_schedule(lr, schedule, **options)
        plan = self.plan() if epochs is None else self.plan().lasting(epochs)
        plan = plan if warm_up is None else dataclasses.replace(plan, warm_up=warm_up)
        return self.fit_plan(plan, lr=lr, **options)

    def fit_plan(self, plan: Plan | None = None, *, lr: Rates | None = None, **options: Unpack[FitOptions]) -> History:
        """Train by a plan.

        Args:
            plan: length, schedule and learning rate; None: that which `plan` suggests.
            lr: learning rate, or one per parameter group, from the input side to the head; None: the plan's.
            options: see `FitOptions`; without ``keep``, the plan's.

        Returns:
            The figures of this fit's epochs.

        Raises:
            ConfigError: an argument is out of range, or there is no plan for the model.
            NotFittedError: the learner has no data.
            ArtifactError: the checkpoint belongs to another fit, or cannot be read or written.
        """
        plan = self.plan() if plan is None else plan
        schedule: Schedule = OneCycle(plan.epochs, plan.warm_up, momenta=self.training.momenta)
        if plan.schedule == "constant":
            schedule = Constant(plan.epochs, warm_up=1.0)
        options.setdefault("keep", plan.keep)
        options["callbacks"] = [*plan.callbacks(), *checked_callbacks(options.get("callbacks", ()))]
        return self.fit_schedule(plan.rates(len(self.groups)) if lr is None else lr, schedule, **options)

    def plan(self) -> Plan:
        """Return the suggested plan for the learner's data.

        Raises:
            ConfigError: the model does not belong to an application, which could suggest a plan.
        """
        raise ConfigError(f"{type(self).__name__} has no plan for a custom model: give lr and epochs")

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
        """Train by any schedule, such as `Triangular` or a custom one. The other methods that fit call this one.

        Args:
            lr: learning rate, or one per parameter group, which the schedule's factor multiplies.
            schedule: number of epochs, factor on the rates and momentum.
            callbacks: callbacks for this fit.
            keep: which weights the model has after the fit: those of the ``"best"`` or of the ``"last"`` epoch.
            snapshot: name under which the weights are saved at the end of each cycle.
            checkpoint: folder of the checkpoint.
            resume: whether to resume the fit from the checkpoint, if there is one.

        Returns:
            The figures of this fit's epochs.

        Raises:
            ConfigError: an argument is out of range, or incompatible with another.
            NotFittedError: the learner has no data.
            ArtifactError: the checkpoint belongs to another fit, or cannot be read or written.
        """
        data = self._own_data()
        if resume and checkpoint is None:
            raise ConfigError("resume=True needs checkpoint=, the folder of the checkpoint to resume from")
        keep = checked("keep", Keep, keep)
        if not isinstance(schedule, Schedule):
            raise ConfigError(f"schedule must be a schedule such as OneCycle(5); got {schedule!r}")
        listed = [*self.training.callbacks(), *self.callbacks, *checked_callbacks(callbacks)]
        if keep == "best" and data.valid is not None:
            listed.append(KeepBest())
        if snapshot is not None:
            listed.append(CycleEnd(schedule.cycle_ends, lambda cycle: self.save_cycle(snapshot, cycle)))
        progress = self._begin(lr, schedule)
        every = [*listed, Display(self.progress)]
        with self.engine.random_stream(self.training.seed, self.fits):
            if checkpoint is not None:
                checkpoints = Checkpoints(expanded(checkpoint), listed, self._setting(progress, schedule))
                every.append(checkpoints)
                if resume:
                    checkpoints.take_up(progress)
            if snapshot is not None and progress.epoch == 0:
                self.engine.on_main(lambda: self.snapshots.clear(snapshot))
            try:
                fit(
                    progress, data.train, self._loss(), schedule, callbacks=every,
                    evaluate=None if data.valid is None else self._validate_epoch, clip=self.training.clip,
                    accumulate=self.training.accumulate,
                )  # fmt: skip
            finally:
                self._end(progress)
        return History(figures for figures in self.history if figures["fit"] == progress.fit)

    def fine_tune(
        self, lr: float, epochs: int, *, frozen_epochs: int = 1, callbacks: Sequence[Callback] = ()
    ) -> History:
        """Train only the head at first, then all parameter groups, with lower rates towards the input side.

        **Source:** fastai v2's ``fine_tune``, including its rates: in the second stage the head has half the rate of
        the first stage, and the rates of the groups decrease geometrically to a hundredth of that at the input side.

        Args:
            lr: maximum learning rate of the head in the first stage.
            epochs: number of epochs in the second stage.
            frozen_epochs: number of epochs in the first stage.
            callbacks: callbacks for both stages.

        Returns:
            The figures of the epochs of both stages.

        Raises:
            ConfigError: an argument is out of range, or the model has only one parameter group.
            NotFittedError: the learner has no data.
        """
        started, count = len(self.history), len(self.groups)
        self.freeze()
        self.fit_one_cycle(lr, frozen_epochs, warm_up=0.9, callbacks=callbacks)
        self.unfreeze()
        rates = [lr / 2 * 100 ** (-(count - 1 - number) / max(1, count - 1)) for number in range(count)]
        self.fit_one_cycle(rates, epochs, warm_up=0.3, callbacks=callbacks)
        return History(self.history[started:])

    def find_lr(self, *, start: float = 1e-6, end: float = 10.0, steps: int = 100) -> RateCurve:
        """Train a copy of the model with increasing learning rates; the learner itself is not changed.

        Args:
            start: first learning rate, above 0.
            end: last learning rate, above ``start``.
            steps: number of steps, at least 10; fewer are taken if the loss diverges.

        Returns:
            The loss at each learning rate, with a suggested rate and a plot.

        Raises:
            ConfigError: an argument is out of range, or the loss is not finite from the start.
            NotFittedError: the learner has no data.
        """
        return find_lr(
            self.model, self._own_data().train, self._row_loss(), self.engine, self.training, start=start, end=end,
            steps=steps, members=self.members, callbacks=[*self.training.callbacks(), *self.callbacks],
        )  # fmt: skip

    def freeze_to(self, first_trained: int) -> None:
        """Freeze all parameter groups before one: they get no gradients, and their batch norms keep their statistics.

        Args:
            first_trained: number of the first group that trains, from 0; negative numbers count from the end, so that
                only the head trains with -1.

        Raises:
            ConfigError: there is no such group.
        """
        freeze_to(self.groups, first_trained)

    def freeze(self) -> None:
        """Freeze all parameter groups except the last, the head.

        Raises:
            ConfigError: the model has only one group.
        """
        if len(self.groups) == 1:
            raise ConfigError(
                f"{type(self.model).__name__} is one group, so there is nothing to freeze except the head:"
                " give it a method groups() that lists its parts, from the input side to the head"
            )
        self.freeze_to(-1)

    def unfreeze(self) -> None:
        """Unfreeze all parameter groups."""
        self.freeze_to(0)

    # ---- evaluation and prediction

    def validate(self, loader: Loader | None = None) -> dict[str, float]:
        """Return ``valid_loss`` and the metrics by name.

        Args:
            loader: rows to evaluate; None: the validation rows.

        Raises:
            ConfigError: there are no validation rows.
            NotFittedError: the learner has no data.
        """
        loader = self._valid() if loader is None else loader
        return self._evaluate(loader, self.temperature)

    def measure(self) -> None:
        """Fit the temperature on the validation rows, for weights that another fit has made, and note the figures.

        Raises:
            ConfigError: there are no validation rows.
            NotFittedError: the learner has no data.
        """
        figures = self._validate_epoch()
        self.temperature = figures.pop("temperature", 1.0)
        self.figures = figures

    def prediction(self, outputs: Tensor) -> Tensor:
        """Return the predictions for the model's outputs: calibrated probabilities, or numbers in the target's unit.

        Args:
            outputs: outputs of the model, ``(rows, ...)``.
        """
        return prediction_of(outputs, self.target, self.temperature)

    def better(self) -> dict[str, Better]:
        """Return whether lower or higher is better for each figure of which this is known."""
        directions: dict[str, Better] = {
            metric.name: metric.better for metric in self.metrics if metric.better is not None
        }
        return {**directions, "valid_loss": "lower", "train_loss": "lower"}

    def first_figure(self, *, validated: bool | None = None) -> str:
        """Return the name of the figure by which the best epoch is chosen.

        It is the first metric, or else a loss. Classifiers with the default metrics are compared by their log loss,
        which is less noisy than the accuracy and sees rare classes.

        Args:
            validated: whether there are validation rows; None: as the learner's data have them.
        """
        if validated is None:
            validated = self.data is not None and self.data.valid is not None
        if not validated:
            return "train_loss"
        if self.target is not None and self.target.classes and self.metrics == self.target.default_metrics():
            return log_loss.name
        return next(iter(self.better()))

    def predict_with_targets(self, *, snapshot: str | None = None) -> tuple[Tensor, Tensor]:
        """Return the predictions for the validation rows and their targets, in row order.

        Args:
            snapshot: name of saved cycles over which predictions are averaged; None: those of the current weights.

        Returns:
            Predictions, ``(rows, ...)``: class probabilities, or numbers in the unit of the target; and targets on the
            same scale.

        Raises:
            ConfigError: there are no validation rows, or they have no target.
            NotFittedError: the learner has no data.
        """
        valid = self._valid()
        run = run_model(self.model, valid, self.engine)
        if run.target is None:
            raise ConfigError("the validation batches have no target; use predict_batches")
        true = run.target if self.target is None else self.target.original(run.target)
        if snapshot is not None:
            return self.predict_batches(valid, snapshot=snapshot), true
        return self.prediction(run.outputs), true

    def predict_batches(self, loader: Loader, *, snapshot: str | None = None) -> Tensor:
        """Return the predictions for the rows of a loader, ``(rows, ...)``, in row order.

        Args:
            loader: rows with or without targets.
            snapshot: name of saved cycles over which predictions are averaged; None: those of the current weights.
        """
        if snapshot is not None:
            each = [self.predict_batches(loader) for _ in self.snapshots.each(self.model, snapshot)]
            return torch.stack(each).mean(0)
        return self.prediction(run_model(self.model, loader, self.engine).outputs)

    # ---- saving and loading

    def save(self, folder: str | Path) -> Path:
        """Save the learner as ``learner.json`` and ``weights.safetensors`` in a folder, completely or not at all.

        Args:
            folder: a new or empty folder, or that of an earlier save, which is replaced.

        Returns:
            The folder.

        Raises:
            ArtifactError: the folder cannot be written, or contains other files.
        """
        return saved.save(self, expanded(folder))

    def load(self, folder: str | Path) -> None:
        """Load a saved learner into this one, which then trains on as that one would.

        Weights, history, number of fits, frozen groups and training become those that were saved, except fields of the
        training that were given to this learner. Loss, metrics and callbacks stay.

        Args:
            folder: the folder of a learner with the same codec and design.

        Raises:
            ArtifactError: the folder is damaged, or holds a learner with another application, codec or design.
        """
        training = saved.load_into(self, expanded(folder))
        given = {name: getattr(self.training, name) for name in self._training_given}
        self._set_training(dataclasses.replace(training, **given))

    def save_cycle(self, name: str, cycle: int) -> None:
        """Save the current weights under a name and the number of a cycle, for `load_cycle`."""
        self.engine.on_main(lambda: self.snapshots.save(self.model, name, cycle))

    def load_cycle(self, name: str, cycle: int) -> None:
        """Load the weights that ``fit(..., snapshot=name)`` saved at the end of a cycle.

        Args:
            name: name of the snapshots.
            cycle: number of the cycle, from 0.

        Raises:
            ArtifactError: there is no such snapshot.
        """
        self.snapshots.load(self.model, name, cycle)
        self.figures = {}

    def summary(self) -> Table:
        """Return a table of the model's layers by group, with their numbers of parameters and whether they train."""
        return summary(self.model, self.groups)

    def __getstate__(self) -> dict[str, Any]:
        """Return the state for pickle, joblib and worker processes: everything except data and engine."""
        return {**self.__dict__, "_data": None, "engine": None}

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Restore the learner, without data, on this machine's device."""
        self.__dict__.update(state)
        self.engine = saved.usual_engine().at(self._training.precision)
        self.model = self.model.to(self.engine.device)

    # ---- inside

    def _checked_training(self, training: Training) -> Training:
        if not isinstance(training, self.training_type):
            name = self.training_type.__name__
            raise ConfigError(f"{type(self).__name__} is trained by a {name}(...); got {training!r}")
        return training

    def _own_data(self) -> Data:
        if self.data is None:
            raise NotFittedError("this learner has no data; set learner.data to go on training or validating")
        return self.data

    def _valid(self) -> Loader:
        valid = self._own_data().valid
        if valid is None:
            raise ConfigError("there are no validation rows: all rows train; create data with some, or give a table")
        return valid

    def _row_loss(self) -> Loss:
        if self.loss is not None:
            return self.loss
        if self.target is None:
            raise ConfigError("there is no target that defines a loss: give loss=, a function of (outputs, batch)")
        return self.target.loss

    def _loss(self) -> Loss:
        return loss_of(self.model, self._row_loss(), self.members)

    def _validate_epoch(self) -> dict[str, float]:
        """Return the figures of an epoch; those of a classifier are measured after fitting its temperature."""
        if self.target is None or not self.target.classes:
            return self.validate()
        return self._evaluate(self._valid(), None)

    def _evaluate(self, loader: Loader, temperature: float | None) -> dict[str, float]:
        """Return the figures of a loader at a temperature; None: at one that is fitted on its rows."""
        return evaluate(self.model, loader, self.engine, self._loss(), self.target, self.metrics, temperature)

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
        """Record the figures of a fit, even if it was interrupted."""
        self.model.eval()
        if not progress.history and progress.step == 0:
            return
        earlier = [figures for figures in self.history if figures["fit"] != progress.fit]  # not those of a resumed fit
        epochs = [{"fit": progress.fit, **figures} for figures in progress.history]
        if progress.kept is not None:
            epochs = [{**figures, "kept": float(number == progress.kept)} for number, figures in enumerate(epochs, 1)]
        self.history[:] = [*earlier, *epochs]
        self.fits = progress.fit + 1
        self.figures = {}
        of_weights: dict[str, float] = epochs[(progress.kept or len(epochs)) - 1] if epochs else {}
        self.temperature = of_weights.get("temperature", 1.0)
        if progress.kept is not None or progress.step == 0:  # else the last epoch is unfinished
            self.figures = _evaluated(of_weights)
        if epochs and not math.isfinite(epochs[-1]["train_loss"]):
            warnings.warn(
                "the training loss is not finite: lower lr (find_lr suggests a value), set clip, or check the data",
                HeadstartWarning,
                stacklevel=3,
            )

    def _setting(self, progress: Progress, schedule: Schedule) -> Json:
        """Return everything that a fit and a checkpoint must have in common for the fit to be resumed."""
        data = self._own_data()
        return {
            **{name: to_json(value, {}) for name, value in self.values().items()},
            "weights": {name: list(tensor.shape) for name, tensor in self.model.state_dict().items()},
            "loss": "default" if self.loss is None else getattr(self.loss, "__qualname__", type(self.loss).__name__),
            "metrics": [metric.name for metric in self.metrics],
            "first": progress.first,
            "optimizer": optimizer_setting(progress.optimizer),
            "schedule": schedule_setting(schedule),
            "rates": [group["base_lr"] for group in progress.optimizer.param_groups],
            "frozen": list(frozen_groups(progress.groups)),
            "steps": data.train.steps(0),
            "data": fingerprint_of(data.train),
            "valid": None if data.valid is None else fingerprint_of(data.valid),
            "processes": self.engine.world_size,
        }


def _evaluated(epoch: Mapping[str, float]) -> dict[str, float]:
    """Return the figures of an epoch that evaluation computed."""
    return {name: value for name, value in epoch.items() if name not in FIGURES_BESIDE_METRICS}
