"""Vocabularies: what a category's id is, for columns and for single values alike."""

from __future__ import annotations

import datetime
import json
from decimal import Decimal
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from headstart.core.errors import DataError
from headstart.core.values import from_json, to_json
from headstart.frames.categories import Categories, kind_of

VALUES = {
    "text": st.text(min_size=1, max_size=3),
    "integer": st.integers(-(2**63), 2**63 - 1),
    "boolean": st.booleans(),
}
LISTS = {kind: st.lists(st.none() | values, max_size=12) for kind, values in VALUES.items()}
COLUMNS = st.sampled_from(sorted(VALUES)).flatmap(lambda kind: LISTS[kind])
TWO_OF_A_KIND = st.sampled_from(sorted(VALUES)).flatmap(lambda kind: st.tuples(LISTS[kind], LISTS[kind]))
ANYTHING = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-5, 5),
    st.integers(-(2**70), 2**70),
    st.floats(),
    st.integers(-5, 5).map(float),
    st.decimals(-5, 5, places=1),
    st.text(max_size=3),
    st.sampled_from(["1", "+1", "01", " 1", "1.0", "1e0", "-0", "true", "TRUE", "False", "0", "b", "2", "nan", ""]),
    st.dates(),
)
VOCABS = [
    Categories("text", ("1", "b", "true")),
    Categories("integer", (-1, 0, 1)),
    Categories("boolean", (False, True)),
]
NAMES = Categories("text", ("a", "b"))


@given(COLUMNS)
def test_known_values_have_the_ids_from_1_in_sorted_order_and_missing_ones_0(values: list[Any]) -> None:
    vocab = Categories.fit(pl.Series("x", values))
    known = sorted({value for value in values if value is not None})
    assert vocab.values == tuple(known)
    assert len(vocab) == len(known) + 1
    ids = vocab.encode(pl.Series("x", values))
    assert ids.dtype == np.int32
    assert ids.tolist() == [0 if value is None else known.index(value) + 1 for value in values]


@given(TWO_OF_A_KIND)
def test_what_training_did_not_have_is_0(columns: tuple[list[Any], list[Any]]) -> None:
    trained, seen = columns
    ids = Categories.fit(pl.Series("x", trained)).encode(pl.Series("x", seen))
    assert (ids > 0).tolist() == [value is not None and value in trained for value in seen]


@given(COLUMNS)
def test_decoding_undoes_encoding(values: list[Any]) -> None:
    column = pl.Series("x", values)
    vocab = Categories.fit(column)
    assert vocab.decode(vocab.encode(column)).to_list() == values


@given(COLUMNS)
def test_a_vocabulary_survives_json(values: list[Any]) -> None:
    vocab = Categories.fit(pl.Series("x", values))
    again = from_json(Categories, json.loads(json.dumps(to_json(vocab))))
    assert again == vocab
    assert [type(value) for value in again.values] == [type(value) for value in vocab.values]


@pytest.mark.parametrize("vocab", VOCABS, ids=lambda vocab: vocab.kind)
@settings(max_examples=200)
@given(value=ANYTHING)
def test_one_value_is_encoded_as_a_column_of_it(vocab: Categories, value: Any) -> None:
    def outcome(encode: Any) -> Any:
        try:
            return int(encode())
        except DataError:
            return "refused"

    column = pl.Series("x", [value])
    assert outcome(lambda: vocab.encode_one(value, "x")) == outcome(lambda: vocab.encode(column)[0])


@pytest.mark.parametrize(
    ("vocab", "values", "ids"),
    [
        (VOCABS[1], pl.Series([1.0, -1.0, float("nan"), None]), [3, 1, 0, 0]),
        (VOCABS[1], pl.Series(["1", "+1", "00", "7", None]), [3, 3, 2, 0, 0]),
        (VOCABS[1], pl.Series([True, False]), [3, 2]),
        (VOCABS[1], pl.Series([Decimal("1.0"), None]), [3, 0]),
        (VOCABS[1], pl.Series([2**64 - 1, 1], dtype=pl.UInt64), [0, 3]),
        (VOCABS[1], pl.Series([2**100, 1], dtype=pl.Int128), [0, 3]),
        (VOCABS[0], pl.Series([1, 2]), [1, 0]),
        (VOCABS[0], pl.Series([1.0, 2.0]), [1, 0]),
        (VOCABS[0], pl.Series([True, False]), [3, 0]),
        (VOCABS[0], pl.Series(["b", "1", None, "z"], dtype=pl.Categorical), [2, 1, 0, 0]),
        (VOCABS[0], pl.Series(["b", "1", None], dtype=pl.Enum(["b", "a", "1"])), [2, 1, 0]),
        (VOCABS[2], pl.Series(["TRUE", "false", "0", None]), [2, 1, 1, 0]),
        (VOCABS[2], pl.Series([1, 0, None]), [2, 1, 0]),
        (VOCABS[2], pl.Series([1.0, 0.0, float("nan")]), [2, 1, 0]),
        (VOCABS[2], pl.Series([None, None]), [0, 0]),
        (VOCABS[0], pl.Series([], dtype=pl.String), []),
        (Categories("text", ()), pl.Series(["a", None]), [0, 0]),
    ],
)
def test_a_column_may_change_its_type_without_changing_its_meaning(
    vocab: Categories, values: pl.Series, ids: list[int]
) -> None:
    assert vocab.encode(values).tolist() == ids


@pytest.mark.parametrize("value", [None, float("nan"), np.float32("nan"), pd.NA, pd.NaT, np.datetime64("NaT")])
@pytest.mark.parametrize("vocab", VOCABS, ids=lambda vocab: vocab.kind)
def test_every_way_to_say_missing_is_0(vocab: Categories, value: Any) -> None:
    assert vocab.encode_one(value, "x") == 0


@pytest.mark.parametrize(
    ("value", "number"), [(np.int8(1), 3), (np.float64(-1.0), 1), (np.bool_(True), 3), (np.str_("0"), 2)]
)
def test_numpys_scalars_count_as_pythons(value: Any, number: int) -> None:
    assert VOCABS[1].encode_one(value, "x") == number


@pytest.mark.parametrize(
    ("values", "kind"),
    [
        (pl.Series(["a"]), "text"),
        (pl.Series([None]), "text"),
        (pl.Series([1, None]), "integer"),
        (pl.Series([2**63 - 1], dtype=pl.UInt64), "integer"),
        (pl.Series([2**63], dtype=pl.UInt64), "text"),
        (pl.Series([1.0, float("nan"), None]), "integer"),
        (pl.Series([Decimal("2.00")]), "integer"),
        (pl.Series([True]), "boolean"),
    ],
)
def test_the_kind_follows_the_values(values: pl.Series, kind: str) -> None:
    assert kind_of(values) == kind


def test_numbers_too_long_for_64_bits_are_told_apart_as_text() -> None:
    column = pl.Series("hash", [2**64 - 1, 2**64 - 2, None], dtype=pl.UInt64)
    vocab = Categories.fit(column)
    assert vocab.values == ("18446744073709551614", "18446744073709551615")
    assert vocab.encode(column).tolist() == [2, 1, 0]
    assert vocab.encode_one(2**64 - 1, "hash") == 2


@pytest.mark.parametrize(
    ("vocab", "value", "message"),
    [
        (
            NAMES,
            1.5,
            r"column 'x': expected text, as in the training rows, but got the value 1\.5( in row 1)?; convert it",
        ),
        (NAMES, float("inf"), r"expected text.* but got the value inf"),
        (VOCABS[1], "many", r"column 'x': expected whole numbers, .* but got the value 'many'( in row 1)?; convert it"),
        (VOCABS[1], 0.5, r"expected whole numbers, .* but got the value 0\.5"),
        (VOCABS[1], 1e300, r"expected whole numbers, .* but got the value 1e\+300"),
        (VOCABS[2], "yes", r"column 'x': expected true or false, .* but got the value 'yes'"),
        (VOCABS[2], 2, r"expected true or false, .* but got the value 2"),
    ],
)
def test_a_value_of_another_kind_is_named(vocab: Categories, value: Any, message: str) -> None:
    with pytest.raises(DataError, match=message):
        vocab.encode(pl.Series("x", [value]))
    with pytest.raises(DataError, match=message):
        vocab.encode_one(value, "x")


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ([0.5, 1.0], r"column 'x' cannot be categorical: it holds Float64; fractions are not categories: make it cont"),
        ([datetime.time(5)], r"'x' cannot be categorical: it holds Time; leave it out or convert it"),
        ([[1, 2]], r"'x' cannot be categorical: it holds List\(Int64\); leave it out or convert it"),
    ],
)
def test_what_is_no_name_cannot_be_a_category(values: list[Any], message: str) -> None:
    with pytest.raises(DataError, match=message):
        Categories.fit(pl.Series("x", values))


@pytest.mark.parametrize("value", [datetime.time(5), [1], b"a"])
def test_a_column_of_another_type_is_refused_with_its_type(value: Any) -> None:
    with pytest.raises(DataError, match=r"column 'x': expected text, .* but got the type (Time|List\(Int64\)|Binary)"):
        VOCABS[0].encode(pl.Series("x", [value]))
    with pytest.raises(DataError, match=r"column 'x': expected text, .* but got the value"):
        VOCABS[0].encode_one(value, "x")


@pytest.mark.parametrize(
    ("known", "values", "ids"),
    [
        (["01", "02", "A1"], pl.Series([1, 2, 3, None]), [1, 2, 0, 0]),
        (["01", "02", "A1"], pl.Series([1.0, 2.0, 2.5, float("nan")]), [1, 2, 0, 0]),
        (["01", "1"], pl.Series([1]), [2]),  # the number's own text
        (["01", "001"], pl.Series([1]), [0]),  # either could be meant
        (["1.50", "x"], pl.Series([1.5, 2.5]), [1, 0]),
        (["False", "True", "unknown"], pl.Series([True, False, None]), [2, 1, 0]),
        (["2015-01-01", "never"], pl.Series([datetime.date(2015, 1, 1), None]), [1, 0]),
        (["2015-01-01", "2015-01-01 05:30:00"], pl.Series([datetime.datetime(2015, 1, 1, 5, 30)]), [2]),
        (["", "a"], pl.Series(["", "a", None]), [0, 1, 0]),
    ],
)
def test_what_another_reader_took_for_numbers_booleans_or_dates_is_the_known_text(
    known: list[str], values: pl.Series, ids: list[int]
) -> None:
    vocab = Categories.fit(pl.Series("x", known))
    assert vocab.encode(values.alias("x")).tolist() == ids
    assert [vocab.encode_one(value, "x") for value in values] == ids


def test_text_of_whole_numbers_may_have_a_fraction_of_zero() -> None:
    vocab = Categories("integer", (-1, 0, 1))
    texts = pl.Series("x", ["1.0", "1e0", " 1", "-1.00", "NA", "", None])
    assert vocab.encode(texts).tolist() == [3, 3, 3, 1, 0, 0, 0]
    assert [vocab.encode_one(text, "x") for text in texts] == [3, 3, 3, 1, 0, 0, 0]
    with pytest.raises(DataError, match="expected whole numbers, .* but got the value '1.5' in row 2; convert it"):
        vocab.encode(pl.Series("x", ["1", "1.5"]))


def test_fractions_are_names_where_the_table_declares_them() -> None:
    vocab = Categories.fit(pl.Series("x", [2.5, 1.5, None, 2.5]), declared=True)
    assert vocab == Categories("number", (1.5, 2.5))
    assert vocab.encode(pl.Series("x", ["1.50", "2.5", "NA", "3"])).tolist() == [1, 2, 0, 0]
    assert [vocab.encode_one(value, "x") for value in (1.5, "2.50", None, 7)] == [1, 2, 0, 0]
    assert vocab.decode(np.array([2, 0])).to_list() == [2.5, None]
    short = Categories.fit(pl.Series("x", [0.1, 0.2], dtype=pl.Float32), declared=True)
    assert (
        short.encode(pl.Series("x", ["0.1", "0.2"])).tolist()
        == short.encode(pl.Series("x", [0.1, 0.2])).tolist()
        == [1, 2]
    )
    assert [short.encode_one(value, "x") for value in (0.1, "0.2", np.float32(0.2))] == [1, 2, 2]


@pytest.mark.parametrize("dtype", [pl.Int8, pl.UInt16, pl.Int64, pl.Float32, pl.Float64])
def test_values_come_back_in_the_type_of_the_training_column(dtype: Any) -> None:
    vocab = Categories.fit(pl.Series("x", [2, 1, 2], dtype=dtype))
    again = from_json(Categories, json.loads(json.dumps(to_json(vocab))))
    assert again.decode(np.array([1, 2])).dtype == dtype
    assert again.decode(np.array([1, 2, 0])).to_list() == [1, 2, None]
