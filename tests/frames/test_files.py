"""Files of tables: archives, folders of parts, JSON lines, databases, open files."""

from __future__ import annotations

import bz2
import gzip
import io
import json
import lzma
import os
import sqlite3
import zipfile
from pathlib import Path
from typing import Any

import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from polars.testing import assert_frame_equal

from headstart import ConfigError, DataError, HeadstartWarning, Query, RatingsData, TabularData
from headstart.frames.door import read_table, row_in, values_of
from headstart.frames.rows import clean_text

FRAME = pl.DataFrame({"a": [1, 2, 3], "b": ["x", None, "z"], "c": [0.5, 1.5, None]})
CSV = FRAME.write_csv().encode()


def zipped(**members: bytes) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, content in members.items():
            archive.writestr(name.replace("_dot_", ".").replace("_in_", "/"), content)
    return buffer.getvalue()


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("t.csv.gz", gzip.compress(CSV)),
        ("t.csv.bz2", bz2.compress(CSV)),
        ("t.csv.xz", lzma.compress(CSV)),
        ("t.csv.zst", pa.compress(CSV, codec="zstd", asbytes=True)),
        ("t.zip", zipped(t_dot_csv=CSV, __MACOSX_in__dot__t_dot_csv=b"\x00", _dot_DS_Store=b"\x00")),
        ("t.csv.zip", zipped(t_dot_csv=CSV, README_dot_md=b"about")),
        ("t.txt", CSV),
        ("t", CSV),
        ("t.jsonl", FRAME.write_ndjson().encode()),
        ("t.ndjson.gz", gzip.compress(FRAME.write_ndjson().encode())),
        ("t.json", json.dumps(FRAME.to_dicts()).encode()),
        ("t.json", json.dumps({"data": FRAME.to_dicts()}).encode()),
    ],
    ids=lambda value: value if isinstance(value, str) else "",  # archives hold the time
)
def test_each_kind_of_file_gives_the_same_frame(name: str, content: bytes, tmp_path: Path) -> None:
    (tmp_path / name).write_bytes(content)
    assert_frame_equal(read_table(tmp_path / name), FRAME)
    assert_frame_equal(read_table(io.BytesIO(content)), FRAME)
    with (tmp_path / name).open("rb") as file:
        assert_frame_equal(read_table(file), FRAME)


def test_typed_files_are_known_by_their_first_bytes(tmp_path: Path) -> None:
    for write in (FRAME.write_parquet, FRAME.write_ipc):
        buffer = io.BytesIO()
        write(buffer)
        assert_frame_equal(read_table(io.BytesIO(buffer.getvalue())), FRAME)
        (tmp_path / "unnamed").write_bytes(buffer.getvalue())
        assert_frame_equal(read_table(tmp_path / "unnamed"), FRAME)
    assert_frame_equal(read_table(io.StringIO(CSV.decode())), FRAME)


def test_a_table_inside_an_archive_is_named_by_its_path(tmp_path: Path) -> None:
    (tmp_path / "k.zip").write_bytes(zipped(train_dot_csv=CSV, test_dot_csv=b"a\n1\n"))
    assert_frame_equal(read_table(f"{tmp_path}/k.zip/train.csv"), FRAME)
    with pytest.raises(DataError, match=r"k\.zip holds train\.csv, test\.csv; give the one to read"):
        read_table(tmp_path / "k.zip")
    with pytest.raises(DataError, match=r"t\.csv\.gz cannot be unpacked: .*cut short"):
        (tmp_path / "t.csv.gz").write_bytes(gzip.compress(CSV)[:-4])
        read_table(tmp_path / "t.csv.gz")


def test_a_folder_or_a_pattern_of_parts_is_one_table(tmp_path: Path) -> None:
    for year, rows in ((2020, FRAME[:2]), (2021, FRAME[2:].select("c", "b", "a"))):
        (tmp_path / f"year={year}").mkdir()
        rows.write_parquet(tmp_path / f"year={year}" / "part-0.parquet")
    (tmp_path / "_SUCCESS").touch()
    (tmp_path / ".part.crc").write_bytes(b"\x00")
    expected = FRAME.with_columns(year=pl.Series([2020, 2020, 2021]))
    assert_frame_equal(read_table(tmp_path), expected)
    assert_frame_equal(read_table(f"{tmp_path}/year=*/*.parquet"), expected)
    assert read_table(tmp_path / "year=2021").shape == (1, 3)


def test_the_parts_of_a_csv_are_of_one_type(tmp_path: Path) -> None:
    (tmp_path / "1.csv").write_text("code,x\n01,1\n")
    (tmp_path / "2.csv").write_text("code,x\nA1,2.5\n")
    assert read_table(tmp_path).rows() == [("01", 1.0), ("A1", 2.5)]
    (tmp_path / "3.csv").write_text("code,y\nA1,2.5\n")
    with pytest.raises(DataError, match=r"3\.csv and .*1\.csv have not the same columns: only one of them has 'x'"):
        read_table(tmp_path)
    FRAME.write_parquet(tmp_path / "4.parquet")
    with pytest.raises(DataError, match=r"is a folder of \.csv and \.parquet files; give one of them"):
        read_table(tmp_path)
    with pytest.raises(DataError, match="no file matches"):
        read_table(tmp_path / "*.tsv")


def test_rows_as_dictionaries_are_a_table() -> None:
    read = read_table([{"a": 1, "b": "x"}, {"a": 2.5, "c": True}])
    assert read.to_dict(as_series=False) == {"a": [1.0, 2.5], "b": ["x", None], "c": [None, True]}
    with pytest.raises(DataError, match="row 2 is no dictionary"):
        read_table(io.BytesIO(b'{"a": "\\ud83d"}\n[1]'))


def test_half_an_emoji_becomes_the_replacement_character(tmp_path: Path) -> None:
    assert clean_text("bad \ud83d") == "bad \ufffd" and clean_text("\ud83d\ude00 fine") == "😀 fine"
    (tmp_path / "t.jsonl").write_text('{"t": "bad \\ud83d"}\n{"t": "\\ud83d\\ude00"}\n')
    assert read_table(tmp_path / "t.jsonl")["t"].to_list() == ["bad \ufffd", "😀"]
    assert read_table(pd.DataFrame({"t": ["bad \ud83d"], "x": [1]}, dtype=object)).rows() == [("bad \ufffd", 1)]


@pytest.fixture
def shop(tmp_path: Path) -> Path:
    path = tmp_path / "shop.db"
    connection = sqlite3.connect(path)
    connection.execute("CREATE TABLE orders (id INTEGER, price REAL, city TEXT)")
    connection.executemany("INSERT INTO orders VALUES (?, ?, ?)", [(1, 2.5, "Köln"), (2, None, None)])
    connection.commit()
    connection.close()
    return path


def test_a_query_on_a_database_is_a_table(shop: Path) -> None:
    rows = [(1, 2.5, "Köln"), (2, None, None)]
    for database in (shop, str(shop), f"sqlite:///{shop}", sqlite3.connect(shop)):
        assert read_table(Query(database, "SELECT * FROM orders ORDER BY id")).rows() == rows
    assert read_table(shop).rows() == rows
    assert read_table(f"{shop}/orders").rows() == rows


@pytest.mark.parametrize(
    ("sql", "error", "message"),
    [
        ("SELECT * FROM nothing", DataError, r"the query on .*shop\.db failed: .*nothing"),
        ("DELETE FROM orders", DataError, r"the query on .*shop\.db failed"),
    ],
)
def test_a_query_that_fails_is_refused(sql: str, error: type[Exception], message: str, shop: Path) -> None:
    with pytest.raises(error, match=message):
        read_table(Query(shop, sql))
    assert len(read_table(shop)) == 2


def test_another_database_needs_the_extra_and_its_password_is_not_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(*_: Any, **__: Any) -> None:
        raise ImportError

    monkeypatch.setattr(pl, "read_database_uri", missing)
    with pytest.raises(ConfigError, match=r"postgresql://\.\.\.@host/shop needs the package connectorx") as error:
        read_table(Query("postgresql://me:secret@host/shop", "SELECT 1"))
    assert "secret" not in str(error.value)
    with pytest.raises(DataError, match="there is no database"):
        read_table(Query("sqlite:///none.db", "SELECT 1"))
    with pytest.raises(DataError, match="is no path: give a query as well"):
        read_table("postgresql://host/shop")


def test_the_home_folder_is_meant_by_a_tilde(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / "t.csv").write_bytes(CSV)
    assert_frame_equal(read_table("~/t.csv"), FRAME)


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("t.png", b"\x89PNG", r"t\.png ends in \.png, which is no table"),
        ("t.pkl", b"\x80\x04", r"t\.pkl ends in \.pkl"),
        ("t.json", b"3", "must be a JSON list of rows"),
        ("t.json", b"[1", "neither a JSON list of rows nor JSON lines"),
        ("t.jsonl", b'{"a": 1}\n{"a": ', "line 2 is not JSON"),
        ("t.zip", b"PK\x03\x04", r"t\.zip cannot be unpacked"),
    ],
)
def test_what_is_no_table_is_refused(name: str, content: bytes, message: str, tmp_path: Path) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(DataError, match=message):
        read_table(tmp_path / name)


def test_a_workbook_needs_the_extra_or_is_read(tmp_path: Path) -> None:
    fastexcel = pytest.importorskip("fastexcel")
    openpyxl = pytest.importorskip("openpyxl")
    assert fastexcel is not None
    book = openpyxl.Workbook()
    book.active.append(["a", "b"])
    book.active.append([1, "x"])
    book.create_sheet("second").append(["c"])
    book["second"].append([2.5])
    book.save(tmp_path / "b.xlsx")
    assert read_table(tmp_path / "b.xlsx").rows() == [(1, "x")]
    assert read_table(f"{tmp_path}/b.xlsx/second").rows() == [(2.5,)]
    with pytest.raises(DataError, match="there is no sheet 'third'; there are: Sheet, second"):
        read_table(f"{tmp_path}/b.xlsx/third")


# ---- pandas


def test_a_column_of_several_types_stops_only_what_uses_it() -> None:
    frame = pd.DataFrame({"mixed": [1, "x"] * 20, "x": range(40), "y": [0.5, 1.5] * 20})
    data = TabularData.from_table(frame, "y", exclude=["mixed"])
    assert data.codec.columns == ("x",)
    with pytest.warns(
        HeadstartWarning, match=r"column 'mixed' is not used: holds values of several types \(int, str\)"
    ):
        TabularData.from_table(frame, "y")
    with pytest.raises(DataError, match=r"column 'mixed' holds values of several types \(int, str\); make them one"):
        TabularData.from_table(frame, "y", categorical=["mixed"])
    with pytest.raises(DataError, match=r"column 'mixed' holds values of several types"):
        TabularData.from_table(frame, "mixed")
    with pytest.raises(DataError, match=r"column 'mixed' holds values of several types"):
        RatingsData.from_table(frame, "mixed", "x")


def test_sparse_columns_are_read_dense() -> None:
    dense = pd.DataFrame({"kind_a": [1, 0], "kind_b": [0, 1], "x": [0.5, 1.5]})
    sparse = dense.astype({"kind_a": "Sparse[int]", "kind_b": "Sparse[int]"})
    assert read_table(sparse).rows() == [(1, 0, 0.5), (0, 1, 1.5)]


def test_columns_of_several_levels_are_refused_with_the_way_out() -> None:
    frame = pd.DataFrame([[1, 2]], columns=pd.MultiIndex.from_tuples([("a", "x"), ("b", "y")]))
    with pytest.raises(DataError, match=r"the columns have 2 levels \(a MultiIndex\).*'_'\.join"):
        read_table(frame)


def test_a_row_and_a_column_of_pandas_are_told_apart() -> None:
    frame = pd.DataFrame({"a": [1, 2], "b": ["x", "y"]})
    assert row_in(frame.iloc[0]) == {"a": 1, "b": "x"} and row_in(frame) is None and row_in({"a": 1}) is None
    assert values_of(frame["b"]) == ["x", "y"] and values_of(pl.Series([1])) == [1] and values_of(frame) is None
    assert values_of("text") is None and values_of(os) is None
