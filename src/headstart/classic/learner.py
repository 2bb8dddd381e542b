"""`ClassicLearner`: the lesson's methods over a `headstart.Learner`, which does all the work."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeAlias, TypedDict, cast

import numpy as np
import torch
from numpy.typing import NDArray
from rich.table import Table
from torch import Tensor, nn, optim

from headstart.core.errors import ConfigError, NotFittedError
from headstart.targets.metrics import Metric, metric_name
from headstart.targets.target import AnyTarget
from headstart.training.callbacks import Callback
from headstart.training.display import Verbosity
from headstart.training.evaluation import run_model
from headstart.training.history import History
from headstart.training.learner import Learner
from headstart.training.lr_find import RateCurve
from headstart.training.optim import Rates
from headstart.training.plots import Plot
from headstart.training.progress import Progress

__all__ = ["ClassicLearner", "CommonOptions", "Schedule", "accuracy", "common_options", "to_np"]

ClassicMetric: TypeAlias = Callable[[Tensor, Tensor], Any]
"""``f(preds, targs)``, both as `ClassicLearner.predict_with_targs` returns them, but tensors."""

OptimizerFunction: TypeAlias = Callable[..., optim.Optimizer]
"""``optim.Adam`` or another class of torch's, or a partial of it."""


class CommonOptions(TypedDict, total=False):
    """Options of headstart's learners that the lesson's names of all applications need."""

    optimizer: OptimizerFunction
    seed: int
    folder: Path
    progress: Verbosity


class Schedule:
    """``learner.sched``: the losses that `ClassicLearner.lr_find` measured.

    Args:
        curve: the losses by learning rate.
    """

    def __init__(self, curve: RateCurve) -> None:
        self.curve = curve

    def plot(self) -> Plot:
        """Plot the loss over the learning rate, with the suggested rate."""
        return self.curve.plot()


class ClassicLearner:
    """The lesson's learner, which ``get_learner``, ``get_model`` and ``pretrained`` return.

    Args:
        learner: headstart's learner; its own display is turned off, since this one prints the lesson's rows.

    Attributes:
        learner: headstart's learner, with all that the lesson has no name for.
        sched: the losses that the last `lr_find` measured.
    """

    def __init__(self, learner: Learner) -> None:
        learner.progress = "none"
        self.learner = learner
        self._sched: Schedule | None = None

    @property
    def model(self) -> nn.Module:
        """The module that is trained."""
        return self.learner.model

    @property
    def clip(self) -> float | None:
        """Largest norm of all gradients together; None: no limit. Can be set."""
        return self.learner.training.clip

    @clip.setter
    def clip(self, norm: float | None) -> None:
        self.learner.training = replace(self.learner.training, clip=norm)

    @property
    def sched(self) -> Schedule:
        """The losses that the last `lr_find` measured.

        Raises:
            NotFittedError: `lr_find` was not called yet.
        """
        if self._sched is None:
            raise NotFittedError("there is nothing to plot yet: call lr_find() first")
        return self._sched

    def __repr__(self) -> str:
        """Return the layers of `model`, as the lesson shows them."""
        return repr(self.model)

    def fit(
        self,
        lrs: float | Sequence[float] | NDArray[Any],
        n_cycle: int,
        *,
        metrics: Sequence[ClassicMetric] = (),
        wds: float | None = None,
        cycle_len: int | None = None,
        cycle_mult: int = 1,
        cycle_save_name: str | None = None,
    ) -> History:
        """Train by `Learner.fit`, and print a row per epoch: epoch, training loss, validation loss, metrics.

        Args:
            lrs: one learning rate, or one per parameter group from the input side to the head. Fewer rates than groups
                are interpolated, evenly in their logarithm.
            n_cycle: number of epochs at a constant rate; with ``cycle_len`` the number of cycles.
            metrics: functions ``f(preds, targs)`` of tensors as `predict_with_targs` returns them.
            wds: weight decay; None: 0.
            cycle_len: number of epochs of the first cycle, in which the rate falls along a cosine (SGDR).
            cycle_mult: factor by which each cycle is longer than the one before.
            cycle_save_name: save the weights at the end of each cycle under this name, for `load_cycle`.

        Returns:
            The figures of the epochs.

        Raises:
            ConfigError: there are more rates than groups, or an argument of `Learner.fit` is out of its range.
        """
        learner, before = self.learner, (self.learner.metrics, self.learner.training)
        learner.metrics = tuple(self._metric(metric) for metric in metrics) or self._usual_metrics()
        learner.training = replace(learner.training, weight_decay=0.0 if wds is None else float(wds))
        rows = Rows(self._loss_unit(), [metric_name(metric) for metric in learner.metrics])
        try:
            return learner.fit(
                self._rates(lrs), n_cycle, cycle_len=cycle_len, cycle_mult=cycle_mult, snapshot=cycle_save_name,
                callbacks=[*self._callbacks(), rows],
            )  # fmt: skip
        finally:
            learner.metrics, learner.training = before

    def lr_find(self, start_lr: float = 1e-5, end_lr: float = 10.0) -> None:
        """Measure the loss at rising learning rates, for ``sched.plot()``; the model's weights stay as they are.

        Args:
            start_lr: first learning rate.
            end_lr: last learning rate, unless the loss explodes before.
        """
        self._sched = Schedule(self.learner.find_lr(start=start_lr, end=end_lr))

    def freeze_to(self, n: int) -> None:
        """Freeze the parameter groups before one of them.

        Args:
            n: number of the first group that trains; negative counts from the end: -1 is the head alone.
        """
        self.learner.freeze_to(n)

    def freeze(self) -> None:
        """Freeze all parameter groups but the head."""
        self.learner.freeze()

    def unfreeze(self) -> None:
        """Let all parameter groups train."""
        self.learner.unfreeze()

    def predict(self) -> NDArray[np.float32]:
        """Predict the validation rows.

        Returns:
            For classes logarithms of their probabilities, float32 ``(rows, classes)``; for a number ``(rows,)``.
        """
        return self.predict_with_targs()[0]

    def predict_with_targs(self) -> tuple[NDArray[np.float32], NDArray[Any]]:
        """Return `predict`'s predictions, and the targets: of classes their numbers, int64 ``(rows,)``.

        Raises:
            ConfigError: there are no validation rows.
        """
        data = self.learner.data
        if data is None or data.valid is None:
            raise ConfigError("there are no validation rows to predict")
        validated = run_model(self.model, data.valid, self.learner.engine)
        assert validated.target is not None
        prediction, target = self._in_lesson_terms(validated.outputs, validated.target)
        return to_np(prediction), to_np(target)

    def save(self, name: str) -> None:
        """Save the model under a name, in the folder ``models`` of the data's path."""
        self.learner.save(self.learner.snapshots.folder / name)

    def load(self, name: str) -> None:
        """Load the weights that `save` wrote under a name."""
        self.learner.load(self.learner.snapshots.folder / name)

    def load_cycle(self, name: str, cycle: int) -> None:
        """Load the weights at the end of a cycle of ``fit(cycle_save_name=name)``.

        Args:
            name: the name.
            cycle: number of the cycle, from 0 on.
        """
        self.learner.load_cycle(name, cycle)

    def summary(self) -> Table:
        """Return a table of the layers by parameter group, with their numbers of parameters."""
        return self.learner.summary()

    def _in_lesson_terms(self, outputs: Tensor, encoded: Tensor) -> tuple[Tensor, Tensor]:
        """Return predictions and true values as the lesson's metrics see them."""
        target = self.learner.target
        if target is None:
            return outputs, encoded
        if target.kind == "label":
            calibrated = outputs.float() / self.learner.temperature
            return calibrated.log_softmax(-1), encoded  # at 1 no change to outputs that are such logarithms
        return target.prediction(outputs), target.original(encoded)

    def _metric(self, metric: ClassicMetric) -> Metric:
        """Return a metric of `Learner`, whose metrics see probabilities, not their logarithms."""
        label = self.learner.target is not None and self.learner.target.kind == "label"

        def of_probabilities(prediction: Tensor, target: Tensor) -> float:
            smallest = torch.finfo(prediction.dtype).tiny
            return float(metric(prediction.clamp_min(smallest).log() if label else prediction, target))

        return Metric(metric_name(metric), of_probabilities)

    def _usual_metrics(self) -> tuple[Metric, ...]:
        """Return the metrics of a fit without ``metrics=``."""
        return ()

    def _callbacks(self) -> list[Callback]:
        """Return callbacks of every fit."""
        return []

    def _loss_unit(self) -> float:
        """Return the factor that makes the loss of a standardised number that of the number in its own unit."""
        target = cast("AnyTarget | None", self.learner.target)
        if target is None or target.kind != "number" or target.outputs > 1:
            return 1.0
        return target.sd[0] ** 2

    def _rates(self, lrs: float | Sequence[float] | NDArray[Any]) -> Rates:
        rates = np.atleast_1d(np.asarray(lrs, float))
        if len(rates) == 1:
            return float(rates[0])
        groups = len(self.learner.groups)
        if len(rates) > groups:
            raise ConfigError(f"lrs has {len(rates)} rates for the {groups} groups of the model: give at most {groups}")
        positions = np.linspace(0, len(rates) - 1, groups)
        spread: list[float] = np.exp(np.interp(positions, np.arange(len(rates)), np.log(rates))).tolist()
        return spread


class Rows(Callback):
    """Prints a row per epoch, such as ``[ 0.       0.02479  0.02205  0.19309]``.

    Args:
        loss_unit: factor of the losses.
        metrics: names of the figures that follow the losses.
    """

    def __init__(self, loss_unit: float, metrics: Sequence[str]) -> None:
        self.loss_unit, self.metrics = loss_unit, metrics

    def on_epoch_end(self, progress: Progress) -> None:
        """Print the epoch's row."""
        figures = progress.history[-1]
        losses = [figures[name] * self.loss_unit for name in ("train_loss", "valid_loss") if name in figures]
        others = [figures[name] for name in self.metrics if name in figures]
        row = np.round([figures["epoch"], *losses, *others], 5)
        sys.stdout.write(np.array2string(row, precision=5, suppress_small=True, max_line_width=200, legacy="1.13"))
        sys.stdout.write("\n")
        sys.stdout.flush()


def accuracy(preds: Any, targs: Any) -> float:
    """Return the share of rows whose largest prediction is the true class.

    Args:
        preds: predictions ``(rows, classes)``.
        targs: true classes' numbers ``(rows,)``.
    """
    predictions, targets = torch.as_tensor(preds), torch.as_tensor(targs)
    return float((predictions.argmax(-1) == targets.reshape(predictions.shape[:-1])).float().mean())


def to_np(tensor: Any) -> NDArray[Any]:
    """Return a tensor as a numpy array; several of one shape stacked."""
    if isinstance(tensor, list | tuple):
        return np.stack([to_np(part) for part in tensor])
    return tensor.detach().cpu().numpy() if isinstance(tensor, Tensor) else np.asarray(tensor)


def common_options(path: str | Path, opt_fn: OptimizerFunction | None, seed: int) -> CommonOptions:
    """Return the options that the learners of all applications get.

    Args:
        path: folder of the data, whose ``models`` gets weights and encoders.
        opt_fn: ``optim.Adam`` or a partial of it; None: headstart's default.
        seed: seed of the weights and of dropout.
    """
    options: CommonOptions = {"seed": seed, "folder": Path(path) / "models", "progress": "none"}
    return options if opt_fn is None else {**options, "optimizer": opt_fn}
