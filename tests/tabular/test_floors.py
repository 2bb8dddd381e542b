"""Quality floors on real data: what a change may not lose."""

from __future__ import annotations

from pathlib import Path

import polars as pl
import pytest

import toys
from headstart import HeadstartWarning, TabularData, TabularLearner, datasets
from headstart.demos import run_demo
from headstart.frames import splits
from headstart.training.settings import Plan

pytestmark = pytest.mark.slow


def test_rossmann_is_forecast_with_the_defaults() -> None:
    """Some 12 seconds: 8 of 10 epochs on 75,479 rows, the least that tells a good default from a bad one.

    The mean of (store, weekday, promotion) reaches .136, LightGBM .1116 (measured; see benchmarks).
    """
    data = TabularData.from_table(
        datasets.get("rossmann-100"), "Sales", split=splits.by_time("Date", start="2015-06-20"), where="Sales > 0",
        exclude=["Open"], log_target=True,
    )  # fmt: skip
    assert (data.train.rows, data.valid.rows) == (75_479, 3_654)
    learner = TabularLearner(data, progress="none")
    history = learner.fit_one_cycle(0.01, 8)
    assert history[-1]["rmspe"] < 0.120


@pytest.mark.filterwarnings("ignore:of .* never seen in training")  # a rare arrival time
def test_the_demo_beats_arithmetic_and_leaves_what_it_says(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first thing that a newcomer runs, but for two of its three epochs and half of the flights."""
    monkeypatch.setenv("COLUMNS", "200")
    monkeypatch.setattr(TabularLearner, "plan", lambda self: Plan(lr=0.01, epochs=1))
    toys.every_nth_row(monkeypatch, tmp_path, "flights", 2)
    run_demo("tabular", tmp_path)
    printed = capsys.readouterr().out
    rows = {
        line.split("│")[1].strip(): float(line.split("│")[2]) for line in printed.splitlines() if line.count("│") == 4
    }
    baseline, ours = (rmse for name, rmse in rows.items() if name.startswith(("departure", "headstart")))
    assert ours < 0.97 * baseline
    made = sorted(path.name for path in (tmp_path / "tabular").iterdir())
    assert made == ["loss.png", "model", "predictions.png"]
    assert all(
        (tmp_path / "tabular" / name).read_bytes().startswith(b"\x89PNG") for name in ("loss.png", "predictions.png")
    )
    assert "headstart train tabular TABLE.csv --target COLUMN --out MODEL" in printed


def test_gaps_and_strangers_in_real_data_crash_nothing() -> None:
    table = pl.read_parquet(datasets.get("flights")).drop("date").sample(3_000, seed=0)
    data = TabularData.from_table(table, "carrier", split=splits.by_random(0.3), exclude=["flight", "tailnum"])
    learner = TabularLearner(data, hidden=[32], progress="none")
    history = learner.fit_one_cycle(0.02, 10)
    assert history[-1]["accuracy"] > 0.5  # the commonest of 16 carriers has .17 of the flights
    with pytest.warns(HeadstartWarning, match="column 'dest': none of the 3,000 rows has a value seen in training"):
        answers = learner.predict(table.with_columns(dest=pl.lit("MARS"), temp=pl.lit(None, dtype=pl.Float32)))
    assert answers["prediction"].null_count() == 0
