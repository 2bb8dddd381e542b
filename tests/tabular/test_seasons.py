"""Training rows of too little time: which parts of dates, and which numbers that are the date once more, stay."""

from __future__ import annotations

import datetime
from typing import Any

import numpy as np
import polars as pl
import pytest

from headstart.tabular.codec import TableCodec
from headstart.tabular.columns import sort_columns
from headstart.targets.target import Number

DAY = datetime.date(2015, 1, 1)


def fit(frame: pl.DataFrame, **named: Any) -> TableCodec:
    frame = frame.with_columns(target=pl.Series(np.arange(len(frame)) * 1.5))
    return TableCodec.fit(frame, sort_columns(frame.drop("target"), **named), Number.fit(frame, ["target"]))


TOO_FEW = "training rows of less than two years have too few of each"
NO_SEASON = "training rows of less than a year cannot tell a season from a trend"


@pytest.mark.parametrize(
    ("last", "parts", "left_out"),
    [
        (364, ["day_of_week"], dict.fromkeys(["month", "week", "day", "day_of_year", "elapsed"], NO_SEASON)),
        (365, ["month", "day_of_week", "day_of_year", "elapsed"], {"week": TOO_FEW, "day": TOO_FEW}),
        (729, ["month", "day_of_week", "day_of_year", "elapsed"], {"week": TOO_FEW, "day": TOO_FEW}),
        (730, ["month", "week", "day", "day_of_week", "day_of_year", "elapsed"], {}),
    ],
)
def test_a_date_says_as_much_as_its_training_rows_span(last: int, parts: list[str], left_out: dict[str, str]) -> None:
    codec = fit(pl.DataFrame({"d": [None, *(DAY + datetime.timedelta(number) for number in range(last + 1))]}))
    assert codec.inputs == tuple(f"d.{part}" for part in parts)
    assert codec.left_out == {f"d.{part}": reason for part, reason in left_out.items()}


def test_times_of_a_few_days_say_weekday_and_hour() -> None:
    start = datetime.datetime(2020, 1, 1)
    codec = fit(pl.DataFrame({"d": [start + datetime.timedelta(hours=5 * number) for number in range(99)]}))
    assert codec.inputs == ("d.day_of_week", "d.hour")


def test_a_date_of_less_than_a_year_that_is_all_there_is_keeps_its_parts() -> None:
    weeks = [DAY + datetime.timedelta(7 * number) for number in range(50)]
    assert fit(pl.DataFrame({"d": weeks})).inputs == ("d.month", "d.day_of_year", "d.elapsed")
    assert fit(pl.DataFrame({"d": weeks, "x": [1.0, 2.0] * 25})).inputs == ("x",)


ONCE_MORE = {
    "a year's fraction": lambda day: 2016 + day / 366,
    "seconds, backwards": lambda day: -86400 * day,
    "two numbers a day": lambda day: day + np.arange(len(day)) % 2 / 2,
}


@pytest.mark.parametrize("number", ONCE_MORE.values(), ids=ONCE_MORE)
@pytest.mark.parametrize("days", [300, 400])
def test_numbers_that_are_the_date_once_more_are_left_out_with_it(number: Any, days: int) -> None:
    day = np.random.default_rng(0).permutation(np.repeat(np.arange(days), 4))
    frame = pl.DataFrame(
        {
            "d": [DAY + datetime.timedelta(int(each)) for each in day],
            "again": number(day.astype(float)),
            "year": np.where(day < 200, 2016, 2017),  # a number of many days
            "nearly": np.where(np.arange(len(day)) == 5, -1e9, day.astype(float)),
            "none": [None, *day[1:].astype(float)],
        }
    )
    codec = fit(frame)
    reason = f"its numbers grow with the days of 'd', and {NO_SEASON}"
    assert {name for name, why in codec.left_out.items() if why == reason} == (
        {"again", "none"} if days == 300 else set()
    )
    assert {"year", "nearly"} <= set(codec.inputs) and ("again" in codec.inputs) == (days == 400)
    assert ("again" in codec.columns) == (days == 400)
    named = fit(frame, continuous=["again"])
    assert "again" in named.inputs and "again" not in named.left_out


def test_a_number_that_grows_over_few_days_may_do_so_by_accident() -> None:
    days = np.arange(29)
    short = pl.DataFrame({"d": [DAY + datetime.timedelta(int(each)) for each in days], "x": days**2.0})
    assert fit(short).inputs == ("d.day_of_week", "x")
    day = pl.DataFrame({"d": [DAY + datetime.timedelta(29)], "x": [29**2.0]})
    assert fit(pl.concat([short, day])).inputs == ("d.day_of_week",)
