"""Which columns are what: each rule, each exception by name, and the reason that is kept."""

from __future__ import annotations

import datetime
from collections.abc import Callable, Iterable
from decimal import Decimal
from typing import Any

import numpy as np
import polars as pl
import pytest

from headstart.core.errors import ConfigError, DataError
from headstart.tabular.columns import SortedColumns, sort_columns

ROWS = 400


def column(values: Any, dtype: Any = None) -> pl.Series:
    """The values over and over, ``ROWS`` in all."""
    values = list(values)
    return pl.Series("x", (values * ROWS)[:ROWS], dtype=dtype)


OWN_VALUES = "text of which most rows have their own value (201 of 400)"


def sort(values: pl.Series, **named: Any) -> SortedColumns:
    """Beside a column that is always used, so that leaving ``x`` out is no error."""
    return sort_columns(pl.DataFrame({"x": values, "other": pl.Series(range(ROWS)) / 7}), **named)


@pytest.mark.parametrize(
    ("values", "place", "reason"),
    [
        (column(["a", "b"]), "categorical", "text with 2 values"),
        (column(["a", None]), "categorical", "text with 1 values"),
        (column(["a", "b"], pl.Categorical), "categorical", "text with 2 values"),
        (column(["a", "b"], pl.Enum(["b", "a", "c"])), "categorical", "text with 2 values"),
        (column([True, False, None]), "categorical", "true or false"),
        (column([1, -2]), "continuous", "whole numbers with 2 values"),
        (column(range(25)), "continuous", "whole numbers with 25 values"),
        (column(range(2011, 2015)), "continuous", "whole numbers with 4 values"),
        (column(range(ROWS)), "continuous", "whole numbers with 400 values (each row its own)"),
        (column([2**64 - 1, 2**64 - 2], pl.UInt64), "continuous", "whole numbers with 2 values"),
        (column([0.5, 1.5]), "continuous", "floating-point numbers"),
        (column([1.0, None]), "continuous", "floating-point numbers"),
        (column([Decimal("1.5"), Decimal("2")]), "continuous", "floating-point numbers"),
        (column([datetime.date(2015, 1, 1)]), "dates", "dates"),
        (column([datetime.datetime(2015, 1, 1), None]), "dates", "dates with a time of day"),
        (column([None]), "left_out", "no values in the training rows"),
        (column([None], pl.Int64), "left_out", "no values in the training rows"),
        (column([float("nan"), None]), "left_out", "no values in the training rows"),
        (column([3]), "left_out", "the same value (3) in all training rows"),
        (column(["a"]), "left_out", "the same value ('a') in all training rows"),
        (column([False]), "left_out", "the same value (False) in all training rows"),
        (column(str(number) for number in range(201)), "left_out", OWN_VALUES),
        (column(str(number) for number in range(200)), "categorical", "text with 200 values"),
        (column([[1, 2]]), "left_out", "holds List(Int64); convert it to use it"),
        (column([{"a": 1}]), "left_out", "holds Struct({'a': Int64}); convert it to use it"),
        (column([datetime.time(5)]), "left_out", "holds Time; convert it to use it"),
        (column([datetime.timedelta(5)]), "left_out", "holds Duration(time_unit='us'); convert it to use it"),
        (column([b"a", b"b"]), "left_out", "holds Binary; convert it to use it"),
        (column([object()], pl.Object), "left_out", "holds values of the type object; convert it to use it"),
    ],
)  # fmt: skip
def test_a_column_is_placed_by_its_values_and_the_reason_kept(values: pl.Series, place: str, reason: str) -> None:
    found = sort(values)
    assert getattr(found, place)["x"] == reason
    places = [found.categorical, found.continuous, found.dates, found.left_out]
    assert sum("x" in one for one in places) == 1


@pytest.mark.parametrize("values", [[1, 2, 3], [1, 2, 3, None], range(-8, 8), [1990, 2000, 10_000]])
def test_few_whole_numbers_are_categories_beside(values: Iterable[int | None]) -> None:
    found = sort(column(values))
    known = len({value for value in values if value is not None})
    assert found.continuous["x"] == f"whole numbers with {known} values"
    assert found.categorical["x"] == f"whole numbers with {known} values, few enough to learn each"
    rare = sort_columns(pl.DataFrame({"x": [*range(24), *range(24)]}))
    assert not rare.categorical, "two rows of each say too little"


def test_few_rows_with_few_texts_are_categorical() -> None:
    assert "x" in sort_columns(pl.DataFrame({"x": ["a", "b", "c"]})).categorical


def test_whole_numbers_that_name_something_are_categories_beside() -> None:
    random = np.random.default_rng(0)
    shop, year = random.integers(1, 201, 20_000), random.integers(1990, 2020, 20_000)
    level = random.normal(size=201)
    frame = pl.DataFrame({"shop": shop, "float": shop.astype(float), "year": year})
    sales = level[shop] + (year - 2000) / 10 + random.normal(size=20_000)
    found = sort_columns(frame, targets=sales[:, None].astype(np.float32))
    assert found.continuous == {
        "shop": "whole numbers with 200 values",
        "float": "floating-point numbers",
        "year": "whole numbers with 30 values",
    }
    assert found.categorical == {
        "shop": "whole numbers with 200 values that name something: the target differs from one to the next",
        "float": "floating-point numbers that name something: the target differs from one to the next",
    }
    noise = random.normal(size=(20_000, 2)).astype(np.float32)
    assert sort_columns(frame, targets=noise).categorical == {}
    rare = sort_columns(frame[:2_000], targets=sales[:2_000, None].astype(np.float32))
    assert rare.categorical == {}, "ten rows of each say too little"
    assert sort_columns(frame).categorical == {}, "without a target nothing tells"


@pytest.mark.parametrize("missing", [False, True])
def test_names_are_found_by_any_of_several_targets_and_with_missing_values(missing: bool) -> None:
    random = np.random.default_rng(1)
    code = random.integers(0, 60, 6_000)
    values = pl.Series("code", code.astype(float))
    values = values.scatter(np.arange(500), None) if missing else values
    targets = np.stack([random.normal(size=6_000), np.sin(code * 9.0) * 3], 1).astype(np.float32)
    assert list(sort_columns(values.to_frame(), targets=targets).categorical) == ["code"]


def test_a_name_overrides_the_rules_and_the_tables_order_is_kept() -> None:
    frame = pl.DataFrame({"a": [1, 2], "b": [0.5, 1.5], "c": ["x", "y"], "d": [1, 1], "e": [True, False]})
    found = sort_columns(frame, categorical=["d", "a"], continuous=["e"], exclude=["c"])
    assert found == SortedColumns(
        categorical={"a": "named categorical", "d": "named categorical"},
        continuous={"b": "floating-point numbers", "e": "named continuous"},
        dates={},
        left_out={"c": "excluded"},
        named=frozenset("acde"),
    )
    assert list(found.categorical) == ["a", "d"]


TABLE = pl.DataFrame(
    {
        "number": [1, 2],
        "text": ["a", "b"],
        "list": [[1], [2]],
        "date": [datetime.date(2015, 1, 1)] * 2,
        "none": pl.Series([None, None], dtype=pl.Float64),
        "same": [7, 7],
    }
)


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (
            lambda: sort_columns(TABLE, categorical=["Number"]),
            DataError,
            r"categorical, continuous, dates and exclude: there is no column 'Number'; did you mean 'number'\?",
        ),
        (lambda: sort_columns(TABLE, exclude=["shop"]), DataError, r"there is no column 'shop'; there are: 'number'"),
        (lambda: sort_columns(TABLE, categorical=[3]), DataError, r"there is no column 3; there are: 'number'"),
        (lambda: sort_columns(TABLE, continuous=["text"]), DataError, r"'text' cannot be continuous: expected numbers, but got the text 'a' in row 1"),
        (lambda: sort_columns(TABLE, continuous=["list"]), DataError, r"'list' cannot be continuous: it holds List"),
        (lambda: sort_columns(TABLE, continuous=["date"]), DataError, r"'date' cannot be continuous: it holds Date"),
        (lambda: sort_columns(TABLE, continuous=["none"]), DataError, r"'none' cannot be continuous: it has no values"),
        (
            lambda: sort_columns(TABLE, categorical=["number"], continuous=["number"]),
            ConfigError,
            r"column 'number' is named in two of categorical, continuous, dates and exclude",
        ),
        (
            lambda: sort_columns(TABLE, categorical=["text"], exclude=["text"]),
            ConfigError,
            r"column 'text' is named in two of",
        ),
        (
            lambda: sort_columns(TABLE, categorical="text"),
            ConfigError,
            r"categorical must be a list of columns; got the text 'text': write \['text'\]",
        ),
        (
            lambda: sort_columns(TABLE.select("same", "list")),
            DataError,
            r"no column is left to learn from \('same': the same value \(7\) in all training rows; 'list': holds List",
        ),
        (lambda: sort_columns(pl.DataFrame()), DataError, r"no column is left .*\(the target is the only one\)"),
        (
            lambda: sort_columns(TABLE.select("number", "text").head(1)),
            DataError,
            r"no column is left .*'number': the same value \(1\).*'text': the same value \('a'\)",
        ),
    ],
)  # fmt: skip
def test_columns_that_cannot_be_what_they_are_named_are_refused(
    make: Callable[[], Any], error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        make()
