"""Readings: what columns of text hold, settled by all of their values, and read again as they were settled."""

from __future__ import annotations

import datetime
from pathlib import Path
from typing import Any

import pandas as pd
import polars as pl
import pytest

from headstart.core.errors import DataError
from headstart.frames.dates import DateForm
from headstart.frames.door import open_table, read_table
from headstart.frames.readings import (
    ReadAsDate,
    ReadAsNumber,
    ReadAsText,
    ReadAsTruth,
    ReadAsWhole,
    Reading,
    read_columns,
    settle,
    texts_as_numbers,
)


def texts(*values: str | None) -> pl.Series:
    return pl.Series("x", values, dtype=pl.String)


@pytest.mark.parametrize(
    ("values", "reading", "read"),
    [
        (["1", " 2", "-3", "NA", None], ReadAsWhole(), [1, 2, -3, None, None]),
        (["1", "2.5", "1e3", ""], ReadAsNumber(), [1.0, 2.5, 1000.0, None]),
        (["True", "FALSE", "null"], ReadAsTruth(), [True, False, None]),
        (["01", "02", "10"], ReadAsText(), ["01", "02", "10"]),
        (["0", "10"], ReadAsWhole(), [0, 10]),
        (["0.5", "10"], ReadAsNumber(), [0.5, 10.0]),
        (["007.5", "1"], ReadAsText(), ["007.5", "1"]),
        (["12345678901234567890", "1"], ReadAsText(), ["12345678901234567890", "1"]),
        (["2015-06-20", "nan"], ReadAsDate(DateForm()), [datetime.date(2015, 6, 20), None]),
        (["1/2/2015", "20/2/2015"], ReadAsDate(DateForm("%d/%m/%Y")), [datetime.date(2015, 2, 1), datetime.date(2015, 2, 20)]),
        (["1/2/2015"], ReadAsText(formats=("%d/%m/%Y", "%m/%d/%Y")), ["1/2/2015"]),
        (["a", "1"], ReadAsText(), ["a", "1"]),
        ([None, ""], ReadAsText(), [None, None]),
    ],
)  # fmt: skip
def test_a_column_of_text_is_what_all_its_values_are(values: list[Any], reading: Reading, read: list[Any]) -> None:
    assert settle(texts(*values)) == reading
    assert reading.of(texts(*values)).to_list() == read


def test_a_reading_that_does_not_fit_leaves_the_text() -> None:
    frame = pl.DataFrame({"a": ["1", "many"], "b": ["1", "2"], "c": [1, 2]})
    read = read_columns(frame, {"a": ReadAsNumber(), "b": ReadAsNumber(), "c": ReadAsText(), "d": ReadAsWhole()})
    assert read.to_dict(as_series=False) == {"a": ["1", "many"], "b": [1.0, 2.0], "c": [1, 2]}
    with pytest.raises(DataError, match="target 'a': expected numbers, but got the text 'many' in row 2; correct it"):
        texts_as_numbers(frame["a"], "target 'a'")


def test_text_that_usually_means_missing_may_be_a_value() -> None:
    assert ReadAsText(known=("NA",)).of(texts("NA", "null", "DE", "")).to_list() == ["NA", None, "DE", None]
    assert ReadAsText(missing=False).of(texts("NA", "", None)).to_list() == ["NA", "", None]


def test_a_file_is_read_as_told_and_its_other_columns_by_their_values(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    path.write_text("code,flag,when,size\n01,True,1/2/2015,1\n02,False,3/2/2015,2\n")
    opened = open_table(path, readings={"when": ReadAsDate(DateForm("%m/%d/%Y")), "flag": ReadAsText()})
    assert opened.unread["when"].to_list() == ["1/2/2015", "3/2/2015"]
    assert opened.frame.to_dict(as_series=False) == {
        "code": ["01", "02"],
        "flag": ["True", "False"],
        "when": [datetime.date(2015, 1, 2), datetime.date(2015, 3, 2)],
        "size": [1, 2],
    }
    assert read_table(path, text=["size"])["size"].to_list() == ["1", "2"]


def test_what_a_table_declares_as_categories_is_known() -> None:
    table = pd.DataFrame(
        {
            "size": pd.Categorical([10, 2]),
            "share": pd.Categorical([0.5, 1.5]),
            "band": pd.cut(pd.Series([1.0, 4.0]), 2),
            "month": pd.period_range("2015-01", periods=2, freq="M"),
            "count": [1, 2],
        }
    )
    opened = open_table(table)
    assert opened.categories == {"size", "share", "band"}
    assert opened.frame["size"].to_list() == [10, 2]
    assert opened.frame["band"].cast(pl.String).to_list() == [str(band) for band in table["band"]]
    assert opened.frame["month"].dt.month().to_list() == [1, 2]
    assert open_table(pl.DataFrame(opened.frame).with_columns(pl.col("band").cast(pl.Categorical))).categories == {
        "band"
    }
    arrow = pl.DataFrame({"a": [1, 2]}).to_arrow()
    arrow = arrow.set_column(0, "a", arrow["a"].dictionary_encode())
    assert open_table(arrow).categories == {"a"}
