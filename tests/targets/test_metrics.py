"""Metrics against scikit-learn, with ties, several classes and figures without a value; and how they are chosen."""

from __future__ import annotations

import functools
import inspect
import math
import warnings
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from sklearn import metrics as sklearn
from torch import Tensor

from headstart.core.errors import ConfigError
from headstart.frames.categories import Categories
from headstart.targets import metrics
from headstart.targets.metrics import METRICS, Metric, as_metric, find_metrics, from_sklearn, metric_name, metrics_of
from headstart.targets.target import Count, Label, Labels, Number

NUMBER = Number(("Sales",), False, (0.0,), (1.0,))
LOG_NUMBER = Number(("y",), True, (0.0,), (1.0,))
LABEL = Label("y", Categories("text", ("a", "b")))
LABELS = Labels("y", Categories("text", ("a", "b")))
SEEDS = st.integers(0, 10_000)


def numbers(seed: int, *shape: int) -> tuple[Tensor, Tensor]:
    random = np.random.default_rng(seed)
    return torch.tensor(random.normal(size=shape) * 10), torch.tensor(random.normal(size=shape) * 10 + 3)


def classes(seed: int, count: int, rows: int = 60) -> tuple[Tensor, Tensor]:
    """Probabilities with many ties, and classes each of which has rows."""
    random = np.random.default_rng(seed)
    probabilities = random.integers(1, 5, (rows, count))
    target = np.concatenate([np.arange(count), random.integers(0, count, rows - count)])
    return torch.tensor(probabilities / probabilities.sum(1, keepdims=True)), torch.tensor(target)


@given(SEEDS, st.sampled_from([(40,), (40, 3), (2,)]))
def test_the_metrics_of_numbers_equal_scikit_learns(seed: int, shape: tuple[int, ...]) -> None:
    prediction, target = numbers(seed, *shape)
    assert metrics.rmse(prediction, target) == pytest.approx(math.sqrt(sklearn.mean_squared_error(target, prediction)))
    assert metrics.mae(prediction, target) == pytest.approx(sklearn.mean_absolute_error(target, prediction))
    assert metrics.r2(prediction, target) == pytest.approx(sklearn.r2_score(target, prediction))
    expected = math.sqrt(np.mean(((target - prediction) / target).numpy() ** 2))
    assert metrics.rmspe(prediction, target) == pytest.approx(expected)


@pytest.mark.parametrize("count", [2, 3, 7])
@pytest.mark.parametrize("seed", range(5))
def test_the_metrics_of_classes_equal_scikit_learns(count: int, seed: int) -> None:
    prediction, target = classes(seed, count)
    chosen = prediction.argmax(1)
    assert metrics.accuracy(prediction, target) == pytest.approx(sklearn.accuracy_score(target, chosen))
    assert metrics.balanced_accuracy(prediction, target) == pytest.approx(
        sklearn.balanced_accuracy_score(target, chosen)
    )
    labels = range(count)
    assert metrics.log_loss(prediction, target) == pytest.approx(sklearn.log_loss(target, prediction, labels=labels))
    assert metrics.recall_macro(prediction, target) == pytest.approx(metrics.balanced_accuracy(prediction, target))
    score = prediction[:, 1] if count == 2 else prediction
    assert metrics.auc(prediction, target) == pytest.approx(sklearn.roc_auc_score(target, score, multi_class="ovr"))


@pytest.mark.parametrize("seed", range(5))
def test_the_metrics_of_several_labels_equal_scikit_learns(seed: int) -> None:
    random = np.random.default_rng(seed)
    prediction = torch.tensor(random.integers(1, 9, (50, 4)) / 10)
    target = torch.tensor(np.vstack([np.eye(4), 1 - np.eye(4), random.integers(0, 2, (42, 4))]))
    assert metrics.accuracy(prediction, target) == pytest.approx(1 - sklearn.hamming_loss(target, prediction >= 0.5))
    assert metrics.auc(prediction, target) == pytest.approx(sklearn.roc_auc_score(target, prediction))
    expected = np.mean([sklearn.log_loss(target[:, label], prediction[:, label]) for label in range(4)])
    assert metrics.log_loss(prediction, target) == pytest.approx(expected)


PEERS = {"precision": sklearn.precision_score, "recall": sklearn.recall_score, "f1": sklearn.f1_score}


@pytest.mark.parametrize("name", PEERS)
@given(seed=SEEDS, count=st.sampled_from([2, 3, 7]), rows=st.integers(1, 30))
def test_precision_recall_and_f1_equal_scikit_learns(name: str, seed: int, count: int, rows: int) -> None:
    random = np.random.default_rng(seed)
    prediction = torch.tensor(random.random((rows, count)))
    target = torch.tensor(random.integers(0, count, rows))  # some classes have no rows, some are never predicted
    peer = functools.partial(PEERS[name], target, prediction.argmax(1), zero_division=0)
    macro = pytest.approx(peer(average="macro"))
    assert METRICS[f"{name}_macro"](prediction, target) == macro
    assert METRICS[name](prediction, target) == (pytest.approx(peer(average="binary")) if count == 2 else macro)


@pytest.mark.parametrize("name", PEERS)
@given(seed=SEEDS, rows=st.integers(1, 20))
def test_precision_recall_and_f1_of_several_labels_equal_scikit_learns(name: str, seed: int, rows: int) -> None:
    random = np.random.default_rng(seed)
    prediction, target = torch.tensor(random.random((rows, 4))), torch.tensor(random.integers(0, 2, (rows, 4)))
    expected = PEERS[name](target, prediction >= 0.5, average="macro", zero_division=0)
    assert METRICS[name](prediction, target) == METRICS[f"{name}_macro"](prediction, target) == pytest.approx(expected)


@given(SEEDS)
def test_the_area_depends_on_the_order_of_the_scores_alone(seed: int) -> None:
    prediction, target = classes(seed, 2)
    assert metrics.auc(prediction**3, target) == metrics.auc(prediction, target)
    assert metrics.auc(1 - prediction, target) == pytest.approx(1 - metrics.auc(prediction, target))


def test_scores_that_are_all_the_same_have_the_area_one_half() -> None:
    assert metrics.auc(torch.full((6, 2), 0.5), torch.tensor([0, 1, 0, 1, 1, 1])) == 0.5


def test_certain_but_wrong_costs_what_scikit_learn_says() -> None:
    prediction, target = torch.tensor([[1.0, 0.0], [0.0, 1.0]]), torch.tensor([1, 1])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        expected = sklearn.log_loss(target, prediction.numpy(), labels=[0, 1])
    assert metrics.log_loss(prediction, target) == pytest.approx(expected, rel=1e-6)


def test_rows_with_the_target_0_do_not_count_as_a_share() -> None:
    assert metrics.rmspe(torch.tensor([5.0, 11.0]), torch.tensor([0.0, 10.0])) == pytest.approx(0.1)
    assert math.isnan(metrics.rmspe(torch.tensor([5.0]), torch.tensor([0.0])))


def test_classes_without_rows_do_not_count_in_balanced_accuracy() -> None:
    prediction = torch.eye(3)[[0, 0, 1, 2]]
    assert metrics.balanced_accuracy(prediction, torch.tensor([0, 0, 1, 1])) == 0.75


@pytest.mark.parametrize("rows", [1, 2, 7, 100])
def test_r2_of_a_target_that_does_not_vary_is_nan(rows: int) -> None:
    assert math.isnan(metrics.r2(torch.zeros(rows), torch.full((rows,), 0.1)))
    both = torch.stack([torch.arange(rows) * 1.0, torch.full((rows,), 0.1)], 1)
    assert math.isnan(metrics.r2(both, both))


@pytest.mark.parametrize("target", [[0, 0, 0], [1, 1, 1]])
def test_the_area_without_one_of_the_classes_is_nan(target: list[int]) -> None:
    assert math.isnan(metrics.auc(torch.rand(3, 2), torch.tensor(target)))


@pytest.mark.parametrize("metric", ["rmse", "mae", "rmspe", "r2"])
def test_a_number_that_is_nan_makes_the_figure_nan(metric: str) -> None:
    assert math.isnan(METRICS[metric](torch.tensor([1.0, math.nan]), torch.tensor([1.0, 2.0])))


@pytest.mark.parametrize("metric", ["auc", "log_loss"])
def test_a_probability_that_is_nan_makes_the_figure_nan(metric: str) -> None:
    prediction = torch.tensor([[0.3, 0.7], [math.nan, math.nan], [0.6, 0.4]])
    assert math.isnan(METRICS[metric](prediction, torch.tensor([1, 1, 0])))


@pytest.mark.parametrize("metric", ["rmse", "mae", "rmspe", "r2"])
def test_predictions_of_another_shape_are_not_spread_out(metric: str) -> None:
    with pytest.raises(ConfigError, match=r"predictions have the shape \(3, 1\), but targets \(3,\); make them alike"):
        METRICS[metric](torch.zeros(3, 1), torch.ones(3))


# ---- by name


def test_each_target_has_metrics_that_suit_it() -> None:
    names = {
        target.kind: [metric.name for metric in find_metrics(None, target)]
        for target in (NUMBER, LABEL, LABELS, Count("n", 1.0))
    }
    assert names == {
        "number": ["rmse", "mae", "r2"],
        "label": ["accuracy", "balanced_accuracy", "auc", "log_loss"],
        "labels": ["accuracy", "auc", "log_loss"],
        "count": ["poisson_deviance", "rmse", "mae", "r2"],
    }
    assert [metric.name for metric in find_metrics(None, LOG_NUMBER)] == ["rmse", "mae", "rmspe", "r2"]
    assert find_metrics(None, None) == ()
    assert metrics_of(None) == metrics_of(LABEL) == METRICS


def test_every_metric_is_a_documented_value_under_its_own_name() -> None:
    for name, metric in METRICS.items():
        assert metric is getattr(metrics, name) and name in metrics.__all__
        assert metric.name == name and metric.suits and metric.better in ("higher", "lower")
        assert (metric.__doc__ or "").startswith("Return the ")
    lower = {name for name, metric in METRICS.items() if metric.better == "lower"}
    assert lower == {"rmse", "mae", "rmspe", "poisson_deviance", "log_loss"}
    assert repr(metrics.rmse) == "Metric('rmse', better='lower')"
    assert inspect.getdoc(metrics.rmse) != inspect.getdoc(Metric)


def bias(prediction: Tensor, target: Tensor) -> float:
    """Mean error."""
    return float((prediction - target).mean())


def test_a_user_s_function_is_a_metric_under_its_own_name_without_a_direction() -> None:
    found = find_metrics([bias, "rmse", functools.partial(metrics.log_loss.function)], NUMBER)
    assert found[:2] == (Metric("bias", bias), metrics.rmse)
    assert (
        [metric.name for metric in found] == [metric_name(metric) for metric in found] == ["bias", "rmse", "log_loss"]
    )
    assert found[0].better is None and found[0].__doc__ == "Mean error."
    assert found[0](torch.tensor([1.0, 3.0]), torch.tensor([0.0, 2.0])) == 1.0
    signed = Metric("bias", bias, better="lower")
    assert as_metric(signed) is signed and find_metrics([signed], NUMBER) == (signed,)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Metric("", bias), "a metric's name must be text; got ''"),
        (lambda: Metric("bias", 3), "metric 'bias': function must be callable; got 3"),  # type: ignore[arg-type]
        (lambda: Metric("bias", bias, "min"), "metric 'bias': better must be 'higher', 'lower' or None; got 'min'"),  # type: ignore[arg-type]
        (lambda: from_sklearn(bias, needs="score"), "needs must be 'prediction' or 'probability'; got 'score'"),  # type: ignore[arg-type]
        (lambda: from_sklearn("f1"), "from_sklearn takes a function .*; got 'f1'"),  # type: ignore[arg-type]
    ],
)
def test_what_is_no_metric_is_refused(make: Any, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        make()


@pytest.mark.parametrize(
    ("given_metrics", "target", "message"),
    [
        (["rsme"], NUMBER, r"there is no metric 'rsme'; did you mean 'rmse'\?"),
        (["zzz"], None, r"there is no metric 'zzz'; there are: 'rmse', 'mae'"),
        ([3], None, r"there is no metric 3; there are: 'rmse'"),
        ("rmse", NUMBER, r"metrics must be a list, even of one; got 'rmse'"),
        (metrics.rmse, NUMBER, r"metrics must be a list, even of one; got Metric\('rmse'"),
        (
            ["auc"],
            NUMBER,
            r"metric 'auc' needs a class target, but 'Sales' is a number; choose from: rmse, mae, rmspe, r2$",
        ),
        (
            [metrics.rmse],
            LABEL,
            r"'rmse' needs a number or count target, but 'y' is a class; choose from: accuracy, bal",
        ),
        (
            ["balanced_accuracy"],
            LABELS,
            r"needs a target with one class per row, but 'y' holds several classes per row",
        ),
        (["poisson_deviance"], NUMBER, r"metric 'poisson_deviance' needs a count target, but 'Sales' is a number"),
        (["auc"], Number(("a", "b"), False, (0.0, 0.0), (1.0, 1.0)), "needs a class target, but 'a', 'b' are numbers"),
        ([Metric("width", bias, None, ("quantiles",))], NUMBER, "needs a target of the kind quantiles, but 'Sales' is"),
        (["rmse", metrics.rmse], NUMBER, "metrics has two of the name 'rmse'; rename one"),
        (
            [from_sklearn(sklearn.brier_score_loss, needs="probability")],
            NUMBER,
            "'brier_score_loss' needs a class target",
        ),
    ],
)
def test_a_metric_that_does_not_exist_or_suit_is_refused(given_metrics: Any, target: Any, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        find_metrics(given_metrics, target)


# ---- scikit-learn's


def test_scikit_learn_s_metrics_get_what_was_true_first() -> None:
    prediction, target = torch.tensor([1.0, 2.0, 3.5]), torch.tensor([1.5, 2.5, 9.0])
    r2 = from_sklearn(sklearn.r2_score, better="higher")  # not symmetric in its arguments
    assert r2(prediction, target) == pytest.approx(sklearn.r2_score(target, prediction))
    assert r2(prediction, target) == pytest.approx(metrics.r2(prediction, target))
    assert (r2.name, r2.better) == ("r2_score", "higher")
    assert r2.__doc__ == sklearn.r2_score.__doc__


@pytest.mark.parametrize("count", [2, 4])
@pytest.mark.parametrize("seed", range(3))
def test_scikit_learn_s_metrics_of_classes(count: int, seed: int) -> None:
    prediction, target = classes(seed, count)
    beta = from_sklearn(functools.partial(sklearn.fbeta_score, beta=2, average="macro"), name="f2")
    assert beta.name == "f2"
    expected = sklearn.fbeta_score(target, prediction.argmax(1), beta=2, average="macro")
    assert beta(prediction, target) == pytest.approx(expected)
    area = from_sklearn(functools.partial(sklearn.roc_auc_score, multi_class="ovr"), needs="probability")
    assert area(prediction, target) == pytest.approx(metrics.auc(prediction, target))
    if count == 2:
        brier = from_sklearn(sklearn.brier_score_loss, better="lower", needs="probability")
        assert brier(prediction, target) == pytest.approx(sklearn.brier_score_loss(target, prediction[:, 1]))


def test_scikit_learn_s_metrics_of_several_labels() -> None:
    random = np.random.default_rng(0)
    prediction, target = torch.tensor(random.random((50, 3))), torch.tensor(random.integers(0, 2, (50, 3)))
    chosen = (prediction >= 0.5).numpy()
    assert from_sklearn(sklearn.hamming_loss)(prediction, target) == pytest.approx(
        1 - metrics.accuracy(prediction, target)
    )
    jaccard = from_sklearn(functools.partial(sklearn.jaccard_score, average="samples", zero_division=0))
    expected = sklearn.jaccard_score(target, chosen, average="samples", zero_division=0)
    assert jaccard(prediction, target) == pytest.approx(expected)
    precision = from_sklearn(sklearn.average_precision_score, needs="probability")
    assert precision(prediction, target) == pytest.approx(sklearn.average_precision_score(target, prediction))


def test_a_prediction_that_is_nan_makes_scikit_learn_s_figure_nan() -> None:
    assert math.isnan(from_sklearn(sklearn.r2_score)(torch.tensor([1.0, math.nan]), torch.tensor([1.0, 2.0])))


@pytest.mark.parametrize(
    ("metric", "message"),
    [
        (
            from_sklearn(sklearn.roc_auc_score, needs="probability"),
            r"metric 'roc_auc_score': roc_auc_score\(y_true, y_pred\) failed: ",
        ),
        (
            from_sklearn(sklearn.confusion_matrix),
            r"metric 'confusion_matrix': confusion_matrix\(y_true, y_pred\) failed: ",
        ),
    ],
)
def test_scikit_learn_s_errors_name_the_metric(metric: Metric, message: str) -> None:
    prediction, target = classes(0, 3)
    with pytest.raises(ConfigError, match=message):
        metric(prediction, target)


def test_probabilities_of_numbers_are_refused() -> None:
    with pytest.raises(ConfigError, match="needs='probability' is for class targets, but the target holds numbers"):
        from_sklearn(sklearn.r2_score, needs="probability")(torch.zeros(3), torch.zeros(3))


def test_a_metric_of_scikit_learn_is_given_as_it_is() -> None:
    """Its arguments are the other way round, which its module or the name of its first parameter tells."""
    numbers = torch.tensor([1.0, 2.0, 4.0]), torch.tensor([1.0, 3.0, 3.0])
    r2 = as_metric(sklearn.r2_score)
    assert (r2.name, r2.better) == ("r2_score", "higher")
    assert r2(*numbers) == pytest.approx(sklearn.r2_score(numbers[1], numbers[0]))

    def relative(y_true: Any, y_pred: Any) -> float:
        return float(np.mean(np.abs(y_true - y_pred) / y_true))

    assert as_metric(relative)(*numbers) == pytest.approx((0 + 1 / 3 + 1 / 3) / 3)
    chances, classes = torch.tensor([[0.9, 0.1], [0.4, 0.6], [0.7, 0.3]]), torch.tensor([0, 1, 1])
    for function in (
        sklearn.roc_auc_score,
        sklearn.log_loss,
        sklearn.average_precision_score,
        sklearn.brier_score_loss,
    ):
        expected = function(classes.numpy(), chances[:, 1].numpy())
        assert as_metric(function)(chances, classes) == pytest.approx(expected, rel=1e-6), function
    beta = as_metric(functools.partial(sklearn.fbeta_score, beta=2))
    assert beta(chances, classes) == pytest.approx(sklearn.fbeta_score([0, 1, 1], [0, 1, 0], beta=2))
    assert as_metric(sklearn.log_loss).better == "lower"
