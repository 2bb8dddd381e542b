"""Presets: several networks on folds, all rows at the end, a limit of time."""

from __future__ import annotations

import datetime
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
import torch

from headstart import ConfigError, CsvOptions, TabularData, TabularLearner, load, splits
from headstart.frames.dates import DateForm
from headstart.frames.readings import ReadAsAmount, ReadAsDate
from headstart.tabular import bagging
from headstart.training.ensemble import Ensemble
from headstart.training.settings import Plan


def table(rows: int = 600, seed: int = 0) -> pl.DataFrame:
    random = np.random.default_rng(seed)
    heat, wind = random.normal(size=rows), random.normal(size=rows)
    sales = 3 * heat + wind**2 + random.normal(size=rows)
    return pl.DataFrame({"heat": heat, "wind": wind, "sales": sales, "busy": np.where(sales > 1, "busy", "quiet")})


def learner_of(target: str = "sales", **options: Any) -> TabularLearner:
    rows = table().drop("busy" if target == "sales" else "sales")
    return TabularLearner(TabularData.from_table(rows, target, **options), hidden=[16], progress="none")


def test_folds_leave_out_each_row_once() -> None:
    data = learner_of().data
    parts = list(bagging._folds(data, 8, seed=1))
    held = torch.cat([part.valid.inputs[1] for part in parts])
    assert sum(part.valid.rows for part in parts) == data.train.rows == 480
    assert sorted(map(tuple, held.tolist())) == sorted(map(tuple, data.train.inputs[1].tolist()))
    for part in parts:
        assert part.train.rows + part.valid.rows == 480
        left = {tuple(row) for row in part.valid.inputs[1].tolist()}
        assert not left & {tuple(row) for row in part.train.inputs[1].tolist()}


def test_the_best_preset_is_eight_networks_and_better_than_the_mean_of_them(tmp_path: Path) -> None:
    best = learner_of("busy")
    plan = Plan(lr=0.003, epochs=30, schedule="constant", patience=3)
    history = best.fit_preset("best", plan=plan)
    assert isinstance(best.model, Ensemble) and best.design.ensemble == 8 == len({e["fit"] for e in history})
    assert best.validate() == best.figures
    others, one = table(2000, seed=1), TabularLearner(best.codec, hidden=[16], progress="none")
    alone = []
    for network in best.model.members:
        one.model = network
        alone.append(one.evaluate(others)["valid_loss"])
    assert best.evaluate(others)["valid_loss"] < np.mean(alone) and len(set(alone)) == 8
    again = load(best.save(tmp_path / "best"))
    assert again.evaluate(table(100, seed=1)) == best.evaluate(table(100, seed=1))


def test_minutes_end_the_fit_with_a_usable_model() -> None:
    learner = learner_of()
    learner.fit_preset("best", minutes=1e-9)
    assert learner.design.ensemble == 1 and len(learner.history) == 1
    assert learner.predict(table(3))["prediction"].is_finite().all()


def test_no_untrained_network_is_among_them_if_the_time_is_up_after_a_whole_fit() -> None:
    learner = learner_of()
    history = learner.fit_preset("best", plan=Plan(lr=0.003, epochs=1), minutes=1e-9)
    assert learner.design.ensemble == 1 == len(history) and not isinstance(learner.model, Ensemble)


def test_refit_trains_on_all_rows_for_as_long_and_keeps_the_metrics() -> None:
    learner = learner_of("busy")
    history = learner.fit_preset("fast", refit=True)
    first = [epoch for epoch in history if epoch["fit"] == 0]
    again = [epoch for epoch in history if epoch["fit"] == 1]
    kept = next(epoch for epoch in first if epoch["kept"])
    assert len(again) == kept["epoch"] + 1 and "valid_loss" not in again[0]
    assert learner.figures["log_loss"] == kept["log_loss"] and learner.temperature == kept["temperature"]
    assert learner.data.valid is None and learner.data.train.rows == 600


def test_the_latest_rows_train_too_where_nobody_chose_them() -> None:
    """The codec is learnt anew: the month of the latest rows is no longer unknown."""
    days = pl.date_range(pl.date(2024, 1, 1), pl.date(2024, 12, 30), eager=True)
    rows = table(len(days)).drop("busy").with_columns(date=days)
    by_default = TabularLearner(TabularData.from_table(rows, "sales"), hidden=[16], progress="none")
    assert by_default.data.latest
    before, plan = by_default.codec, Plan(lr=0.003, epochs=2)
    history = by_default.fit_preset(plan=plan)
    assert [epoch["fit"] for epoch in history][:2] == [0, 0] and history[-1]["fit"] == 1
    assert by_default.data.valid is None and by_default.data.train.rows == len(days)
    assert by_default.codec == by_default.data.codec != before
    assert by_default.figures["rmse"] in [epoch.get("rmse") for epoch in history]
    assert by_default.predict(rows[-1:])["prediction"].is_finite().all()
    chosen = TabularData.from_table(rows, "sales", split=splits.by_time("date", fraction=0.2))
    learner = TabularLearner(chosen, hidden=[16], progress="none")
    assert not chosen.latest and {epoch["fit"] for epoch in learner.fit_preset(plan=plan)} == {0}
    learner = TabularLearner(TabularData.from_table(rows, "sales"), hidden=[16], progress="none")
    assert {epoch["fit"] for epoch in learner.fit_preset(plan=plan, refit=False)} == {0}


def test_all_rows_are_those_of_both_tables_and_keep_their_weights() -> None:
    rows = table().with_columns(weight=pl.Series(np.linspace(0.5, 1.5, 600))).drop("busy")
    data = TabularData.from_table(rows[:400], "sales", valid=rows[400:], weight="weight")
    assert data.on_all_rows is not None
    whole = data.on_all_rows()
    assert whole.train.rows == 600 and whole.valid is None and whole.train.weight is not None
    ratio = whole.train.weight[500] / whole.train.weight[100]
    assert float(ratio) == pytest.approx(rows["weight"][500] / rows["weight"][100], rel=1e-5)


def test_all_rows_of_two_files_are_read_as_before(tmp_path: Path) -> None:
    """The format of dates and of amounts is that of the files, not of the frames that were made of them."""
    days = pl.date_range(pl.date(2020, 1, 1), pl.date(2021, 8, 22), eager=True)
    rows = (
        table()
        .drop("busy")
        .with_columns(
            day=days.dt.strftime("%d/%m/%Y"), price=pl.Series([f"{1_000 + number:,}" for number in range(600)])
        )
    )
    files = [tmp_path / "early.csv", tmp_path / "late.csv"]
    for part, file in zip((rows[:500], rows[500:]), files, strict=True):
        part.write_csv(file)
    data = TabularData.from_table(files[0], "sales", valid=files[1], numbers=["price"])
    assert data.on_all_rows is not None
    whole = data.on_all_rows()
    assert (whole.train.rows, whole.valid, whole.notes) == (600, None, ())
    assert whole.codec.readings == data.codec.readings
    assert whole.codec.readings["day"] == ReadAsDate(DateForm("%d/%m/%Y"))
    assert whole.codec.readings["price"] == ReadAsAmount()
    row = {"heat": 0.0, "wind": 0.0, "day": "01/02/2020", "price": "1,234"}
    assert [tensor.tolist() for tensor in whole.codec.encode_one(row)] == [
        tensor.tolist()
        for tensor in whole.codec.encode(
            pl.DataFrame([{**row, "day": datetime.date(2020, 2, 1), "price": 1234.0}])
        ).inputs
    ]


def test_a_table_of_validation_rows_is_read_by_the_csv_options_given_with_a_codec(tmp_path: Path) -> None:
    rows = table().drop("busy")
    first = TabularData.from_table(rows, "sales", split=splits.train_on_all)
    files = [tmp_path / "early.csv", tmp_path / "late.csv"]
    for part, file in zip((rows[:500], rows[500:]), files, strict=True):
        file.write_text("an export\nof two lines\n" + part.write_csv())
    csv = CsvOptions(skip=2)
    data = TabularData.from_table(files[0], "sales", valid=files[1], codec=first.codec, csv=csv)
    assert data.valid is not None
    assert torch.equal(data.valid.inputs[1], first.codec.encode(rows[500:]).inputs[1])


def test_without_validation_rows_the_length_is_found_on_training_rows() -> None:
    """Noise: a network that trains for all its epochs knows the rows by heart, and predicts others badly."""
    random = np.random.default_rng(0)
    rows = pl.DataFrame({f"x{i}": random.normal(size=300) for i in range(8)}).with_columns(
        y=pl.Series(random.normal(size=300))
    )
    learner = TabularLearner(TabularData.from_table(rows[:150], "y", split=splits.train_on_all), progress="none")
    assert learner.plan() == Plan(lr=0.003, epochs=200, schedule="constant", patience=10)
    history = learner.fit_one_cycle()
    assert len(history) < 20 and "valid_loss" not in history[0]
    long = TabularLearner(learner.data, progress="none")
    long.fit_one_cycle(0.003, 60)
    assert learner.evaluate(rows[150:])["rmse"] < 0.97 * long.evaluate(rows[150:])["rmse"]


def test_mistakes_are_named() -> None:
    learner = learner_of(split=splits.train_on_all)
    with pytest.raises(ConfigError, match=r"preset must be"):
        learner.fit_preset("quick")  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match=r"refit=True trains on the validation rows too, but there are none"):
        learner.fit_preset(refit=True)
    small = TabularLearner(TabularData.from_table(table(60).drop("busy"), "sales"), progress="none")
    with pytest.raises(ConfigError, match=r"preset='best' needs 80 training rows; got 48"):
        small.fit_preset("best")
