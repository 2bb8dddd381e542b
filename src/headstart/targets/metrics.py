"""Metrics: plain functions ``f(prediction, target) -> float`` over all validation rows.

They see what the user sees: probabilities or numbers in their own unit, and targets on the original scale. Any function
of this form can be given as a metric; its name heads its column.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from headstart.core.errors import ConfigError, did_you_mean
from headstart.targets.target import Count, Label, Labels, Number, Quantiles, Target

__all__ = [
    "METRICS",
    "NO_METRICS",
    "Metric",
    "accuracy",
    "auc",
    "balanced_accuracy",
    "default_metrics",
    "find_metrics",
    "log_loss",
    "mae",
    "metric_name",
    "metrics_of",
    "poisson_deviance",
    "r2",
    "rmse",
    "rmspe",
]

Metric: TypeAlias = Callable[[Tensor, Tensor], float]
Floats: TypeAlias = NDArray[np.float64]


def rmse(prediction: Tensor, target: Tensor) -> float:
    """Root mean squared error, in the target's unit; over all columns of several targets.

    Args:
        prediction: ``(rows,)`` or ``(rows, columns)``.
        target: of the same shape.

    Raises:
        ConfigError: their shapes differ.
    """
    predicted, true = _alike(prediction, target)
    return float(np.sqrt(np.mean((predicted - true) ** 2)))


def mae(prediction: Tensor, target: Tensor) -> float:
    """Mean absolute error, in the target's unit; arguments as for `rmse`."""
    predicted, true = _alike(prediction, target)
    return float(np.mean(np.abs(predicted - true)))


def rmspe(prediction: Tensor, target: Tensor) -> float:
    """Root mean squared error as a share of the target: 0.1 is 10 %. Rows whose target is 0 do not count.

    **Source:** the metric of Kaggle's Rossmann Store Sales; arguments as for `rmse`.
    """
    predicted, true = _alike(prediction, target)
    counted = true != 0
    if not counted.any():
        return math.nan
    return float(np.sqrt(np.mean(((true[counted] - predicted[counted]) / true[counted]) ** 2)))


def r2(prediction: Tensor, target: Tensor) -> float:
    """Share of the target's variance that is explained; the mean over the columns of several targets.

    NaN where the target does not vary. Arguments as for `rmse`.
    """
    predicted, true = (values.reshape(len(values), -1) for values in _alike(prediction, target))
    residual = ((true - predicted) ** 2).sum(0)
    total = ((true - true.mean(0)) ** 2).sum(0)
    if not (true.min(0) < true.max(0)).all():
        return math.nan
    return float(np.mean(1.0 - residual / total))


def poisson_deviance(prediction: Tensor, target: Tensor) -> float:
    """Mean Poisson deviance of expected counts, 0 where each is exact.

    **Source:** McCullagh and Nelder, "Generalized Linear Models" (1989), section 2.3. Expected counts below float32's
    smallest number count as that. Arguments as for `rmse`.
    """
    predicted, true = _alike(prediction, target)
    predicted = np.maximum(predicted, float(np.finfo(np.float32).tiny))
    ratio = np.where(true > 0, true, 1.0) / predicted
    return float(np.mean(2 * (np.where(true > 0, true * np.log(ratio), 0.0) - true + predicted)))


def accuracy(prediction: Tensor, target: Tensor) -> float:
    """Share of rows whose likeliest class is the true one; with several labels per row, share of right decisions.

    Args:
        prediction: probabilities ``(rows, classes)``.
        target: class numbers ``(rows,)``, or 0 and 1 ``(rows, classes)`` for several labels per row.
    """
    predicted, true = _floats(prediction), target.cpu().numpy()
    chosen = predicted >= 0.5 if true.ndim == 2 else predicted.argmax(1)
    return float(np.mean(chosen == true))


def balanced_accuracy(prediction: Tensor, target: Tensor) -> float:
    """The mean over the classes of the share of their rows that is found; classes without rows do not count.

    Args:
        prediction: probabilities ``(rows, classes)``.
        target: class numbers ``(rows,)``.
    """
    chosen, true = _floats(prediction).argmax(1), target.cpu().numpy()
    return float(np.mean([np.mean(chosen[true == label] == label) for label in np.unique(true)]))


def log_loss(prediction: Tensor, target: Tensor) -> float:
    """Mean negative logarithm (base e) of the probability of what was true.

    Probabilities below float32's resolution count as that, as in scikit-learn. Arguments as for `accuracy`.
    """
    predicted, true = _floats(prediction), target.cpu().numpy()
    smallest = float(np.finfo(np.float32).eps)
    if true.ndim == 2:
        held = np.clip(np.where(true > 0, predicted, 1.0 - predicted), smallest, 1.0)
        return float(-np.log(held).mean())
    held = predicted[np.arange(len(true)), true.astype(np.int64)]
    return float(-np.log(np.clip(held, smallest, 1.0)).mean())


def auc(prediction: Tensor, target: Tensor) -> float:
    """Area under the ROC curve; for more than two classes the mean of each against the rest.

    NaN if a class has no rows, or all of them, or if a probability is NaN.

    **Source:** Hanley and McNeil (1982): the rank-sum form, ties counting half. Arguments as for `accuracy`.
    """
    predicted, true = _floats(prediction), target.cpu().numpy()
    if true.ndim == 2:
        areas = [_area(predicted[:, label], true[:, label] > 0) for label in range(predicted.shape[1])]
    elif predicted.shape[1] == 2:
        areas = [_area(predicted[:, 1], true == 1)]
    else:
        areas = [_area(predicted[:, label], true == label) for label in range(predicted.shape[1])]
    return float(np.mean(areas))


NO_METRICS = ("fit", "epoch", "train_loss", "seconds")
"""What stands in the figures of an epoch beside those of its evaluation."""

METRICS: dict[str, Metric] = {
    metric.__name__: metric
    for metric in (rmse, mae, rmspe, r2, poisson_deviance, accuracy, balanced_accuracy, log_loss, auc)
}
"""The metrics that can be named, whatever the target."""

_OF_NUMBERS = (rmse, mae, rmspe, r2)
_OF_COUNT = (*_OF_NUMBERS, poisson_deviance)
_OF_LABEL = (accuracy, balanced_accuracy, auc, log_loss)
_OF_LABELS = (accuracy, auc, log_loss)


def default_metrics(target: Target | None) -> tuple[Metric, ...]:
    """What is worth knowing for a kind of target."""
    if isinstance(target, Number):
        return _OF_NUMBERS if target.log else (rmse, mae, r2)
    if isinstance(target, Quantiles):
        return (target.pinball, target.coverage)
    if isinstance(target, Count):
        return (poisson_deviance, rmse, mae, r2)
    if isinstance(target, Label):
        return _OF_LABEL
    return _OF_LABELS if isinstance(target, Labels) else ()


def metrics_of(target: Target | None) -> dict[str, Metric]:
    """All metrics that can be named, those that are a target's own included."""
    if isinstance(target, Quantiles):
        return METRICS | {"pinball": target.pinball, "coverage": target.coverage}
    return METRICS


def find_metrics(asked: Sequence[str | Metric] | None, target: Target | None) -> tuple[Metric, ...]:
    """Metrics by name or as functions; the target's defaults for None.

    Raises:
        ConfigError: a name that is unknown, something that cannot be called, or a metric of classes for numbers or the
            other way round.
    """
    if asked is None:
        return default_metrics(target)
    if isinstance(asked, str) or callable(asked):
        raise ConfigError(f"metrics must be a list, even of one; got {asked!r}")
    known = metrics_of(target)
    found: list[Metric] = []
    for metric in asked:
        if callable(metric):
            found.append(metric)
        elif metric in known:
            found.append(known[metric])
        else:
            raise ConfigError(f"there is no metric {metric!r}; {did_you_mean(metric, known)}")
        _check_suits(found[-1], target)
    return tuple(found)


def metric_name(metric: Metric) -> str:
    """What heads a metric's column."""
    name: Any = getattr(metric, "__name__", None) or type(metric).__name__
    return str(name)


def _floats(tensor: Tensor) -> Floats:
    found: Floats = tensor.detach().cpu().double().numpy()
    return found


def _alike(prediction: Tensor, target: Tensor) -> tuple[Floats, Floats]:
    """Both as arrays of one shape: subtracting ``(rows,)`` from ``(rows, 1)`` would pair each row with each other."""
    if prediction.shape != target.shape:
        raise ConfigError(
            f"predictions have the shape {tuple(prediction.shape)}, but targets {tuple(target.shape)}; make them alike"
        )
    return _floats(prediction), _floats(target)


def _check_suits(metric: Metric, target: Target | None) -> None:
    for kind, suited, what in (
        (Number, _OF_NUMBERS, "numbers"),
        (Count, _OF_COUNT, "counts"),
        (Quantiles, (), "quantiles"),
        (Label, _OF_LABEL, "classes"),
        (Labels, _OF_LABELS, "several classes per row"),
    ):
        if isinstance(target, kind) and metric in METRICS.values() and metric not in suited:
            names = ", ".join(metric_name(known) for known in suited) or "pinball, coverage"
            raise ConfigError(
                f"metric {metric_name(metric)!r} is not for a target of {what}; for that there are: {names}"
            )


def _area(score: Floats, positive: NDArray[np.bool_]) -> float:
    count = int(positive.sum())
    if not 0 < count < len(positive) or np.isnan(score).any():
        return math.nan
    _, place, times = np.unique(score, return_inverse=True, return_counts=True)
    last = np.cumsum(times)
    rank = (last - (times - 1) / 2.0)[place]  # tied scores share the mean of their ranks
    rank_sum = float(rank[positive].sum())
    return (rank_sum - count * (count + 1) / 2.0) / (count * (len(positive) - count))
