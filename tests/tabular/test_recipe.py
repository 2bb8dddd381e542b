"""A recipe of features goes with its model: into training, into the folder, to new rows."""

from __future__ import annotations

import datetime
import json
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from headstart import ConfigError, DataError, TabularData, TabularLearner, features, load, splits
from headstart.tabular import TableCodec, complete_rows
from headstart.targets.numbers import Number

START = datetime.date(2014, 1, 1)


def make_table() -> pl.DataFrame:
    """Three shops, 200 days; a promotion lifts sales, most on its last day, and the day before it nobody buys."""
    random = np.random.default_rng(0)
    rows = []
    for shop in ("a", "b", "c"):
        promo = (random.random(202) < 0.5) & (np.arange(202) % 7 > 0)
        for day in range(200):
            lift = 1 + promo[day] + (promo[day] and not promo[day + 1]) - 0.5 * (promo[day + 1] and not promo[day])
            rows.append((shop, START + datetime.timedelta(days=day), bool(promo[day]), 100 * lift))
    return pl.DataFrame(rows, schema=["shop", "day", "promo", "sales"], orient="row").sample(
        fraction=1, shuffle=True, seed=1
    )


TABLE = make_table()
RECIPE = features.FeatureRecipe(
    [
        features.AddElapsed("promo", date="day", group="shop", cap=5),
        features.AddRolling("promo", date="day", group="shop", window=2),
    ]
)
FROM = datetime.date(2014, 6, 20)


def make_data(table: Any = TABLE, **options: Any) -> TabularData:
    options = {"split": splits.by_time("day", start="2014-06-20"), "exclude": ["day"], "recipe": RECIPE} | options
    return TabularData.from_table(table, "sales", **{"categorical": RECIPE.outputs, **options})


@pytest.fixture(scope="module")
def learner() -> TabularLearner:
    learner = TabularLearner(make_data(), hidden=[32], progress="none")
    learner.fit_one_cycle(0.02, 20)
    return learner


def test_the_features_are_made_before_the_split_and_used(learner: TabularLearner) -> None:
    assert learner.history[-1]["r2"] > 0.95
    expected = RECIPE.apply(TABLE).filter(pl.col("day") >= FROM)
    assert learner.data.valid_rows.equals(expected)
    without = TabularData.from_table(TABLE, "sales", split=splits.by_time("day", start="2014-06-20"), exclude=["day"])
    plain = TabularLearner(without, hidden=[32], progress="none")
    plain.fit_one_cycle(0.02, 20)
    assert plain.history[-1]["r2"] < 0.9


def test_a_table_with_its_history_gets_them_and_one_that_has_them_is_taken_as_it_is(learner: TabularLearner) -> None:
    whole = learner.predict(TABLE)["prediction"]
    latest = TABLE["day"] >= FROM
    applied = RECIPE.apply(TABLE)
    np.testing.assert_allclose(learner.predict(applied.filter(latest))["prediction"], whole.filter(latest), rtol=1e-5)
    assert learner.evaluate(applied.filter(latest))["rmse"] == pytest.approx(learner.validate()["rmse"])
    cut = learner.predict(TABLE.filter(latest))["prediction"]  # its first days have no history
    assert not cut.equals(whole.filter(latest))
    frame = TABLE.to_pandas()
    np.testing.assert_array_equal(learner.predict(frame)["prediction"], whole)
    assert list(frame.columns) == TABLE.columns


def test_the_recipe_is_saved_with_the_model(learner: TabularLearner, tmp_path: Path) -> None:
    learner.save(tmp_path / "model")
    loaded = load(tmp_path / "model")
    assert loaded.codec.recipe == RECIPE and loaded.codec == learner.codec
    assert loaded.predict(TABLE).equals(learner.predict(TABLE))
    learner.load(tmp_path / "model")  # the same codec, through JSON
    split = splits.by_time("day", start="2014-06-20")
    loaded.data = TabularData.from_table(TABLE, "sales", split=split, codec=loaded.codec)
    assert loaded.validate()["rmse"] == pytest.approx(learner.validate()["rmse"])
    TABLE.write_parquet(tmp_path / "table.parquet")
    command = [sys.executable, "-c", "from headstart.command.main import main; main()", "info", str(tmp_path / "model")]
    printed = subprocess.run([*command, "--json"], capture_output=True, text=True, check=True).stdout
    steps = json.loads(printed)["codec"]["recipe"]["steps"]
    assert [(step["type"], step["events"], step["group"]) for step in steps] == [
        ("AddElapsed", {"promo": None}, ["shop"]),
        ("AddRolling", {"promo": None}, ["shop"]),
    ]


def test_one_row_has_no_history(learner: TabularLearner) -> None:
    row = TABLE.row(0, named=True)
    with pytest.raises(
        DataError,
        match=r"the row has no 'Afterpromo', which the model's recipe makes of the rows before and after it, and one row has none: predict a table that holds them too",
    ):
        learner.predict(row)
    complete = RECIPE.apply(TABLE).row(0, named=True)
    assert learner.predict(complete)["prediction"] == pytest.approx(learner.predict(TABLE)["prediction"][0], rel=1e-5)


def test_a_table_of_validation_rows_is_the_other_s_history() -> None:
    early, late = TABLE.filter(pl.col("day") < FROM), TABLE.filter(pl.col("day") >= FROM)
    apart = make_data(early, split=None, valid=late)
    together = make_data()
    for found, expected in zip(
        (*apart.train.inputs, *apart.valid.inputs), (*together.train.inputs, *together.valid.inputs), strict=True
    ):
        assert found.equal(expected)


def test_rows_that_are_left_out_still_are_history() -> None:
    data = make_data(where="promo")
    assert data.valid_rows.equals(RECIPE.apply(TABLE).filter(pl.col("day") >= FROM, pl.col("promo")))


@pytest.mark.parametrize(
    ("action", "kind", "message"),
    [
        (lambda: make_data(TABLE.drop("promo")), DataError, "add_elapsed: there is no column 'promo'"),
        (lambda: make_data(RECIPE.apply(TABLE).drop("promo_fw")), DataError, "has the recipe's feature 'Afterpromo' but not 'promo_fw'"),
        (lambda: make_data(recipe="promo"), ConfigError, "recipe must be a FeatureRecipe, or None; got 'promo'"),
        (lambda: make_data(TABLE, split=None, valid=TABLE.drop("shop")), DataError, r"valid \(recipe\): there is no column 'shop'"),
        (
            lambda: make_data(recipe=features.FeatureRecipe([features.AddRolling("sales", date="day")])), ConfigError,
            "the recipe uses present or later values of the target 'sales'.*look back only",
        ),
        (
            lambda: make_data(recipe=features.FeatureRecipe([features.AddRolling("sales", date="day", forward=False, present=False)])),
            ConfigError, r"the recipe looks back on the target 'sales'.* say how many days ahead .*horizon=14",
        ),
        (lambda: features.AddRolling("sales", date="day", horizon=7), ConfigError, "horizon is for looking back only"),
    ],
)  # fmt: skip
def test_what_cannot_be_is_told(action: Any, kind: type[Exception], message: str) -> None:
    with pytest.raises(kind, match=message):
        action()


def test_a_codec_brings_its_own_recipe(learner: TabularLearner) -> None:
    with pytest.raises(ConfigError, match="recipe is part of the codec, which was given: leave recipe out, or codec"):
        TabularData.from_table(TABLE, "sales", codec=learner.codec, recipe=RECIPE)


def test_rows_on_both_sides_are_counted_and_told() -> None:
    frame = pl.DataFrame(
        {"shop": ["a", "b", None, "a"] * 50, "heat": [float(place) for place in range(100)] * 2, "sales": range(200)}
    )
    repeated = pl.concat([frame, frame[:30], frame[:10].with_columns(sales=pl.lit(-1, dtype=pl.Int64))])
    data = TabularData.from_table(repeated, "sales", split=splits.by_indices(range(200, 240)))
    assert data.repeated == 30
    assert data.notes[-1] == "30 of 40 validation rows equal a training row, target and all"
    assert TabularData.from_table(frame, "sales").repeated == 0
    other_types = frame[:7].with_columns(pl.col("sales").cast(pl.Int16), pl.col("heat").cast(pl.Int32))
    assert TabularData.from_table(frame, "sales", valid=other_types).repeated == 7
    assert TabularData.from_table(frame, "sales", valid=other_types.cast(pl.String)).repeated == 7


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> Counter[str]:
    """How often features and parts of dates are made, and columns and target encoded."""
    counted: Counter[str] = Counter()

    def count(owner: Any, name: str) -> None:
        original = getattr(owner, name)

        def wrapper(*arguments: Any, **keywords: Any) -> Any:
            counted[name] += 1
            return original(*arguments, **keywords)

        monkeypatch.setattr(owner, name, wrapper)

    count(features.FeatureRecipe, "completed")
    count(features.FeatureRecipe, "apply")
    count(complete_rows, "date_parts")
    count(TableCodec, "encode")
    count(Number, "encode")
    return counted


def test_each_part_is_completed_and_encoded_once(calls: Counter[str]) -> None:
    data = make_data(exclude=[])  # so that the date is used
    assert calls == {"completed": 1, "apply": 1, "date_parts": 2, "encode": 5}  # codec and target, of two parts
    calls.clear()
    make_data(exclude=[], split=None, valid=TABLE, codec=data.codec, recipe=None, categorical=())
    assert calls == {"apply": 1, "date_parts": 2, "encode": 4}
    applied = RECIPE.apply(TABLE)
    calls.clear()
    make_data(applied, exclude=[], split=None, valid=applied)
    assert calls == {"completed": 2, "date_parts": 2, "encode": 5}


def test_a_prediction_completes_and_encodes_the_table_once(learner: TabularLearner, calls: Counter[str]) -> None:
    learner.predict(TABLE)
    assert calls == {"completed": 1, "apply": 1, "encode": 1}
    calls.clear()
    learner.interpret(TABLE)
    assert calls == {"completed": 1, "apply": 1, "encode": 2}


def walk() -> pl.DataFrame:
    """One shop whose sales wander: yesterday's say most about today's."""
    random = np.random.default_rng(3)
    days = [START + datetime.timedelta(days=day) for day in range(400)]
    return pl.DataFrame(
        {"day": days, "open": [day % 7 != 3 for day in range(400)], "sales": random.normal(0, 10, 400).cumsum()}
    )


def test_a_window_ends_a_horizon_before_the_row_and_what_is_missing_stays_missing() -> None:
    sales = [1.0, 2.0, 4.0, None, 16.0, 32.0, 64.0]
    frame = pl.DataFrame({"day": [START + datetime.timedelta(days=day) for day in range(7)], "sales": sales})
    for unit in ("rows", "days"):
        rolled = features.add_rolling(
            frame, "sales", date="day", window=2, unit=unit, forward=False, present=False, horizon=2
        )
        assert rolled["sales_bw"].to_list() == [None, None, 1.0, 3.0, 6.0, None, None]


@pytest.mark.parametrize("apart", [False, True])
def test_validation_with_the_target_s_history_is_as_good_as_real_use(apart: bool) -> None:
    table = walk()
    late = pl.col("day") >= datetime.date(2015, 1, 20)
    recipe = features.FeatureRecipe(
        [features.AddRolling("sales", date="day", window=1, forward=False, present=False, horizon=1)]
    )
    rows: dict[str, Any] = {"split": splits.by_time("day", start="2015-01-20")}
    if apart:
        rows = {"valid": table.filter(late)}
    data = TabularData.from_table(
        table.filter(~late) if apart else table, "sales", exclude=["day"], recipe=recipe, where="open", **rows
    )
    learner = TabularLearner(data, hidden=[32], progress="none")
    learner.fit_one_cycle(0.01, 20)
    future = table.with_columns(sales=pl.when(~late).then("sales"))
    predicted = learner.predict(future).filter(table.select(late & pl.col("open")).to_series())["prediction"]
    true = table.filter(late, pl.col("open"))["sales"]
    used = float(np.sqrt(((predicted - true) ** 2).mean()))
    assert learner.validate()["rmse"] == pytest.approx(used, rel=1e-4)
    assert data.valid_rows["sales"].equals(true)
    assert data.valid_rows["sales_bw"].is_null().to_list() == [False] + [True] * 13  # of days left out, too
    known = learner.evaluate(table.filter(pl.col("day") >= datetime.date(2015, 1, 19)))["rmse"]
    assert known < 0.8 * used  # what validation claimed before: each day with the true sales of the day before
