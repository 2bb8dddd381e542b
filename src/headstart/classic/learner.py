"""`ClassicLearner`: the lesson's way of speaking to a `headstart.Learner`, which does all the work."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeAlias, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn, optim

from headstart.core.errors import ConfigError, NotFittedError
from headstart.targets.metrics import Metric, metric_name
from headstart.targets.target import AnyTarget
from headstart.training.callbacks import Callback
from headstart.training.evaluation import run_model
from headstart.training.history import History
from headstart.training.learner import Learner
from headstart.training.lr_find import RateCurve
from headstart.training.optim import Rates
from headstart.training.plots import Plot
from headstart.training.progress import Progress

__all__ = ["ClassicLearner", "Schedule", "accuracy", "optimizer_factory", "to_np"]

ClassicMetric: TypeAlias = Callable[[Tensor, Tensor], Any]
"""``f(preds, targs)``: what `predict_with_targs` gives, as tensors."""

OptimizerFunction: TypeAlias = Callable[..., optim.Optimizer]
"""``optim.Adam``, or a partial of it."""


class Schedule:
    """``learner.sched``: what is there to plot after `ClassicLearner.lr_find`.

    Args:
        curve: the losses by rate.
    """

    def __init__(self, curve: RateCurve) -> None:
        self.curve = curve

    def plot(self) -> Plot:
        """The loss over the learning rate, with the suggested rate."""
        return self.curve.plot()


class ClassicLearner:
    """What ``get_learner``, ``get_model`` and ``pretrained`` of the lesson give.

    Args:
        learner: does all the work; it shows nothing of its own, since the lesson's rows are printed here.

    Attributes:
        learner: the same: everything the lesson has no name for is there.
        sched: what `lr_find` found.
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
        """The largest norm of all gradients together."""
        return self.learner.training.clip

    @clip.setter
    def clip(self, norm: float | None) -> None:
        self.learner.training = replace(self.learner.training, clip=norm)

    @property
    def sched(self) -> Schedule:
        """What `lr_find` found.

        Raises:
            NotFittedError: before `lr_find`.
        """
        if self._sched is None:
            raise NotFittedError("there is nothing to plot yet: call lr_find() first")
        return self._sched

    def __repr__(self) -> str:
        """The layers that are trained, as the lesson shows them."""
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
        """`Learner.fit`, with a row printed per epoch: epoch, training loss, validation loss, metrics.

        Args:
            lrs: one rate, or one per group. Fewer rates than groups are spread over them, evenly in their logarithm,
                from the input side's to the head's.
            n_cycle: epochs, or cycles where ``cycle_len`` is given.
            metrics: ``f(preds, targs)``, of what `predict_with_targs` gives.
            wds: weight decay; None: none.
            cycle_len: epochs of the first cycle of SGDR.
            cycle_mult: each next cycle is this many times as long.
            cycle_save_name: keep the weights at the end of each cycle, for `load_cycle`.

        Raises:
            ConfigError: more rates than groups, or what `Learner.fit` refuses.
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
        """`Learner.find_lr`; ``sched.plot()`` shows it. The model is as it was before."""
        self._sched = Schedule(self.learner.find_lr(start=start_lr, end=end_lr))

    def freeze_to(self, n: int) -> None:
        """Freezes the groups before the n-th."""
        self.learner.freeze_to(n)

    def freeze(self) -> None:
        """Only the head trains."""
        self.learner.freeze()

    def unfreeze(self) -> None:
        """Everything trains."""
        self.learner.unfreeze()

    def predict(self) -> NDArray[np.float32]:
        """Predictions for the validation rows: logarithms of probabilities for classes, else numbers."""
        return self.predict_with_targs()[0]

    def predict_with_targs(self) -> tuple[NDArray[np.float32], NDArray[Any]]:
        """`predict`, and what was true, of the same shape for numbers."""
        data = self.learner.data
        if data is None or data.valid is None:
            raise ConfigError("there are no validation rows to predict")
        found = run_model(self.model, data.valid, self.learner.engine)
        assert found.target is not None
        prediction, target = self._own_terms(found.outputs, found.target)
        return to_np(prediction), to_np(target)

    def save(self, name: str) -> None:
        """Keeps the weights under a name, in the folder of the data's ``models``."""
        self.learner.save(self.learner.snapshots.folder / name)

    def load(self, name: str) -> None:
        """Takes back the weights of `save`."""
        self.learner.load(self.learner.snapshots.folder / name)

    def load_cycle(self, name: str, cycle: int) -> None:
        """Takes back the weights that ``fit(cycle_save_name=name)`` kept at the end of a cycle, counted from 0."""
        self.learner.load_cycle(name, cycle)

    def summary(self) -> Any:
        """The layers by group, with their numbers of parameters."""
        return self.learner.summary()

    def _own_terms(self, outputs: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
        """Outputs and encoded targets, as the lesson's metrics see them."""
        read = self.learner.target
        if read is not None and read.kind == "label":
            return outputs.float().log_softmax(-1), target  # of outputs that are such logarithms it changes nothing
        if read is None:
            return outputs, target
        return read.prediction(outputs), read.original(target)

    def _metric(self, metric: ClassicMetric) -> Metric:
        """The same for `Learner`, whose metrics see probabilities instead of their logarithms."""
        label = self.learner.target is not None and self.learner.target.kind == "label"

        def of_probabilities(prediction: Tensor, target: Tensor) -> float:
            smallest = torch.finfo(prediction.dtype).tiny
            return float(metric(prediction.clamp_min(smallest).log() if label else prediction, target))

        return Metric(metric_name(metric), of_probabilities)

    def _usual_metrics(self) -> tuple[Metric, ...]:
        """The metrics of a fit that names none."""
        return ()

    def _callbacks(self) -> list[Callback]:
        """What every fit of this learner has beside the printing."""
        return []

    def _loss_unit(self) -> float:
        """What the loss of standardised numbers is multiplied by to be that of the numbers themselves."""
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
        places = np.linspace(0, len(rates) - 1, groups)
        spread: list[float] = np.exp(np.interp(places, np.arange(len(rates)), np.log(rates))).tolist()
        return spread


class Rows(Callback):
    """Prints a row per epoch, such as ``[ 0.       0.02479  0.02205  0.19309]``.

    Args:
        loss_unit: what losses are multiplied by.
        metrics: names of the figures that follow them.
    """

    def __init__(self, loss_unit: float, metrics: Sequence[str]) -> None:
        self.loss_unit, self.metrics = loss_unit, metrics

    def on_epoch_end(self, progress: Progress) -> None:
        """Prints the epoch's row."""
        figures = progress.history[-1]
        losses = [figures[name] * self.loss_unit for name in ("train_loss", "valid_loss") if name in figures]
        others = [figures[name] for name in self.metrics if name in figures]
        row = np.round([figures["epoch"], *losses, *others], 5)
        sys.stdout.write(np.array2string(row, precision=5, suppress_small=True, max_line_width=200, legacy="1.13"))
        sys.stdout.write("\n")
        sys.stdout.flush()


def optimizer_factory(opt_fn: OptimizerFunction) -> Callable[[list[dict[str, Any]]], optim.Optimizer]:
    """Headstart's factory of an optimizer: the lesson's, called with groups that bring rate and weight decay."""
    return lambda groups: opt_fn(groups)


def accuracy(preds: Any, targs: Any) -> float:
    """Share of the rows whose largest prediction is that of the true class."""
    found, true = torch.as_tensor(preds), torch.as_tensor(targs)
    return float((found.argmax(-1) == true.reshape(found.shape[:-1])).float().mean())


def to_np(tensor: Any) -> NDArray[Any]:
    """A tensor, or several, as numpy."""
    if isinstance(tensor, list | tuple):
        return np.stack([to_np(part) for part in tensor])
    return tensor.detach().cpu().numpy() if isinstance(tensor, Tensor) else np.asarray(tensor)


def models_folder(path: str | Path) -> Path:
    """Where a learner of the data in ``path`` keeps its cycles and encoders."""
    return Path(path) / "models"
