"""The table codec: rows to tensors by what the training rows taught, the same for a table and for a single row."""

from __future__ import annotations

import datetime
import json
import math
import warnings
from collections.abc import Callable
from decimal import Decimal
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from headstart import TabularData, splits
from headstart.core.errors import DataError, HeadstartWarning
from headstart.core.values import from_json, to_json
from headstart.frames.categories import Categories
from headstart.frames.door import read_table
from headstart.tabular.codec import TableCodec
from headstart.tabular.columns import sort_columns
from headstart.targets.target import Label, Number

NAN, INFINITY = math.nan, math.inf
DAY = datetime.date(2015, 1, 1)


def fit(frame: pl.DataFrame, **named: Any) -> TableCodec:
    frame = frame.with_columns(target=pl.Series(np.arange(len(frame)) * 1.5))
    return TableCodec.fit(frame, sort_columns(frame.drop("target"), **named), Number.fit(frame, ["target"]))


TRAINING = pl.DataFrame(
    {
        "kind": ["a", "b", "1", "a", None, "true"],
        "shop": [3, 1, 2, None, 1, 1],
        "open": [True, False, None, True, True, False],
        "hash": pl.Series([2**64 - 1, 2**63, 5, 5, 5, None], dtype=pl.UInt64),
        "price": [0.5, 1.5, 2.0, 8.0, 1.25, -3.0],
        "heat": [10.0, None, 30.5, NAN, 15.0, 21.0],
        "count": [-5, 100, 2**53, 7, 8, 9],
        "day": [DAY + datetime.timedelta(40 * number) for number in range(5)] + [None],
        "moment": [datetime.datetime(2014, 12, 30, 22) + datetime.timedelta(hours=100 * n) for n in range(6)],
    }
)
CODEC = fit(TRAINING, categorical=["shop", "hash"])
ROW = TRAINING.row(0, named=True)

# ---- one row and a table

LARGE = st.integers(-(2**70), 2**70)
WHOLE = st.integers(-5, 110) | LARGE | st.integers(-5, 5).map(float) | st.integers(-5, 5).map(str)
NUMBERS = st.floats() | WHOLE | st.decimals(-9, 9, places=2) | st.sampled_from(["1.5", "+1", "1e3", "nan", "inf", " 1"])
DATES = (
    st.dates(DAY, datetime.date(2016, 1, 1))
    | st.datetimes(datetime.datetime(2014, 12, 1), datetime.datetime(2016, 1, 1))
    | st.sampled_from(["2015-06-20", "2015-06-20 05:00", "2015-06-20T05:00:00Z", "20150620", "2015-6-2", "soon"])
)
MISSING_OR_STRANGE = st.sampled_from([None, NAN, "", "z", "true", "FALSE", True, 0, 1.5, DAY])
CELLS = {
    "kind": st.sampled_from(["a", "b", "1", "z"]) | WHOLE,
    "shop": WHOLE,
    "open": st.booleans() | WHOLE,
    "hash": WHOLE | st.sampled_from([2**64 - 1, str(2**63)]),
    "price": NUMBERS,
    "heat": NUMBERS,
    "count": NUMBERS,
    "day": DATES,
    "moment": DATES,
}


def encoded(encode: Callable[[], tuple[Tensor, Tensor]]) -> Any:
    """The tensors as bits, or that the row was refused."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", HeadstartWarning)
            ids, numbers = encode()
    except DataError:
        return "refused"
    assert (ids.dtype, numbers.dtype) == (torch.int32, torch.float32)
    return ids.tolist(), numbers.view(torch.int32).tolist()


@pytest.mark.parametrize("name", list(CELLS))
@settings(max_examples=100)
@given(data=st.data())
def test_one_row_is_encoded_to_the_bit_as_a_table_of_it_whatever_a_cell_holds(name: str, data: st.DataObject) -> None:
    row = ROW | {name: data.draw(CELLS[name] | MISSING_OR_STRANGE)}
    frame = pl.DataFrame({column: [value] for column, value in row.items()})
    assert encoded(lambda: CODEC.encode_one(row)) == encoded(lambda: CODEC.encode(frame).inputs)


ROWS = st.lists(
    st.fixed_dictionaries(
        {
            "kind": st.none() | st.sampled_from(["a", "b", "true", "z", ""]),
            "shop": st.none() | st.integers(0, 5),
            "open": st.none() | st.booleans(),
            "hash": st.none() | st.sampled_from([5, 2**63, 2**64 - 1, 2**64 - 2]),
            "price": st.floats(-100, 100) | st.sampled_from([None, NAN]),
            "heat": st.floats(-100, 100) | st.sampled_from([None, NAN]),
            "count": st.none() | st.integers(-1000, 1000),
            "day": st.none() | st.dates(datetime.date(2014, 1, 1), datetime.date(2016, 12, 31)),
            "moment": st.none() | st.datetimes(datetime.datetime(2014, 1, 1), datetime.datetime(2016, 12, 31)),
        }
    ),
    max_size=8,
)


def table(rows: list[dict[str, Any]]) -> pl.DataFrame:
    return pl.DataFrame(rows, schema=TRAINING.schema, orient="row")


def quietly(frame: pl.DataFrame, codec: TableCodec = CODEC) -> tuple[Tensor, Tensor]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", HeadstartWarning)
        return codec.encode(frame).inputs


@given(ROWS)
def test_a_table_is_encoded_as_its_rows_one_by_one(rows: list[dict[str, Any]]) -> None:
    ids, numbers = quietly(table(rows))
    assert ids.shape == (len(rows), len(CODEC.categorical))
    assert numbers.shape == (len(rows), CODEC.numbers)
    assert ids.is_contiguous()
    assert numbers.is_contiguous()
    for place, row in enumerate(rows):
        one_ids, one_numbers = CODEC.encode_one(row)
        assert torch.equal(one_ids[0], ids[place])
        assert torch.equal(one_numbers[0], numbers[place])


@given(ROWS, st.permutations(TRAINING.columns), st.randoms())
def test_the_order_of_columns_and_other_columns_change_nothing_and_that_of_rows_permutes(
    rows: list[dict[str, Any]], columns: list[str], random: Any
) -> None:
    frame = table(rows)
    ids, numbers = quietly(frame)
    others = {"more": pl.lit(1), "target": pl.lit(None), "day.month": pl.lit(0)}
    mixed = frame.select(columns).with_columns(**others)
    assert torch.equal(quietly(mixed)[0], ids)
    assert torch.equal(quietly(mixed)[1], numbers)
    order = random.sample(range(len(rows)), len(rows))
    assert torch.equal(quietly(frame[order])[0], ids[order])
    assert torch.equal(quietly(frame[order])[1], numbers[order])


@given(ROWS)
def test_ids_are_0_exactly_for_what_is_missing_or_was_never_seen(rows: list[dict[str, Any]]) -> None:
    ids, _ = quietly(table(rows))
    for place, column in enumerate(CODEC.categorical):
        known = TRAINING[column.name].to_list() if column.name in TRAINING.columns else None
        assert ((ids[:, place] >= 0) & (ids[:, place] < CODEC.cardinalities[place])).all()
        if known is not None:
            expected = [row[column.name] is not None and row[column.name] in known for row in rows]
            assert (ids[:, place] > 0).tolist() == expected


# ---- what is learnt


def test_the_training_rows_teach_what_plain_numpy_says() -> None:
    _, numbers = quietly(TRAINING)
    heat = np.array([10.0, np.nan, 30.5, np.nan, 15.0, 21.0])
    filled = np.where(np.isnan(heat), 18.0, heat)  # the median of the four known ones
    names = [column.name for column in CODEC.continuous]
    assert names[:3] == ["price", "heat", "count"]
    np.testing.assert_allclose(numbers[:, 1], (filled - filled.mean()) / filled.std(), rtol=1e-6)
    np.testing.assert_array_equal(numbers[:, len(names)], np.isnan(heat))
    assert numbers[:, : len(names)].mean(0).abs().max() < 1e-6
    with_gaps = [column.name for column in CODEC.continuous if column.had_missing]
    assert with_gaps == ["heat"]
    assert CODEC.numbers == len(names) + 1


def test_dates_become_embedded_parts_and_two_numbers() -> None:
    long = fit(pl.DataFrame({"d": [DAY + datetime.timedelta(number) for number in range(0, 800, 3)]}))
    assert [column.name for column in long.categorical] == ["d.month", "d.week", "d.day", "d.day_of_week"]
    assert [column.name for column in long.continuous] == ["d.day_of_year", "d.elapsed"]
    assert "day.hour" not in CODEC.inputs
    assert CODEC.columns == ("kind", "shop", "open", "hash", "price", "heat", "count", "day", "moment")


def test_parts_that_are_the_same_in_all_rows_are_left_out_with_the_reason() -> None:
    weeks = [DAY + datetime.timedelta(7 * number) for number in range(120)]
    codec = fit(pl.DataFrame({"d": weeks}))
    assert codec.inputs == ("d.month", "d.week", "d.day", "d.day_of_year", "d.elapsed")
    assert codec.left_out == {"d.day_of_week": f"the same value ({DAY.isoweekday()}) in all training rows"}


def test_a_constant_column_is_left_out_with_the_reason() -> None:
    codec = fit(pl.DataFrame({"x": [1.0, 2.0], "same": ["v", "v"], "none": [None, None]}))
    assert codec.left_out == {
        "same": "the same value ('v') in all training rows",
        "none": "no values in the training rows",
    }
    assert codec.columns == ("x",)


@pytest.mark.parametrize("rows", [2, 7, 1000])
def test_a_number_that_does_not_vary_has_the_deviation_1(rows: int) -> None:
    codec = fit(pl.DataFrame({"x": [0.1] * rows}), continuous=["x"])
    assert codec.continuous[0].sd == 1.0
    assert codec.encode(pl.DataFrame({"x": [1.1]})).inputs[1].item() == pytest.approx(1.0)


def test_an_excluded_column_may_have_the_name_of_a_part_of_a_date() -> None:
    days = pl.DataFrame({"d": [DAY, DAY + datetime.timedelta(775)], "d.month": [7, 8]})
    codec = fit(days, exclude=["d.month"])
    assert codec.encode(days).inputs[0].tolist()[0][0] == 1
    assert "d.month" in {column.name for column in codec.categorical}


# ---- json

COLUMNS = st.sampled_from(
    [
        ["a", None, "Zürich", "b"],
        [1, 2, None, -4],
        [True, None, False, False],
        [0.1, NAN, 1e30, None],
        [2**64 - 1, 1, 2, 3],
        [DAY, None, datetime.date(1999, 12, 31), DAY],
        [datetime.datetime(2015, 1, 1, 5), None, datetime.datetime(2016, 1, 1), None],
        [Decimal("1.5"), None, Decimal("2"), Decimal("3")],
        [None, None, None, None],
        [5, 5, 5, 5],
    ]
).map(lambda values: pl.Series(values, dtype=pl.UInt64 if 2**64 - 1 in values else None))


@given(st.lists(COLUMNS, max_size=6), st.booleans())
def test_a_codec_survives_json_and_encodes_the_same_bits(columns: list[pl.Series], classes: bool) -> None:
    named = {f"c{number}": column for number, column in enumerate(columns)}
    frame = pl.DataFrame({**named, "x": [0.5, 1.5, 2.5, 3.5], "y": ["p", "q", "p", "r"]})
    target = Label.fit(frame, "y") if classes else Number.fit(frame, ["x"])
    codec = TableCodec.fit(frame, sort_columns(frame.drop("y")), target)
    again = from_json(TableCodec, json.loads(json.dumps(to_json(codec), allow_nan=False)))
    assert again == codec
    assert (again.columns, again.cardinalities, again.numbers) == (codec.columns, codec.cardinalities, codec.numbers)
    assert encoded(lambda: again.encode(frame).inputs) == encoded(lambda: codec.encode(frame).inputs)


def test_the_record_is_not_the_codec_itself() -> None:
    record = to_json(CODEC)
    record["continuous"][0]["mean"] = 99.0
    record["dates"][0]["name"] = "other"
    assert CODEC.continuous[0].mean != 99.0
    assert CODEC.dates[0].name == "day"


# ---- tables as people have them


def test_pandas_types_mean_the_same_rows() -> None:
    polars = table([ROW, ROW | {"kind": None, "shop": None, "open": None, "heat": None, "day": None}])
    source = pd.DataFrame(
        {
            "kind": pd.Categorical(["a", None], categories=["z", "a"]),
            "shop": pd.array([3, None], dtype="Int64"),
            "open": pd.array([True, None], dtype="boolean"),
            "hash": np.array([2**64 - 1] * 2, dtype=np.uint64),
            "price": [0.5, 0.5],
            "heat": [10.0, np.nan],
            "count": [-5.0, -5.0],
            "day": pd.to_datetime([DAY, None]),
            "moment": pd.to_datetime([ROW["moment"]] * 2),
        }
    )
    before = source.copy(deep=True)
    assert encoded(lambda: CODEC.encode(read_table(source)).inputs) == encoded(lambda: CODEC.encode(polars).inputs)
    pd.testing.assert_frame_equal(source, before)
    gaps = source.assign(shop=[3.0, np.nan], open=[1.0, np.nan], kind=["a", None])
    assert encoded(lambda: CODEC.encode(read_table(gaps)).inputs) == encoded(lambda: CODEC.encode(polars).inputs)
    for place, row in enumerate(source.to_dict("records")):
        ids, _ = CODEC.encode_one(row)
        assert torch.equal(ids[0], CODEC.encode(polars).inputs[0][place])


def test_a_csv_file_means_the_same_rows(tmp_path: Any) -> None:
    frame = TRAINING.fill_nan(None)
    frame.write_csv(tmp_path / "t.csv")
    assert encoded(lambda: CODEC.encode(read_table(tmp_path / "t.csv")).inputs) == encoded(
        lambda: CODEC.encode(frame).inputs
    )


@pytest.mark.parametrize(
    "dtype", [pl.String, pl.Categorical, pl.Enum(["true", "z", "b", "a", "1"])], ids=["string", "categorical", "enum"]
)
def test_categories_are_known_by_their_text_and_not_by_their_codes(dtype: Any) -> None:
    ids, _ = quietly(TRAINING.with_columns(kind=pl.Series(["z", "b", "a", "1", None, "true"], dtype=dtype)))
    assert ids[:, 0].tolist() == [0, 3, 2, 1, 0, 4]


@pytest.mark.parametrize("name", TRAINING.columns)
@pytest.mark.parametrize("dtype", [pl.Null, pl.String, pl.Float64])
def test_a_column_may_be_without_any_value_when_predicting(name: str, dtype: Any) -> None:
    empty = TRAINING.with_columns(pl.Series(name, [None] * 6, dtype=dtype))
    typed = TRAINING.with_columns(pl.Series(name, [None] * 6, dtype=TRAINING.schema[name]))
    assert encoded(lambda: CODEC.encode(empty).inputs) == encoded(lambda: CODEC.encode(typed).inputs) != "refused"


@pytest.mark.parametrize("schema", [TRAINING.schema, dict.fromkeys(TRAINING.columns, pl.Null)], ids=["typed", "null"])
def test_a_table_without_rows_gives_tensors_without_rows(schema: Any) -> None:
    ids, numbers = CODEC.encode(pl.DataFrame(schema=schema)).inputs
    assert ids.shape == (0, len(CODEC.categorical))
    assert numbers.shape == (0, CODEC.numbers)


def test_decimals_and_whole_numbers_are_numbers() -> None:
    codec = fit(pl.DataFrame({"x": [Decimal("1.50"), Decimal("2.50")]}))
    expected = codec.encode(pl.DataFrame({"x": [1.5, 2.0]})).inputs[1]
    assert torch.equal(codec.encode(pl.DataFrame({"x": [Decimal("1.5"), Decimal("2")]})).inputs[1], expected)
    assert torch.equal(codec.encode(pl.DataFrame({"x": ["1.5", "2"]})).inputs[1], expected)
    assert torch.equal(codec.encode_one({"x": Decimal("1.5")})[1], expected[:1])


def test_predictions_come_back_as_columns() -> None:
    target = Label("y", Categories("integer", (3, 7)))
    codec = TableCodec((), CODEC.categorical, CODEC.continuous, target, {})
    decoded = codec.decode(torch.tensor([[0.25, 0.75], [0.5, 0.5]]))
    assert decoded.rows() == [(7, 0.25, 0.75), (3, 0.5, 0.5)]
    assert decoded.columns == ["prediction", "probability_3", "probability_7"]
    assert codec.decode(torch.zeros(0, 2)).shape == (0, 3)


# ---- what is told


def test_gaps_where_training_had_none_are_filled_with_the_median_and_counted() -> None:
    holes = TRAINING.with_columns(price=pl.Series([None, NAN, 2.0, 8.0, 1.25, -3.0]))
    with pytest.warns(HeadstartWarning, match=r"were filled with the training median: 2 in 'price'"):
        _, numbers = CODEC.encode(holes).inputs
    _, medians = CODEC.encode(TRAINING.with_columns(price=pl.Series([1.375, 1.375, 2.0, 8.0, 1.25, -3.0]))).inputs
    assert torch.equal(numbers, medians)


def test_values_never_seen_are_noted_and_missing_ones_are_not() -> None:
    codec = fit(pl.DataFrame({"k": [1, 2], "c": ["a", "b"]}), categorical=["k", "c"])
    new = pl.DataFrame({"k": [1.0, NAN, None, 7.0], "c": ["a", "z", "y", None]})
    assert codec.encode(new).notes == (
        "k: 1 of 4 rows have a value never seen in training",
        "c: 2 of 4 rows have a value never seen in training",
    )
    assert codec.encode(new.head(1)).notes == ()


def test_notes_count_unseen_values_and_filled_numbers_and_the_target_is_encoded_on_request() -> None:
    new = TRAINING.with_columns(kind=pl.lit("z"), price=pl.Series([None, NAN, 2.0, 8.0, 1.25, -3.0]))
    with pytest.warns(HeadstartWarning):
        found = CODEC.encode(new)
    assert found.notes == (
        "kind: 6 of 6 rows have a value never seen in training",
        "missing numbers in columns that had none in training were filled with the training median: 2 in 'price'",
    )
    assert found.target is None
    whole = CODEC.encode(TRAINING.with_columns(target=pl.lit(3.75)), with_target=True)
    assert whole.target is not None and whole.target.tolist() == [[0.0]] * 6  # the mean of 0, 1.5, ... 7.5
    with pytest.raises(DataError, match=r"the table \(target\): there is no column 'target'"):
        CODEC.encode(TRAINING, with_target=True)


def test_a_column_whose_name_begins_with_a_date_s_is_no_part_of_it() -> None:
    days = pl.DataFrame({"d": [DAY, DAY + datetime.timedelta(45)], "d.note": ["a", "b"]})
    codec = fit(days)
    assert codec.columns == ("d.note", "d")
    assert codec.encode(days).inputs[0][:, 0].tolist() == [1, 2]


@pytest.mark.parametrize("value", [5.0, 1e300, -1e300])
def test_numbers_beyond_those_of_training_count_as_the_lowest_or_highest_with_a_note(value: float) -> None:
    codec = fit(pl.DataFrame({"x": [1.0, 2.0, 4.0], "y": [0.0, 1.0, 0.0]}))
    beyond = codec.encode(pl.DataFrame({"x": [value, 2.0], "y": [0.0, 1.0]}))
    end = codec.encode(pl.DataFrame({"x": [1.0 if value < 0 else 4.0, 2.0], "y": [0.0, 1.0]}))
    assert torch.equal(beyond.inputs[1], end.inputs[1])
    assert torch.equal(codec.encode_one({"x": value, "y": 0.0})[1][0], end.inputs[1][0])
    assert beyond.notes == (
        "x: 1 of 2 rows lie beyond the numbers of the training rows and count as their lowest or highest",
    )
    assert end.notes == ()


def test_a_day_beyond_training_counts_as_the_last_and_is_no_unknown_year() -> None:
    days = pl.DataFrame({"d": [DAY + datetime.timedelta(number) for number in range(0, 900, 7)]})
    codec = fit(days)
    last = codec.encode(days[-1:])
    later = codec.encode(pl.DataFrame({"d": [days["d"][-1] + datetime.timedelta(364)]}))  # the same day of the week
    elapsed = [column.name for column in codec.continuous].index("d.elapsed")
    assert later.inputs[1][0, elapsed] == last.inputs[1][0, elapsed]
    assert any("d.elapsed: 1 of 1 rows lie beyond" in note for note in later.notes)
    assert not any("year" in note for note in later.notes)


# ---- what is refused


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("price", "cheap", r"column 'price': expected numbers, but got the text 'cheap'"),
        ("price", INFINITY, r"column 'price' (has 1 infinite values|is infinite); replace (them|it) \(None says that"),
        ("price", "-inf", r"column 'price' has 1 infinite values"),
        ("price", [1.5], r"column 'price': expected (numbers, as in the training rows|a number), but got"),
        ("price", DAY, r"column 'price': expected (numbers, as in the training rows, but got Date|a number, but got dat)"),
        ("shop", "first", r"column 'shop': expected whole numbers, as in the training rows, but got the value 'first'"),
        ("shop", 1.5, r"column 'shop': expected whole numbers, .* got the value 1\.5"),
        ("open", "perhaps", r"column 'open': expected true or false, .* got the value 'perhaps'"),
        ("kind", datetime.time(5), r"column 'kind': expected text, .* got the (type Time|value datetime\.time)"),
        ("day", "soon", r"column 'day': expected dates such as 2015-06-20, but got 'soon'"),
        ("moment", 5, r"column 'moment': expected (a date|dates), as in the training rows, but got (5|Int64)"),
    ],
)  # fmt: skip
def test_a_cell_that_cannot_be_read_is_named(name: str, value: Any, message: str) -> None:
    row = ROW | {name: value}
    with pytest.raises(DataError, match=message):
        CODEC.encode_one(row)
    with pytest.raises(DataError, match=message):
        CODEC.encode(pl.DataFrame({column: [value] for column, value in row.items()}))


def test_a_missing_column_is_named_with_the_nearest() -> None:
    with pytest.raises(DataError, match=r"the table: there is no column 'price'; did you mean 'Price'\?"):
        CODEC.encode(TRAINING.rename({"price": "Price"}))
    renamed = {"Price" if name == "price" else name: value for name, value in ROW.items()}
    with pytest.raises(DataError, match=r"row has no 'price'; did you mean 'Price'\? \(None says that it is missing\)"):
        CODEC.encode_one(renamed)
    with pytest.raises(DataError, match=r"the row has no 'kind'; there are: '1'"):
        CODEC.encode_one({1: 2})


def test_a_number_too_long_for_any_float_is_refused() -> None:
    with pytest.raises(DataError, match=r"column 'price': expected a number, but got 1000"):
        CODEC.encode_one(ROW | {"price": 10**400})


@pytest.mark.parametrize(
    ("frame", "named", "message"),
    [
        ({"x": [1.0, INFINITY, -INFINITY]}, {}, r"column 'x' has 2 infinite values; replace them \(None"),
        ({"x": [1e308, -1e308]}, {}, r"column 'x' has values too large for their mean .*; rescale it"),
        ({"x": [NAN, NAN]}, {"continuous": ["x"]}, r"column 'x' cannot be continuous: it has no values"),
        ({"x": [0.5, 1.5]}, {"categorical": ["x"]}, r"column 'x' cannot be categorical: .*; fractions are no"),
        ({"d": [datetime.time(5)] * 2}, {"categorical": ["d"]}, r"column 'd' cannot be categorical: it holds Time; leave"),
        ({"l": [[1], [2]]}, {"categorical": ["l"]}, r"column 'l' cannot be categorical: it holds List"),
        ({"d": [DAY, DAY]}, {}, r"the dates do not vary in the training rows, and there is no other column"),
        (
            {"d": [DAY, datetime.date(2016, 2, 2)], "d.month": [1, 2]},
            {},
            r"column 'd\.month' has the name of a part of the date 'd'; rename one of them",
        ),
    ],
)  # fmt: skip
def test_training_rows_that_cannot_be_learnt_from_are_refused(
    frame: dict[str, list[Any]], named: dict[str, Any], message: str
) -> None:
    with pytest.raises(DataError, match=message):
        fit(pl.DataFrame(frame), **named)


@pytest.mark.parametrize("scale", [1e-212, 1e-300, 5e-324, 1e-160, 1e150])
def test_numbers_of_any_size_have_a_deviation(scale: float) -> None:
    table = pl.DataFrame({"x": [0.0] * 6 + [-scale] * 2, "z": [1.0, 2.0] * 4, "y": [1.0, 2.0] * 4})
    codec = TabularData.from_table(table, "y", split=splits.train_on_all).codec
    (numbers,) = (codec.encode(table).inputs[1],)
    assert torch.isfinite(numbers).all()
    column = next(column for column in codec.continuous if column.name == "x")
    if scale >= 1e-299:
        assert column.sd == pytest.approx(scale * 0.75**0.5 / 2, rel=1e-6)
