"""The suite's tables: headstart's presets, LightGBM, CatBoost, scikit-learn's boosting, linear models, and a constant.

Fractions of a set are those that its columns ``split0`` and so on hold; the two sets without them are split here, three
quarters for training. Every model gets the training rows alone, and holds out of them what it wants. The sets with
dates are split by time. Peers are `benchmarks/suite_peers.py`'s.
"""

from __future__ import annotations

import functools
import os
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from benchmarks.suite_kind import (
    Kind,
    Record,
    Setting,
    SuiteModel,
    SuiteSet,
    class_figures,
    cpu_of,
    number_figures,
    run_peer,
)
from headstart import TabularData, TabularLearner, datasets, splits
from headstart.core.errors import ConfigError
from headstart.training.settings import Preset

__all__ = ["TABLES"]

TARGETS = {
    "ames": "Sale_Price", "hotel": "avg_price_per_room", "chicago": "ridership", "home-runs": "hr", "visits": "mdvis",
    "caravan": "Purchase", "deliveries": "time_to_delivery", "loans": "interest_rate", "lending": "Class",
    "telecom": "churn", "crashes": "dead", "films": "rating", "wages": "realrinc", "housing-by-month": "median",
    "california-housing": "MedHouseVal", "adult": "income",
}  # fmt: skip
DEVELOPMENT = (
    "ames",
    "hotel",
    "chicago",
    "home-runs",
    "visits",
    "caravan",
    "deliveries",
    "loans",
    "housing-by-month",
    "california-housing",
)
BY_TIME = ("hotel", "chicago", "home-runs", "housing-by-month")
SPLIT_HERE = ("california-housing", "adult")


def rows_of(name: str, seed: int) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Return the training and the test rows of a set's split."""
    usable = pl.col(TARGETS[name]).is_not_null()
    if name in SPLIT_HERE:
        table = pl.read_parquet(datasets.get(name)).filter(usable)
        indices = splits.split_rows(table, splits.by_random(0.25, seed=seed))
        return table[indices.train], table[indices.valid]
    folder = os.environ.get("HEADSTART_DATA")
    if folder is None:
        raise ConfigError(f"{name} is read from the folder suite under HEADSTART_DATA: set it")
    table = pl.read_parquet(Path(folder) / "suite" / f"{name}.parquet").filter(usable)
    marks = [column for column in table.columns if column.startswith("split")]
    train, test = (table.filter(pl.col(f"split{seed}") == part).drop(marks) for part in ("train", "test"))
    return train, test


def figures(prediction: Any, classes: list[str], truth: pl.Series) -> Record:
    """Return the figures of a prediction of the test rows."""
    if classes:
        return class_figures(np.asarray(prediction), classes, truth.to_list())
    return number_figures(np.asarray(prediction), truth.cast(pl.Float64).to_numpy())


def headstart(name: str, seed: int, setting: Setting, *, preset: Preset = "default") -> Record:
    """Train by a preset and predict the test rows."""
    del setting
    target = TARGETS[name]
    train, test = rows_of(name, seed)

    def fit() -> TabularLearner:
        learner = TabularLearner(TabularData.from_table(train, target, seed=seed), seed=seed, progress="none")
        learner.fit_preset(preset)
        return learner

    learner, cpu = cpu_of(fit)
    predicted, seconds = cpu_of(lambda: learner.predict(test))
    classes = [str(each) for each in learner.codec.target.classes]
    columns = [f"probability_{each}" for each in classes] or ["prediction"]
    values = predicted.select(columns).to_numpy().astype(np.float64)
    found = figures(values if classes else values[:, 0], classes, test[target])
    return {"cpu": cpu, "predict": seconds, "epochs": len(learner.history), "kept": learner.history.kept(), **found}


def peer(name: str, seed: int, setting: Setting, *, model: str) -> Record:
    """Fit a peer in its own environment."""
    train, test = rows_of(name, seed)
    record = run_peer(setting, "suite_peers.py", model, train, test, TARGETS[name], seed, setting.draws)
    found = figures(record["prediction"], record["classes"], test[TARGETS[name]])
    draws = {"draws": setting.draws} if model == "lightgbm_tuned" else {}
    return {"cpu": record["cpu"], **draws, **found}


def _peer(model: str) -> SuiteModel:
    return SuiteModel(functools.partial(peer, model=model), elsewhere=True)


TABLES = Kind(
    title="Tables",
    sets={name: SuiteSet(name in DEVELOPMENT, splits=1 if name in BY_TIME else 3) for name in TARGETS},
    models={
        "headstart": SuiteModel(headstart),
        "headstart_fast": SuiteModel(functools.partial(headstart, preset="fast"), default=False),
        "headstart_best": SuiteModel(functools.partial(headstart, preset="best"), default=False),
        **{name: _peer(name) for name in ("lightgbm", "lightgbm_tuned", "catboost", "histgb", "linear", "constant")},
    },
    figures=("loss", "auc", "accuracy", "calibration_error", "mae"),
    about="""
        Loss is log loss for classes, RMSE for numbers, on the test rows. Network and plan were chosen on parts of
        the training rows of development sets; features of dates and of targets with their test rows in view, so
        that headstart's figures there are a little kinder than those of new rows. headstart holds a fifth of its
        training rows out to stop by (of tables with dates the latest); LightGBM, CatBoost and HistGradientBoosting
        train on all with their defaults. Tuned LightGBM is the best of some draws of parameters (their number is in
        its lines) on a fifth of the training rows, with early stopping, then fitted to all; its CPU seconds are
        those of all draws. Peers get dates as days since 1970, year, month, day, day of the week and of the year.""",
    yardstick="lightgbm",
)
