"""Metrics: `Metric` values, each a function ``f(prediction, target) -> float`` over all rows of an evaluation.

Metrics compare predictions with targets on the original scale:

- numbers and counts: float ``(rows,)``, or ``(rows, columns)`` for several numbers, in the target's unit; both alike;
- one class per row: probabilities, float ``(rows, classes)``, and class indices, int64 ``(rows,)``;
- several classes per row: probabilities, float ``(rows, classes)``, and 0 or 1, int64 ``(rows, classes)``.

A metric is given by its name, as a `Metric`, or as any function of this form, which gets its own name as the metric's.
A scikit-learn metric takes its arguments in the other order; it is given as it is, or with options by `from_sklearn`.
"""

from __future__ import annotations

import functools
import inspect
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal, Protocol, TypeAlias, get_args

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from headstart.core.errors import ConfigError, did_you_mean
from headstart.targets.kinds import TargetKind, describe_kind

__all__ = [
    "METRICS",
    "Better",
    "Measurable",
    "Metric",
    "MetricFunction",
    "accuracy",
    "as_metric",
    "auc",
    "balanced_accuracy",
    "f1",
    "f1_macro",
    "find_metrics",
    "from_sklearn",
    "log_loss",
    "mae",
    "metric_name",
    "metrics_of",
    "poisson_deviance",
    "precision",
    "precision_macro",
    "r2",
    "recall",
    "recall_macro",
    "rmse",
    "rmspe",
]

Better: TypeAlias = Literal["higher", "lower"]
"""Which of two values of a metric is the better one."""

MetricFunction: TypeAlias = Callable[[Tensor, Tensor], float]
"""``f(prediction, target)``: what users may give as a metric; a `Metric` is one too."""

Floats: TypeAlias = NDArray[np.float64]
Integers: TypeAlias = NDArray[np.int64]


@dataclass(frozen=True)
class Metric:
    """A figure that compares predictions with targets, called as ``metric(prediction, target)``.

    Attributes:
        name: heading of its column in the history, and its name in ``metrics=["rmse"]``.
        function: ``f(prediction, target) -> float`` over all rows; see the module for shapes and units.
        better: whether ``"higher"`` or ``"lower"`` values are better; None: unknown, so that no epoch or column can be
            chosen by this metric unless the user gives the direction.
        suits: kinds of targets that it is defined for; empty: any.

    Raises:
        ConfigError: the name is empty, the function cannot be called, or ``better`` is something else.
    """

    name: str
    function: MetricFunction
    better: Better | None = None
    suits: tuple[TargetKind, ...] = ()

    def __post_init__(self) -> None:
        """Check the fields, and take over the function's documentation."""
        if not isinstance(self.name, str) or not self.name:
            raise ConfigError(f"a metric's name must be text; got {self.name!r}")
        if not callable(self.function):
            raise ConfigError(f"metric {self.name!r}: function must be callable; got {self.function!r}")
        if self.better not in (None, *get_args(Better)):
            raise ConfigError(f"metric {self.name!r}: better must be 'higher', 'lower' or None; got {self.better!r}")
        if self.function.__doc__:
            object.__setattr__(self, "__doc__", self.function.__doc__)

    def __call__(self, prediction: Tensor, target: Tensor) -> float:
        """Return the metric's value over all rows."""
        return float(self.function(prediction, target))

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickle a listed metric by its name: its function has the name of the metric in this module."""
        if METRICS.get(self.name) is self:
            return METRICS.__getitem__, (self.name,)
        return Metric, (self.name, self.function, self.better, self.suits)

    def __repr__(self) -> str:
        return f"Metric({self.name!r}, better={self.better!r})"


class Measurable(Protocol):
    """The part of a `Target` that choosing its metrics needs."""

    @property
    def kind(self) -> TargetKind:
        """The target's kind."""

    @property
    def columns(self) -> tuple[str, ...]:
        """The columns of the target."""

    def default_metrics(self) -> tuple[Metric, ...]:
        """Return the metrics of a learner that is given none."""

    def own_metrics(self) -> tuple[Metric, ...]:
        """Return the metrics that depend on the target's own parameters."""


_NUMBERS: tuple[TargetKind, ...] = ("number", "count")
_CLASSES: tuple[TargetKind, ...] = ("label", "labels")

_NEEDS: dict[tuple[TargetKind, ...], str] = {
    _NUMBERS: "a number or count target",
    _CLASSES: "a class target",
    ("count",): "a count target",
    ("label",): "a target with one class per row",
}


def _unwrapped(function: Any) -> Any:
    while isinstance(function, functools.partial):
        function = function.func
    return function


def _name_of(function: Any) -> str:
    function = _unwrapped(function)
    return str(getattr(function, "__name__", None) or type(function).__name__)


def _metric(better: Better, suits: tuple[TargetKind, ...]) -> Callable[[MetricFunction], Metric]:
    """Return a decorator that makes a `Metric` of a function, under the function's name."""
    return lambda function: Metric(_name_of(function), function, better, suits)


# ---- of numbers


@_metric("lower", _NUMBERS)
def rmse(prediction: Tensor, target: Tensor) -> float:
    """Return the root mean squared error, in the target's unit; over all columns of several targets.

    Args:
        prediction: float ``(rows,)`` or ``(rows, columns)``.
        target: of the same shape.

    Raises:
        ConfigError: the shapes differ.
    """
    predicted, true = _alike(prediction, target)
    return float(np.sqrt(np.mean((predicted - true) ** 2)))


@_metric("lower", _NUMBERS)
def mae(prediction: Tensor, target: Tensor) -> float:
    """Return the mean absolute error, in the target's unit; arguments as for `rmse`."""
    predicted, true = _alike(prediction, target)
    return float(np.mean(np.abs(predicted - true)))


@_metric("lower", _NUMBERS)
def rmspe(prediction: Tensor, target: Tensor) -> float:
    """Return the root mean squared error relative to the target: 0.1 is 10 %. Rows whose target is 0 are left out.

    **Source:** the metric of Kaggle's Rossmann Store Sales; arguments as for `rmse`. NaN if all targets are 0.
    """
    predicted, true = _alike(prediction, target)
    counted = true != 0
    if not counted.any():
        return math.nan
    return float(np.sqrt(np.mean(((true[counted] - predicted[counted]) / true[counted]) ** 2)))


@_metric("higher", _NUMBERS)
def r2(prediction: Tensor, target: Tensor) -> float:
    """Return the share of the target's variance that is explained; the mean over the columns of several targets.

    NaN if the target does not vary. Arguments as for `rmse`.
    """
    predicted, true = (values.reshape(len(values), -1) for values in _alike(prediction, target))
    residual = ((true - predicted) ** 2).sum(0)
    total = ((true - true.mean(0)) ** 2).sum(0)
    if not (true.min(0) < true.max(0)).all():
        return math.nan
    return float(np.mean(1.0 - residual / total))


@_metric("lower", ("count",))
def poisson_deviance(prediction: Tensor, target: Tensor) -> float:
    """Return the mean Poisson deviance of expected counts, 0 if each is exact.

    **Source:** McCullagh and Nelder, "Generalized Linear Models" (1989), section 2.3. Expected counts below float32's
    smallest normal number are raised to it. Arguments as for `rmse`.
    """
    predicted, true = _alike(prediction, target)
    predicted = np.maximum(predicted, float(np.finfo(np.float32).tiny))
    ratio = np.where(true > 0, true, 1.0) / predicted
    return float(np.mean(2 * (np.where(true > 0, true * np.log(ratio), 0.0) - true + predicted)))


# ---- of classes


@_metric("higher", _CLASSES)
def accuracy(prediction: Tensor, target: Tensor) -> float:
    """Return the share of rows whose most probable class is the true one.

    With several classes per row: the share of right decisions over all rows and classes, at probability 0.5.

    Args:
        prediction: probabilities, float ``(rows, classes)``.
        target: class indices ``(rows,)``; or 0 and 1, ``(rows, classes)``, for several classes per row.
    """
    predicted, true = _floats(prediction), target.cpu().numpy()
    chosen = predicted >= 0.5 if true.ndim == 2 else predicted.argmax(1)
    return float(np.mean(chosen == true))


@_metric("higher", ("label",))
def balanced_accuracy(prediction: Tensor, target: Tensor) -> float:
    """Return the mean recall of the classes; classes without rows are left out.

    Args:
        prediction: probabilities, float ``(rows, classes)``.
        target: class indices ``(rows,)``.
    """
    chosen, true = _floats(prediction).argmax(1), target.cpu().numpy()
    return float(np.mean([np.mean(chosen[true == label] == label) for label in np.unique(true)]))


@_metric("lower", _CLASSES)
def log_loss(prediction: Tensor, target: Tensor) -> float:
    """Return the mean negative logarithm (base e) of the true class's probability.

    Probabilities below float32's resolution are raised to it, as in scikit-learn. Arguments as for `accuracy`.
    """
    predicted, true = _floats(prediction), target.cpu().numpy()
    smallest = float(np.finfo(np.float32).eps)
    if true.ndim == 2:
        held = np.clip(np.where(true > 0, predicted, 1.0 - predicted), smallest, 1.0)
        return float(-np.log(held).mean())
    held = predicted[np.arange(len(true)), true.astype(np.int64)]
    return float(-np.log(np.clip(held, smallest, 1.0)).mean())


@_metric("higher", _CLASSES)
def auc(prediction: Tensor, target: Tensor) -> float:
    """Return the area under the ROC curve; for more than two classes the mean of each against the rest.

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


@_metric("higher", _CLASSES)
def precision(prediction: Tensor, target: Tensor) -> float:
    """Return the precision: of the rows predicted to have a class, the share that has it.

    Two classes: that of the second class. More classes: the mean over the classes, as `precision_macro`. Several
    classes per row: the mean over the classes, at probability 0.5. A class that is never predicted counts as 0, as in
    scikit-learn. Arguments as for `accuracy`.
    """
    return _of_classes(prediction, target, _precision, binary=True)


@_metric("higher", _CLASSES)
def recall(prediction: Tensor, target: Tensor) -> float:
    """Return the recall: of the rows that have a class, the share predicted to have it.

    Two classes: that of the second class. More classes: the mean over the classes, as `recall_macro`. Several classes
    per row: the mean over the classes, at probability 0.5. A class without rows counts as 0, as in scikit-learn.
    Arguments as for `accuracy`.
    """
    return _of_classes(prediction, target, _recall, binary=True)


@_metric("higher", _CLASSES)
def f1(prediction: Tensor, target: Tensor) -> float:
    """Return the F1 score: the harmonic mean of precision and recall.

    Two classes: that of the second class. More classes: the mean over the classes, as `f1_macro`. Several classes per
    row: the mean over the classes, at probability 0.5. A class that is never predicted right counts as 0.
    Arguments as for `accuracy`.
    """
    return _of_classes(prediction, target, _f1, binary=True)


@_metric("higher", _CLASSES)
def precision_macro(prediction: Tensor, target: Tensor) -> float:
    """Return the mean `precision` of the classes, of two as of more; see `f1_macro`."""
    return _of_classes(prediction, target, _precision, binary=False)


@_metric("higher", _CLASSES)
def recall_macro(prediction: Tensor, target: Tensor) -> float:
    """Return the mean `recall` of the classes, of two as of more; see `f1_macro`."""
    return _of_classes(prediction, target, _recall, binary=False)


@_metric("higher", _CLASSES)
def f1_macro(prediction: Tensor, target: Tensor) -> float:
    """Return the mean F1 score of the classes, of two as of more.

    Of one class per row, classes that no row has and none is predicted to have are left out, as in scikit-learn.
    Arguments as for `accuracy`.
    """
    return _of_classes(prediction, target, _f1, binary=False)


METRICS: dict[str, Metric] = {
    metric.name: metric
    for metric in (
        rmse, mae, rmspe, r2, poisson_deviance, accuracy, balanced_accuracy, auc, log_loss,
        f1, precision, recall, f1_macro, precision_macro, recall_macro,
    )
}  # fmt: skip
"""The registry of metrics by name. A new metric is a function above and its name here."""


# ---- choosing


def metrics_of(target: Measurable | None) -> dict[str, Metric]:
    """Return all metrics that have a name, those of the target itself included."""
    return METRICS if target is None else METRICS | {metric.name: metric for metric in target.own_metrics()}


def find_metrics(metrics: Sequence[str | MetricFunction] | None, target: Measurable | None) -> tuple[Metric, ...]:
    """Return metrics given by name or as functions.

    Args:
        metrics: names, `Metric` values, and functions ``f(prediction, target)``; None: the target's defaults.
        target: which the metrics must suit; None: unknown, so that they are not checked, and there are no defaults.

    Raises:
        ConfigError: a name that is unknown or given twice, something that cannot be called, a scikit-learn function
            without `from_sklearn`, or a metric that does not suit the target.
    """
    if metrics is None:
        return () if target is None else target.default_metrics()
    if isinstance(metrics, str) or callable(metrics):
        raise ConfigError(f"metrics must be a list, even of one; got {metrics!r}")
    known = metrics_of(target)
    chosen: dict[str, Metric] = {}
    for given in metrics:
        if callable(given):
            metric = as_metric(given)
        elif given in known:
            metric = known[given]
        else:
            raise ConfigError(f"there is no metric {given!r}; {did_you_mean(given, known)}")
        if metric.name in chosen:
            raise ConfigError(f"metrics has two of the name {metric.name!r}; rename one: Metric('name', function)")
        if target is not None:
            _check_suits(metric, target)
        chosen[metric.name] = metric
    return tuple(chosen.values())


def as_metric(function: MetricFunction) -> Metric:
    """Return a function ``f(prediction, target)`` as a `Metric` of its name, without a direction; a `Metric` as it is.

    A function of scikit-learn, or one whose first parameter is ``y_true``, takes its arguments in the other order, and
    becomes a metric by `from_sklearn`. Of scikit-learn's own, names that end in ``_score`` are better if higher, those
    in ``_error`` and ``_loss`` if lower; those with a parameter ``y_score`` or ``y_proba``, and ``log_loss``, get
    probabilities.
    """
    if isinstance(function, Metric):
        return function
    plain = _unwrapped(function)
    try:
        parameters = list(inspect.signature(plain).parameters)
    except (TypeError, ValueError):  # a function without a signature, such as numpy's
        parameters = []
    is_sklearn = (getattr(plain, "__module__", None) or "").split(".")[0] == "sklearn"
    if not is_sklearn and parameters[:1] != ["y_true"]:
        return Metric(_name_of(function), function)
    name = _name_of(function)
    takes_probabilities = name == "log_loss" or bool(set(parameters[:2]) & {"y_score", "y_proba", "y_prob"})
    better: Better | None = None
    if is_sklearn and name.endswith(("_score", "_error", "_loss")):
        better = "higher" if name.endswith("_score") else "lower"
    return from_sklearn(function, better=better, needs="probability" if takes_probabilities else "prediction")


def from_sklearn(
    function: Callable[..., Any],
    *,
    better: Better | None = None,
    needs: Literal["prediction", "probability"] = "prediction",
    name: str | None = None,
) -> Metric:
    """Return a scikit-learn metric, ``function(y_true, y_pred)``, as a `Metric`.

    ``y_true`` holds what was true: numbers, float64; class indices, int64 ``(rows,)``; or 0 and 1, int64
    ``(rows, classes)``, for several classes per row. The value is NaN if a prediction is NaN.

    Args:
        function: such as ``sklearn.metrics.cohen_kappa_score``; options are bound by `functools.partial`.
        better: whether ``"higher"`` or ``"lower"`` values are better; None: unknown.
        needs: what ``y_pred`` holds. ``"prediction"``: numbers as they are, the index of the most probable class, or
            0 and 1 at probability 0.5 for several classes per row. ``"probability"``: that of the second of two
            classes, float64 ``(rows,)``, otherwise those of all classes, ``(rows, classes)``.
        name: the metric's name; None: the function's.

    Raises:
        ConfigError: an option is something else; on evaluation, the function fails or does not return a number.
    """
    if not callable(function):
        raise ConfigError(f"from_sklearn takes a function (y_true, y_pred); got {function!r}")
    if needs not in ("prediction", "probability"):
        raise ConfigError(f"needs must be 'prediction' or 'probability'; got {needs!r}")
    title = _name_of(function) if name is None else name

    def compute(prediction: Tensor, target: Tensor) -> float:
        if bool(prediction.isnan().any()):
            return math.nan
        true, predicted = _for_sklearn(prediction, target, needs)
        try:
            return float(function(true, predicted))
        except (ValueError, TypeError) as error:
            call = f"{_name_of(function)}(y_true, y_pred)"
            raise ConfigError(f"metric {title!r}: {call} failed: {error}") from error

    compute.__doc__ = getattr(_unwrapped(function), "__doc__", None)
    return Metric(title, compute, better, _CLASSES if needs == "probability" else (*_NUMBERS, *_CLASSES))


def metric_name(metric: MetricFunction) -> str:
    """Return the heading of a metric's column."""
    return as_metric(metric).name


# ---- inside


def _floats(tensor: Tensor) -> Floats:
    values: Floats = tensor.detach().cpu().double().numpy()
    return values


def _alike(prediction: Tensor, target: Tensor) -> tuple[Floats, Floats]:
    """Both as arrays of one shape: subtracting ``(rows,)`` from ``(rows, 1)`` would pair each row with each other."""
    if prediction.shape != target.shape:
        raise ConfigError(
            f"predictions have the shape {tuple(prediction.shape)}, but targets {tuple(target.shape)}; make them alike"
        )
    return _floats(prediction), _floats(target)


def _for_sklearn(prediction: Tensor, target: Tensor, needs: str) -> tuple[NDArray[Any], NDArray[Any]]:
    """Return the arguments ``(y_true, y_pred)`` of a scikit-learn metric."""
    predicted = _floats(prediction)
    if target.is_floating_point():
        if needs == "probability":
            raise ConfigError("needs='probability' is for class targets, but the target holds numbers")
        return _floats(target), predicted
    true = target.cpu().numpy().astype(np.int64)
    if needs == "probability":
        return true, predicted[:, 1] if true.ndim == 1 and predicted.shape[1] == 2 else predicted
    return true, predicted.argmax(1) if true.ndim == 1 else (predicted >= 0.5).astype(np.int64)


def _check_suits(metric: Metric, target: Measurable) -> None:
    if not metric.suits or target.kind in metric.suits:
        return
    suitable = ", ".join(known.name for known in metrics_of(target).values() if target.kind in known.suits)
    kinds = _NEEDS.get(metric.suits, f"a target of the kind {' or '.join(metric.suits)}")
    raise ConfigError(
        f"metric {metric.name!r} needs {kinds}, but {describe_kind(target.kind, target.columns)};"
        f" choose from: {suitable}"
    )


def _of_classes(
    prediction: Tensor, target: Tensor, score: Callable[[Integers, Integers, Integers], Floats], *, binary: bool
) -> float:
    """Return a score of each class, ``(classes,)``: that of the second of two if ``binary``, otherwise the mean."""
    predicted, true = _floats(prediction), target.cpu().numpy()
    classes = predicted.shape[1]
    if true.ndim == 2:
        chosen, has = predicted >= 0.5, true > 0
        return float(np.mean(score((chosen & has).sum(0), chosen.sum(0), has.sum(0))))
    best = predicted.argmax(1)
    true = true.astype(np.int64)
    hits, chosen_rows, true_rows = (
        np.bincount(indices, minlength=classes) for indices in (true[best == true], best, true)
    )
    scores = score(hits, chosen_rows, true_rows)
    if binary and classes == 2:
        return float(scores[1])
    occurs = (chosen_rows + true_rows) > 0
    return float(np.mean(scores[occurs]))


def _precision(hits: Integers, chosen: Integers, true: Integers) -> Floats:
    return hits / np.maximum(chosen, 1)


def _recall(hits: Integers, chosen: Integers, true: Integers) -> Floats:
    return hits / np.maximum(true, 1)


def _f1(hits: Integers, chosen: Integers, true: Integers) -> Floats:
    scores: Floats = 2 * hits / np.maximum(chosen + true, 1)
    return scores


def _area(score: Floats, positive: NDArray[np.bool_]) -> float:
    count = int(positive.sum())
    if not 0 < count < len(positive) or np.isnan(score).any():
        return math.nan
    _, inverse, times = np.unique(score, return_inverse=True, return_counts=True)
    last = np.cumsum(times)
    rank = (last - (times - 1) / 2.0)[inverse]  # tied scores share the mean of their ranks
    rank_sum = float(rank[positive].sum())
    return (rank_sum - count * (count + 1) / 2.0) / (count * (len(positive) - count))
