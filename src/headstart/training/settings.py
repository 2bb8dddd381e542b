"""`Training` and `Plan`: how a learner trains, as values; and the keyword arguments that all learners take."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal, TypeAlias, TypedDict, get_type_hints

from headstart.core.batch import Loss
from headstart.core.engine import Engine, Precision
from headstart.core.values import Range, Value, unknown_option
from headstart.targets.metrics import MetricFunction
from headstart.training.callbacks import Callback
from headstart.training.display import Verbosity
from headstart.training.optim import AdamW, AnyOptimizer, OptimizerFactory, as_optimizer

__all__ = ["Keep", "LearnerOptions", "Momenta", "Plan", "Training", "TrainingOptions", "check_options"]

Keep: TypeAlias = Literal["best", "last"]
"""Whose weights a fit ends with: the best epoch's by the first metric, or the last epoch's."""

Momenta: TypeAlias = tuple[float, float, float]


@dataclass(frozen=True, kw_only=True)
class Training(Value):
    """All that changes what a training step does. It is saved with the model, so that a loaded learner trains on alike.

    Attributes:
        optimizer: `AdamW` or `SGD`; in Python also a function that makes a torch optimizer from parameter groups. Each
            fit makes one anew.
        weight_decay: decay of weights with two axes or more; biases and norms have none.
        clip: largest norm of all gradients together; None: no limit.
        accumulate: batches per optimizer step.
        precision: ``"fp32"``; ``"bf16"``, faster where the hardware has it; or ``"fp16"``, on a GPU.
        momenta: momentum (Adam's first beta) of one cycle: at its start, at the top rate, at its end.
        seed: seed of the weights and of dropout. The order of rows has the data's own.
    """

    optimizer: AnyOptimizer = AdamW()
    weight_decay: Annotated[float, Range(low=0)] = 0.01
    clip: Annotated[float | None, Range(above=0)] = None
    accumulate: Annotated[int, Range(low=1)] = 1
    precision: Precision = "fp32"
    momenta: Annotated[Momenta, Range(low=0, below=1)] = (0.95, 0.85, 0.95)
    seed: Annotated[int, Range(low=0)] = 0

    def __post_init__(self) -> None:
        """Check all fields; a user's own function becomes an optimizer that has its name."""
        object.__setattr__(self, "optimizer", as_optimizer(self.optimizer))
        super().__post_init__()

    def callbacks(self) -> list[Callback]:
        """Return callbacks that carry out fields of a subclass, such as penalties; they come before a learner's own."""
        return []


@dataclass(frozen=True, kw_only=True)
class Plan(Value):
    """How long and how fast to train: what an application's ``suggest(data)`` returns.

    Attributes:
        lr: top learning rate of the last parameter group, the head.
        epochs: number of epochs, all in one cycle.
        depth: each earlier parameter group's rate is the next one's divided by this; 1: all groups have the same rate.
        warm_up: share of the cycle in which the rate rises.
        keep: whose weights the fit ends with: those of the ``"best"`` epoch by the first metric of the validation rows,
            or of the ``"last"``. Without validation rows always the last.
    """

    lr: Annotated[float, Range(above=0)]
    epochs: Annotated[int, Range(low=1)]
    depth: Annotated[float, Range(low=1)] = 1.0
    warm_up: Annotated[float, Range(above=0, below=1)] = 0.25
    keep: Keep = "best"

    def rates(self, groups: int) -> tuple[float, ...]:
        """Return the rate of each parameter group, from the input side to the head."""
        return tuple(self.lr / self.depth ** (groups - 1 - number) for number in range(groups))


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
    """The keyword arguments of every learner: the fields of `Training`, and what belongs to this session alone.

    Attributes:
        loss: ``loss(outputs, batch)``, a mean over ``batch.rows``; None: the target's own.
        metrics: names, `Metric` values or functions ``f(prediction, target)``; None: those that suit the target.
        callbacks: callbacks for every fit.
        folder: folder of the snapshots of cycles.
        progress: what a fit shows: ``"auto"``, ``"bar"``, ``"lines"`` or ``"none"``.
        engine: device and processes; None: the data's.
    """

    loss: Loss | None
    metrics: Sequence[str | MetricFunction] | None
    callbacks: Sequence[Callback]
    folder: str | Path
    progress: Verbosity
    engine: Engine | None


SESSION = ("loss", "metrics", "callbacks", "folder", "progress", "engine")
"""Keyword arguments of a learner that belong to the session, and are not saved."""


def check_options(owner: str, options: Mapping[str, Any], *kinds: type[Any]) -> dict[str, Any]:
    """Return those keyword arguments of a learner that belong to the session.

    Args:
        owner: the learner's class, for messages.
        options: keyword arguments as given.
        kinds: the values whose fields are accepted besides: design, training.

    Raises:
        ConfigError: a name that is neither a field of these values nor an option of the session.
    """
    fields = {name for kind in kinds for name in get_type_hints(kind)}
    for name in options:
        if name not in fields and name not in SESSION:
            raise unknown_option(name, owner, *kinds)
    return {name: options[name] for name in SESSION if name in options}
