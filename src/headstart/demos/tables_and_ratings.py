"""``headstart demo``: each application's main job on real data, shown step by step."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import polars as pl
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from headstart import datasets
from headstart.collab import IALS, CollabLearner, RatingsData, by_pairs
from headstart.core.errors import ArtifactError, ConfigError, did_you_mean
from headstart.demos.report import print_end
from headstart.demos.text import text_demo
from headstart.demos.vision import vision_demo
from headstart.frames.door import read_table
from headstart.frames.splits import by_time
from headstart.tabular import TabularData, TabularLearner
from headstart.training.plots import plot_predictions

__all__ = ["run_demo"]

SOMEBODY = 196
"""The user of ml-100k to whom the demo recommends: the one of its first row."""

STAR_WARS = 50
"""Its number in ml-100k."""

KNOWN_LATER_OR_NEVER_AGAIN = ["date", "flight"]
"""December has no month, week or day that the training rows know; a flight's number says what its route says."""


def run_demo(application: str, out: Path) -> None:
    """Runs one application's demo.

    Args:
        application: ``tabular``, ``collab``, ``text`` or ``vision``.
        out: the folder for models and plots, one folder per application.

    Raises:
        ConfigError: no application of that name.
    """
    if application not in DEMOS:
        raise ConfigError(f"there is no demo {application!r}; {did_you_mean(application, DEMOS)}")
    folder = out / application
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ArtifactError(f"cannot write to {folder} ({error.strerror}); give another folder with --out") from error
    DEMOS[application](folder, Console())


def _tabular(folder: Path, console: Console) -> None:
    """How late will a flight arrive, once it has left the gate? Trained on January to November, judged on December."""
    console.rule("Tables: how late will a flight arrive, once it has left the gate?")
    table = read_table(datasets.get("flights")).filter(pl.col("arr_delay").is_not_null())
    split = by_time("date", start="2013-12-01")
    console.print(
        f"{len(table):,} flights out of New York in 2013, with the weather; December is held out to judge by."
    )
    data = TabularData.from_table(table, "arr_delay", split=split, exclude=KNOWN_LATER_OR_NEVER_AGAIN, batch_size=512)
    learner = TabularLearner(data)
    learner.fit_one_cycle(5e-3, 3)

    rows = split(table)
    december = table[rows.valid]
    figures = Table("for December's flights, in minutes", "RMSE", "MAE", title="Better than arithmetic?")
    baseline = _usual_catch_up(table[rows.train], december)
    error = baseline - december["arr_delay"]
    mean_square, mean_size = (float(np.mean(values)) for values in (error.to_numpy() ** 2, error.abs().to_numpy()))
    figures.add_row("departure delay + the route's usual catch-up", f"{mean_square**0.5:.2f}", f"{mean_size:.2f}")
    last = learner.history[-1]
    figures.add_row("headstart, 3 epochs", f"{last['rmse']:.2f}", f"{last['mae']:.2f}")
    console.print(figures)

    learner.save(folder / "model")
    learner.history.plot().savefig(folder / "loss.png", dpi=110)
    prediction, target = learner.predict_with_targets()
    plot_predictions(prediction.numpy(), target.numpy(), "delay, minutes").savefig(folder / "predictions.png", dpi=110)

    few = december.sample(5, seed=1)
    columns = ["carrier", "origin", "dest", "dep_delay", "arr_delay"]
    shown = Table(*columns, "prediction", title="Five of December's flights, delays in minutes")
    for row, answer in zip(few.iter_rows(named=True), learner.predict(few)["prediction"], strict=True):
        shown.add_row(*(str(row[column]) for column in columns), f"{answer:.0f}")
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
    """What one would do without a model: departure delay plus the mean of what carrier and destination make up."""
    gain = (pl.col("arr_delay") - pl.col("dep_delay")).mean()
    usual = train.group_by("carrier", "dest").agg(gain.alias("gain"))
    joined = valid.join(usual, on=["carrier", "dest"], how="left", maintain_order="left")
    return joined["dep_delay"] + joined["gain"].fill_null(train.select(gain).item())


def _collab(folder: Path, console: Console) -> None:
    """Which films will somebody like? Trained on four fifths of a hundred thousand ratings, judged on the rest."""
    console.rule("Ratings: which films will somebody like?")
    table = read_table(datasets.get("ml-100k"))
    splitter = by_pairs("user", "item")
    split = splitter(table)
    data = RatingsData.from_table(
        table, "user", "item", "rating", time="timestamp", split=splitter, items=datasets.get("ml-100k-items"),
        y_range=(1, 5),
    )  # fmt: skip
    users, films = len(data.codec.users) - 1, len(data.codec.items) - 1
    console.print(
        f"{len(table):,} ratings of {films:,} films by {users:,} users; a random fifth is held out to judge by."
    )
    learner = CollabLearner(data)
    learner.fit_one_cycle(0.01, 15)

    error = _film_and_user_means(table[split.train], table[split.valid]) - table[split.valid]["rating"]
    figures = Table("for the ratings held out, in stars", "RMSE", title="Better than arithmetic?")
    arithmetic = float(np.mean(error.to_numpy() ** 2)) ** 0.5
    figures.add_row("the film's mean, moved by how the user rates", f"{arithmetic:.3f}")
    figures.add_row("headstart, 15 epochs", f"{learner.history[-1]['rmse']:.3f}")
    console.print(figures)

    learner.save(folder / "model")
    learner.map().savefig(folder / "map.png", dpi=110)
    learner.history.plot().savefig(folder / "loss.png", dpi=110)

    rated = table.filter(pl.col("user") == SOMEBODY).join(read_table(datasets.get("ml-100k-items")), on="item")
    rated = rated.sort("rating", "timestamp", descending=True)
    by_rating = learner.recommend(SOMEBODY, 10, exclude=rated["item"], because=True)
    by_choice = IALS(data).recommend(SOMEBODY, 10, exclude=rated["item"])["title"]
    shown = Table("liked best", "stars to expect", "because of", "likely to watch next")
    shown.title = f"User {SOMEBODY}, who rated {len(rated)} films: what next?"
    for liked, row, next_one in zip(rated["title"].head(10), by_rating.iter_rows(named=True), by_choice, strict=True):
        cells = (liked, f"{row['score']:.2f}  {row['title']}", row["because"], next_one)
        shown.add_row(*(escape(str(cell)) for cell in cells))  # titles may hold brackets
    console.print(shown)
    like = learner.similar_items(STAR_WARS, 4)["title"]
    console.print(f"Like Star Wars: {'; '.join(like)}", markup=False)
    bias = learner.item_bias().filter(pl.col("ratings") >= 50)["title"]
    console.print(
        f"Above what taste explains: {'; '.join(bias.head(4))}; below: {'; '.join(bias.tail(3))}", markup=False
    )

    print_end(
        console, folder, {"model": "the model", "map.png": "films by taste", "loss.png": "loss by epoch"},
        "ratings", [
            f"headstart recommend {folder / 'model'} --user {SOMEBODY}",
            "headstart train collab RATINGS.csv --user COLUMN --item COLUMN --rating COLUMN --out MODEL",
            "headstart predict MODEL PAIRS.csv --out predictions.csv",
        ],
    )  # fmt: skip


def _film_and_user_means(train: pl.DataFrame, valid: pl.DataFrame) -> pl.Series:
    """What one would do without a model: means of films, then of users' deviations from them, drawn to 0 if few."""
    mean = float(train["rating"].mean())  # type: ignore[arg-type]  # a column of numbers
    films = train.group_by("item").agg(((pl.col("rating") - mean).sum() / (pl.len() + 5)).alias("film"))
    left = pl.col("rating") - mean - pl.col("film")
    users = train.join(films, on="item").group_by("user").agg((left.sum() / (pl.len() + 5)).alias("own"))
    joined = valid.join(films, on="item", how="left", maintain_order="left")
    joined = joined.join(users, on="user", how="left", maintain_order="left").fill_null(0.0)
    return joined["film"] + joined["own"] + mean


DEMOS: dict[str, Callable[[Path, Console], None]] = {
    "tabular": _tabular,
    "collab": _collab,
    "text": text_demo,
    "vision": vision_demo,
}
