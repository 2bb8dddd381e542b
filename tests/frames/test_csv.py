"""CSV files as people have them: what is found by a look, and what can be given instead."""

from __future__ import annotations

import datetime
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from headstart import ConfigError, CsvOptions, DataError, HeadstartWarning
from headstart.frames.csv import look_at
from headstart.frames.door import open_table, read_table

PLAIN = "name,price,count\nStuhl,1234.5,3\nTisch,99,1\n"


def file(folder: Path, content: str | bytes, name: str = "t.csv") -> Path:
    path = folder / name
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


@pytest.mark.parametrize(
    ("content", "told"),
    [
        ("name;price;count\nStuhl;1234.5;3\nTisch;99;1\n", "separator ';'"),
        ("name;price;count\nStuhl;1.234,5;3\nTisch;99,0;1\n", "separator ';'; decimal comma"),
        ("name;price;count\r\nStuhl;1234,5;3\r\nTisch;99;1\r\n", "separator ';'; decimal comma"),
        ("name\tprice\tcount\nStuhl\t1234.5\t3\nTisch\t99\t1\n", "separator a tab"),
        ("name|price|count\nStuhl|1234.5|3\nTisch|99|1\n", r"separator '\|'"),
        ("name::price::count\nStuhl::1234.5::3\nTisch::99::1\n", "separator '::'"),
        ("\ufeffname;price;count\nStuhl;1234.5;3\nTisch;99;1\n", "separator ';'"),
        (PLAIN.encode("utf-16"), "encoding utf-16"),
        (PLAIN.encode("utf-16-le"), "encoding utf-16-le"),
        (PLAIN.encode("utf-32"), "encoding utf-32"),
    ],
)
def test_a_dialect_is_found_by_a_look_and_told_in_one_line(content: str | bytes, told: str, tmp_path: Path) -> None:
    with pytest.warns(HeadstartWarning, match=rf"t\.csv was read with {told}; if that is wrong.*csv=CsvOptions\("):
        read = read_table(file(tmp_path, content))
    assert read.rows() == [("Stuhl", 1234.5, 3), ("Tisch", 99.0, 1)]
    assert read.columns == ["name", "price", "count"]


@pytest.mark.parametrize(
    "content",
    [
        PLAIN,
        PLAIN.replace("\n", "\r\n"),
        PLAIN.replace("\n", "\r"),
        PLAIN.replace("\n", "\n\n"),
        PLAIN.replace("\n", "\r\n \t\r\n") + "\r\n\r\n",
        "\n\n" + PLAIN,
        "sep=;\n" + PLAIN.replace(",", ";"),
        "\ufeff" + PLAIN,
        PLAIN.rstrip("\n"),
    ],
)
def test_line_ends_blank_lines_and_marks_are_read_in_silence(content: str, tmp_path: Path) -> None:
    assert read_table(file(tmp_path, content)).rows() == [("Stuhl", 1234.5, 3), ("Tisch", 99.0, 1)]


def test_what_is_given_is_used_without_a_word(tmp_path: Path) -> None:
    german = file(tmp_path, "name;price\nKöln;1,5\n".encode("latin-1"))
    options = CsvOptions(separator=";", decimal=",", encoding="latin-1")
    assert read_table(german, csv=options).rows() == [("Köln", 1.5)]
    assert read_table(german, csv=CsvOptions(separator=";", decimal=".", encoding="latin-1")).rows() == [
        ("Köln", "1,5")
    ]


@pytest.mark.parametrize(
    ("encoding", "words", "told"),
    [
        ("cp1252", ["Köln", "Zürich", "Genève"], "cp1252"),
        ("latin-1", ["España"], "cp1252"),
        ("cp1251", ["Москва", "Санкт-Петербург", "Казань", "Новосибирск"], "cp1251"),
        ("shift_jis", ["東京", "大阪"], "cp932"),
        ("gbk", ["北京", "上海", "广州", "深圳"], "gb18030"),
    ],
)
def test_letters_of_older_encodings_are_read(encoding: str, words: list[str], told: str, tmp_path: Path) -> None:
    content = "city,number\n" + "".join(f"{words[i % len(words)]},{i}\n" for i in range(60))
    with pytest.warns(HeadstartWarning, match=f"encoding {told};"):
        read = read_table(file(tmp_path, content.encode(encoding)))
    assert read["city"].to_list() == [words[i % len(words)] for i in range(60)]


def test_a_letter_that_only_a_late_line_shows_is_read(tmp_path: Path) -> None:
    content = "a,b\n" + "1,x\n" * 400_000 + "2,Köln\n"
    with pytest.warns(HeadstartWarning, match="encoding cp1252"):
        read = read_table(file(tmp_path, content.encode("cp1252")))
    assert read.row(-1) == (2, "Köln")


def test_a_quoted_field_keeps_its_blank_lines_and_separators(tmp_path: Path) -> None:
    content = 'id,text\n1,"first\n\nsecond, ""quoted"""\n\n2,"\n"\n'
    assert read_table(file(tmp_path, content)).rows() == [(1, 'first\n\nsecond, "quoted"'), (2, "\n")]


@pytest.mark.parametrize(
    ("content", "names"),
    [
        ("196\t242\t3\t881250949\n186\t302\t3\t891717742\n", ["user", "item", "column_3", "column_4"]),
        ("1,a,2.5\n2,b,3.5\n", ["user", "item", "column_3"]),
        ("2020-01-01,3\n2020-01-02,4\n", ["user", "item"]),
    ],
)
def test_a_file_without_a_header_keeps_its_first_row(content: str, names: list[str], tmp_path: Path) -> None:
    with pytest.warns(HeadstartWarning, match=f"no header, so the columns are {', '.join(names)}"):
        read = read_table(file(tmp_path, content), columns=["user", "item"])
    assert read.columns == names and len(read) == 2


@pytest.mark.parametrize(
    "content",
    ["0,1,2\n1.5,2.5,a\n", "2019,2020,2021\n1,2,3\n", "id,x\n1,2\n", "a,b\nc,d\n", "a,b\n"],
)
def test_names_that_are_numbers_or_texts_are_a_header(content: str, tmp_path: Path) -> None:
    assert read_table(file(tmp_path, content)).columns == content.split("\n")[0].split(",")


def test_names_and_header_can_be_given(tmp_path: Path) -> None:
    path = file(tmp_path, "a,b\nc,d\n")
    assert read_table(path, csv=CsvOptions(header=False)).rows() == [("a", "b"), ("c", "d")]
    read = read_table(path, csv=CsvOptions(names=("x", "y")))
    assert (read.columns, read.rows()) == (["x", "y"], [("a", "b"), ("c", "d")])
    titled = file(tmp_path, "Report, 2020\n\na,b\nc,d\n")
    assert read_table(titled, csv=CsvOptions(skip=2)).rows() == [("c", "d")]


def test_a_marker_is_missing_among_numbers_and_a_text_among_texts(tmp_path: Path) -> None:
    path = file(tmp_path, "country,text,y,day\nNA,null,NA,2020-01-01\nDE,fine,2,nan\n,,3,2020-01-03\n")
    with pytest.warns(HeadstartWarning, match=r"'NA' in column 'country' and 1 more is read as a text"):
        read = read_table(path)
    days = [datetime.date(2020, 1, 1), None, datetime.date(2020, 1, 3)]
    assert read.to_dict(as_series=False) == {
        "country": ["NA", "DE", None], "text": ["null", "fine", None], "y": [None, 2, 3], "day": days,
    }  # fmt: skip
    read = read_table(path, csv=CsvOptions(null_values=("NA", "nan")))
    assert read["country"].to_list() == [None, "DE", None] and read["text"][0] == "null" and read["y"][0] is None
    assert read_table(path, csv=CsvOptions(null_values=()))["y"].to_list() == ["NA", "2", "3"]


def test_the_texts_as_they_are_written_stay_at_hand(tmp_path: Path) -> None:
    opened = open_table(
        file(tmp_path, "a;b\n007;1.234,50\n?;2,00\n"),
        csv=CsvOptions(separator=";", decimal=",", null_values=("?",)),
    )
    assert opened.unread.rows() == [("007", "1.234,50"), ("?", "2,00")]
    assert opened.frame.rows() == [("007", 1234.5), (None, 2.0)]


def test_one_column_of_odd_times_stops_nothing(tmp_path: Path) -> None:
    read = read_table(file(tmp_path, "opens,x\n10:00,1\n11:30:00,2\n"))
    assert read.rows() == [("10:00", 1), ("11:30:00", 2)]


@pytest.mark.parametrize(
    ("content", "options", "error", "message"),
    [
        ("a,b\n1,2\n1,2,3\n", {}, DataError, r"row 3 has 3 fields where the header has 2, with the separator ','"),
        ("", {}, DataError, r"t\.csv is empty"),
        ("a,b\n1\n", {"names": ("x", "y", "z")}, ConfigError, r"names= gives 3 columns, but .*t\.csv has 2"),
        (b"a,b\n\xff\xfe,2\n", {"encoding": "utf-8"}, DataError, r"t\.csv is not utf-8 .*encoding='latin-1'"),
    ],
)
def test_what_cannot_be_read_is_refused_with_advice(
    content: str | bytes, options: dict[str, Any], error: type[Exception], message: str, tmp_path: Path
) -> None:
    with pytest.raises(error, match=message):
        read_table(file(tmp_path, content), csv=CsvOptions(**options))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"separator": ""}, "separator must be one character or several"),
        ({"separator": ",", "decimal": ","}, "cannot be both separator and decimal mark"),
        ({"encoding": "klingon"}, "encoding must be one that Python knows"),
        ({"names": ("a",), "header": True}, "names= is for a file without a header"),
        ({"skip": -1}, "skip must be a whole number"),
    ],
)
def test_options_that_cannot_be_are_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        CsvOptions(**options)


def test_later_files_are_read_by_the_training_file_as_far_as_it_fits(tmp_path: Path) -> None:
    later = CsvOptions(separator=";", encoding="cp1250", names=("a", "b"), null_values=("?",), strict=False)
    dialect = look_at("a,b\nŁódź,2\n".encode(), later)
    assert (dialect.separator, dialect.encoding, dialect.header, dialect.names) == (",", "utf-8", True, ("a", "b"))
    dialect = look_at("Łódź;2\n".encode("cp1250"), later)
    assert (dialect.separator, dialect.encoding, dialect.header, dialect.names) == (";", "cp1250", False, ("a", "b"))


def test_a_tab_may_be_named() -> None:
    assert CsvOptions(separator="tab").separator == CsvOptions(separator="\\t").separator == "\t"


def test_a_clean_file_is_read_in_silence_whatever_its_texts_hold(tmp_path: Path) -> None:
    frame = pl.DataFrame({"id": [1, 2], "text": ["a; b; c", "d | e :: f"], "x": [0.5, None]})
    path = tmp_path / "t.csv"
    frame.write_csv(path)
    assert read_table(path).equals(frame)
