"""Quantiles and counts of a table, from `from_table` to a saved model."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import polars as pl
import pytest
import torch

from headstart import TabularData, TabularLearner, load, splits
from headstart.core.errors import ConfigError
from headstart.targets.metrics import poisson_deviance


@pytest.fixture(scope="module")
def noisy() -> pl.DataFrame:
    """The spread of ``y`` grows with ``x``; ``visits`` has the rate exp(x)."""
    random = np.random.default_rng(0)
    x = random.uniform(0, 2, 4000)
    return pl.DataFrame({"x": x, "y": x * random.normal(size=4000), "visits": random.poisson(np.exp(x))})


def test_quantiles_cover_what_they_say_and_are_saved(noisy: pl.DataFrame, tmp_path: Path) -> None:
    data = TabularData.from_table(
        noisy, "y", quantiles=[0.1, 0.5, 0.9], exclude=["visits"], split=splits.by_random(0.25), batch_size=128
    )
    learner = TabularLearner(data, hidden=[32], progress="none")
    figures = learner.fit_one_cycle(0.01, 12)[-1]
    assert figures["coverage"] == pytest.approx(0.8, abs=0.05)
    row = learner.predict({"x": 2.0})
    assert row["prediction_0.1"] == pytest.approx(-2.56, abs=0.6)  # 2 times the normal's quantile, -1.28
    assert row["prediction_0.9"] == pytest.approx(2.56, abs=0.6)
    learner.save(tmp_path / "m")
    again = load(tmp_path / "m")
    assert again.predict({"x": 2.0}) == row
    assert [metric.name for metric in again.metrics] == ["pinball", "coverage"]


def test_counts_are_learnt(noisy: pl.DataFrame, tmp_path: Path) -> None:
    data = TabularData.from_table(
        noisy, "visits", target_kind="count", exclude=["y"], split=splits.by_random(0.25), batch_size=128
    )
    learner = TabularLearner(data, hidden=[32], progress="none")
    figures = learner.fit_one_cycle(0.01, 8)[-1]
    rates = torch.from_numpy(np.exp(noisy["x"].to_numpy()))
    best = poisson_deviance(rates, torch.from_numpy(noisy["visits"].to_numpy()))  # no model can do much better
    assert figures["poisson_deviance"] < best * 1.1
    assert learner.predict({"x": 1.0})["prediction"] == pytest.approx(np.e, rel=0.15)
    learner.save(tmp_path / "m")
    assert load(tmp_path / "m").predict({"x": 1.0}) == learner.predict({"x": 1.0})


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"target_kind": "count", "log_target": True}, "are for numbers, but target 'visits' is a count"),
        ({"target_kind": "count", "quantiles": [0.5]}, "are for numbers, but target 'visits' is a count"),
        ({"target_kind": "label", "quantiles": [0.5]}, "are for numbers, but target 'visits' is a class"),
        ({"target_kind": "cuont"}, "target_kind must be 'number', 'count' or 'label', or None; got 'cuont'"),
        ({"quantiles": [0.9, 0.1]}, "quantiles must be numbers between 0 and 1, ascending"),
    ],
)
def test_options_that_do_not_go_together(noisy: pl.DataFrame, options: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        TabularData.from_table(noisy, "visits", **options)


def test_several_targets_have_no_quantiles_and_are_no_count(noisy: pl.DataFrame) -> None:
    with pytest.raises(ConfigError, match="quantiles are for one target; got y, visits"):
        TabularData.from_table(noisy, ["y", "visits"], quantiles=[0.5])
    with pytest.raises(ConfigError, match="a count is one target; train a model for each"):
        TabularData.from_table(noisy, ["y", "visits"], target_kind="count")
