"""Simple models beside the network: by value where it can be computed by hand, and by what scikit-learn says."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest
from sklearn.linear_model import LinearRegression, LogisticRegression

from headstart import TabularData, splits
from headstart.tabular import baselines
from headstart.targets.metrics import accuracy, find_metrics, log_loss, rmse


def table(rows: int = 400) -> pl.DataFrame:
    random = np.random.default_rng(0)
    heat, shop = random.normal(size=rows), random.integers(0, 3, rows)
    sales = 10 + 3 * heat + 4 * (shop == 1) + random.normal(size=rows) * 0.1
    return pl.DataFrame({"heat": heat, "shop": [f"s{n}" for n in shop], "sales": sales}).with_columns(
        busy=pl.when(pl.col("sales") > 13).then(pl.lit("busy")).otherwise(pl.lit("quiet"))
    )


def test_numbers_have_the_mean_and_ridge_regression() -> None:
    rows = table()
    data = TabularData.from_table(rows.drop("busy"), "sales", split=splits.by_last(0.25))
    found = baselines.baselines(data, (rmse,))
    train, valid = rows[:300], rows[300:]
    mean = float(np.sqrt(np.mean((valid["sales"].to_numpy() - train["sales"].mean()) ** 2)))
    assert found["mean"]["rmse"] == pytest.approx(mean, rel=1e-4)

    def features(part: pl.DataFrame) -> np.ndarray:
        heat = part["heat"].clip(train["heat"].min(), train["heat"].max())  # as the codec limits it
        return np.column_stack([heat.to_numpy(), *((part["shop"] == f"s{n}").to_numpy() for n in range(3))])

    linear = LinearRegression().fit(features(train), train["sales"])
    error = float(np.sqrt(np.mean((linear.predict(features(valid)) - valid["sales"].to_numpy()) ** 2)))
    assert found["ridge regression"]["rmse"] == pytest.approx(error, rel=0.25) and error < 0.3


def test_classes_have_their_shares_and_logistic_regression() -> None:
    rows = table()
    data = TabularData.from_table(rows.drop("sales"), "busy", split=splits.by_last(0.25))
    found = baselines.baselines(data, (accuracy, log_loss))
    shares = rows[:300]["busy"].value_counts(normalize=True)
    share = dict(zip(shares["busy"], shares["proportion"], strict=True))
    expected = -np.mean([np.log(share[name]) for name in rows[300:]["busy"]])
    assert found["class shares"]["log_loss"] == pytest.approx(expected, rel=1e-4)
    linear = LogisticRegression().fit(rows[:300].select("heat"), rows[:300]["busy"])
    assert found["logistic regression"]["accuracy"] > linear.score(rows[300:].select("heat"), rows[300:]["busy"])


@pytest.mark.parametrize("column", ["heat", "shop"])
def test_numbers_alone_and_categories_alone_are_enough(column: str) -> None:
    rows = table()
    data = TabularData.from_table(rows.select(column, "sales"), "sales", split=splits.by_last(0.25))
    found = baselines.baselines(data, (rmse,))
    assert found["ridge regression"]["rmse"] < found["mean"]["rmse"]


def test_drawn_rows_of_one_class_leave_the_shares_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(baselines, "MOST_ROWS", 5)
    rows = table().drop("sales").with_columns(busy=pl.Series(["busy"] + ["quiet"] * 399))
    data = TabularData.from_table(rows, "busy", split=splits.by_last(0.25))
    assert list(baselines.baselines(data, (log_loss,))) == ["class shares"]


def test_other_targets_and_no_validation_rows_have_none() -> None:
    rows = table()
    data = TabularData.from_table(rows.drop("busy"), "sales", split=splits.train_on_all)
    assert baselines.baselines(data, find_metrics(None, data.target)) == {}
    quantiles = TabularData.from_table(rows.drop("busy"), "sales", quantiles=[0.1, 0.9])
    assert baselines.baselines(quantiles, find_metrics(None, quantiles.target)) == {}


def test_many_rows_are_drawn_from(monkeypatch: pytest.MonkeyPatch) -> None:
    data = TabularData.from_table(table().drop("busy"), "sales", split=splits.by_last(0.25))
    every = baselines.baselines(data, (rmse,))
    monkeypatch.setattr(baselines, "MOST_ROWS", 20)
    some = baselines.baselines(data, (rmse,))
    assert some["mean"] == every["mean"] and some["ridge regression"]["rmse"] > every["ridge regression"]["rmse"]
