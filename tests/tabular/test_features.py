"""Features of a row's history: against loops such as the lesson's, row by row; any table; every careless call."""

from __future__ import annotations

import datetime
import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from headstart import ConfigError, DataError, features
from headstart.core.values import from_json, to_json

DAY = datetime.timedelta(days=1)
START = datetime.date(2014, 1, 1)

ROWS = st.lists(
    st.tuples(
        st.sampled_from(["a", "b", None]),
        st.none() | st.integers(0, 25).map(lambda day: START + day * DAY),
        st.none() | st.integers(-2, 3),
    ),
    max_size=40,
)


def frame_of(rows: list[Any]) -> pl.DataFrame:
    return pl.DataFrame(rows, schema={"shop": pl.String, "day": pl.Date, "promo": pl.Int64}, orient="row")


def distances(rows: list[Any], cap: int | None) -> list[tuple[int | None, int | None]]:
    """The lesson's question asked of every pair of rows."""
    found = []
    for shop, day, _ in rows:
        events = [other for name, other, event in rows if name == shop and other is not None and event]
        back = [(day - other).days for other in events if day is not None and other <= day]
        ahead = [(other - day).days for other in events if day is not None and other >= day]
        both = [min(days, default=cap) for days in (back, ahead)]
        found.append(tuple(None if day is None else days if cap is None else min(days, cap) for days in both))
    return found


@given(ROWS, st.none() | st.integers(1, 9))
def test_days_since_and_until_are_those_of_a_loop_over_all_pairs(rows: list[Any], cap: int | None) -> None:
    frame = frame_of(rows)
    found = features.add_elapsed(frame, "promo", date="day", group="shop", cap=cap)
    assert found.columns == ["shop", "day", "promo", "Afterpromo", "Beforepromo"]
    assert found.select(frame.columns).equals(frame)
    assert found.select("Afterpromo", "Beforepromo").rows() == distances(rows, cap)
    assert found["Afterpromo"].dtype == pl.Int32


def sums(rows: list[Any], window: int, unit: str, forward: bool, present: bool) -> list[int | None]:
    found: list[int | None] = []
    order = sorted(range(len(rows)), key=lambda place: (rows[place][1] or START, place))
    for place, (shop, day, _) in enumerate(rows):
        if day is None:
            found.append(None)
            continue
        own = [other for other in order if rows[other][0] == shop and rows[other][1] is not None]
        if unit == "rows":
            at = own.index(place)
            chosen = own[at : at + window + 1] if forward else own[max(0, at - window) : at + 1]
            chosen = [other for other in chosen if other != place]
            chosen = (
                chosen[: window - present] if forward else chosen[len(chosen) - min(len(chosen), window - present) :]
            )
            chosen += [place] * present
        else:
            distance = {other: (rows[other][1] - day).days * (1 if forward else -1) for other in own}
            chosen = [
                other for other in own if (0 <= distance[other] < window if present else 0 < distance[other] <= window)
            ]
        found.append(sum(rows[other][2] or 0 for other in chosen))
    return found


@given(ROWS, st.integers(1, 6), st.sampled_from(["rows", "days"]), st.booleans())
def test_windows_are_those_of_a_loop(rows: list[Any], window: int, unit: Any, present: bool) -> None:
    found = features.add_rolling(
        frame_of(rows), ["promo"], date="day", group="shop", window=window, unit=unit, present=present
    )
    assert found["promo_bw"].to_list() == sums(rows, window, unit, False, present)
    assert found["promo_fw"].to_list() == sums(rows, window, unit, True, present)
    assert found["promo_bw"].dtype == pl.Int64


@given(ROWS)
def test_the_rows_may_come_in_any_order_and_keep_it(rows: list[Any]) -> None:
    """By days, and by rows as long as no group has two of one day, whose order is the table's."""
    frame = frame_of(rows).with_row_index("place")
    recipe = features.FeatureRecipe(
        [
            features.AddElapsed("promo", date="day", group="shop"),
            features.AddRolling("promo", date="day", group="shop", window=3, unit="days"),
        ]
    )
    turned = recipe.apply(frame.reverse())
    assert turned["place"].to_list() == frame["place"].to_list()[::-1]
    assert turned.sort("place").equals(recipe.apply(frame))


def lesson_loop(frame: pd.DataFrame, field: str, name: str) -> None:
    """``get_elapsed`` of the lesson's notebook, which goes over rows sorted by shop and day."""
    last_date, last_shop, found = np.datetime64("NaT"), None, []
    for shop, event, day in zip(frame.shop.values, frame[field].values, frame.day.values, strict=True):
        if shop != last_shop:
            last_date, last_shop = np.datetime64("NaT"), shop
        if event:
            last_date = day
        found.append((day - last_date) / np.timedelta64(1, "D"))
    frame[name] = found


def test_the_lesson_s_own_loops_give_the_same() -> None:
    random = np.random.default_rng(0)
    days = pd.date_range("2013-01-01", periods=120)
    frame = pd.DataFrame([(shop, day) for shop in (3, 1, 2) for day in days], columns=["shop", "day"])
    frame["holiday"] = random.random(len(frame)) < 0.04
    frame["promo"] = random.integers(0, 2, len(frame))
    frame = frame.sample(frac=0.8, random_state=0).reset_index(drop=True)  # shops are closed, rows in any order
    found = features.add_elapsed(frame, ["holiday", "promo"], date="day", group="shop")
    found = features.add_rolling(found, ["holiday", "promo"], date="day", group="shop", window=7)
    forwards, backwards = (frame.sort_values(["shop", "day"], ascending=[True, up]) for up in (True, False))
    for event in ("holiday", "promo"):
        lesson_loop(forwards, event, "after")
        lesson_loop(backwards, event, "before")
        np.testing.assert_array_equal(found[f"After{event}"], forwards["after"].sort_index())
        np.testing.assert_array_equal(found[f"Before{event}"], -backwards["before"].sort_index())
        for ordered, name in ((forwards, f"{event}_bw"), (backwards, f"{event}_fw")):
            rolled = ordered.groupby("shop")[event].rolling(7, min_periods=1).sum().reset_index(level=0, drop=True)
            np.testing.assert_array_equal(found[name], rolled.sort_index())
    assert found["Afterholiday"].isna().any()  # before a shop's first holiday


DATES = st.lists(st.none() | st.dates(datetime.date(1600, 1, 1), datetime.date(2400, 12, 31)), min_size=1)


@given(DATES)
def test_the_parts_of_dates_are_those_of_pandas_calendar(dates: list[Any]) -> None:
    table = pl.DataFrame({"at": pl.Series(dates, dtype=pl.Date)})
    assert features.add_dateparts(table, "at", prefix="").columns == ["at", *features.PARTS]
    found = features.add_dateparts(table, "at", parts=[*features.PARTS, "days_left_in_month"], prefix="")
    for row in found.iter_rows(named=True):
        day = row.pop("at")
        if day is None:
            assert set(row.values()) == {None}
            continue
        known = pd.Period(day, "D")
        assert row == {
            "year": known.year, "month": known.month, "week": known.week, "day": day.day,
            "day_of_week": day.isoweekday(), "day_of_year": known.day_of_year,
            "is_month_start": day.day == 1, "is_month_end": (day + DAY).day == 1,
            "is_quarter_start": (day.month, day.day) in {(1, 1), (4, 1), (7, 1), (10, 1)},
            "is_quarter_end": (day.month, day.day) in {(3, 31), (6, 30), (9, 30), (12, 31)},
            "is_year_start": (day.month, day.day) == (1, 1), "is_year_end": (day.month, day.day) == (12, 31),
            "elapsed": (day - datetime.date(1970, 1, 1)).days, "days_left_in_month": known.days_in_month - day.day,
        }  # fmt: skip


def test_times_of_day_have_hours_and_parts_of_days() -> None:
    moments = pl.Series([datetime.datetime(2015, 6, 20, 6), datetime.datetime(2015, 6, 20, 18), None])
    frame = pl.DataFrame({"at": moments, "alarm": [True, False, True]})
    assert features.add_dateparts(frame, "at", parts=["hour"])["at_hour"].to_list() == [6, 18, None]
    evenings = pl.DataFrame({"at": ["2015-06-30 23:59", "2016-02-01 00:00", None]})  # of a last day, of a leap year
    assert features.add_dateparts(evenings, "at", parts=["days_left_in_month"])["at_days_left_in_month"].to_list() == [
        0, 28, None
    ]  # fmt: skip
    elapsed = features.add_elapsed(frame, "alarm", date="at")
    assert elapsed["Afteralarm"].to_list() == [0.0, 0.5, None] and elapsed["Beforealarm"].to_list() == [0.0, None, None]
    rolled = features.add_rolling(frame, "alarm", date="at", window=1, unit="days", forward=False)
    assert rolled["alarm_bw"].to_list() == [1, 1, None]


TABLE = pl.DataFrame(
    {
        "shop": [1, 1, 1, 2, 2],
        "day": [START, START + 2 * DAY, START + DAY, START, START + 5 * DAY],
        "promo": [1, 0, 1, 0, 1],
        "open": [True, False, None, True, True],
        "heat": [0.5, 1.25, None, float("nan"), 2.0],
        "holiday": ["0", "a", "0", "0", None],
    }
)
STEPS = [
    features.AddDateparts("day", parts=["month", "is_year_start"]),
    features.AddElapsed(["promo", "open"], date="day", group="shop", cap=30),
    features.AddElapsed(
        {"holiday": "holiday <> '0'"}, date="day", until=False, names=("since_{event}", "until_{event}")
    ),
    features.AddRolling(["promo", "heat"], date="day", group=["shop"], window=2, unit="days", forward=False),
]
RECIPE = features.FeatureRecipe(STEPS)


def test_numbers_are_summed_and_what_is_missing_is_no_event() -> None:
    found = RECIPE.apply(TABLE)
    assert found.columns[6:] == list(RECIPE.outputs) == [
        "day_month", "day_is_year_start", "Afterpromo", "Beforepromo", "Afteropen", "Beforeopen", "since_holiday",
        "promo_bw", "heat_bw",
    ]  # fmt: skip
    assert found["Afteropen"].to_list() == [0, 2, 1, 0, 0] and found["Beforeopen"].to_list() == [0, 30, 30, 0, 0]
    assert found["since_holiday"].to_list() == [None, 0, None, None, 3]
    assert found["heat_bw"].to_list() == [0.5, 1.25, 0.5, 0.0, 2.0]
    assert found["promo_bw"].to_list() == [1, 1, 2, 0, 1]
    assert RECIPE.inputs == ("day", "promo", "open", "shop", "holiday", "heat")
    assert RECIPE.ahead == ("day", "promo", "open", "holiday", "heat")
    past = features.FeatureRecipe([features.AddRolling("heat", date="day", forward=False, present=False)])
    assert past.ahead == ()


def test_what_comes_in_goes_out_as_the_same_library_unchanged(tmp_path: Path) -> None:
    expected = RECIPE.apply(TABLE)
    frame = TABLE.to_pandas().astype({"holiday": "category", "promo": "int8"}).set_index(pd.Index(range(50, 55)))
    frame["day"] = frame["day"].astype("datetime64[ns]")
    before = frame.copy()
    found = RECIPE.apply(frame)
    pd.testing.assert_frame_equal(frame, before)
    pd.testing.assert_frame_equal(found[list(before.columns)], before)
    assert (
        pl.DataFrame(found[list(RECIPE.outputs)].reset_index(drop=True))
        .cast({"since_holiday": pl.Int32})
        .equals(expected.select(RECIPE.outputs))
    )
    arrow = RECIPE.apply(TABLE.to_arrow())
    assert isinstance(arrow, pa.Table) and arrow.num_columns == expected.width
    assert pl.DataFrame(arrow).equals(expected)
    TABLE.write_csv(tmp_path / "table.csv")
    read = RECIPE.apply(tmp_path / "table.csv")
    assert isinstance(read, pl.DataFrame) and read["Afterpromo"].equals(expected["Afterpromo"])
    assert RECIPE.apply(TABLE.lazy()).equals(expected)


def test_dates_may_be_text_and_a_table_empty_or_of_one_row() -> None:
    as_text = TABLE.with_columns(pl.col("day").cast(pl.String))
    assert RECIPE.apply(as_text).select(RECIPE.outputs).equals(RECIPE.apply(TABLE).select(RECIPE.outputs))
    assert RECIPE.apply(TABLE[:0]).shape == (0, 15)
    assert RECIPE.apply(TABLE[:1])["Afterpromo"].to_list() == [0]
    nobody = TABLE.with_columns(day=pl.lit(None, dtype=pl.Date))
    assert RECIPE.apply(nobody)["promo_bw"].null_count() == 5


def test_a_recipe_goes_through_json() -> None:
    record = json.loads(json.dumps(to_json(RECIPE)))
    again = from_json(features.FeatureRecipe, record)
    assert again == RECIPE and to_json(again) == record
    assert [step["type"] for step in record["steps"]] == [type(step).__name__ for step in RECIPE.steps]


def test_a_later_step_may_use_what_an_earlier_one_adds() -> None:
    recipe = features.FeatureRecipe(
        [
            features.AddDateparts("day", parts=["is_month_start"]),
            features.AddElapsed("day_is_month_start", date="day", until=False),
        ]
    )
    assert recipe.inputs == ("day",)
    assert recipe.apply(TABLE)["Afterday_is_month_start"].to_list() == [0, 2, 1, 0, 5]


def elapsed(events: Any = "promo", table: Any = TABLE, **options: Any) -> Any:
    return features.add_elapsed(table, events, **({"date": "day"} | options))


def rolling(events: Any = "promo", table: Any = TABLE, **options: Any) -> Any:
    return features.add_rolling(table, events, **({"date": "day"} | options))


@pytest.mark.parametrize(
    ("action", "kind", "message"),
    [
        (lambda: elapsed("promos"), DataError, r"add_elapsed: there is no column 'promos'; did you mean 'promo'\?"),
        (lambda: elapsed(date="date"), DataError, "add_elapsed: there is no column 'date'"),
        (lambda: rolling(group="store"), DataError, "add_rolling: there is no column 'store'"),
        (lambda: elapsed("holiday"), DataError, r"column 'holiday' holds String, which does not say .* events=\{\"holiday\": \"holiday <> '...'\"\}"),
        (lambda: elapsed("day"), DataError, "column 'day' holds Date, which does not say in which rows an event is"),
        (lambda: elapsed(date="promo"), DataError, "column 'promo': expected dates or times, but got Int64; convert it to dates"),
        (lambda: elapsed(table=TABLE.with_columns(day=pl.lit("soon"))), DataError, "column 'day': expected dates such as 2015-06-20, but got 'soon'"),
        (lambda: elapsed({"holiday": "holiday <>"}), ConfigError, "events: 'holiday <>' is no SQL condition"),
        (lambda: elapsed({"holiday": "holidays <> '0'"}), DataError, "there is no column 'holidays'; did you mean 'holiday'"),
        (lambda: elapsed({"promo": "promo + 1"}), ConfigError, r"events\['promo'\] must be true or false for each row"),
        (lambda: elapsed([]), ConfigError, r"events must be columns, or names with SQL conditions; got \[\]"),
        (lambda: elapsed(7), ConfigError, "events must be a list of texts; got 7"),
        (lambda: elapsed(["promo", "promo"]), ConfigError, "events names one twice"),
        (lambda: elapsed(group=3), ConfigError, "group must be a list of texts; got 3"),
        (lambda: elapsed(group="lists", table=TABLE.with_columns(lists=pl.lit([1]))), DataError, r"group: column 'lists' holds List"),
        (lambda: elapsed(cap=0), ConfigError, "cap must be a whole number of at least 1, or None; got 0"),
        (lambda: elapsed(names=("after", "before")), ConfigError, r"names must be two texts with \{event\} in them"),
        (lambda: elapsed(table=elapsed()), DataError, "the table has a column 'Afterpromo' already, and the new feature has that name"),
        (lambda: elapsed(table=[1, 2]), ConfigError, "table must be a pandas, polars or pyarrow table"),
        (lambda: rolling(window=0), ConfigError, "window must be a whole number of at least 1; got 0"),
        (lambda: rolling(window=True), ConfigError, "window must be a whole number of at least 1; got True"),
        (lambda: rolling(unit="weeks"), ConfigError, "unit must be 'rows' or 'days'; got 'weeks'"),
        (lambda: rolling("heat", table=TABLE.with_columns(heat=pl.lit(float("inf")))), DataError, "column 'heat' has infinite values"),
        (lambda: features.add_dateparts(TABLE, "days"), DataError, r"add_dateparts: there is no column 'days'; did you mean 'day'\?"),
        (lambda: features.add_dateparts(TABLE, "day", parts=["months"]), ConfigError, r"parts: 'months' is no part of a date; did you mean 'month'\?"),
        (lambda: features.add_dateparts(TABLE, "day", parts="month"), ConfigError, "parts must be a list of texts; got 'month'"),
        (lambda: features.add_dateparts(TABLE, "promo"), DataError, "column 'promo': expected dates or times, but got Int64; convert it to dates"),
        (lambda: features.FeatureRecipe([]), ConfigError, "a recipe needs a list of steps such as AddElapsed"),
        (lambda: features.FeatureRecipe(["promo"]), ConfigError, "a recipe's steps are AddDateparts, AddElapsed and AddRolling; got 'promo'"),
        (lambda: features.FeatureRecipe([STEPS[3], STEPS[3]]), ConfigError, "two steps of the recipe add a column 'promo_bw': give one of them other names="),
        (lambda: RECIPE.apply(TABLE.drop("open")), DataError, "add_elapsed: there is no column 'open'"),
    ],
)  # fmt: skip
def test_careless_calls_are_told_what_to_do(action: Any, kind: type[Exception], message: str) -> None:
    with pytest.raises(kind, match=message):
        action()
