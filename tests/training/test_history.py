"""The history of a fit: a list of dictionaries that shows itself as a table."""

from __future__ import annotations

import math

import polars as pl
import pytest

from headstart.training.history import History, format_figure

HISTORY = History(
    [
        {"fit": 0, "epoch": 0, "train_loss": 0.5, "seconds": 1.25},
        {"fit": 0, "epoch": 1, "train_loss": 0.25, "rmse": 12345.678, "seconds": 1.5},
    ]
)


def test_an_epoch_without_a_figure_has_a_null_there() -> None:
    assert HISTORY.names() == ["fit", "epoch", "train_loss", "seconds", "rmse"]
    assert HISTORY.frame().rows() == [(0, 0, 0.5, 1.25, None), (0, 1, 0.25, 1.5, 12345.678)]
    assert History().frame().shape == (0, 0)


@pytest.mark.parametrize("first", [{}, {"rmse": 0}])
def test_a_figure_that_shows_its_type_after_many_epochs_is_kept(first: dict[str, float]) -> None:
    history = History([{"epoch": epoch, **first} for epoch in range(200)] + [{"epoch": 200, "rmse": 0.5}])
    assert history.frame()["rmse"][-1] == 0.5
    assert history.frame().schema == {"epoch": pl.Int64, "rmse": pl.Float64}


def test_it_shows_epochs_from_1_and_nothing_where_there_is_no_figure() -> None:
    lines = repr(HISTORY).splitlines()
    assert lines[0].split("┃") == ["fit ", " epoch ", " train_loss ", " seconds ", "  rmse"]
    assert [cell.strip() for cell in lines[2].split("│")] == ["1", "1", "0.5", "1.25", ""]
    assert [cell.strip() for cell in lines[3].split("│")] == ["1", "2", "0.25", "1.5", "12346"]
    assert repr(History()) == "no epochs yet"


def test_a_notebook_gets_the_same_as_html() -> None:
    assert History([{"epoch": 0, "rmse": 0.5}])._repr_html_() == (
        "<table><tr><th>epoch</th><th>rmse</th></tr><tr><td>1</td><td>0.5</td></tr></table>"
    )
    assert History()._repr_html_() == "<p>no epochs yet</p>"


def test_the_name_of_a_metric_is_text_and_no_markup() -> None:
    history = History([{"<lambda>": 1.0, "error[0]": 2.0, "[bold]": 3.0}])
    assert [cell.strip() for cell in repr(history).splitlines()[0].split("┃")] == ["<lambda>", "error[0]", "[bold]"]
    assert "<th>&lt;lambda&gt;</th>" in history._repr_html_()


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.123456, "0.1235"),
        (1234.5678, "1235"),
        (9999.4, "9999"),
        (9999.7, "10000"),
        (-123456.7, "-123457"),
        (1e9, "1e+09"),
        (1e-7, "1e-07"),
        (0.0, "0"),
        (math.nan, "nan"),
        (-math.inf, "-inf"),
    ],
)
def test_a_figure_has_four_digits_and_no_power_where_people_read_it(value: float, text: str) -> None:
    assert format_figure(value) == text
