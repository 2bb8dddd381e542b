"""Dates in text: the form is settled from the whole column, kept, and the clock of the training rows counts."""

from __future__ import annotations

import datetime

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from headstart.core.errors import ConfigError, DataError
from headstart.frames.dates import OWN_CLOCK, DateForm, as_moments, check_clock, checked_format, forms_of, on_one_clock

DAYS = st.lists(st.dates(datetime.date(1970, 1, 1), datetime.date(2068, 12, 31)), min_size=1, max_size=8)


def texts(*values: str | None) -> pl.Series:
    return pl.Series("d", values, dtype=pl.String)


@pytest.mark.parametrize(
    ("values", "formats"),
    [
        (["2015-06-20", "2015-06-21"], ["iso"]),
        (["2015-06-20T05:30", "2015-06-21 23:59:59.5"], ["iso"]),
        (["1/2/2015", "20/6/2015"], ["%d/%m/%Y"]),
        (["1/2/2015", "6/20/2015"], ["%m/%d/%Y"]),
        (["1/1/2015", "2/1/2015", "12/1/2015"], ["%d/%m/%Y", "%m/%d/%Y"]),
        (["01/02/20", "31/12/99"], ["%d/%m/%y"]),
        (["1.2.2015", "3.4.2015"], ["%d.%m.%Y"]),
        (["1.2.15", "3.4.16"], []),  # versions
        (["01.02.15", "03.04.16"], ["%d.%m.%y"]),
        (["2015/6/20"], ["%Y/%m/%d"]),
        (["2015-6-2", "2015-10-12"], ["%Y-%m-%d"]),
        (["20 June 2015", "1 Mar 2016"], ["%d %B %Y"]),
        (["June 20, 2015", "Mar 1, 2016"], ["%B %d, %Y"]),
        (["20-Jun-15"], ["%d-%B-%y"]),
        (["20/6/2015 5:30", "1/6/2015 23:59"], ["%d/%m/%Y %H:%M"]),
        (["6/20/2015 5:30:10 PM"], ["%m/%d/%Y %I:%M:%S %p"]),
        (["1/2/2015", "31/31/2015"], []),
        (["2015-06-20", "never"], []),
        (["2015-02-30"], []),
        (["2015-06-20T05:30Z", "2015-06-20T05:30"], []),  # one has a zone, the other has none
        (["10:30", "11:45"], []),
        (["1/2", "1/3"], []),
    ],
)
def test_the_form_is_settled_from_all_values(values: list[str], formats: list[str]) -> None:
    assert [form.format for form in forms_of(texts(*values, None))] == formats


@pytest.mark.parametrize("first", ["%d/%m", "%m/%d"])
@given(days=DAYS)
def test_a_settled_form_is_the_one_it_was_written_in(first: str, days: list[datetime.date]) -> None:
    written = texts(*(day.strftime(f"{first}/%Y") for day in days))
    forms = [form.format for form in forms_of(written)]
    assert f"{first}/%Y" in forms
    assert (len(forms) == 1) == any(day.day > 12 for day in days)
    assert as_moments(written, with_time=False, form=DateForm(f"{first}/%Y")).to_list() == days


@given(days=DAYS)
def test_two_digit_years_are_those_of_strptime(days: list[datetime.date]) -> None:
    written = [day.strftime("%d/%m/%y") for day in days]
    expected = [datetime.datetime.strptime(text, "%d/%m/%y").date() for text in written]
    assert as_moments(texts(*written), with_time=False, form=DateForm("%d/%m/%y")).to_list() == expected
    assert as_moments(texts("1/1/69", "1/1/68"), with_time=False, form=DateForm("%d/%m/%y")).to_list() == [
        datetime.date(1969, 1, 1),
        datetime.date(2068, 1, 1),
    ]


def test_a_format_that_is_given_settles_what_is_uncertain() -> None:
    uncertain = texts("1/2/2015", "3/4/2015")
    assert forms_of(uncertain, date_format="%m/%d/%Y") == (DateForm("%m/%d/%Y"),)
    assert forms_of(texts("20150620"), date_format="%Y%m%d") == (DateForm("%Y%m%d"),)
    assert len(forms_of(uncertain, date_format="%Y%m%d")) == 2
    assert checked_format("%d. %B %Y") == "%d. %B %Y"
    for wrong in ("%d/%m", "dd/mm/yyyy", "", "%Q"):
        with pytest.raises(
            ConfigError, match="date_format must have a day, a month and a year as in Python's strptime"
        ):
            checked_format(wrong)


HALF_PAST = datetime.datetime(2024, 7, 15, 23, 30)


@pytest.mark.parametrize(
    ("values", "zone"),
    [
        (["2024-07-15T23:30:00+02:00", "2024-07-15T21:30:00+02:00"], "Etc/GMT-2"),
        (["2024-07-15T23:30:00-05:00"], "Etc/GMT+5"),
        (["2024-07-15T23:30:00Z", "2024-07-15T23:30:00+00:00"], "UTC"),
        (["2024-07-15T23:30:00+02:00", "2024-01-15T23:30:00+01:00"], OWN_CLOCK),
        (["2024-07-15T23:30:00+05:30"], OWN_CLOCK),  # no zone has it, whatever the season
        (["2024-07-15T23:30:00"], None),
    ],
)
def test_the_zone_is_that_of_the_offsets(values: list[str], zone: str | None) -> None:
    (form,) = forms_of(texts(*values))
    assert form.zone == zone
    assert as_moments(texts(*values[:1]), with_time=True, form=form).to_list() == [HALF_PAST]


BERLIN = DateForm(zone="Europe/Berlin")
AWARE = pl.Series("d", [HALF_PAST]).dt.replace_time_zone("Europe/Berlin")


@pytest.mark.parametrize(
    "series",
    [
        AWARE,
        AWARE.dt.convert_time_zone("UTC"),
        AWARE.dt.convert_time_zone("Asia/Tokyo"),
        texts("2024-07-15T23:30:00+02:00"),
        texts("2024-07-15 21:30:00Z"),
        texts("2024-07-16T06:30:00.000+0900"),
    ],
)
def test_moments_are_converted_to_the_clock_of_the_training_rows(series: pl.Series) -> None:
    check_clock(series, BERLIN)
    assert as_moments(series, with_time=True, form=BERLIN).to_list() == [HALF_PAST]
    assert on_one_clock(series[0], "d", BERLIN) == HALF_PAST


@pytest.mark.parametrize(
    ("series", "form", "message"),
    [
        (AWARE, DateForm(), "the training rows have no time zone, but got .*Berlin"),
        (texts("2024-07-15T23:30Z"), DateForm(), "the training rows have no time zone, but got '2024-07-15T23:30Z'"),
        (
            pl.Series("d", [HALF_PAST]),
            BERLIN,
            "the training rows have the time zone Europe/Berlin, but got .*which has",
        ),
        (texts("2024-07-15T23:30"), BERLIN, "have the time zone Europe/Berlin, but got '2024-07-15T23:30'"),
        (
            AWARE,
            DateForm(zone=OWN_CLOCK),
            "the training rows are texts with several offsets from UTC, each read by its",
        ),
    ],
)
def test_what_cannot_be_put_on_that_clock_is_refused(series: pl.Series, form: DateForm, message: str) -> None:
    with pytest.raises(DataError, match=f"column 'd': .*{message}"):
        check_clock(series, form)
    with pytest.raises(DataError, match=f"column 'd': .*{message.split(', but got')[0]}"):
        on_one_clock(series[0], "d", form)


def test_a_value_that_is_no_date_is_named_with_its_row() -> None:
    with pytest.raises(DataError, match="column 'd': expected dates such as 20/06/2015, but got '31/2/2015' in row 3"):
        as_moments(texts("1/2/2015", None, "31/2/2015"), with_time=False, form=DateForm("%d/%m/%Y"))


def test_the_clock_of_one_place_is_told_from_others_by_its_offsets() -> None:
    written = texts("2024-07-15T23:30:00+02:00", "2024-01-15T23:30:00+01:00")
    (form,) = forms_of(written)
    assert form == DateForm("iso", OWN_CLOCK, (60, 120))
    berlin = pl.Series("d", [HALF_PAST, HALF_PAST.replace(month=1)]).dt.replace_time_zone("Europe/Berlin")
    for series in (written, berlin):
        check_clock(series, form)
        assert as_moments(series, with_time=True, form=form).to_list() == [HALF_PAST, HALF_PAST.replace(month=1)]
        assert [on_one_clock(value, "d", form) for value in series] == [HALF_PAST, HALF_PAST.replace(month=1)]
    for other in (berlin.dt.convert_time_zone("UTC"), texts("2024-07-15T21:30:00Z"), texts("2024-07-15T23:30:00")):
        with pytest.raises(
            DataError, match="column 'd': .*several offsets from UTC, each read by its own clock, but got"
        ):
            check_clock(other, form)
        with pytest.raises(
            DataError, match="column 'd': .*several offsets from UTC, each read by its own clock, but got"
        ):
            on_one_clock(other[0], "d", form)
    (world,) = forms_of(texts("2024-07-15T23:30:00+02:00", "2024-07-15T23:30:00-05:00", "2024-07-15T23:30:00+09:00"))
    assert world == DateForm("iso", OWN_CLOCK)
    check_clock(texts("2024-07-15T23:30:00+05:30"), world)
