"""The straight line of tables, from rows to a saved model that predicts."""

from __future__ import annotations

import json
import subprocess
import sys
import time
import typing
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
import torch

import headstart
from headstart import ArtifactError, ConfigError, DataError, HeadstartWarning, TabularData, TabularLearner
from headstart.core.artefact import record_sha256
from headstart.core.values import options_of
from headstart.frames import splits
from headstart.tabular import LESSON_NETWORK, MEMBERS_NETWORK, TableCodec, TabularDesign, suggested_epochs
from headstart.tabular.data import TabularDataOptions, TabularSettings
from headstart.tabular.plan import suggested_batch_size, suggested_plan
from headstart.training.settings import Plan


def make_table(rows: int = 400, seed: int = 0) -> pl.DataFrame:
    """A shop's day, its weather with gaps, and sales that depend on both."""
    random = np.random.default_rng(seed)
    shop = random.integers(1, 5, rows)
    heat = random.normal(15, 6, rows)
    sales = np.exp(7 + 0.3 * shop + 0.03 * heat + random.normal(0, 0.05, rows))
    return pl.DataFrame(
        {
            "shop": [f"shop {number}" for number in shop],
            "heat": [None if place % 17 == 0 else value for place, value in enumerate(heat)],
            "open": random.random(rows) < 0.5,
            "sales": sales,
            "busy": np.where(sales > np.median(sales), "busy", "quiet"),
            "weight": random.random(rows),
        }
    )


TABLE = make_table()


def make_data(target: str | list[str] = "sales", **options: Any) -> TabularData:
    exclude = [name for name in ("sales", "busy", "weight") if name not in (target, options.get("weight"))]
    if isinstance(target, list):
        exclude = ["busy", "weight"]
    return TabularData.from_table(options.pop("table", TABLE), target, exclude=exclude, **options)


def make_learner(target: str | list[str] = "sales", **options: Any) -> TabularLearner:
    return TabularLearner(make_data(target, **options), hidden=[16, 8], progress="none")


@pytest.fixture(scope="module")
def numbers() -> TabularLearner:
    learner = make_learner(log_target=True)
    learner.fit_one_cycle(0.02, 20)
    return learner


@pytest.fixture(scope="module")
def classes() -> TabularLearner:
    learner = make_learner("busy")
    learner.fit_one_cycle(0.02, 15)
    return learner


def test_a_number_is_learnt_in_its_own_unit(numbers: TabularLearner) -> None:
    assert numbers.history[-1]["rmspe"] < 0.12 and numbers.history[-1]["r2"] > 0.9
    prediction, target = numbers.predict_with_targets()
    valid = TABLE[splits.by_random(seed=0)(TABLE).valid]
    np.testing.assert_allclose(target.numpy(), valid["sales"].to_numpy(), rtol=1e-5)
    assert prediction.shape == (80,)


def test_classes_come_with_probabilities(classes: TabularLearner) -> None:
    assert classes.history[-1]["accuracy"] > 0.9 and classes.history[-1]["auc"] > 0.95
    answers = classes.predict(TABLE)
    assert answers.columns == ["prediction", "probability_busy", "probability_quiet"]
    np.testing.assert_allclose(answers["probability_busy"] + answers["probability_quiet"], 1, atol=1e-6)
    likelier = answers["probability_busy"] > answers["probability_quiet"]
    assert (answers["prediction"] == "busy").to_list() == likelier.to_list()


def test_what_comes_in_goes_out_as_the_same_library(numbers: TabularLearner) -> None:
    expected = numbers.predict(TABLE)
    frame = TABLE.to_pandas().set_index(pd.Index(range(1000, 1400)))
    before = frame.copy()
    answers = numbers.predict(frame)
    assert isinstance(answers, pd.DataFrame) and list(answers.index) == list(frame.index)
    pd.testing.assert_frame_equal(frame, before)
    np.testing.assert_array_equal(answers["prediction"], expected["prediction"])
    assert isinstance(numbers.predict(TABLE.to_arrow()), pa.Table)


def test_one_row_gets_the_answer_of_the_table(numbers: TabularLearner, classes: TabularLearner) -> None:
    for learner in (numbers, classes):
        answers = learner.predict(TABLE[:30])
        for place, row in enumerate(TABLE[:30].iter_rows(named=True)):
            found = learner.predict(row)
            assert found.keys() == answers.row(place, named=True).keys()
            for name, value in answers.row(place, named=True).items():
                assert found[name] == (value if isinstance(value, str) else pytest.approx(value, rel=1e-5, abs=1e-6))


def test_a_prediction_does_not_depend_on_its_neighbours(numbers: TabularLearner) -> None:
    whole = numbers.predict(TABLE)["prediction"].to_numpy()
    turned = numbers.predict(TABLE.reverse())["prediction"].to_numpy()[::-1]
    parts = np.concatenate([numbers.predict(TABLE[start : start + 7])["prediction"] for start in range(0, 400, 7)])
    np.testing.assert_allclose(whole, turned, rtol=1e-5)
    np.testing.assert_allclose(whole, parts, rtol=1e-5)


def test_columns_may_come_in_any_order_and_others_are_ignored(numbers: TabularLearner) -> None:
    shuffled = TABLE.select("open", "heat", pl.lit("x").alias("other"), "shop")
    assert numbers.predict(shuffled).equals(numbers.predict(TABLE))


def test_a_saved_model_predicts_the_same_bits_in_a_new_process(numbers: TabularLearner, tmp_path: Path) -> None:
    numbers.save(tmp_path / "model")
    TABLE.write_parquet(tmp_path / "table.parquet")
    code = (
        "import sys, headstart, polars; headstart.load(sys.argv[1], device='cpu')"
        ".predict(polars.read_parquet(sys.argv[2])).write_parquet(sys.argv[3])"
    )
    arguments = [str(tmp_path / name) for name in ("model", "table.parquet", "answers.parquet")]
    subprocess.run([sys.executable, "-c", code, *arguments], check=True)
    assert pl.read_parquet(tmp_path / "answers.parquet").equals(numbers.predict(TABLE))
    loaded = headstart.load(tmp_path / "model")
    assert loaded.history == numbers.history
    assert loaded.evaluate(TABLE) == numbers.evaluate(TABLE)


def test_a_loaded_model_goes_on_training_with_new_rows(numbers: TabularLearner, tmp_path: Path) -> None:
    numbers.save(tmp_path / "model")
    loaded = headstart.load(tmp_path / "model")
    loaded.data = make_data(table=make_table(seed=1), codec=loaded.codec)
    before = loaded.validate()["valid_loss"]
    loaded.progress = "none"
    loaded.fit_one_cycle(0.002, 20)
    assert loaded.validate()["valid_loss"] < before


def test_an_ensemble_is_one_artefact_and_better_than_its_worst_member(tmp_path: Path) -> None:
    learner = TabularLearner(make_data(log_target=True), hidden=[16, 8], ensemble=3, progress="none")
    curve = learner.find_lr(steps=20)
    assert curve.rates
    learner.fit_one_cycle(0.02, 10)
    learner.save(tmp_path / "model")
    loaded = headstart.load(tmp_path / "model")
    assert loaded.predict(TABLE).equals(learner.predict(TABLE))
    inputs = learner.codec.encode(TABLE).inputs
    true = torch.tensor(TABLE["sales"].to_numpy())
    with torch.inference_mode():
        alone = [learner.codec.target.prediction(member(*inputs)) for member in learner.model.members]
    assert not torch.equal(alone[0], alone[1])
    errors = [float((prediction / true - 1).square().mean()) for prediction in alone]
    together = float((torch.tensor(learner.predict(TABLE)["prediction"].to_numpy()) / true - 1).square().mean())
    assert together < max(errors)
    assert sum(len(group) for group in learner.groups.parameters) == len(list(learner.model.parameters()))


def test_several_numbers_are_predicted_at_once() -> None:
    learner = make_learner(["sales", "heat"], where="heat IS NOT NULL")
    learner.fit(0.01, 2)
    answers = learner.predict(TABLE[:5])
    assert answers.columns == ["prediction_sales", "prediction_heat"]
    assert set(learner.predict(TABLE.row(0, named=True))) == {"prediction_sales", "prediction_heat"}


def test_predictions_stay_inside_the_range() -> None:
    learner = make_learner(y_range=(1000.0, 9000.0))
    learner.fit(0.1, 3)
    found = learner.predict(TABLE)["prediction"]
    assert found.min() >= 1000 and found.max() <= 9000 and found.n_unique() > 10


def test_weights_of_rows_and_classes_change_what_is_learnt() -> None:
    plain = make_data("busy").train
    assert plain.weight is None
    weighted = make_data("busy", weight="weight").train
    assert float(weighted.weight.mean()) == pytest.approx(1.0, abs=1e-6)
    rare = TABLE.with_columns(
        pl.when(pl.col("shop") == "shop 1").then(pl.lit("rare")).otherwise(pl.col("busy")).alias("busy")
    )
    balanced = make_data("busy", table=rare, class_weight="balanced").train
    sums = [float(balanced.weight[balanced.target == label].sum()) for label in range(3)]
    assert sums == pytest.approx([sums[0]] * 3, rel=1e-5)
    assert make_data("busy", weight="weight", class_weight="balanced").valid.weight is None  # judged without weights
    named = make_data("busy", class_weight={"busy": 3, "quiet": 1}).train
    assert set((named.weight / named.weight.min()).round().tolist()) == {1.0, 3.0}


def test_gaps_where_training_had_none_are_filled_and_told(numbers: TabularLearner) -> None:
    data = make_data(table=TABLE.with_columns(pl.col("heat").fill_null(0)))
    learner = TabularLearner(data, hidden=[4], progress="none")
    assert data.codec.numbers == 1
    with pytest.warns(HeadstartWarning, match="filled with the training median: 24 in 'heat'"):
        assert learner.predict(TABLE)["prediction"].null_count() == 0


def test_validation_rows_teach_the_codec_nothing() -> None:
    table = TABLE.with_columns(valid=pl.int_range(pl.len()) >= 300)
    altered = table.with_columns(
        heat=pl.when(pl.col("valid")).then(1e6).otherwise(pl.col("heat")),
        shop=pl.when(pl.col("valid")).then(pl.lit("elsewhere")).otherwise(pl.col("shop")),
    )
    first = TabularData.from_table(table, "sales", split=splits.by_column("valid"), exclude=["busy", "valid", "weight"])
    with pytest.warns(HeadstartWarning, match=r"column 'shop': every validation row .* exclude=\['shop'\], or split"):
        second = TabularData.from_table(
            altered, "sales", split=splits.by_column("valid"), exclude=["busy", "valid", "weight"]
        )
    assert first.codec == second.codec
    assert second.notes == (
        "shop: 100 of 100 rows have a value never seen in training",
        "heat: 100 of 100 rows lie beyond the numbers of the training rows and count as their lowest or highest",
    )


def test_dates_become_their_parts_and_the_latest_rows_validate() -> None:
    table = TABLE.with_columns(day=pl.date_range(pl.date(2020, 1, 1), pl.date(2021, 2, 3), eager=True))
    with pytest.warns(HeadstartWarning, match=r"date column \('day'\) .* by_time\('day', fraction=0.2\)"):
        make_data(table=table, split=splits.by_random())
    usual = make_data(table=table)
    assert usual.valid_rows is not None
    assert usual.valid_rows.equals(table[320:])
    assert usual.notes[0] == (
        "validation rows are the latest by 'day': 80 of 400, from 2020-11-16 on; split=, or --time and --valid-where on"
        " the command line, choose others"
    )
    learner = make_learner(table=table, split=splits.by_time("day", fraction=0.2))
    learner.fit(0.01, 1)
    assert "day.day_of_week" in [column.name for column in learner.codec.categorical]
    row = table.row(7, named=True)
    assert learner.predict(row)["prediction"] == pytest.approx(learner.predict(table[7:8])["prediction"][0], rel=1e-5)
    assert learner.predict({**row, "day": "2020-01-08"}) == learner.predict(row)


def test_a_number_that_is_the_date_once_more_is_left_out_with_a_note() -> None:
    table = TABLE.head(300).with_columns(
        day=pl.date_range(pl.date(2020, 1, 1), pl.date(2020, 10, 26), eager=True), seconds=pl.int_range(300) * 86400
    )
    data = make_data(table=table)
    assert "seconds" not in data.codec.columns
    assert [note for note in data.notes if "not used" in note] == [
        "column 'seconds' is not used: its numbers grow with the days of 'day', and training rows of less than a year"
        " cannot tell a season from a trend; continuous=['seconds'] uses it"
    ]
    assert "seconds" in make_data(table=table, continuous=["seconds"]).codec.columns


def test_pandas_goes_in_as_well_as_polars() -> None:
    frame = TABLE.to_pandas()
    from_pandas, from_polars = make_data(table=frame), make_data()
    assert from_pandas.codec == from_polars.codec
    assert all(torch.equal(*pair) for pair in zip(from_pandas.train.inputs, from_polars.train.inputs, strict=True))


def test_no_rows_give_no_answers(numbers: TabularLearner) -> None:
    assert numbers.predict(TABLE[:0]).shape == (0, 1)


def test_one_row_takes_about_as_long_as_the_model(numbers: TabularLearner) -> None:
    row = TABLE.row(0, named=True)
    times = []
    for _ in range(50):
        started = time.perf_counter()
        numbers.predict(row)
        times.append(time.perf_counter() - started)
    assert min(times) < 0.001


CODEC = make_data().codec


@pytest.mark.parametrize(
    ("action", "kind", "message"),
    [
        (lambda: make_data("sale"), DataError, r"table: there is no column 'sale'; did you mean 'sales'\?"),
        (lambda: make_data(table=TABLE[:0]), DataError, "table has no rows"),
        (lambda: make_data(where="sales < 0"), DataError, "none of the 400 rows fulfils where='sales < 0'"),
        (lambda: make_data(where="sales >"), ConfigError, "where is not a SQL condition on this table: 'sales >'"),
        (lambda: make_data(split=splits.by_time("heat", start=99)), DataError, "leaves no validation rows of 400"),
        (lambda: make_data(valid=TABLE, split=splits.by_last()), ConfigError, "by split= or by valid=, not by both"),
        (lambda: make_data("heat"), DataError, "target 'heat' is missing in .* rows; leave those out"),
        (lambda: make_data("busy", log_target=True), ConfigError, "log_target, y_range and quantiles are for numbers, but target 'busy'"),
        (lambda: make_data(table=TABLE.with_columns(sales=pl.col("sales") - 2000), log_target=True), DataError, "values of 0 or less, which have no logarithm"),
        (lambda: make_data("busy", where="busy = 'busy'"), DataError, "target 'busy' has one class in the training rows"),
        (lambda: make_data(["sales", "sales"]), ConfigError, "target must be a column, or several different ones"),
        (lambda: make_data(target_kind="labels"), ConfigError, "target_kind must be 'number', 'count' or 'label', or None; got 'labels'"),
        (lambda: make_data(y_range=(5, 1)), ConfigError, r"y_range must be \(lowest, highest\)"),
        (lambda: make_data(y_range=(1, 2)), ConfigError, r"y_range=\(1.0, 2.0\) leaves out values of the target, which go from .*: widen it"),
        (lambda: make_data(codec=CODEC, log_target=True), ConfigError, "log_target is part of the codec, which was given: leave log_target out, or codec"),
        (lambda: make_data("busy", codec=CODEC), ConfigError, "the codec's target is 'sales'; got 'busy'"),
        (lambda: make_data(table=TABLE.with_columns(sales=pl.lit(None, dtype=pl.Float64))), DataError, "leave those out, where='sales IS NOT NULL'"),
        (lambda: make_data(dates=["shop"]), DataError, "column 'shop': expected dates such as 2015-06-20, but got 'shop"),
        (lambda: make_data(y_range=(0, 1), log_target=True), ConfigError, "with a log target above 0"),
        (lambda: make_data(weight="shop"), DataError, "weight 'shop' must be finite numbers of 0 or more"),
        (lambda: make_data(weight="sales"), ConfigError, "'sales' cannot be both the target and the weight"),
        (lambda: make_data(table=TABLE.with_columns(weight=pl.lit(0.0)), weight="weight"), DataError, "weight 'weight' is 0 in all training rows"),
        (lambda: make_data(categorical=["sales"]), ConfigError, "'sales' is the target, so it cannot be named in categorical"),
        (lambda: make_data(None), ConfigError, "target must be a column's name, or several; got None"),
        (lambda: make_data("busy", class_weight={"busy": -1, "quiet": 2}), ConfigError, "class_weight must be finite numbers above 0"),
        (lambda: TabularLearner(make_data(), hidden=200), ConfigError, "hidden must be .*200"),
        (lambda: make_data(class_weight="balanced"), ConfigError, "class_weight needs a target with one class per row, but 'sales' is a number; leave"),
        (lambda: make_data("busy", class_weight="even"), ConfigError, "class_weight must be 'balanced' or a dictionary, or None; got 'even'"),
        (lambda: make_data("busy", class_weight={"busy": 1, "quite": 2}), ConfigError, "one weight for each of .* look at 'quiet'"),
        (lambda: make_data(batch_size=0), ConfigError, "batch_size must be a whole number of at least 1, or None; got 0"),
        (lambda: make_data(categorical=["shoop"]), DataError, "no column 'shoop'; did you mean 'shop'"),
        (lambda: make_data(continuous=["shop"]), DataError, "column 'shop' cannot be continuous: expected numbers, but got the text"),
        (lambda: make_data(categorical=["shop"], continuous=["shop"]), ConfigError, "'shop' is named in two of"),
        (lambda: make_data(table=TABLE.with_columns(heat=pl.col("sales") / (pl.col("shop") == "shop 1"))), DataError, "'heat' has .* infinite values"),
        (lambda: make_data(table=TABLE.select(pl.lit(1).alias("one"), "sales", "busy", "weight")), DataError, "no column is left to learn from .*'one': the same value"),
        (lambda: make_data(table=TABLE.to_pandas().assign(shop=[1, "a"] * 200), categorical=["shop"]), DataError, r"column 'shop' holds values of several types \(int, str\)"),
        (lambda: make_data(table=pd.concat([TABLE.to_pandas()] * 2, axis=1)), DataError, "more than one column named 'shop'; rename or drop"),
        (lambda: make_data(table=[1, 2]), ConfigError, "must be a pandas, polars or pyarrow table, a path .* got list"),
        (lambda: make_data(table="nowhere.csv"), DataError, "there is no file nowhere.csv"),
        (lambda: make_data("busy", split=splits.by_condition("busy = 'quiet'")), DataError, "one class in the training rows|no training row has the class"),
        (lambda: TabularLearner(make_data(), dropout=1.5), ConfigError, "dropout must be a number .*of at least 0 and below 1; got 1.5"),
        (lambda: TabularLearner(make_data(), dropout=[0.1]), ConfigError, "dropout has 1 probabilities for 2 hidden layers"),
        (lambda: TabularLearner(make_data(), hidden=[0]), ConfigError, r"hidden must be a list of whole numbers of at least 1; got \[0\]"),
        (lambda: TabularLearner(make_data(), embedding_sizes={"heat": 3}), ConfigError, "embedding_sizes: 'heat' is no categorical column"),
        (lambda: TabularLearner(make_data(), members=0), ConfigError, "members must be a whole number of at least 1; got 0"),
        (lambda: TabularLearner(make_data(), numeric_embedding="linear"), ConfigError, "numeric_embedding must be 'piecewise_linear' or 'periodic', or None; got 'linear'"),
        (lambda: TabularLearner(make_data(), ensemble=0), ConfigError, "ensemble must be a whole number of at least 1; got 0"),
    ],
)  # fmt: skip
def test_bad_data_are_answered_with_what_to_do(action: Any, kind: type[Exception], message: str) -> None:
    with pytest.raises(kind, match=message):
        action()


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ({"shop": "shop 1", "heat": 3.0}, "the row has no 'open'"),
        ({"shop": "shop 1", "haet": 3.0, "open": True}, r"the row has no 'heat'; did you mean 'haet'\? \(None says that it is missing\)"),
        ({"shop": "shop 1", "heat": "warm", "open": True}, "'heat': expected numbers, but got the text 'warm'"),
        ({"shop": "shop 1", "heat": float("inf"), "open": True}, "'heat' is infinite"),
        ({"shop": "shop 1", "heat": [1], "open": True}, r"'heat': expected a number, but got \[1\]"),
        ({"shop": 1.5, "heat": 1, "open": True}, "'shop': expected text, as in the training rows, but got the value 1.5"),
        ({"shop": "shop 1", "heat": 1, "open": "perhaps"}, "'open': expected true or false, .* got the value 'perhaps'"),
    ],
)  # fmt: skip
def test_a_bad_row_is_answered_alike_alone_and_in_a_table(
    row: dict[str, Any], message: str, numbers: TabularLearner
) -> None:
    with pytest.raises(DataError, match=message):
        numbers.predict(row)
    frame = pl.DataFrame({name: [value] for name, value in row.items()})
    with pytest.raises(DataError, match="|".join(["column '", "there is no column"])):
        numbers.predict(frame)


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda folder: (folder / "weights.safetensors").write_bytes(b"short"), "cut short or altered"),
        (lambda folder: (folder / "weights.safetensors").unlink(), "no weights.safetensors; the save was not copied whole"),
        (lambda folder: (folder / "learner.json").unlink(), "has no learner.json, so nothing of that kind was saved there"),
        (lambda folder: (folder / "learner.json").write_text("{"), "cannot be read .* restore it"),
        (lambda folder: (folder / "learner.json").write_text((folder / "learner.json").read_text().replace("tabular", "tabulur")), "not as it was saved"),
        (lambda folder: edit(folder, format=99), "format 99, and this headstart reads up to 2: upgrade headstart"),
        (lambda folder: edit(folder, application="audio"), "of the application 'audio'; this headstart knows .*tabular"),
        (lambda folder: edit(folder, codec={}), r"record in .* is incomplete or altered \(ValueError: the field 'dates' of TableCodec is missing"),
        (lambda folder: edit(folder, design={"width": 3}), "incomplete or altered .*TabularDesign has no field 'width'"),
        (lambda folder: edit(folder, network="custom"), r"holds a network of your own \(TabularModel\), whose code is not saved"),
        (lambda folder: edit_design(folder, hidden=[9, 9]), "the weights in .* do not fit the model"),
    ],
)  # fmt: skip
def test_a_damaged_artefact_is_refused(damage: Any, message: str, numbers: TabularLearner, tmp_path: Path) -> None:
    folder = numbers.save(tmp_path / "model")
    damage(folder)
    with pytest.raises(ArtifactError, match=message):
        headstart.load(folder)


def edit(folder: Path, **changes: Any) -> None:
    """As a forger would, who knows about the digest; a slip of the pen is refused before."""
    record = json.loads((folder / "learner.json").read_text()) | changes
    (folder / "learner.json").write_text(json.dumps(record | {"record_sha256": record_sha256(record)}))


def edit_design(folder: Path, **changes: Any) -> None:
    record = json.loads((folder / "learner.json").read_text())
    edit(folder, design=record["design"] | changes)


def test_a_folder_with_other_files_is_not_touched(numbers: TabularLearner, tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(ArtifactError, match=r"it holds other files \(notes.txt\); give a new or empty folder"):
        numbers.save(tmp_path)
    with pytest.raises(ArtifactError, match="it is a file; give a folder"):
        numbers.save(tmp_path / "notes.txt")
    with pytest.raises(ArtifactError, match="there is no folder"):
        headstart.load(tmp_path / "model")
    assert [path.name for path in tmp_path.iterdir()] == ["notes.txt"]


def test_data_and_weights_of_another_codec_are_refused(numbers: TabularLearner, tmp_path: Path) -> None:
    """The same shapes, but every id would mean another shop."""
    renamed = make_data(table=TABLE.with_columns(shop="new " + pl.col("shop")), log_target=True)
    other = TabularLearner(renamed, hidden=[16, 8], progress="none")
    numbers.save(tmp_path / "model")
    with pytest.raises(
        ArtifactError, match=r"has another codec than this learner.*codec.categorical.* headstart.load\("
    ):
        other.load(tmp_path / "model")
    loaded = headstart.load(tmp_path / "model")
    with pytest.raises(ConfigError, match=r"another codec than the learner.*make them with codec=learner.codec"):
        loaded.data = renamed


def test_metrics_with_names_come_back_and_functions_are_missed_aloud(tmp_path: Path) -> None:
    def worst(prediction: torch.Tensor, target: torch.Tensor) -> float:
        return float((prediction - target).abs().max())

    learner = TabularLearner(make_data(), hidden=[4], metrics=["rmspe", worst], progress="none")
    learner.fit(0.01, 1)
    learner.save(tmp_path / "model")
    with pytest.warns(HeadstartWarning, match="worst was a function of your own, which is not saved"):
        loaded = headstart.load(tmp_path / "model")
    assert set(loaded.evaluate(TABLE)) == {"valid_loss", "rmspe"}


def test_tables_as_pandas_makes_them() -> None:
    """Row numbers without a name, whole numbers made floats by a gap or declared categories, dates as text."""
    frame = pd.DataFrame(
        {
            "Unnamed: 0": range(400),
            "shop": [None, *([1, 2, 3] * 133)],
            "kind": pd.Categorical([10, 20] * 200),
            "day": pd.date_range("2020-01-01", periods=400).strftime("%Y-%m-%d"),
            "sales": np.arange(400.0),
        }
    )
    with pytest.warns(HeadstartWarning, match=r"column 'Unnamed: 0' is not used: has no name"):
        data = TabularData.from_table(frame, "sales")
    assert data.valid_rows is not None and data.valid_rows["sales"].min() == 320
    assert {"shop", "kind"} <= {column.name for column in data.codec.categorical}
    assert data.codec.continuous[0].name == "shop"
    assert data.codec.dates[0].name == "day" and "Unnamed: 0" in data.codec.left_out
    by_date = TabularData.from_table(frame, "sales", exclude=["Unnamed: 0"], split=splits.by_time("day", last_days=30))
    assert by_date.valid.rows == 30
    learner = TabularLearner(data, hidden=[4], progress="none")
    assert learner.predict(frame[:1])["prediction"][0] == pytest.approx(
        learner.predict(frame.iloc[0].to_dict())["prediction"], rel=1e-5
    )


def test_a_file_is_read_as_the_codec_says_and_not_guessed_anew(tmp_path: Path) -> None:
    """A code 01, learnt as text, is 1 to whoever guesses; and text that looks like dates in this file is text."""
    random = np.random.default_rng(0)
    code = random.integers(1, 5, 400)
    season = np.where(random.random(400) < 0.5, "2020-01-01", "later")
    sales = code * 2.0 + (season == "later") + random.normal(0, 0.1, 400)
    table = pl.DataFrame({"code": [f"{number:02}" for number in code], "season": season, "sales": sales})
    learner = TabularLearner(TabularData.from_table(table, "sales"), hidden=[8], progress="none")
    learner.fit_one_cycle(0.02, 3)
    rows = table.filter(pl.col("season") != "later")
    rows.write_csv(tmp_path / "rows.csv")
    assert learner.predict(tmp_path / "rows.csv").equals(learner.predict(rows))
    assert learner.evaluate(tmp_path / "rows.csv") == learner.evaluate(rows)
    assert learner.interpret(tmp_path / "rows.csv").frame()["code"].dtype == pl.String
    classes = TabularLearner(TabularData.from_table(table, "code"), hidden=[8], progress="none")
    assert classes.evaluate(tmp_path / "rows.csv") == classes.evaluate(rows)


def test_dates_as_text_with_a_time_of_day_can_be_named() -> None:
    moments = [f"2020-01-{1 + place % 28:02d} {place % 24:02d}:30" for place in range(400)]
    data = make_data(table=TABLE.with_columns(moment=pl.Series(moments)), dates=["moment"], split=splits.by_last(0.2))
    assert "moment.hour" in [column.name for column in data.codec.categorical]


def test_bf16_answers_one_row_as_in_a_table() -> None:
    learner = TabularLearner(make_data(), hidden=[16], precision="bf16", progress="none")
    learner.fit(0.01, 2)
    table = learner.predict(TABLE[:1])["prediction"][0]
    assert learner.predict(TABLE.row(0, named=True))["prediction"] == pytest.approx(table, rel=1e-6)
    with pytest.raises(ConfigError, match="snapshot averages over tables"):
        learner.predict(TABLE.row(0, named=True), snapshot="x")


def test_the_lesson_s_network_is_an_option_and_a_record_without_a_new_field_has_its_default(tmp_path: Path) -> None:
    learner = TabularLearner(make_data(), hidden=[4], progress="none", **LESSON_NETWORK)
    learner.fit(0.01, 1)
    learner.save(tmp_path / "model")
    assert headstart.load(tmp_path / "model").design == TabularDesign(
        hidden=(4,), numeric_embedding=None, batch_norm=True, norm_first=False, input_scale=False, category_dropout=0.0
    )
    design = json.loads((tmp_path / "model" / "learner.json").read_text())["design"]
    assert design.pop("straight") is True and design.pop("ensemble") == 1
    edit(tmp_path / "model", design=design)
    rows = make_table()
    assert headstart.load(tmp_path / "model").predict(rows).equals(learner.predict(rows))


# ---- settings, plans, all rows, a network from outside


def test_options_are_the_fields_of_the_settings() -> None:
    """What an editor completes, what is documented, and what is spelt out: at most six."""
    hints = typing.get_type_hints(TabularDataOptions)
    options = options_of(TabularSettings)
    assert set(hints) == {option.name for option in options}
    assert all(len(option.help) > 10 for option in options)
    spelt_out = [name for name in TabularData.from_table.__annotations__ if name not in ("options", "return")]
    assert len(spelt_out) <= 6, spelt_out
    with pytest.raises(
        ConfigError, match=r"TabularData.from_table has no option 'log_traget'; did you mean 'log_target'"
    ):
        make_data(log_traget=True)
    with pytest.raises(ConfigError, match=r"exclude must be a list of texts; got 'busy'"):
        TabularData.from_table(TABLE, "sales", exclude="busy")


def test_a_plan_goes_by_the_steps_and_the_validation_rows() -> None:
    data = make_data()
    assert data.train.batch_size == 32 and data.train.steps(0) == 10
    assert TabularLearner.suggest(data) == Plan(lr=0.003, epochs=200, schedule="constant", patience=10)
    assert TabularLearner(data, **MEMBERS_NETWORK).plan() == TabularLearner.suggest(data)
    assert suggested_plan(200, validated=True) == Plan(lr=0.003, epochs=15, schedule="constant", patience=5)
    assert suggested_plan(1001, validated=True) == Plan(lr=0.003, epochs=3)
    assert suggested_plan(10, validated=False) == Plan(lr=0.003, epochs=60)
    assert [suggested_epochs(steps) for steps in (10_000, 600, 100, 1)] == [3, 5, 10, 60]
    assert [suggested_batch_size(rows) for rows in (1, 320, 1_200, 25_599, 25_600, 10**7)] == [
        16,
        32,
        128,
        128,
        256,
        256,
    ]


def test_all_rows_train_without_validation_rows() -> None:
    data = make_data(split=splits.train_on_all)
    assert data.valid is None and data.valid_rows is None and data.notes == () and data.train.rows == 400
    assert repr(data) == "TabularData(400 training and no validation rows, target sales)"
    learner = TabularLearner(data, hidden=[8], progress="none")
    history = learner.fit_one_cycle(epochs=2)
    assert set(history[-1]) == {"fit", "epoch", "train_loss", "seconds"}
    assert set(learner.evaluate(TABLE)) == {"valid_loss", "rmse", "mae", "r2"}
    for ask in (learner.interpret, learner.feature_importance, lambda: learner.partial_dependence("shop")):
        with pytest.raises(ConfigError, match="there are no validation rows: all rows train"):
            ask()
    assert len(learner.interpret(TABLE).frame()) == 400


class Additive(torch.nn.Module):
    """A network of a user's own: an embedding of each category, and a straight line; with a misleading attribute."""

    members = 7

    def __init__(self, codec: TableCodec) -> None:
        super().__init__()
        self.tables = torch.nn.ModuleList([torch.nn.Embedding(n, codec.target.outputs) for n in codec.cardinalities])
        self.line = torch.nn.Linear(codec.numbers, codec.target.outputs)

    def groups(self) -> list[list[Any]]:
        return [[self.tables], [self.line]]

    def forward(self, ids: torch.Tensor, numbers: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        outputs = self.line(numbers) + sum(table(ids[:, place]) for place, table in enumerate(self.tables))
        return outputs, numbers


def test_a_network_from_outside_trains_predicts_and_is_loaded_by_its_factory(tmp_path: Path) -> None:
    seeds = []

    def factory(codec: TableCodec, design: TabularDesign, seed: int) -> torch.nn.Module:
        seeds.append(seed)
        assert design.hidden == (200, 100)
        return Additive(codec)

    data = make_data(log_target=True, split=splits.by_random(0.25))
    learner = TabularLearner(data, network=factory, progress="none", seed=3)
    assert seeds == [3] and learner.members == 1
    learner.fit_one_cycle(0.05, 20)
    assert learner.history[-1]["r2"] > 0.9
    row = TABLE.row(1, named=True)
    assert learner.predict(row)["prediction"] == pytest.approx(learner.predict(TABLE[1:2])["prediction"][0], rel=1e-5)
    assert learner.feature_importance(["shop"], repeats=1).frame()["importance"][0] > 0
    with pytest.raises(ConfigError, match="embeddings are those of the built-in network, but this is a Additive"):
        learner.embeddings("shop")

    learner.save(tmp_path / "model")
    with pytest.raises(
        ArtifactError,
        match=r"holds a network of your own \(Additive\), whose code is not saved: make the learner with the factory",
    ):
        headstart.load(tmp_path / "model")
    again = TabularLearner(data.codec, network=factory, progress="none")
    again.load(tmp_path / "model")
    assert again.predict(TABLE).equals(learner.predict(TABLE))
    assert (again.training, again.history) == (learner.training, learner.history)
    again.data = data
    assert again.fit(0.01, 1)[0]["train_loss"] == learner.fit(0.01, 1)[0]["train_loss"], (
        "it trains on like the saved one"
    )
    learner.load(tmp_path / "model")
    built_in = TabularLearner(data, progress="none")
    with pytest.raises(ArtifactError, match="do not fit"):
        built_in.load(tmp_path / "model")
    built_in.save(tmp_path / "other")
    with pytest.raises(ArtifactError, match="has another network than this learner"):
        again.load(tmp_path / "other")


def test_an_ensemble_of_networks_from_outside_begins_from_a_seed_each() -> None:
    learner = TabularLearner(
        make_data(), network=lambda codec, design, seed: Additive(codec), ensemble=2, progress="none"
    )
    first, second = learner.model.members
    assert not torch.equal(first.line.weight, second.line.weight)
    with pytest.raises(ConfigError, match=r"network must be a function \(codec, design, seed\) .* got a Linear"):
        TabularLearner(make_data(), network=torch.nn.Linear(1, 1))
    with pytest.raises(ConfigError, match="network must make a torch.nn.Module; it made a NoneType"):
        TabularLearner(make_data(), network=lambda codec, design, seed: None)


# ---- unseen categories


def test_an_unseen_category_gets_a_trained_prediction() -> None:
    """Most shops sell little and few much, 10.5 on average: an untrained vector is off by as much or more."""
    random = np.random.default_rng(0)
    shop = random.integers(0, 50, 2000)
    level = np.exp(np.random.default_rng(50).normal(size=50) * 1.5)[shop]
    table = pl.DataFrame({"shop": [f"shop {number}" for number in shop], "sales": 10.5 * level / level.mean()})
    unseen = pl.DataFrame({"shop": ["another"]})
    predictions = {}
    for probability in (0.0, 0.05):
        data = TabularData.from_table(table, "sales", target_features=False)
        learner = TabularLearner(data, progress="none", category_dropout=probability)
        learner.fit_one_cycle(0.01, 10, keep="last")
        with pytest.warns(HeadstartWarning):
            predictions[probability] = learner.predict(unseen)["prediction"][0]
    assert abs(predictions[0.05] - 10.5) < 0.5 * abs(predictions[0.0] - 10.5)
    assert TabularDesign().category_dropout == 0.05


def test_a_table_of_unseen_categories_warns_once_with_counts_and_one_row_does_not(classes: TabularLearner) -> None:
    table = TABLE.with_columns(
        shop=pl.when(pl.int_range(pl.len()) < 30).then(pl.lit("new")).otherwise("shop"), open=pl.lit(None, pl.Boolean)
    )
    with pytest.warns(
        HeadstartWarning, match="of 400 rows some have a value never seen .* unknown: 30 in 'shop'$"
    ) as w:
        classes.predict(table)
    assert len(w) == 1 and w[0].filename == __file__
    classes.predict(table.row(0, named=True))  # warnings are errors here
    some = table.with_columns(valid=pl.int_range(pl.len()) < 31)  # not every validation row: a note
    data = TabularData.from_table(
        some, "sales", split=splits.by_column("valid"), exclude=["busy", "valid", "weight", "open"]
    )
    assert data.notes == (
        "shop: 30 of 31 rows have a value never seen in training",
        "heat: 1 of 31 rows lie beyond the numbers of the training rows and count as their lowest or highest",
    )
