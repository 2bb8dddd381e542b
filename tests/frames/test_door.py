"""The door for tables: whatever comes in is read rightly or refused plainly, and goes back as what it was."""

from __future__ import annotations

import datetime
import gzip
import os
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from polars.testing import assert_frame_equal

from headstart.core.errors import ConfigError, DataError, HeadstartWarning
from headstart.frames.door import check_columns, matches, read_table, to_source, write_table

FRAME = pl.DataFrame({"Store": [3, 1, None], "Sales": [0.5, None, 2.0], "Type": ["a", None, "c"]})
DAYS = pl.DataFrame(
    {
        "Sales": [0, 5, None],
        "Date": [datetime.date(2014, 1, 1), datetime.date(2014, 8, 1), None],
        "Type": ["a", "b", None],
    }
)


def file(folder: Path, name: str, content: str | bytes) -> Path:
    path = folder / name
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


# ---- what comes in


@pytest.mark.parametrize(
    "source",
    [
        FRAME,
        FRAME.lazy(),
        FRAME.to_arrow(),
        FRAME.to_arrow().to_batches()[0],
        FRAME.to_pandas(),
        FRAME.to_pandas().set_index(pd.Index(["x", "y", "z"])),
    ],
    ids=["polars", "lazy", "pyarrow", "batch", "pandas", "pandas-index"],
)
def test_every_library_gives_the_same_frame(source: Any) -> None:
    read = read_table(source)
    # pandas holds whole numbers with gaps as floats
    assert_frame_equal(read.with_columns(pl.col("Store").cast(pl.Int64), pl.col("Sales").fill_nan(None)), FRAME)


@pytest.mark.parametrize("name", ["t.csv", "t.CSV", "t.2015.csv", "t.csv.gz", "t.CSV.GZ", "t.tsv", "t.parquet"])
def test_every_kind_of_file_gives_the_same_frame(name: str, tmp_path: Path) -> None:
    path = tmp_path / name
    if name.endswith("parquet"):
        FRAME.write_parquet(path)
    else:
        text = FRAME.write_csv(separator="\t" if name.endswith("tsv") else ",").encode()
        path.write_bytes(gzip.compress(text) if name.lower().endswith("gz") else text)
    assert_frame_equal(read_table(path), FRAME)
    assert_frame_equal(read_table(str(path)), FRAME)


def test_a_csv_file_shows_missing_values_and_dates(tmp_path: Path) -> None:
    path = file(tmp_path, "t.csv", "a,b,c\n1,2015-06-20,x\nNA,,NULL\n3,2015-06-21,nan\n")
    with pytest.warns(HeadstartWarning, match="'NULL' in column 'c' is read as a text like the others"):
        read = read_table(path)
    assert read.rows() == [
        (1, datetime.date(2015, 6, 20), "x"),
        (None, None, "NULL"),
        (3, datetime.date(2015, 6, 21), "nan"),
    ]


@pytest.mark.parametrize(
    ("first", "last", "dtype"),
    [("0", "x", pl.String), ("0", "1.5", pl.Float64), ("2015-01-01", "never", pl.String), ("", "7", pl.Int64)],
)
def test_a_type_that_only_shows_after_10_000_rows_is_found(first: str, last: str, dtype: Any, tmp_path: Path) -> None:
    read = read_table(file(tmp_path, "t.csv", "a,b\n" + f"{first},1\n" * 10_001 + f"{last},1\n"))
    assert read["a"].dtype == dtype
    assert read.shape == (10_002, 2)


def test_a_byte_order_mark_is_no_part_of_the_first_name(tmp_path: Path) -> None:
    assert read_table(file(tmp_path, "t.csv", b"\xef\xbb\xbfa,b\n1,2\n")).columns == ["a", "b"]


def test_the_types_of_pandas_keep_their_meaning() -> None:
    source = pd.DataFrame(
        {
            "category": pd.Categorical(["b", "a"]),
            "numbered": pd.Categorical([7, 3]),
            "nullable": pd.array([1, None], dtype="Int64"),
            "flag": pd.array([True, None], dtype="boolean"),
            "gaps": [1.0, np.nan],
            "text": ["x", None],
            "moment": pd.to_datetime(["2015-01-01 05:00", None]),
            "day": [datetime.date(2015, 1, 1), None],
            "unsigned": np.array([2**64 - 1, 0], dtype=np.uint64),
            5: [1, 2],
        }
    )
    before = source.copy(deep=True)
    read = read_table(source)
    assert read["category"].cast(pl.String).to_list() == ["b", "a"]
    assert read["numbered"].to_list() == [7, 3]
    assert read["nullable"].to_list() == [1, None]
    assert read["flag"].to_list() == [True, None]
    assert read["gaps"].to_list() == [1, None] and read["gaps"].dtype == pl.Int64
    assert read["text"].to_list() == ["x", None]
    assert read["moment"].to_list() == [datetime.datetime(2015, 1, 1, 5), None]
    assert read["day"].to_list() == [datetime.date(2015, 1, 1), None]
    assert read["unsigned"].to_list() == [2**64 - 1, 0]
    assert read["5"].to_list() == [1, 2]
    pd.testing.assert_frame_equal(source, before)


def test_the_names_of_a_pandas_frame_are_not_changed_in_place() -> None:
    source = pd.DataFrame({1: [1], 2: [2]}, index=[9])
    read_table(source)
    assert list(source.columns) == [1, 2]
    assert list(source.index) == [9]


NO_TABLE = (
    "table must be a pandas, polars or pyarrow table, a path or an open file, or a list of rows as dictionaries; got "
)
TWICE = r"table has more than one column named 'a'; rename or drop all but one"


@pytest.mark.parametrize(
    ("source", "error", "message"),
    [
        (None, ConfigError, NO_TABLE + "NoneType"),
        ({"a": [1]}, ConfigError, NO_TABLE + "dict"),
        (np.zeros((2, 2)), ConfigError, NO_TABLE + "ndarray"),
        (pd.Series([1]), ConfigError, NO_TABLE + "Series"),
        (pd.DataFrame([[1, 2]], columns=["a", "a"]), DataError, TWICE),
        (pd.DataFrame([[1, 2]], columns=[1, "1"]), DataError, "more than one column named '1'"),
        (pa.table([pa.array([1]), pa.array([2])], names=["a", "a"]), DataError, TWICE),
        (
            pl.LazyFrame({"a": [1]}).select("b"),
            DataError,
            r'table: the lazy frame cannot be collected: unable to find column "b"',
        ),
    ],
    ids=["none", "dict", "array", "series", "twice", "twice-as-text", "twice-arrow", "lazy"],
)
def test_what_is_no_table_is_refused(source: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        read_table(source)


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("t.csv", b"", r"valid: .*t\.csv is empty"),
        ("t.csv", b"a,b\n1,2\n1,2,3\n", r"t\.csv cannot be read: row 3 has 3 fields where the header has 2"),
        ("t.csv", b"a,b,a\n1,2,3\n", r"valid: .*t\.csv has more than one column named 'a'; rename"),
        ("t.csv", b"a,,\n1,2,3\n", r"t\.csv has more than one column named ''; rename"),
        (
            "t.csv.gz",
            gzip.compress(b"a,b\n1,2\n" * 99, mtime=0)[:-20],
            r"t\.csv\.gz cannot be unpacked: .*it may be cut short",
        ),
        ("t.parquet", b"", r"t\.parquet cannot be read: .*must contain a header"),
        ("t.parquet", b"PAR1 and nonsense", r"t\.parquet cannot be read: .*must end with PAR1"),
    ],
)
def test_a_bad_file_is_refused_with_its_name(name: str, content: bytes, message: str, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=message):
        read_table(file(tmp_path, name, content), "valid")


def test_a_parquet_file_cut_short_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "t.parquet"
    FRAME.write_parquet(path)
    path.write_bytes(path.read_bytes()[:-30])
    with pytest.raises(DataError, match=r"t\.parquet cannot be read"):
        read_table(path)


def test_a_file_that_is_not_there_and_a_folder_are_told_apart(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"table: there is no file .*none\.csv"):
        read_table(tmp_path / "none.csv")
    with pytest.raises(
        DataError, match=r"is a folder without tables; give a file, or a folder of Parquet or CSV parts"
    ):
        read_table(tmp_path)


def test_a_csv_file_of_a_header_alone_has_no_rows(tmp_path: Path) -> None:
    assert read_table(file(tmp_path, "t.csv", "a,b\n")).shape == (0, 2)


# ---- what goes back


@pytest.mark.parametrize(
    ("source", "kind"),
    [
        (pl.DataFrame({"a": [1, 2]}), pl.DataFrame),
        (pl.LazyFrame({"a": [1, 2]}), pl.DataFrame),
        (pa.table({"a": [1, 2]}), pa.Table),
        (Path("t.csv"), pl.DataFrame),
    ],
)
def test_answers_come_back_in_the_users_library(source: Any, kind: type) -> None:
    answer = to_source(pl.DataFrame({"prediction": ["x", "y"]}), source)
    assert isinstance(answer, kind)
    assert read_table(answer)["prediction"].to_list() == ["x", "y"]


def test_pandas_gets_its_own_index_back() -> None:
    answer = to_source(pl.DataFrame({"prediction": [1.5, 2.5]}), pd.DataFrame({"a": [1, 2]}, index=[7, 3]))
    pd.testing.assert_frame_equal(answer, pd.DataFrame({"prediction": [1.5, 2.5]}, index=[7, 3]))


@pytest.mark.parametrize("name", ["t.csv", "t.parquet"])
def test_a_written_table_is_read_back(name: str, tmp_path: Path) -> None:
    path = tmp_path / name
    path.write_text("an earlier one")
    write_table(FRAME, path)
    assert_frame_equal(read_table(path), FRAME)
    assert names(tmp_path) == [name]


def test_a_written_table_may_be_read_by_whom_the_umask_allows(tmp_path: Path) -> None:
    before = os.umask(0o022)
    try:
        write_table(FRAME, tmp_path / "t.csv")
    finally:
        os.umask(before)
    assert (tmp_path / "t.csv").stat().st_mode & 0o777 == 0o644


@pytest.mark.parametrize(
    ("place", "frame", "error", "message"),
    [
        ("t.txt", FRAME, ConfigError, r"t\.txt must end in \.csv or \.parquet, so that its format is known"),
        ("none/t.csv", FRAME, DataError, r"cannot write .*none is not a folder; give a folder that exists and is"),
        ("taken.csv/t.csv", FRAME, DataError, r"cannot write .*taken.csv is not a folder; give a folder that exists"),
        ("folder.csv", FRAME, DataError, r"cannot write .*folder\.csv: .*Is a directory"),
        (
            "t.csv",
            pl.DataFrame({"tags": [["a"]]}),
            DataError,
            r"cannot write .*t\.csv: column 'tags' contains lists, which CSV cannot represent; use \.parquet",
        ),
    ],
)
def test_a_place_that_cannot_be_written_is_refused_and_nothing_is_left(
    place: str, frame: pl.DataFrame, error: type[Exception], message: str, tmp_path: Path
) -> None:
    (tmp_path / "taken.csv").write_text("a\n1\n")
    (tmp_path / "folder.csv").mkdir()
    with pytest.raises(error, match=message):
        write_table(frame, tmp_path / place)
    assert names(tmp_path) == ["folder.csv", "taken.csv"]
    assert (tmp_path / "taken.csv").read_text() == "a\n1\n"


def test_a_failure_while_writing_leaves_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(self: pl.DataFrame, path: Path) -> None:
        Path(path).write_text("half a ta")
        raise OSError(28, "No space left on device")

    (tmp_path / "t.csv").write_text("whole")
    monkeypatch.setattr(pl.DataFrame, "write_csv", full)
    with pytest.raises(DataError, match=r"cannot write .*t\.csv: .*No space left on device"):
        write_table(FRAME, tmp_path / "t.csv")
    assert names(tmp_path) == ["t.csv"]
    assert (tmp_path / "t.csv").read_text() == "whole"


# ---- conditions


@pytest.mark.parametrize(
    ("condition", "fulfilled"),
    [
        ("Sales > 0", [False, True, False]),
        ("Sales IS NULL OR Type = 'a'", [True, False, True]),
        ("Date >= '2014-08-01'", [False, True, False]),
        ("Date >= '2014-08-01' AND Date <= '2014-09-17'", [False, True, False]),
        ("Date BETWEEN '2014-01-01' AND '2014-02-01'", [True, False, False]),
        ("Date >= DATE '2014-08-01'", [False, True, False]),
        ("Type LIKE 'a%' -- the first", [True, False, False]),
        ("TRUE", [True, True, True]),
    ],
)
def test_a_condition_picks_rows_and_unknown_counts_as_no(condition: str, fulfilled: list[bool]) -> None:
    assert matches(DAYS, condition).to_list() == fulfilled
    assert DAYS.filter(matches(DAYS, condition)).rows() == [
        row for row, kept in zip(DAYS.rows(), fulfilled, strict=True) if kept
    ]


@pytest.mark.parametrize(
    ("condition", "message"),
    [
        (
            "Sale > 0",
            r"valid_where is not a SQL condition .*'Sale > 0': unable to find column \"Sale\".*Sales, Date, Type",
        ),
        ("", r"valid_where is not a SQL condition on this table: ''"),
        ("Sales >", r"not a SQL condition on this table: 'Sales >'"),
        ("SELECT 1", r"not a SQL condition on this table: 'SELECT 1'"),
        ("Sales > 0; DROP TABLE x", r"not a SQL condition"),
        ("Sales > 0) OR (1 = 1", r"not a SQL condition"),
        ("Type > 0", r"not a SQL condition .*cannot compare string with numeric"),
        ("Date >= 'soon'", r"not a SQL condition .*cannot compare"),
        ("Sales", r"valid_where must be true or false for each row; 'Sales' gives Int64"),
        ("SUM(Sales) > 3", r"valid_where must have one value for each row; 'SUM\(Sales\) > 3' gives 1 for \d+ rows"),
    ],
)
def test_what_is_no_condition_is_refused(condition: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        matches(DAYS, condition, "valid_where")


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("sales", r"target: there is no column 'sales'; did you mean 'Sales'\?"),
        ("Typ", r"there is no column 'Typ'; did you mean 'Type'\?"),
        ("zzz", r"there is no column 'zzz'; there are: 'Sales', 'Date', 'Type'"),
        (0, r"there is no column 0; there are: 'Sales'"),
    ],
)
def test_a_missing_column_is_named_with_the_nearest(name: Any, message: str) -> None:
    with pytest.raises(DataError, match=message):
        check_columns(DAYS, ["Sales", name], "target")
