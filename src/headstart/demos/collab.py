"""``headstart demo collab``: which films will somebody like?"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import polars as pl
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from headstart import datasets
from headstart.collab.data import RatingsData
from headstart.collab.learner import CollabLearner
from headstart.collab.rankers import IALS
from headstart.collab.splits import by_pairs
from headstart.demos.report import print_end, print_kept
from headstart.frames.door import read_table

__all__ = ["demo"]

USER = 196
"""The user of ml-100k to whom the demo recommends: the one of its first row."""

STAR_WARS = 50
"""Its number in ml-100k."""


def demo(folder: Path, console: Console) -> None:
    """Train on four fifths of a hundred thousand ratings, and recommend films to one user.

    Args:
        folder: for the model and the plots.
        console: where to print.
    """
    console.rule("Ratings: which films will somebody like?")
    table = read_table(datasets.get("ml-100k"))
    splitter = by_pairs("user", "item")
    split = splitter(table)
    data = RatingsData.from_table(
        table, "user", "item", "rating", time="timestamp", split=splitter, items=datasets.get("ml-100k-items"),
        y_range=(1, 5),
    )  # fmt: skip
    users, films = len(data.codec.users) - 1, len(data.codec.items) - 1
    console.print(f"{len(table):,} ratings of {films:,} films by {users:,} users; a random fifth validates.")
    learner = CollabLearner(data)
    learner.fit_one_cycle()
    print_kept(console, learner)

    error = _film_and_user_means(table[split.train], table[split.valid]) - table[split.valid]["rating"]
    figures = Table("for the validation ratings, in stars", "RMSE", title="Better than arithmetic?")
    arithmetic = float(np.mean(error.to_numpy() ** 2)) ** 0.5
    figures.add_row("the film's mean, moved by how the user rates", f"{arithmetic:.3f}")
    figures.add_row("headstart", f"{learner.figures['rmse']:.3f}")
    console.print(figures)

    learner.save(folder / "model")
    learner.map().savefig(folder / "map.png", dpi=110)
    learner.history.plot().savefig(folder / "loss.png", dpi=110)

    rated = table.filter(pl.col("user") == USER).join(read_table(datasets.get("ml-100k-items")), on="item")
    rated = rated.sort("rating", "timestamp", descending=True)
    by_rating = learner.recommend(USER, 10, exclude=rated["item"], because=True)
    by_choice = IALS(data).recommend(USER, 10, exclude=rated["item"])["title"]
    shown = Table("liked best", "stars to expect", "because of", "likely to watch next")
    shown.title = f"User {USER}, who rated {len(rated)} films: what next?"
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
            f"headstart recommend {folder / 'model'} --user {USER}",
            "headstart train collab RATINGS.csv --user COLUMN --item COLUMN --rating COLUMN --out MODEL",
            "headstart predict MODEL PAIRS.csv --out predictions.csv",
        ],
    )  # fmt: skip


def _film_and_user_means(train: pl.DataFrame, valid: pl.DataFrame) -> pl.Series:
    """Return predictions without a model: means of films, then of users' deviations, drawn to 0 where there are few."""
    mean = float(train["rating"].mean())  # type: ignore[arg-type]  # a column of numbers
    films = train.group_by("item").agg(((pl.col("rating") - mean).sum() / (pl.len() + 5)).alias("film"))
    deviation = pl.col("rating") - mean - pl.col("film")
    users = train.join(films, on="item").group_by("user").agg((deviation.sum() / (pl.len() + 5)).alias("user_mean"))
    joined = valid.join(films, on="item", how="left", maintain_order="left")
    joined = joined.join(users, on="user", how="left", maintain_order="left").fill_null(0.0)
    return joined["film"] + joined["user_mean"] + mean
