"""``headstart demo tabular``: how late will a flight arrive, once it has left the gate?"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import polars as pl
from rich.console import Console
from rich.table import Table

from headstart import datasets
from headstart.demos.report import print_end, print_kept
from headstart.frames.door import read_table
from headstart.frames.splits import by_time
from headstart.tabular.data import TabularData
from headstart.tabular.learner import TabularLearner
from headstart.training.plots import plot_predictions

__all__ = ["demo"]

KNOWN_LATER_OR_NEVER_AGAIN = ["date", "flight"]
"""December has no month, week or day of the training rows; a flight's number says no more than its route."""


def demo(folder: Path, console: Console) -> None:
    """Train on January to November of 2013, and predict December's delays.

    Args:
        folder: for the model and the plots.
        console: where to print.
    """
    console.rule("Tables: how late will a flight arrive, once it has left the gate?")
    table = read_table(datasets.get("flights")).filter(pl.col("arr_delay").is_not_null())
    split = by_time("date", start="2013-12-01")
    console.print(f"{len(table):,} flights out of New York in 2013, with the weather; December validates.")
    data = TabularData.from_table(table, "arr_delay", split=split, exclude=KNOWN_LATER_OR_NEVER_AGAIN)
    learner = TabularLearner(data)
    learner.fit_one_cycle()
    print_kept(console, learner)

    rows = split(table)
    december = table[rows.valid]
    figures = Table("for December's flights, in minutes", "RMSE", "MAE", title="Better than arithmetic?")
    error = _usual_catch_up(table[rows.train], december) - december["arr_delay"]
    rmse, mae = float(np.mean(error.to_numpy() ** 2)) ** 0.5, float(np.mean(error.abs().to_numpy()))
    figures.add_row("departure delay + the route's usual catch-up", f"{rmse:.2f}", f"{mae:.2f}")
    figures.add_row("headstart", f"{learner.figures['rmse']:.2f}", f"{learner.figures['mae']:.2f}")
    console.print(figures)

    learner.save(folder / "model")
    learner.history.plot().savefig(folder / "loss.png", dpi=110)
    prediction, target = learner.predict_with_targets()
    plot_predictions(prediction.numpy(), target.numpy(), "delay, minutes").savefig(folder / "predictions.png", dpi=110)

    few = december.sample(5, seed=1)
    columns = ["carrier", "origin", "dest", "dep_delay", "arr_delay"]
    shown = Table(*columns, "prediction", title="Five of December's flights, delays in minutes")
    for row, predicted in zip(few.iter_rows(named=True), learner.predict(few)["prediction"], strict=True):
        shown.add_row(*(str(row[column]) for column in columns), f"{predicted:.0f}")
    console.print(shown)

    print_end(
        console, folder, {"model": "the model", "loss.png": "loss by epoch", "predictions.png": "predicted, true"},
        "a table", [
            f"headstart info {folder / 'model'}",
            "headstart train tabular TABLE.csv --target COLUMN --out MODEL",
            "headstart predict MODEL NEW.csv --out predictions.csv",
        ],
    )  # fmt: skip


def _usual_catch_up(train: pl.DataFrame, valid: pl.DataFrame) -> pl.Series:
    """Return predictions without a model: departure delay plus the mean that carrier and destination make up."""
    gain = (pl.col("arr_delay") - pl.col("dep_delay")).mean()
    usual = train.group_by("carrier", "dest").agg(gain.alias("gain"))
    joined = valid.join(usual, on=["carrier", "dest"], how="left", maintain_order="left")
    return joined["dep_delay"] + joined["gain"].fill_null(train.select(gain).item())
