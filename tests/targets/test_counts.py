"""Counts: the Poisson likelihood against scikit-learn, and the values that are refused."""

from __future__ import annotations

import polars as pl
import pytest
import torch
from sklearn.metrics import mean_poisson_deviance

from headstart.core.batch import Batch
from headstart.core.errors import ConfigError, DataError
from headstart.targets.counts import Count
from headstart.targets.metrics import poisson_deviance

FRAME = pl.DataFrame({"visits": [0, 3, 1, 7, 2]})


def batch_of(target: torch.Tensor) -> Batch:
    return Batch(inputs=(), target=target, rows=len(target))


def test_the_poisson_loss_has_its_minimum_where_scikit_learn_s_deviance_has() -> None:
    target = Count.fit(FRAME, "visits")
    encoded = target.encode(FRAME)
    outputs = torch.zeros(5, 1, requires_grad=True)
    target.loss(outputs, batch_of(encoded)).backward()
    assert outputs.grad is not None
    assert torch.allclose(outputs.grad, (1 - encoded) / 5)  # the likelihood's: expected less true
    rate = target.prediction(torch.linspace(-1, 1, 5)[:, None])
    true = target.original(encoded)
    assert true.tolist() == pytest.approx(FRAME["visits"].to_list())
    assert true[0] == 0
    assert poisson_deviance(rate, true) == pytest.approx(mean_poisson_deviance(true.numpy(), rate.numpy()), rel=1e-5)
    assert target.prediction(torch.zeros(2, 1)).tolist() == pytest.approx([target.mean] * 2)
    assert target.decode_one(rate) == {"prediction": target.decode(rate)["prediction"][0]}
    assert target.output_range() is None


def test_the_deviance_is_the_first_metric_of_counts() -> None:
    names = [metric.name for metric in Count("visits", 1.0).default_metrics()]
    assert names == ["poisson_deviance", "rmse", "mae", "r2"]


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ([1, -2, -3], "target 'n' has 2 values below 0, which are not counts; leave those rows out, where='n >= 0'"),
        ([0, 0, 0], "target 'n' is 0 in all training rows, so there is nothing to learn"),
        ([], "target 'n': there are no rows to learn from"),
        ([1, None, 2], "target 'n' is missing in 1 of 3 rows"),
    ],
)
def test_values_that_are_no_counts_are_refused(values: list[int | None], message: str) -> None:
    with pytest.raises(DataError, match=message):
        Count.fit(pl.DataFrame({"n": values}, schema={"n": pl.Int64}), "n")


def test_outputs_of_another_shape() -> None:
    with pytest.raises(ConfigError, match=r"shape \(5, 2\), but the targets \(5, 1\)"):
        Count.fit(FRAME, "visits").loss(torch.zeros(5, 2), batch_of(torch.zeros(5, 1)))
