"""The commands on ratings: ``train collab`` and ``recommend``. Importing this imports neither torch nor polars."""

from __future__ import annotations

import math
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from headstart.command.options import AsJson, Device, Folder, bounds_of, names, split_of
from headstart.command.report import report
from headstart.core.errors import ConfigError

if TYPE_CHECKING:
    import polars as pl

    from headstart.collab import RatingsCodec

__all__ = ["recommend", "train_collab"]


def train_collab(
    ratings: Annotated[Path, typer.Argument(help="A CSV or Parquet file: a row per rating.")],
    user: Annotated[str, typer.Option(help="Column of users: text or whole numbers.")],
    item: Annotated[str, typer.Option(help="Column of items: text or whole numbers.")],
    out: Annotated[Path, typer.Option(help="Folder for the model; an earlier model there is replaced.")],
    rating: Annotated[str | None, typer.Option(help="Column of ratings; none: rows say who chose what.")] = None,
    time_column: Annotated[
        str | None, typer.Option("--time", help="Split by this column: the latest validate. The last duplicate counts.")
    ] = None,
    valid_from: Annotated[str | None, typer.Option(help="First validating moment, with --time.")] = None,
    valid_fraction: Annotated[float | None, typer.Option(help="Share of validating rows; 0.2 by default.")] = None,
    valid_where: Annotated[str | None, typer.Option(help="SQL condition: these rows validate.")] = None,
    valid_last: Annotated[int | None, typer.Option(help="How many of each user's last rows validate.")] = None,
    where: Annotated[str | None, typer.Option(help="SQL condition: only these rows are used.")] = None,
    items: Annotated[Path | None, typer.Option(help="Table of items (titles, genres) with the column --item.")] = None,
    users: Annotated[Path | None, typer.Option(help="Table of users (ages, jobs) with the column --user.")] = None,
    title: Annotated[str | None, typer.Option(help="Column of --items to show them by; title or name.")] = None,
    y_range: Annotated[str | None, typer.Option(help="Lowest and highest rating there can be, such as 1,5.")] = None,
    method: Annotated[
        str | None,
        typer.Option(help="ratings; or to learn rankings: ials, ease, softmax, bpr. Without --rating: ials."),
    ] = None,
    factors: Annotated[int | None, typer.Option(help="Width of the vectors; by the method.")] = None,
    epochs: Annotated[int | None, typer.Option(help="Epochs of one cycle; by the number of rows.")] = None,
    lr: Annotated[float, typer.Option(help="Top learning rate.")] = 0.01,
    batch_size: Annotated[int | None, typer.Option(help="Rows per step; by the number of rows.")] = None,
    seed: Annotated[int, typer.Option(help="Of factors, order and random split.")] = 0,
    device: Device = "auto",
    as_json: AsJson = False,
) -> None:
    """Train on ratings, or on who chose what; print the metrics of the validation rows."""
    from headstart.collab import EASE, IALS, CollabLearner, RatingsData, by_last_of_user, by_pairs, suggested_epochs
    from headstart.core.artefact import check_writable
    from headstart.core.engine import Engine

    started = time.perf_counter()
    method = method or ("ials" if rating is None else "ratings")
    methods = ("ratings", "ials", "ease", "softmax", "bpr")
    if method not in methods or (method == "ratings" and rating is None):
        raise ConfigError(f"--method {method}: there are {', '.join(methods)}; ratings needs --rating")
    if method in ("ials", "ease") and (epochs is not None or batch_size is not None):
        typer.echo(f"warning: --method {method} is solved, not trained: no --epochs or --batch-size", err=True)
    if method == "ease" and factors is not None:
        typer.echo("warning: --method ease has no --factors", err=True)
    check_writable(out, "learner")
    if valid_last is not None and any(option is not None for option in (valid_from, valid_fraction, valid_where)):
        raise ConfigError("give one of --valid-last, --valid-from, --valid-fraction and --valid-where")
    if valid_last is not None and time_column is None:
        raise ConfigError("--valid-last needs --time, which says what is last")
    if valid_last is not None:
        split = by_last_of_user(user, time_column, item, count=valid_last)
    elif time_column is None and valid_where is None and valid_from is None:
        split = by_pairs(user, item, 0.2 if valid_fraction is None else valid_fraction, seed=seed)
    else:
        split = split_of(time_column, valid_from, valid_fraction, valid_where, seed)
    data = RatingsData.from_table(
        ratings, user, item, rating, time=time_column, split=split, where=where, items=items, users=users, title=title,
        y_range=bounds_of(y_range), negatives=50 if method in ("softmax", "bpr") else None,
        batch_size=batch_size, seed=seed, engine=Engine(device),
    )  # fmt: skip
    for note in data.notes if data.engine.is_main else ():
        typer.echo(note, err=True)
    if method in ("ease", "ials"):
        ranker = EASE(data) if method == "ease" else IALS(data, factors=64 if factors is None else factors, seed=seed)
        if data.engine.is_main:
            ranker.save(out)
            report([ranker.metrics], out, time.perf_counter() - started, as_json=as_json, user=_a_user(data.codec))
        return
    learner = CollabLearner(data, factors=factors, ranking_loss="bpr" if method == "bpr" else "softmax", seed=seed)
    history = learner.fit_one_cycle(lr, suggested_epochs(data.train.steps(0)) if epochs is None else epochs)
    if not math.isfinite(history[-1]["train_loss"]):
        raise ConfigError(f"the training diverged at --lr {lr}: lower it; nothing was saved")
    learner.save(out)
    if learner.engine.is_main:
        report(learner.history, out, time.perf_counter() - started, as_json=as_json, user=_a_user(data.codec))


def recommend(
    folder: Folder,
    user: Annotated[str | None, typer.Option(help="Whom for, as the training table calls them; none: all.")] = None,
    n: Annotated[int, typer.Option("-n", help="How many items.")] = 10,
    only: Annotated[str, typer.Option(help="None but these items, with commas.")] = "",
    exclude: Annotated[str, typer.Option(help="Not these items, with commas.")] = "",
    seen: Annotated[bool, typer.Option("--seen", help="Also what the user has chosen in training.")] = False,
    out: Annotated[Path | None, typer.Option(help="A .csv or .parquet file; else standard output.")] = None,
    device: Device = "auto",
) -> None:
    """Recommend items to a user of a model of ratings, or to all users, with the reason for each."""
    from headstart import load
    from headstart.collab import Recommender
    from headstart.frames.door import check_output, csv_text, write_table

    if out is not None:
        check_output(out)
    learner = load(folder, device=device)
    if not isinstance(learner, Recommender):
        raise ConfigError(f"{folder} holds no recommender: train one with headstart train collab")
    if user is None:
        found = learner.recommend_all(
            n, exclude_seen=not seen, only=names(only) or None, exclude=names(exclude), because=True
        )
    else:
        found = learner.recommend(
            user, n, exclude_seen=not seen, only=names(only) or None, exclude=names(exclude), because=True
        )
    if out is not None:
        write_table(found, out)
    elif sys.stdout.isatty():
        _show_table(found)
    else:
        sys.stdout.write(csv_text(found))


def _a_user(codec: RatingsCodec) -> str:
    return str(codec.users.values[0])


def _show_table(frame: pl.DataFrame) -> None:
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    table = Table(*frame.columns)
    for row in frame.iter_rows():
        table.add_row(
            *("" if cell is None else f"{cell:.3f}" if isinstance(cell, float) else escape(str(cell)) for cell in row)
        )
    Console().print(table)
