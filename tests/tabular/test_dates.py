"""The parts of dates: those of Python's calendar, for columns and for single values alike."""

from __future__ import annotations

import datetime
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from headstart.core.errors import DataError
from headstart.frames.dates import DateForm, as_moments
from headstart.tabular.dates import CATEGORICAL_PARTS, CONTINUOUS_PARTS, date_parts, date_parts_of

MOMENTS = st.datetimes(datetime.datetime(1000, 1, 1), datetime.datetime(9999, 12, 31, 23, 59, 59))
ISO_FORMS = ["%Y-%m-%d", "%Y-%m-%d %H:%M", "%Y-%m-%dT%H:%M", "%Y-%m-%d %H:%M:%S", "%Y-%m-%dT%H:%M:%S.%f"]
ZONES = ["", "Z", "+02:00", "-0530"]
TEXTS = st.builds(
    lambda moment, form, zone: moment.strftime(form) + (zone if "%H" in form else ""),
    MOMENTS,
    st.sampled_from(ISO_FORMS),
    st.sampled_from(ZONES),
)
ALMOST_DATES = st.from_regex(
    r"[0-9]{4}-?[0-3][0-9]-?[0-3][0-9]([ T][0-2][0-9](:[0-6][0-9]){0,2}(\.[0-9]{1,9})?Z?)?", fullmatch=True
)
NO_DATES = [
    "never",
    "2015-3-4",
    "20150304",
    "2015-W10-3",
    " 2015-03-04",
    "2015-03-04 ",
    "2015-03-04Z",
    "2015-02-30",
    "2015-03-04T24:00:00\n",
    "2015-03-04T23:59:60",
    "0000-01-01",
    "2015-03-04T10",
    "٢٠١٥-٠٣-٠٤",
    "2015-03-04 10:30:00 +02:00",
]
VALUES = st.one_of(
    st.none(),
    st.just(float("nan")),
    st.dates(),
    MOMENTS,
    TEXTS,
    ALMOST_DATES,
    st.sampled_from(NO_DATES),
    st.integers(0, 3000),
    st.booleans(),
)


@given(st.lists(st.none() | MOMENTS, min_size=1), st.booleans())
def test_the_parts_are_those_of_pythons_calendar(moments: list[Any], with_time: bool) -> None:
    series = pl.Series("d", moments, dtype=pl.Datetime("us"))
    parts = {name: values.to_list() for name, values in date_parts(series, with_time=with_time).items()}
    expected = {
        "d.month": [moment and moment.month for moment in moments],
        "d.week": [moment and moment.isocalendar().week for moment in moments],
        "d.day": [moment and moment.day for moment in moments],
        "d.day_of_week": [moment and moment.isoweekday() for moment in moments],
        "d.day_of_year": [moment and moment.timetuple().tm_yday for moment in moments],
        "d.elapsed": [moment and (moment.date() - datetime.date(1970, 1, 1)).days for moment in moments],
    }
    assert parts == expected | ({"d.hour": [moment and moment.hour for moment in moments]} if with_time else {})


@settings(max_examples=300)
@given(VALUES, st.booleans())
def test_one_value_has_the_parts_of_a_column_of_it(value: Any, with_time: bool) -> None:
    def outcome(parts: Any) -> Any:
        try:
            return parts()
        except DataError:
            return "refused"

    column = pl.Series("d", [value])
    parts_of_column = lambda: date_parts(column, with_time=with_time, form=DateForm())  # noqa: E731
    together = outcome(lambda: {name: part.item() for name, part in parts_of_column().items()})
    assert outcome(lambda: date_parts_of(value, "d", with_time=with_time)) == together


@pytest.mark.parametrize("text", NO_DATES)
def test_text_of_another_form_is_no_date(text: str) -> None:
    with pytest.raises(DataError, match="expected dates such as 2015-06-20, but got"):
        date_parts(pl.Series("d", [text]), with_time=True)
    with pytest.raises(DataError, match="expected dates such as 2015-06-20, but got"):
        date_parts_of(text, "d", with_time=True)


@given(MOMENTS, st.sampled_from(ISO_FORMS), st.sampled_from(ZONES))
def test_iso_text_is_read_by_its_own_clock(moment: datetime.datetime, form: str, zone: str) -> None:
    text = moment.strftime(form) + (zone if "%H" in form else "")
    read = as_moments(pl.Series("d", [text, None]), with_time=True)
    assert read.dtype == pl.Datetime("us")
    assert read.to_list() == [datetime.datetime.strptime(moment.strftime(form), form), None]
    assert as_moments(pl.Series("d", [text]), with_time=False).to_list() == [moment.date()]


EARLY = datetime.datetime(2015, 6, 20, 0, 30)


@pytest.mark.parametrize(
    "series",
    [
        pl.Series("d", [EARLY, None]),
        pl.Series("d", [EARLY, None], dtype=pl.Datetime("ns")),
        pl.Series("d", [EARLY, None], dtype=pl.Datetime("ms")),
        pl.Series("d", [EARLY, None]).dt.replace_time_zone("Asia/Tokyo"),
        pl.Series("d", ["2015-06-20T00:30:00+09:00", None]),
        pl.Series("d", pd.Series(pd.to_datetime([EARLY, None]).tz_localize("America/New_York"))),
    ],
    ids=["us", "ns", "ms", "tokyo", "text", "pandas-new-york"],
)
def test_the_local_clock_counts_whatever_the_unit_and_zone(series: pl.Series) -> None:
    parts = [values.to_list() for values in date_parts(series, with_time=True).values()]
    assert parts == [[6, None], [25, None], [20, None], [6, None], [171, None], [16_606, None], [0, None]]


@pytest.mark.parametrize(
    "value",
    [
        pd.Timestamp(EARLY),
        np.datetime64(EARLY, "ns"),
        np.datetime64(EARLY, "s"),
        "2015-06-20 00:30",
    ],
    ids=["pandas", "numpy-ns", "numpy-s", "text"],
)
def test_one_moment_of_any_library_is_read_as_it_stands(value: Any) -> None:
    assert date_parts_of(value, "d", with_time=True) == date_parts_of(EARLY, "d", with_time=True)


@pytest.mark.parametrize("missing", [None, float("nan"), pd.NaT, pd.NA, np.datetime64("NaT")])
@pytest.mark.parametrize("with_time", [True, False])
def test_a_missing_date_has_missing_parts(missing: Any, with_time: bool) -> None:
    names = {*CATEGORICAL_PARTS, *CONTINUOUS_PARTS} - (set() if with_time else {"hour"})
    assert date_parts_of(missing, "d", with_time=with_time) == {f"d.{name}": None for name in names}


@pytest.mark.parametrize("dtype", [pl.Null, pl.Float64, pl.String, pl.Date])
def test_a_column_of_nothing_is_a_column_of_missing_dates(dtype: Any) -> None:
    assert as_moments(pl.Series("d", [None, None], dtype=dtype), with_time=False).to_list() == [None, None]
    assert as_moments(pl.Series("d", [], dtype=dtype), with_time=True).dtype == pl.Datetime("us")


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ("never", r"column 'd': expected dates such as 2015-06-20, but got 'never'"),
        ("20.06.2015", r"column 'd': expected dates such as 2015-06-20, but got '20\.06\.2015'"),
        ("2015-06-31", r"column 'd': expected dates such as 2015-06-20, but got '2015-06-31'"),
        (20150620, r"column 'd': expected (a date|dates), as in the training rows, but got (20150620|Int64)"),
        (1.5, r"column 'd': expected (a date|dates), as in the training rows, but got (1\.5|Float64)"),
        (
            datetime.time(5),
            r"column 'd': expected (a date|dates), as in the training rows, but got (Time|datetime\.time)",
        ),
    ],
)
def test_what_is_no_date_is_named(value: Any, message: str) -> None:
    with pytest.raises(DataError, match=message):
        date_parts(pl.Series("d", [None, value]), with_time=False)
    with pytest.raises(DataError, match=message):
        date_parts_of(value, "d", with_time=False)
