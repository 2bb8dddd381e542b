"""Quantiles: the loss and the metrics against scikit-learn, and the levels that are refused."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest
import torch
from sklearn.metrics import mean_pinball_loss

from headstart.core.batch import Batch
from headstart.core.errors import ConfigError
from headstart.targets.metrics import find_metrics
from headstart.targets.numbers import Number
from headstart.targets.quantiles import Quantiles

FRAME = pl.DataFrame({"sales": [100.0, 150.0, 400.0, 80.0, 900.0]})
LEVELS = (0.1, 0.5, 0.9)


def batch_of(target: torch.Tensor, weight: torch.Tensor | None = None) -> Batch:
    return Batch(inputs=(), target=target, weight=weight, rows=len(target))


def quantiles_of(*, log: bool = False) -> Quantiles:
    return Quantiles.of(Number.fit(FRAME, ["sales"], log=log), LEVELS)


def test_the_pinball_loss_is_scikit_learn_s() -> None:
    target = quantiles_of()
    encoded, outputs = target.encode(FRAME), torch.randn(5, 3, generator=torch.Generator().manual_seed(0))
    each = [
        mean_pinball_loss(encoded[:, 0].numpy(), outputs[:, index].numpy(), alpha=level)
        for index, level in enumerate(LEVELS)
    ]
    assert target.loss(outputs, batch_of(encoded)).item() == pytest.approx(np.mean(each), rel=1e-6)
    weight = torch.tensor([2.0, 0.0, 1.0, 1.0, 0.0])
    weighted = [
        mean_pinball_loss(encoded[:, 0].numpy(), outputs[:, index].numpy(), alpha=level, sample_weight=weight.numpy())
        for index, level in enumerate(LEVELS)
    ]
    loss = target.loss(outputs, batch_of(encoded, weight)).item()
    assert loss * 5 / 4 == pytest.approx(np.mean(weighted), rel=1e-6)  # a mean over the rows, not over the weights


@pytest.mark.parametrize("log", [False, True])
def test_quantiles_come_in_the_user_s_unit_and_never_cross(log: bool) -> None:
    target = quantiles_of(log=log)
    outputs = torch.tensor([[0.0, -1.0, 1.0]])
    prediction = target.prediction(outputs)
    assert prediction.shape == (1, 3) and (prediction.diff() >= 0).all()
    number = target.number.prediction(torch.tensor([[-1.0], [0.0], [1.0]]))
    assert torch.equal(prediction[0], number)
    decoded = target.decode(prediction)
    assert list(decoded) == ["prediction", "prediction_0.1", "prediction_0.5", "prediction_0.9"]
    assert decoded["prediction"].to_list() == decoded["prediction_0.5"].to_list()
    assert target.decode_one(prediction) == {name: series[0] for name, series in decoded.items()}
    assert torch.allclose(target.original(target.encode(FRAME)), torch.tensor(FRAME["sales"].to_list()), rtol=1e-5)


def test_the_metrics_of_quantiles() -> None:
    target = quantiles_of()
    pinball, coverage = target.default_metrics()
    assert (pinball.name, pinball.better, coverage.name, coverage.better) == ("pinball", "lower", "coverage", None)
    assert pinball.__doc__ is not None and pinball.__doc__.startswith("Return the pinball loss")
    true = torch.tensor([1.0, 2.0, 3.0, 4.0])
    predicted = torch.tensor([[0.0, 1.0, 2.0], [2.5, 3.0, 4.0], [1.0, 2.0, 2.5], [3.0, 4.0, 4.0]])
    expected = np.mean(
        [mean_pinball_loss(true, predicted[:, index], alpha=level) for index, level in enumerate(LEVELS)]
    )
    assert pinball(predicted, true) == pytest.approx(expected)
    assert target.row_errors(predicted, true).mean() == pytest.approx(expected)
    assert coverage(predicted, true) == 0.5
    assert find_metrics(["coverage"], target) == (coverage,)
    message = (
        "metric 'rmse' needs a number or count target, but 'sales' is predicted by its quantiles; choose from: pin"
    )
    with pytest.raises(ConfigError, match=message):
        find_metrics(["rmse"], target)


def test_the_range_is_the_number_s_for_each_quantile() -> None:
    number = Number(("y",), False, (1.0,), (2.0,), (0.0, 5.0))
    assert Quantiles(number, LEVELS).output_range() == ([-0.5] * 3, [2.0] * 3)
    assert quantiles_of().output_range() is None


def test_the_residuals_are_those_of_the_median() -> None:
    predicted = torch.tensor([[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]])
    assert quantiles_of().residuals(predicted, torch.tensor([2.5, 5.0])).rows() == [(2.0, 2.5, 0.5), (5.0, 5.0, 0.0)]


@pytest.mark.parametrize("levels", [[], [0.5, 0.1], [0, 0.5], [0.5, 1.0], [0.5, 0.5], ["x"], 0.5, [float("nan")]])
def test_levels_that_are_none(levels: object) -> None:
    with pytest.raises(ConfigError, match=r"quantiles must be numbers between 0 and 1, ascending, such as \[0.1, 0.5"):
        Quantiles.of(Number.fit(FRAME, ["sales"]), levels)  # type: ignore[arg-type]


def test_quantiles_of_several_columns_are_refused() -> None:
    with pytest.raises(ConfigError, match="quantiles are for one target; got a, b"):
        Quantiles.of(Number(("a", "b"), False, (0.0, 0.0), (1.0, 1.0)), LEVELS)


def test_outputs_of_another_shape() -> None:
    with pytest.raises(ConfigError, match=r"shape \(5, 2\), but there are 3 quantiles of 5 rows"):
        quantiles_of().loss(torch.zeros(5, 2), batch_of(torch.zeros(5, 1)))
