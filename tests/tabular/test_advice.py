"""What is said of a table's columns before training: those left out, those that are nearly numbers, those that leak."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pytest

import headstart
from headstart import DataError, HeadstartWarning, TabularData, TabularLearner, splits
from headstart.frames.amounts import AmountForm, amounts_in, form_of_amounts
from headstart.tabular.advice import total_rows, unused_columns
from headstart.tabular.columns import SortedColumns

RANDOM = np.random.default_rng(0)
ROWS = 400
SIZES = RANDOM.normal(size=ROWS)
TABLE = pl.DataFrame({"size": SIZES, "kind": RANDOM.choice(list("abc"), ROWS), "y": RANDOM.normal(size=ROWS)})


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("5", 5.0), ("-5.25", -5.25), ("1,234", 1234.0), ("1,234,567.89", 1234567.89), ("$5", 5.0), ("5 €", 5.0), ("-$1,000", -1000.0),
        ("12%", 12.0), ("12.5 %", 12.5), ("(5)", -5.0), ("5-", -5.0), ("1 234.5", 1234.5), ("1\u00a0234", 1234.0), ("1'234.50", 1234.5),
        ("USD 7", 7.0), ("7 EUR", 7.0), ("£1,000.00", 1000.0), ("−3", -3.0), ("1e3", 1000.0), ("+ 4", 4.0),
        ("?", None), ("", None), ("abc", None), ("1,23", None), ("1.2.3", None), ("12-04", None), ("nan", None), ("inf", None), (None, None),
    ],
)  # fmt: skip
def test_an_amount_is_read_as_it_is_written(text: str | None, number: float | None) -> None:
    assert amounts_in(pl.Series([text], dtype=pl.String), AmountForm())[0] == number


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("5", 5.0),
        ("1,5", 1.5),
        ("1.234,50", 1234.5),
        ("-1.000", -1000.0),
        ("1 234,5", 1234.5),
        ("2.5", None),
        ("3,2 %", 3.2),
    ],
)
def test_a_decimal_comma_is_read(text: str, number: float | None) -> None:
    assert amounts_in(pl.Series([text]), AmountForm(","))[0] == number


def test_the_form_is_the_one_that_reads_most() -> None:
    assert form_of_amounts(pl.Series(["1,234", "2,345.5"]))[0] == AmountForm(".")
    assert form_of_amounts(pl.Series(["1.234,5", "99,25"]))[0] == AmountForm(",")
    assert form_of_amounts(pl.Series(["1,234", "5,678"]))[0] == AmountForm(".")


@pytest.mark.parametrize("odd", ["?", "n/a", "-", "unknown"])
def test_a_column_that_is_nearly_numbers_is_told_with_the_way_out(odd: str, tmp_path: Path) -> None:
    size = [odd if row == 7 else f"{value:.3f}" for row, value in enumerate(SIZES)]
    table = TABLE.with_columns(size=pl.Series(size))
    table.write_csv(tmp_path / "t.csv")
    pattern = r"column 'size' is not used: text of which most rows have their own value .*numbers=\['size'\] reads them"
    with pytest.warns(HeadstartWarning, match=pattern) as caught:
        TabularData.from_table(tmp_path / "t.csv", "y", split=headstart.splits.train_on_all)
    assert len(caught) == 1 and repr(odd) in str(caught[0].message)
    data = TabularData.from_table(tmp_path / "t.csv", "y", numbers=["size"])
    assert [column.name for column in data.codec.continuous] == ["size"]
    assert data.codec.continuous[0].mean == pytest.approx(SIZES.mean(), abs=0.1)


def test_every_column_that_leaves_has_its_line_once() -> None:
    table = TABLE.with_columns(
        id=pl.Series([f"n{row}" for row in range(ROWS)]), tags=pl.Series([[row] for row in range(ROWS)]), one=pl.lit(1),
        none=pl.lit(None, dtype=pl.Float64), skipped=pl.Series([f"s{row}" for row in range(ROWS)]),
    )  # fmt: skip
    with pytest.warns(HeadstartWarning) as caught:
        data = TabularData.from_table(table, "y", exclude=["skipped"])
    lines = str(caught[0].message).split("\n")
    assert len(caught) == 1 and len(lines) == 3
    for name, line in zip(("id", "tags", "none"), lines, strict=True):
        assert line.startswith(f"column '{name}' is not used: {data.codec.left_out[name]}; exclude=['{name}']")


def test_columns_that_serve_otherwise_and_those_excluded_are_silent() -> None:
    table = TABLE.with_columns(open=pl.Series([row % 2 for row in range(ROWS)]))
    data = TabularData.from_table(table, "y", where="open = 1")
    assert "open" in data.codec.left_out


def test_codes_are_not_taken_for_numbers() -> None:
    code = pl.Series([f"{row % 40:03}" for row in range(ROWS)])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        TabularData.from_table(TABLE.with_columns(code=code), "y")


def test_amounts_are_read_alike_by_every_door_and_after_loading(tmp_path: Path) -> None:
    price = [f"${value:,.2f}" for value in RANDOM.uniform(10, 5_000, ROWS)]
    table = TABLE.with_columns(price=pl.Series(price), y=pl.Series([float(p[1:].replace(",", "")) for p in price]))
    data = TabularData.from_table(table, "y", numbers=["price"])
    learner = TabularLearner(data, hidden=[8], progress="none")
    learner.fit_one_cycle(0.01, 1)
    loaded = headstart.load(learner.save(tmp_path / "model"))
    rows = table[:5].with_columns(price=pl.Series(["$1,000.00", "?", "", "2500", None]))
    rows.write_csv(tmp_path / "t.csv")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", HeadstartWarning)  # missing prices
        expected = learner.predict(rows)["prediction"].to_list()
        assert loaded.predict(tmp_path / "t.csv")["prediction"].to_list() == expected
        assert loaded.predict(rows.to_pandas())["prediction"].to_list() == expected
        singly = [loaded.predict(row)["prediction"] for row in rows.to_dicts()]
    assert singly == pytest.approx(expected, rel=1e-5)
    assert expected[0] != expected[3] and expected[1] == pytest.approx(
        learner.predict({**rows.row(1, named=True), "price": None})["prediction"], rel=1e-5
    )


def test_a_target_with_thousands_separators_is_read() -> None:
    table = TABLE.with_columns(y=pl.Series([f"{value * 1000:,.0f}" for value in range(ROWS)]))
    data = TabularData.from_table(table, "y", numbers=["y"])
    assert data.codec.target.kind == "number"
    pattern = (
        r"target 'y' is text, but 320 of 320 values are numbers, .*numbers=\['y'\] reads them as numbers; target_kind="
    )
    for kind in (None, "number"):
        with pytest.raises(DataError, match=pattern):
            TabularData.from_table(table, "y", target_kind=kind)
    assert TabularData.from_table(
        table.with_columns(y=pl.Series(["1,000", "2,000"] * 200)), "y", target_kind="label"
    ).codec.target.classes == ("1,000", "2,000")
    with pytest.raises(DataError, match="column 'kind' cannot be read as numbers: none of its values is one"):
        TabularData.from_table(TABLE, "y", numbers=["kind"])


# ---- leaks


@pytest.mark.parametrize(
    "leak",
    [pl.col("y") * 0.9 + 1, -(pl.col("y") ** 3), pl.col("y").rank(), (pl.col("y") * 10).round(1)],
)
def test_a_column_that_orders_a_number_is_noted(leak: pl.Expr) -> None:
    data = TabularData.from_table(TABLE.with_columns(leak=leak), "y")
    (note,) = [note for note in data.notes if "almost perfectly" in note]
    assert note.startswith("column 'leak' alone tells the target 'y' almost perfectly") and "exclude=['leak']" in note


@pytest.mark.parametrize("leak", ["as text", "as number", "as score"])
def test_a_column_that_tells_the_class_is_noted(leak: str) -> None:
    classes = RANDOM.choice(["yes", "no"], ROWS)
    column: dict[str, Any] = {
        "as text": np.where(classes == "yes", "J", "N"),
        "as number": (classes == "yes").astype(int),
        "as score": (classes == "yes") * 2.0 + RANDOM.uniform(0, 1, ROWS),
    }
    data = TabularData.from_table(TABLE.with_columns(y=pl.Series(classes), leak=pl.Series(column[leak])), "y")
    assert [note for note in data.notes if "column 'leak' alone tells the target" in note]


def test_good_columns_are_no_leaks() -> None:
    good = TABLE.with_columns(y=pl.col("size") + pl.Series(RANDOM.normal(0, 0.1, ROWS)))
    assert not [note for note in TabularData.from_table(good, "y").notes if "almost perfectly" in note]
    score = pl.Series(SIZES + RANDOM.normal(0, 0.3, ROWS) > 0).cast(pl.String)
    rare = pl.Series(RANDOM.random(ROWS) < 0.03).cast(pl.String)
    for y in (score, rare):
        data = TabularData.from_table(TABLE.with_columns(y=y), "y")
        assert not [note for note in data.notes if "almost perfectly" in note]


def test_a_leak_that_is_a_number_and_a_category_is_noted_once() -> None:
    grade = pl.Series(RANDOM.integers(1, 6, ROWS))
    data = TabularData.from_table(TABLE.with_columns(y=grade * 2.5, grade=grade), "y", split=splits.train_on_all)
    assert "grade" in {c.name for c in data.codec.categorical} & {c.name for c in data.codec.continuous}
    assert [note.partition(":")[0] for note in data.notes] == [
        "column 'grade' alone tells the target 'y' almost perfectly"
    ]


def test_a_target_that_does_not_vary_is_told() -> None:
    with pytest.warns(
        HeadstartWarning, match="the target 'y' is 3.0 in all training rows, so there is nothing to learn"
    ):
        TabularData.from_table(TABLE.with_columns(y=pl.lit(3.0)), "y")


def test_a_row_of_pandas_is_predicted_as_its_dictionary() -> None:
    learner = TabularLearner(TabularData.from_table(TABLE, "y"), hidden=[4], progress="none")
    frame: pd.DataFrame = TABLE.to_pandas()
    assert learner.predict(frame.iloc[3]) == learner.predict(frame.iloc[3].to_dict())
    assert learner.predict([{"size": 0.5, "kind": "a"}, {"size": 1.5, "kind": "b"}])[
        "prediction"
    ].to_list() == pytest.approx(
        [
            learner.predict({"size": 0.5, "kind": "a"})["prediction"],
            learner.predict({"size": 1.5, "kind": "b"})["prediction"],
        ]
    )


def test_what_data_print_is_short() -> None:
    assert len(repr(TabularData.from_table(TABLE, "y"))) < 200


@pytest.mark.parametrize("word", ["Total", "Summe", " Grand Total: "])
def test_a_row_of_totals_is_told_and_dates_beside_it(word: str, tmp_path: Path) -> None:
    lines = ["day,units,price"]
    lines += [f"11/{13 + row % 15}/2024,{row % 7},{row}.5" for row in range(200)]
    path = tmp_path / "export.csv"
    path.write_text("\n".join([*lines, f"{word},,19999.5", ""]), encoding="utf-8")
    with pytest.warns(HeadstartWarning) as warned:
        TabularData.from_table(path, "price", split=splits.train_on_all, exclude=["units"], categorical=["day"])
    assert [str(one.message) for one in warned] == [
        "1 row looks like a total of the others, from which nothing is to be learnt: delete such rows, or where="
        f" (--where) day IS DISTINCT FROM '{word}'"
    ]
    line = unused_columns(
        pl.DataFrame({"day": [*(f"11/{13 + row % 15}/2024" for row in range(200)), word]}),
        SortedColumns({}, {}, {}, {"day": "reason"}),
    )
    assert line == [
        f"column 'day' is not used: reason; 200 of 201 values are dates, but {word!r} is not: delete such rows, or take"
        f" it as missing: csv=CsvOptions(null_values=[{word!r}, 'NA', 'N/A'])"
    ]


def test_the_condition_against_totals_keeps_rows_without_a_value() -> None:
    names = pl.Series(["Total", *("ab" * 100), *[None] * 10])
    values = [None if row == 0 else float(row) for row in range(211)]
    table = pl.DataFrame({"team": names, "x": values, "z": values, "y": np.arange(211.0)})
    warning = total_rows(table)
    assert warning is not None
    where = warning.partition("(--where) ")[2]
    assert where == "team IS DISTINCT FROM 'Total'"
    assert TabularData.from_table(table, "y", split=splits.train_on_all, where=where).train.rows == 210


def test_a_row_named_total_with_its_values_is_a_row() -> None:
    frame = pl.DataFrame({"team": ["Total", "a", "b"], "x": [1.0, 2.0, 3.0], "y": [1.0, 2.0, 3.0], "z": [1, None, 2]})
    assert total_rows(frame) is None
    assert total_rows(frame.with_columns(x=None, y=None)) is not None
