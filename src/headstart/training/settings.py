"""`Training` and `Plan`: settings of training as values; and the keyword arguments of all learners."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal, TypeAlias, TypedDict, get_type_hints

from headstart.core.batch import Loss
from headstart.core.engine import Engine, Precision
from headstart.core.values import Range, Value, checked, unknown_option
from headstart.targets.metrics import MetricFunction
from headstart.training.averaging import AverageWeights
from headstart.training.callbacks import Callback, EarlyStopping
from headstart.training.display import Verbosity
from headstart.training.optim import AdamW, AnyOptimizer, OptimizerFactory, as_optimizer

__all__ = [
    "Keep",
    "LearnerOptions",
    "Momenta",
    "Plan",
    "Preset",
    "ScheduleName",
    "Training",
    "TrainingOptions",
    "check_options",
    "given_fields",
]

Keep: TypeAlias = Literal["best", "last"]
"""Which weights the model has after a fit: those of the best epoch, by `Learner.first_figure`, or of the last."""

ScheduleName: TypeAlias = Literal["one_cycle", "constant"]
"""The schedules that a plan can have."""

Preset: TypeAlias = Literal["fast", "default", "best"]
"""How much time a training takes: the `fit_preset` of each application says what each means."""

Momenta: TypeAlias = tuple[float, float, float]


@dataclass(frozen=True, kw_only=True)
class Training(Value):
    """Settings that determine a training step. They are saved with the model, so that a loaded learner trains alike.

    Attributes:
        optimizer: `AdamW` or `SGD`; in Python also a function that returns a torch optimizer of parameter groups. Each
            fit creates a new optimizer.
        weight_decay: weight decay of parameters with two or more axes; biases and norms have none.
        clip: maximum norm of all gradients together; None: no clipping.
        accumulate: number of batches per optimizer step.
        precision: ``"fp32"``; ``"bf16"``, which is faster on hardware that supports it; or ``"fp16"``, on GPUs only.
        momenta: momentum (Adam's first beta) in a cycle: at the start, at the maximum rate and at the end.
        seed: random seed of the initial weights and of dropout; the order of the rows depends on the seed of the data.
    """

    optimizer: AnyOptimizer = AdamW()
    weight_decay: Annotated[float, Range(low=0)] = 0.01
    clip: Annotated[float | None, Range(above=0)] = None
    accumulate: Annotated[int, Range(low=1)] = 1
    precision: Precision = "fp32"
    momenta: Annotated[Momenta, Range(low=0, below=1)] = (0.95, 0.85, 0.95)
    seed: Annotated[int, Range(low=0)] = 0

    def __post_init__(self) -> None:
        """Check all fields, and wrap a custom optimizer function in `OwnOptimizer`."""
        object.__setattr__(self, "optimizer", as_optimizer(self.optimizer))
        super().__post_init__()

    def callbacks(self) -> list[Callback]:
        """Return callbacks that implement fields of a subclass, such as penalties; they run before all others."""
        return []


@dataclass(frozen=True, kw_only=True)
class Plan(Value):
    """Suggested length and learning rate of a fit, which an application's ``suggest(data)`` returns.

    There are two kinds. One cycle has a length that is known in advance. A constant rate has none: after each epoch the
    mean of the weights is evaluated (`AverageWeights`), and the fit ends when it no longer improves, so that it is as
    short or as long as the data need.

    Attributes:
        lr: maximum learning rate of the last parameter group, the head.
        epochs: number of epochs; with ``patience`` the largest.
        schedule: ``"one_cycle"``: the rate warms up and then decreases to almost 0; ``"constant"``: after one epoch of
            warm-up it stays, and the model has the mean of the weights.
        patience: number of epochs without improvement, by the figure by which epochs are compared, after which the fit
            ends; None: it takes all its epochs, as it does without validation rows.
        depth: factor by which the rate of each parameter group exceeds that of the group before it, towards the input
            side; 1: all groups have the same rate.
        warm_up: fraction of one cycle in which the rate increases.
        keep: which weights the model has after the fit: those of the ``"best"`` epoch of the validation rows, by the
            first metric, or for classes by the log loss unless metrics are given; or those of the ``"last"``, always if
            there are no validation rows.
    """

    lr: Annotated[float, Range(above=0)]
    epochs: Annotated[int, Range(low=1)]
    schedule: ScheduleName = "one_cycle"
    patience: Annotated[int | None, Range(low=1)] = None
    depth: Annotated[float, Range(low=1)] = 1.0
    warm_up: Annotated[float, Range(above=0, below=1)] = 0.25
    keep: Keep = "best"

    def rates(self, groups: int) -> tuple[float, ...]:
        """Return the maximum learning rate of each of ``groups`` parameter groups, from the input side to the head."""
        return tuple(self.lr / self.depth ** (groups - 1 - number) for number in range(groups))

    def lasting(self, epochs: int) -> Plan:
        """Return the plan with a number of epochs that is known in advance, which is then one cycle."""
        return dataclasses.replace(self, epochs=epochs, schedule="one_cycle", patience=None)

    def shortened(self) -> Plan:
        """Return the plan with a third of its epochs and of its patience."""
        patience = None if self.patience is None else -(-self.patience // 3)
        return dataclasses.replace(self, epochs=-(-self.epochs // 3), patience=patience)

    def callbacks(self) -> list[Callback]:
        """Return the callbacks that the plan needs, which hold the state of one fit."""
        averaging: list[Callback] = [AverageWeights()] if self.schedule == "constant" else []
        return averaging if self.patience is None else [*averaging, EarlyStopping(patience=self.patience)]


class TrainingOptions(TypedDict, total=False):
    """The fields of `Training` as keyword arguments."""

    optimizer: AnyOptimizer | OptimizerFactory
    weight_decay: float
    clip: float | None
    accumulate: int
    precision: Precision
    momenta: Momenta
    seed: int


class LearnerOptions(TrainingOptions, total=False):
    """Keyword arguments of all learners: the fields of `Training`, and options of the session, which are not saved.

    Attributes:
        loss: ``loss(outputs, batch)``, a mean over ``batch.rows``; None: the loss of the target.
        metrics: names, `Metric` values or functions ``f(prediction, target)``; None: the default metrics of the target.
        callbacks: callbacks for all fits.
        folder: folder in which snapshots of cycles are saved.
        progress: display of fits: ``"auto"``, ``"bar"``, ``"lines"`` or ``"none"``.
        engine: device and processes; None: the engine of the data.
    """

    loss: Loss | None
    metrics: Sequence[str | MetricFunction] | None
    callbacks: Sequence[Callback]
    folder: str | Path
    progress: Verbosity
    engine: Engine | None


SESSION = ("loss", "metrics", "callbacks", "folder", "progress", "engine")
"""Keyword arguments of a learner that belong to the session and are not saved."""


def given_fields(kind: type[Training], training: Training | None, options: Mapping[str, Any]) -> frozenset[str]:
    """Return the names of the fields of a training that a user has given: all of a whole value, or those by name."""
    names = frozenset(get_type_hints(kind))
    return names if training is not None else names & options.keys()


def check_options(owner: str, options: Mapping[str, Any], *kinds: type[Any]) -> dict[str, Any]:
    """Return the keyword arguments of a learner that belong to the session.

    Args:
        owner: name of the learner's class, for messages.
        options: all keyword arguments.
        kinds: classes of values whose fields are also accepted, such as design and training.

    Raises:
        ConfigError: a name is neither a field of these values nor an option of the session.
    """
    fields = {name for kind in kinds for name in get_type_hints(kind)}
    for name in options:
        if name not in fields and name not in SESSION:
            raise unknown_option(name, owner, *kinds, besides=SESSION)
    session = {name: options[name] for name in SESSION if name in options}
    for name, kind in (("engine", Engine | None), ("folder", str | Path), ("progress", Verbosity)):
        if name in session:
            checked(name, kind, session[name])
    return session
