"""Columns as their owner means them: what a codec keeps of them holds at every later door, and comes back in answers."""

from __future__ import annotations

import datetime
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pytest

from headstart import Engine, TabularData, TabularLearner, splits
from headstart.core.errors import ConfigError, DataError, HeadstartWarning
from headstart.frames.door import read_table
from headstart.frames.readings import ReadAsDate, ReadAsNumber, ReadAsText, ReadAsWhole

CPU = Engine("cpu")
RANDOM = np.random.default_rng(0)
ROWS = 120
X = RANDOM.normal(size=ROWS)
YEARS = [datetime.date(2015, 1 + n % 12, 1 + n % 28) for n in range(ROWS)]


def learner(table: Any, target: str = "y", epochs: int = 1, **options: Any) -> TabularLearner:
    options = {"split": splits.by_last(0.2), **options}
    made = TabularLearner(TabularData.from_table(table, target, engine=CPU, **options), hidden=[8], progress="none")
    made.fit(0.01, epochs)
    return made


def written(frame: pl.DataFrame, folder: Path, name: str = "t.csv") -> Path:
    frame.write_csv(folder / name)
    return folder / name


def test_codes_with_zeros_are_the_same_by_file_frame_and_dictionary(tmp_path: Path) -> None:
    table = pl.DataFrame({"code": [["01", "02", "A1"][n % 3] for n in range(ROWS)], "x": X, "y": X})
    made = learner(written(table, tmp_path))
    assert made.codec.readings == {"code": ReadAsText(), "x": ReadAsNumber(), "y": ReadAsNumber()}
    rows = pl.DataFrame({"code": ["01", "02"], "x": [0.0, 0.0]})
    expected = [made.predict(row)["prediction"] for row in rows.to_dicts()]
    assert expected[0] != expected[1]
    for source in (written(rows, tmp_path, "p.csv"), rows, pd.read_csv(tmp_path / "p.csv")):
        assert made.predict(source)["prediction"].to_list() == pytest.approx(expected)


def test_the_format_of_dates_is_kept_and_an_uncertain_one_is_asked_for(tmp_path: Path) -> None:
    table = pl.DataFrame({"when": [f"{d.month}/{d.day}/{d.year}" for d in YEARS], "x": X, "y": X})
    made = learner(written(table, tmp_path))
    reading = made.codec.readings["when"]
    assert isinstance(reading, ReadAsDate) and reading.form.format == "%m/%d/%Y"
    few = pl.DataFrame({"when": ["2/1/2015", "3/1/2015"], "x": [0.0, 0.0]})  # uncertain by itself
    by_date = few.with_columns(when=pl.Series([datetime.date(2015, 2, 1), datetime.date(2015, 3, 1)]))
    expected = made.predict(by_date)["prediction"].to_list()
    assert made.predict(written(few, tmp_path, "p.csv"))["prediction"].to_list() == pytest.approx(expected)
    assert [made.predict(row)["prediction"] for row in few.to_dicts()] == pytest.approx(expected)

    uncertain = written(table.filter(pl.col("when").str.contains(r"/[1-9]/")), tmp_path, "u.csv")
    advice = "column 'when' may be dates with the day or with the month first, .* say date_format='%d/%m/%Y' or"
    with pytest.warns(HeadstartWarning, match=advice):
        data = TabularData.from_table(uncertain, "y", split=splits.by_last(0.2), engine=CPU)
    assert not data.codec.dates
    with pytest.raises(
        DataError, match="column 'when' may have the day or the month first, as in '1/1/2015': say which"
    ):
        TabularData.from_table(uncertain, "y", split=splits.by_last(0.2), dates=["when"], engine=CPU)
    told = TabularData.from_table(uncertain, "y", split=splits.by_last(0.2), date_format="%m/%d/%Y", engine=CPU)
    assert told.codec.dates[0].form.format == "%m/%d/%Y"
    with pytest.raises(ConfigError, match="date_format must have a day, a month and a year"):
        TabularData.from_table(uncertain, "y", date_format="%m", engine=CPU)


def test_hours_are_those_of_the_training_rows_whatever_the_zone_they_come_in(tmp_path: Path) -> None:
    moments = pl.Series("t", [datetime.datetime(2024, 1 + n % 12, 15, n % 24) for n in range(ROWS)])
    berlin = moments.dt.replace_time_zone("Europe/Berlin")
    table = pl.DataFrame({"t": berlin, "y": X})
    made = learner(table)
    hours = next(column.vocab.values for column in made.codec.categorical if column.name == "t.hour")
    assert hours == tuple(range(24))
    expected = made.predict(table)["prediction"].to_list()
    assert made.predict(table.with_columns(berlin.dt.convert_time_zone("UTC")))["prediction"].to_list() == expected
    with pytest.raises(DataError, match="column 't': the training rows have the time zone Europe/Berlin, but got"):
        made.predict(table.with_columns(moments))
    for source in (
        written(table, tmp_path),
        written(table.with_columns(berlin.dt.convert_time_zone("UTC")), tmp_path, "u.csv"),
    ):
        assert made.predict(source)["prediction"].to_list() == expected
    naive = learner(table.with_columns(moments))
    for source in (table, written(table, tmp_path)):
        with pytest.raises(DataError, match="column 't': the training rows have no time zone, but got"):
            naive.predict(source)
    seasonal = learner(written(table, tmp_path))  # summer and winter time: two offsets
    assert (
        seasonal.predict(table)["prediction"].to_list()
        == seasonal.predict(written(table, tmp_path))["prediction"].to_list()
    )
    for source in (table.with_columns(berlin.dt.convert_time_zone("UTC")), tmp_path / "u.csv"):
        with pytest.raises(
            DataError, match="column 't': .*several offsets from UTC, each read by its own clock, but got"
        ):
            seasonal.predict(source)


@pytest.mark.parametrize("dtype", ["Int64", "Int8", "Float64"])
def test_classes_come_back_in_the_type_they_came_in(dtype: str) -> None:
    table = pl.DataFrame({"x": X, "y": pl.Series((X > 0).astype(int)).cast(getattr(pl, dtype))})
    made = learner(table)
    assert made.codec.target.kind == "label"  # also of 0.0 and 1.0, which missing values make of 0 and 1
    assert made.predict(table)["prediction"].dtype == table["y"].dtype


def test_a_declared_category_stays_one() -> None:
    classes = np.where(X > 0, 10, np.where(X > -0.7, 2, 1))
    table = pd.DataFrame(
        {"x": X, "size": pd.Categorical([n % 3 * 5 for n in range(ROWS)]), "y": pd.Categorical(classes)}
    )
    table["share"] = pd.Categorical([[0.5, 1.5][n % 2] for n in range(ROWS)])
    table["band"] = pd.cut(pd.Series(X), 4)
    made = learner(table, epochs=10)
    assert made.codec.target.classes == (1, 2, 10)
    vocabs = {column.name: column.vocab for column in made.codec.categorical}
    assert vocabs["size"].values == (0, 5, 10) and vocabs["share"].values == (0.5, 1.5)
    assert vocabs["band"].values == tuple(sorted(str(band) for band in table["band"].cat.categories))
    assert made.codec.readings["size"] == ReadAsWhole()
    answers = made.predict(table)["prediction"]
    assert answers.dtype == np.int64
    assert (answers == table["y"]).mean() > 0.5
    row = table.iloc[7].to_dict()
    assert made.predict(row)["prediction"] == answers[7]


def test_an_amount_that_names_something_is_the_same_by_frame_and_dictionary() -> None:
    """Forty sizes of which each has a level of its own: whole numbers that are a category, too."""
    size = np.arange(4_000) % 40
    level = np.random.default_rng(0).normal(size=40)
    table = pl.DataFrame(
        {"size": [f"{1_000 * number:,}" for number in size], "x": np.arange(4_000.0), "y": level[size]}
    )
    codec = TabularData.from_table(table, "y", numbers=["size"], split=splits.train_on_all, engine=CPU).codec
    (category,) = codec.categorical
    assert (category.name, category.vocab.values[:3]) == ("size", (0, 1_000, 2_000))
    row = {"size": "3,000", "x": 0.0}
    encoded = codec.encode(read_table(pl.DataFrame([row]), readings=codec.readings)).inputs
    ids, numbers = codec.encode_one(row)
    assert ids.tolist() == encoded[0].tolist() == [[4]]
    assert numbers.tolist() == encoded[1].tolist()


def test_text_of_dates_is_a_category_if_it_is_named_so(tmp_path: Path) -> None:
    table = pl.DataFrame({"cohort": [f"2015-0{1 + n % 3}-01" for n in range(ROWS)], "x": X, "y": X})
    for source in (table, written(table, tmp_path), table.with_columns(pl.col("cohort").str.to_date())):
        data = TabularData.from_table(source, "y", categorical=["cohort"], split=splits.by_last(0.2), engine=CPU)
        (cohort,) = (column.vocab for column in data.codec.categorical)
        assert cohort.values == ("2015-01-01", "2015-02-01", "2015-03-01")


def test_a_text_among_numbers_is_named_with_its_row(tmp_path: Path) -> None:
    table = pl.DataFrame({"x": X, "y": X})
    made = learner(table)
    broken = table.with_columns(pl.Series("x", [str(x) if n != 16 else "1,5" for n, x in enumerate(X)]))
    for source in (broken, written(broken, tmp_path)):
        with pytest.raises(
            DataError, match="column 'x': expected numbers, but got the text '1,5' in row 17; correct it"
        ):
            made.predict(source)
        with pytest.raises(DataError, match="column 'x' cannot be continuous: expected numbers, but got .* in row 17"):
            TabularData.from_table(source, "y", continuous=["x"], split=splits.by_random(), engine=CPU)


def test_evaluate_takes_the_condition_of_the_training_rows(tmp_path: Path) -> None:
    table = pl.DataFrame({"x": X, "open": [n % 4 > 0 for n in range(ROWS)], "y": X})
    table = table.with_columns(pl.when(pl.col("open")).then(pl.col("y")).alias("y"))
    path = written(table, tmp_path)
    made = learner(path, where="open", exclude=["open"])
    with pytest.raises(
        DataError, match="target 'y' is missing in 30 of 120 rows; leave those out, where='y IS NOT NULL'"
    ):
        made.evaluate(path)
    assert made.evaluate(path, where="y IS NOT NULL") == pytest.approx(made.evaluate(table.filter(pl.col("open"))))


def test_a_column_written_otherwise_than_in_training_is_noticed() -> None:
    table = pl.DataFrame({"shop": [["north", "south"][n % 2] for n in range(ROWS)], "x": X, "y": X})
    made = learner(table)
    with pytest.warns(
        HeadstartWarning, match="column 'shop': none of the 120 rows has a value seen in training, such as 'no"
    ):
        made.predict(table.with_columns(pl.col("shop").str.to_uppercase()))
