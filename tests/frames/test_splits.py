"""Splits: each row on one side, groups and moments never on both."""

from __future__ import annotations

import datetime
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from headstart.core.errors import ConfigError, DataError, HeadstartWarning
from headstart.frames.splits import (
    Split,
    Splitter,
    by_column,
    by_condition,
    by_default,
    by_groups,
    by_indices,
    by_last,
    by_random,
    by_time,
    k_fold,
    split_rows,
    stratified,
    stratified_k_fold,
)

FRACTIONS = st.floats(0.01, 0.99)
SEEDS = st.integers(0, 2**32)
DAY = datetime.date(2015, 1, 1)
DAYS = pl.DataFrame(
    {
        "number": [1, 2, 3, 4],
        "late": [1.0, float("nan"), 3.0, None],
        "day": [DAY, datetime.date(2015, 1, 2), datetime.date(2015, 1, 3), None],
        "text": ["a", "b", None, "a"],
        "lists": [[1], [2], [3], []],
        "exact": [2**60, 2**60 + 1, 2**60 + 2, 2**60 + 3],
    }
).with_columns(
    moment=pl.col("day").cast(pl.Datetime("us")),
    nanoseconds=pl.col("day").cast(pl.Datetime("ns")),
    berlin=pl.col("day").cast(pl.Datetime("us")).dt.replace_time_zone("Europe/Berlin"),
)


def sides(splitter: Splitter, frame: pl.DataFrame = DAYS) -> tuple[list[int], list[int]]:
    split = splitter(frame)
    return split.train.tolist(), split.valid.tolist()


def check_partition(split: Split, rows: int) -> None:
    for side in (split.train, split.valid):
        assert side.dtype == np.int64
        assert (np.diff(side) > 0).all()
    assert sorted([*split.train, *split.valid]) == list(range(rows))


def moments(draw_none: bool = True) -> st.SearchStrategy[list[Any]]:
    day = st.integers(0, 20).map(lambda number: DAY + datetime.timedelta(number))
    return st.lists(st.none() | day if draw_none else day, min_size=1, max_size=30)


@given(st.integers(0, 60), FRACTIONS, SEEDS)
def test_a_random_split_is_a_partition_of_the_asked_size_and_depends_on_its_seed_alone(
    rows: int, fraction: float, seed: int
) -> None:
    frame = pl.DataFrame({"x": range(rows)})
    split = by_random(fraction, seed=seed)(frame)
    check_partition(split, rows)
    assert len(split.valid) == round(rows * fraction)
    assert sides(by_random(fraction, seed=seed), frame) == (split.train.tolist(), split.valid.tolist())


def test_another_seed_chooses_other_rows() -> None:
    frame = pl.DataFrame({"x": range(100)})
    assert len({tuple(by_random(seed=seed)(frame).valid) for seed in range(5)}) == 5


@given(st.integers(0, 60), FRACTIONS)
def test_the_last_rows_validate(rows: int, fraction: float) -> None:
    split = by_last(fraction)(pl.DataFrame({"x": range(rows)}))
    check_partition(split, rows)
    assert split.valid.tolist() == list(range(rows - round(rows * fraction), rows))


@given(
    moments(),
    FRACTIONS.map(lambda fraction: {"fraction": fraction})
    | st.integers(0, 25).map(lambda day: {"start": DAY + datetime.timedelta(day)})
    | st.integers(1, 25).map(lambda days: {"last_days": days}),
)
def test_no_training_row_is_later_than_the_first_validation_row(days: list[Any], option: dict[str, Any]) -> None:
    if all(day is None for day in days):
        with pytest.raises(DataError, match="by_time: column 'day' has no values"):
            by_time("day", **option)(pl.DataFrame({"day": days}, schema={"day": pl.Date}))
        return
    split = by_time("day", **option)(pl.DataFrame({"day": days}, schema={"day": pl.Date}))
    check_partition(split, len(days))
    train = [days[row] for row in split.train if days[row] is not None]
    valid = [days[row] for row in split.valid]
    assert None not in valid
    assert all(early < late for early in train for late in valid)


@given(moments(draw_none=False), FRACTIONS)
def test_a_split_by_fraction_of_time_has_at_least_that_fraction(days: list[Any], fraction: float) -> None:
    split = by_time("day", fraction=fraction)(pl.DataFrame({"day": days}))
    first = min(days[row] for row in split.valid)
    beyond = sum(day > first for day in days)
    assert beyond < max(1, round(len(days) * fraction)) <= len(split.valid)


@pytest.mark.parametrize("column", ["day", "moment", "nanoseconds", "berlin"])
@pytest.mark.parametrize(
    "option",
    [
        {"start": "2015-01-02"},
        {"start": "2015-01-02T00:00:00"},
        {"start": datetime.date(2015, 1, 2)},
        {"start": datetime.datetime(2015, 1, 2)},
        {"last_days": 2},
        {"last_days": 1.5},
        {"fraction": 0.6},
    ],
    ids=str,
)
def test_the_same_moments_validate_however_they_are_held(column: str, option: dict[str, Any]) -> None:
    assert sides(by_time(column, **option)) == ([0, 3], [1, 2])


def test_a_start_with_a_time_zone_is_converted_to_the_columns_own() -> None:
    midnight_in_berlin = "2015-01-01T23:00:00+00:00"
    assert sides(by_time("berlin", start=midnight_in_berlin)) == ([0, 3], [1, 2])
    assert sides(by_time("berlin", start="2015-01-01T23:00:01Z")) == ([0, 1, 3], [2])


def test_numbers_serve_as_times_and_nan_is_a_missing_one() -> None:
    assert sides(by_time("late", start=2)) == ([0, 1, 3], [2])
    assert sides(by_time("late", fraction=0.3)) == ([0, 1, 3], [2])
    assert sides(by_time("number", start="3")) == ([0, 1], [2, 3])


@pytest.mark.parametrize("start", [2**60 + 1, str(2**60 + 1)])
def test_a_start_of_many_digits_is_not_rounded(start: Any) -> None:
    assert sides(by_time("exact", start=start)) == ([0], [1, 2, 3])


@given(st.lists(st.none() | st.integers(0, 6), min_size=2, max_size=40), FRACTIONS, SEEDS)
def test_no_group_stands_on_both_sides(groups: list[Any], fraction: float, seed: int) -> None:
    frame = pl.DataFrame({"group": groups}, schema={"group": pl.Int64})
    count = len(set(groups))
    if count == 1:
        with pytest.raises(DataError, match="by_groups: column 'group' has fewer than 2 groups, so it cannot be split"):
            by_groups("group", fraction, seed=seed)(frame)
        return
    split = by_groups("group", fraction, seed=seed)(frame)
    check_partition(split, len(groups))
    train, valid = ({groups[row] for row in side} for side in (split.train, split.valid))
    assert train.isdisjoint(valid)
    assert len(valid) == min(count - 1, max(1, round(count * fraction)))


@given(st.integers(2, 60), st.integers(2, 8), SEEDS)
def test_each_row_validates_in_exactly_one_fold(rows: int, folds: int, seed: int) -> None:
    frame = pl.DataFrame({"x": range(rows)})
    splitters = k_fold(folds, seed=seed)
    if rows < folds:
        with pytest.raises(DataError, match=f"k_fold: {rows} rows cannot make {folds} folds"):
            splitters[0](frame)
        return
    splits = [splitter(frame) for splitter in splitters]
    for split in splits:
        check_partition(split, rows)
        assert len(split.valid) in (rows // folds, rows // folds + 1)
    assert sorted(row for split in splits for row in split.valid) == list(range(rows))


@given(st.lists(st.integers(0, 30), unique=True))
def test_given_rows_validate(chosen: list[int]) -> None:
    split = by_indices(chosen)(pl.DataFrame({"x": range(31)}))
    check_partition(split, 31)
    assert split.valid.tolist() == sorted(chosen)


@pytest.mark.parametrize(
    "said",
    [
        [True, False, None],
        [1, 0, None],
        [1.0, 0.0, None],
        ["Valid", "train", None],
        ["validation", "", None],
        ["test", "x", None],
    ],
    ids=str,
)
def test_a_column_says_which_rows_validate(said: list[Any]) -> None:
    assert sides(by_column("said"), pl.DataFrame({"said": said})) == ([1, 2], [0])


def test_a_condition_says_which_rows_validate() -> None:
    assert sides(by_condition("day >= '2015-01-02' AND number < 3")) == ([0, 2, 3], [1])


def test_a_random_split_of_dates_is_warned_about() -> None:
    with pytest.warns(
        HeadstartWarning, match=r"random split of a table with a date column \('day'\) .*by_time\('day'"
    ) as caught:
        split_rows(DAYS.select("number", "day"), by_random(0.3))
    assert caught[0].filename == __file__  # the line of the user, not one of headstart's
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        by_random(0.3)(DAYS.select("number"))


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda: by_random(0), ConfigError, "fraction must lie between 0 and 1; got 0"),
        (lambda: by_random(1.0), ConfigError, r"fraction must lie between 0 and 1; got 1\.0"),
        (lambda: by_last(float("nan")), ConfigError, "fraction must lie between 0 and 1; got nan"),
        (lambda: by_groups("text", "half"), ConfigError, "fraction must lie between 0 and 1; got 'half'"),
        (lambda: by_random(seed=-1)(DAYS.select("number")), ConfigError, "seed must be a whole number.* got -1"),
        (lambda: by_time("day"), ConfigError, "by_time needs exactly one of start, last_days and fraction"),
        (lambda: by_time("day", start="2015-01-02", fraction=0.2), ConfigError, "needs exactly one of start"),
        (lambda: by_time("day", last_days=0), ConfigError, "last_days must be a number above 0; got 0"),
        (lambda: by_time("day", last_days=float("nan")), ConfigError, "last_days must be a number above 0; got nan"),
        (lambda: by_time("day", last_days="week"), ConfigError, "last_days must be a number above 0; got 'week'"),
        (lambda: sides(by_time("Day", start=1)), DataError, "by_time: there is no column 'Day'; did you mean 'day'"),
        (lambda: sides(by_time("text", start=1)), DataError, "by_time: column 'text' holds String; it must be"),
        (lambda: sides(by_time("number", last_days=3)), DataError, "last_days needs dates; column 'number' holds Int"),
        (lambda: sides(by_time("day", start="soon")), ConfigError, "start must be a date such as .*; got 'soon'"),
        (lambda: sides(by_time("day", start=5)), ConfigError, "start must be a date, like column 'day'; got 5"),
        (lambda: sides(by_time("number", start=DAY)), ConfigError, "start must be a number, like .*'number'; got date"),
        (lambda: sides(by_time("moment", start="2015-01-02T00:00Z")), ConfigError, "zone and column 'moment' has none"),
        (lambda: sides(by_column("lists")), DataError, r"column 'lists' holds List\(Int64\); it must be booleans"),
        (lambda: sides(by_column("said")), DataError, "by_column: there is no column 'said'"),
        (lambda: sides(by_condition("number > 'a'")), ConfigError, "valid_where is not a SQL condition"),
        (lambda: sides(by_groups("shop")), DataError, "by_groups: there is no column 'shop'"),
        (lambda: sides(by_indices([4])), DataError, "by_indices: rows go from 0 to 3; got 4 to 4"),
        (lambda: sides(by_indices([-1])), DataError, "by_indices: rows go from 0 to 3; got -1 to -1"),
        (lambda: sides(by_indices([0, 0])), DataError, "by_indices: a row number occurs more than once"),
        (lambda: sides(by_indices([0.5])), ConfigError, r"needs whole row numbers in one axis; got float64 \(1,\)"),
        (lambda: sides(by_indices([True, False])), ConfigError, r"whole row numbers in one axis; got bool \(2,\)"),
        (lambda: sides(by_indices([[0], [1, 2]])), ConfigError, "in one axis; got lists of different lengths"),
        (lambda: k_fold(1), ConfigError, "folds must be a whole number of at least 2; got 1"),
        (lambda: k_fold("five"), ConfigError, "folds must be a whole number of at least 2; got 'five'"),
        (lambda: split_rows(DAYS, 0.2), ConfigError, r"split must come from a function such as by_random.*; got 0\.2"),
        (lambda: split_rows(DAYS, by_last(0.01)), DataError, "leaves no validation rows of 4; check its fraction"),
        (lambda: split_rows(DAYS, by_time("number", start=0)), DataError, "leaves no training rows of 4; check"),
    ],
)  # fmt: skip
def test_what_cannot_split_is_refused(make: Callable[[], Any], error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        make()


CLASSES = st.lists(st.sampled_from(["a", "b", "c", None]), min_size=5, max_size=60)


@given(CLASSES, FRACTIONS, SEEDS)
def test_a_stratified_split_has_each_class_in_its_share(classes: list[str | None], fraction: float, seed: int) -> None:
    frame = pl.DataFrame({"y": pl.Series(classes, dtype=pl.String)})
    split = stratified("y", fraction, seed=seed)(frame)
    assert sorted([*split.train, *split.valid]) == list(range(len(frame)))
    for name in set(classes):
        rows = {number for number, other in enumerate(classes) if other == name}
        held = len(rows & set(split.valid.tolist()))
        assert held < len(rows)  # each class has training rows
        expected = len(rows) * max(1, round(len(frame) * fraction)) / len(frame)
        assert abs(held - expected) < 1 or held == len(rows) - 1
    again = stratified("y", fraction, seed=seed)(frame)
    assert np.array_equal(split.valid, again.valid)


@given(CLASSES, st.integers(2, 5), SEEDS)
def test_stratified_folds_share_each_class_among_them(classes: list[str | None], folds: int, seed: int) -> None:
    frame = pl.DataFrame({"y": pl.Series(classes, dtype=pl.String)})
    parts = [splitter(frame) for splitter in stratified_k_fold("y", folds, seed=seed)]
    validates = np.bincount(np.concatenate([part.valid for part in parts]), minlength=len(frame))
    for name in set(classes):
        rows = np.array([number for number, other in enumerate(classes) if other == name])
        assert (validates[rows] == (len(rows) > 1)).all()  # the only row of a class always trains
        counts = [int(np.isin(part.valid, rows).sum()) for part in parts]
        assert max(counts) - min(counts) <= 1
        assert all(np.isin(part.train, rows).any() for part in parts)


def test_fractional_numbers_are_stratified_by_tenths() -> None:
    numbers = np.random.default_rng(0).normal(size=1000)
    split = stratified("y", 0.2)(pl.DataFrame({"y": numbers}))
    tenths = np.searchsorted(np.sort(numbers), numbers) // 100
    assert np.bincount(tenths[split.valid]).tolist() == [20] * 10


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda: stratified("x")(pl.DataFrame({"y": [1]})), DataError, "stratified: there is no column 'x'"),
        (
            lambda: stratified("y")(pl.DataFrame({"y": [[1]]})),
            DataError,
            "stratified: column 'y' holds List.*one class",
        ),
        (lambda: stratified("y", 1.0), ConfigError, "fraction must lie between 0 and 1; got 1.0"),
        (lambda: stratified_k_fold("y", 1), ConfigError, "folds must be a whole number of at least 2; got 1"),
        (
            lambda: stratified_k_fold("y", 3)[0](pl.DataFrame({"y": [1, 2]})),
            DataError,
            "stratified_k_fold: 2 rows cannot make 3 folds",
        ),
    ],
)
def test_what_cannot_be_stratified_is_said(make: Callable[[], Any], error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        make()


def test_by_default_the_latest_rows_of_a_table_with_dates_validate_and_random_ones_of_any_other() -> None:
    days = pl.date_range(pl.date(2020, 1, 1), pl.date(2020, 4, 9), eager=True).shuffle(seed=1)
    frame = pl.DataFrame({"x": range(100), "day": days})
    split = by_default(0.3)(frame)
    assert sides(by_default(0.3), frame) == sides(by_time("day", fraction=0.3), frame)
    assert split.note == (
        "validation rows are the latest by 'day': 30 of 100, from 2020-03-11 on; split=, or --time and --valid-where on the"
        " command line, choose others"
    )
    without = frame.drop("day")
    assert sides(by_default(0.3, seed=4), without) == sides(by_random(0.3, seed=4), without)
    assert by_default()(without).note == ""
    # Dates that leave less than half of the rows to train on, or none, are passed over.
    odd = frame.with_columns(
        same=pl.lit(datetime.date(2020, 1, 1)),
        late=pl.when(pl.col("x") < 40).then(datetime.date(2020, 1, 1)).otherwise(datetime.date(2020, 1, 2)),
    )
    assert by_default()(odd.select("x", "same", "late")).note == ""
    assert "by 'day'" in by_default()(odd.select("x", "same", "late", "day")).note
