"""Quantiles and counts: against scikit-learn, and in what they refuse. (Numbers: test_target.py.)"""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest
import torch
from sklearn.metrics import mean_pinball_loss, mean_poisson_deviance

from headstart.core.batch import Batch
from headstart.core.errors import ConfigError, DataError
from headstart.targets.metrics import default_metrics, find_metrics, metric_name, poisson_deviance
from headstart.targets.target import Count, Number, Quantiles, target_from_json

FRAME = pl.DataFrame({"sales": [100.0, 150.0, 400.0, 80.0, 900.0], "visits": [0, 3, 1, 7, 2]})
LEVELS = (0.1, 0.5, 0.9)


def batch_of(target: torch.Tensor, weight: torch.Tensor | None = None) -> Batch:
    return Batch(inputs=(), target=target, weight=weight, rows=len(target))


def quantiles_of(*, log: bool = False) -> Quantiles:
    return Quantiles.of(Number.fit(FRAME, ["sales"], log=log), LEVELS)


def test_the_pinball_loss_is_scikit_learn_s() -> None:
    target = quantiles_of()
    encoded, outputs = target.encode(FRAME), torch.randn(5, 3, generator=torch.Generator().manual_seed(0))
    each = [
        mean_pinball_loss(encoded[:, 0].numpy(), outputs[:, place].numpy(), alpha=level)
        for place, level in enumerate(LEVELS)
    ]
    assert target.loss(outputs, batch_of(encoded)).item() == pytest.approx(np.mean(each), rel=1e-6)
    weight = torch.tensor([2.0, 0.0, 1.0, 1.0, 0.0])
    weighted = [
        mean_pinball_loss(encoded[:, 0].numpy(), outputs[:, place].numpy(), alpha=level, sample_weight=weight.numpy())
        for place, level in enumerate(LEVELS)
    ]
    found = target.loss(outputs, batch_of(encoded, weight)).item()
    assert found * 5 / 4 == pytest.approx(np.mean(weighted), rel=1e-6)  # a mean over the rows, not over the weights


@pytest.mark.parametrize("log", [False, True])
def test_quantiles_come_in_the_user_s_unit_and_never_cross(log: bool) -> None:
    target = quantiles_of(log=log)
    outputs = torch.tensor([[0.0, -1.0, 1.0]])
    found = target.prediction(outputs)
    assert found.shape == (1, 3) and (found.diff() >= 0).all()
    number = target.number.prediction(torch.tensor([[-1.0], [0.0], [1.0]]))
    assert torch.equal(found[0], number)
    decoded = target.decode(found)
    assert list(decoded) == ["prediction", "prediction_0.1", "prediction_0.5", "prediction_0.9"]
    assert decoded["prediction"].to_list() == decoded["prediction_0.5"].to_list()
    assert target.decode_one(found) == {name: series[0] for name, series in decoded.items()}
    assert torch.allclose(target.original(target.encode(FRAME)), torch.tensor(FRAME["sales"].to_list()), rtol=1e-5)


def test_the_metrics_of_quantiles() -> None:
    target = quantiles_of()
    assert [metric_name(metric) for metric in default_metrics(target)] == ["pinball", "coverage"]
    true = torch.tensor([1.0, 2.0, 3.0, 4.0])
    predicted = torch.tensor([[0.0, 1.0, 2.0], [2.5, 3.0, 4.0], [1.0, 2.0, 2.5], [3.0, 4.0, 4.0]])
    expected = np.mean(
        [mean_pinball_loss(true, predicted[:, place], alpha=level) for place, level in enumerate(LEVELS)]
    )
    assert target.pinball(predicted, true) == pytest.approx(expected)
    assert target.coverage(predicted, true) == 0.5
    assert find_metrics(["coverage"], target) == (target.coverage,)
    with pytest.raises(ConfigError, match="metric 'rmse' is not for a target of quantiles; .* pinball, coverage"):
        find_metrics(["rmse"], target)


def test_the_poisson_loss_has_its_minimum_where_scikit_learn_s_deviance_has() -> None:
    target = Count.fit(FRAME, "visits")
    encoded = target.encode(FRAME)
    outputs = torch.zeros(5, 1, requires_grad=True)
    target.loss(outputs, batch_of(encoded)).backward()
    assert outputs.grad is not None
    assert torch.allclose(outputs.grad, (1 - encoded) / 5)  # the likelihood's: expected less seen
    rate = target.prediction(torch.linspace(-1, 1, 5)[:, None])
    seen = target.original(encoded)
    assert seen.tolist() == pytest.approx(FRAME["visits"].to_list())
    assert poisson_deviance(rate, seen) == pytest.approx(mean_poisson_deviance(seen.numpy(), rate.numpy()), rel=1e-5)
    assert target.prediction(torch.zeros(2, 1)).tolist() == pytest.approx([target.mean] * 2)
    assert [metric_name(metric) for metric in default_metrics(target)] == ["poisson_deviance", "rmse", "mae", "r2"]
    assert target.decode_one(rate) == {"prediction": target.decode(rate)["prediction"][0]}


@pytest.mark.parametrize("target", [quantiles_of(), quantiles_of(log=True), Count.fit(FRAME, "visits")])
def test_targets_survive_json(target: Quantiles | Count) -> None:
    assert target_from_json(target.to_json()) == target


@pytest.mark.parametrize("levels", [[], [0.5, 0.1], [0, 0.5], [0.5, 1.0], [0.5, 0.5], ["x"], 0.5, [float("nan")]])
def test_levels_that_are_none(levels: object) -> None:
    with pytest.raises(ConfigError, match=r"quantiles must be numbers between 0 and 1, ascending, such as \[0.1, 0.5"):
        Quantiles.of(Number.fit(FRAME, ["sales"]), levels)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ([1, -2, -3], "target 'n' has 2 values below 0, which count nothing; leave those rows out, where='n >= 0'"),
        ([0, 0, 0], "target 'n' is 0 in all training rows, so there is nothing to learn"),
        ([], "target 'n': there are no rows to learn from"),
        ([1, None, 2], "target 'n' is missing in 1 of 3 rows"),
    ],
)
def test_counts_that_are_none(values: list[int | None], message: str) -> None:
    with pytest.raises(DataError, match=message):
        Count.fit(pl.DataFrame({"n": values}, schema={"n": pl.Int64}), "n")


def test_outputs_of_another_shape() -> None:
    with pytest.raises(ConfigError, match=r"shape \(5, 2\), but there are 3 quantiles of 5 rows"):
        quantiles_of().loss(torch.zeros(5, 2), batch_of(torch.zeros(5, 1)))
    with pytest.raises(ConfigError, match=r"shape \(5, 2\), but the targets \(5, 1\)"):
        Count.fit(FRAME, "visits").loss(torch.zeros(5, 2), batch_of(torch.zeros(5, 1)))
