"""Metrics against scikit-learn, ties, several classes and what has no value included."""

from __future__ import annotations

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
from headstart.targets.metrics import METRICS, default_metrics, find_metrics, metric_name
from headstart.targets.target import Label, Labels, Number

NUMBER = Number(("y",), False, (0.0,), (1.0,))
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
    assert [metric_name(metric) for metric in default_metrics(NUMBER)] == ["rmse", "mae", "r2"]
    assert [metric_name(metric) for metric in default_metrics(LOG_NUMBER)] == ["rmse", "mae", "rmspe", "r2"]
    assert default_metrics(LABEL) == find_metrics(["accuracy", "balanced_accuracy", "auc", "log_loss"], LABEL)
    assert default_metrics(LABELS) == find_metrics(["accuracy", "auc", "log_loss"], LABELS)
    assert default_metrics(None) == find_metrics(None, None) == ()
    assert find_metrics(None, NUMBER) == default_metrics(NUMBER)


def test_a_users_own_function_is_a_metric_under_its_own_name() -> None:
    def bias(prediction: Tensor, target: Tensor) -> float:
        return float((prediction - target).mean())

    found = find_metrics([bias, "rmse"], NUMBER)
    assert found == (bias, metrics.rmse)
    assert metric_name(bias) == "bias"


@pytest.mark.parametrize(
    ("asked", "target", "message"),
    [
        (["rsme"], NUMBER, r"there is no metric 'rsme'; did you mean 'rmse'\?"),
        (["zzz"], None, r"there is no metric 'zzz'; there are: 'rmse', 'mae'"),
        ([3], None, r"there is no metric 3; there are: 'rmse'"),
        ("rmse", NUMBER, r"metrics must be a list, even of one; got 'rmse'"),
        (metrics.rmse, NUMBER, r"metrics must be a list, even of one; got <function rmse"),
        (["accuracy"], NUMBER, r"metric 'accuracy' is not for a target of numbers; .*there are: rmse, mae, rmspe, r2"),
        ([metrics.rmse], LABEL, r"metric 'rmse' is not for a target of classes; for that there are: accuracy, bal"),
        (["balanced_accuracy"], LABELS, r"is not for a target of several classes per row; .*: accuracy, auc, log_loss"),
    ],
)
def test_a_metric_that_does_not_exist_or_suit_is_refused(asked: Any, target: Any, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        find_metrics(asked, target)
