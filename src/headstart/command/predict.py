"""The commands that use a saved model: ``predict``, ``evaluate``, ``recommend`` and ``generate``."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from headstart.applications import APPLICATIONS
from headstart.command.options import AsJson, Device, Folder, Input, Query, names, source_of
from headstart.command.report import metrics_in, print_metrics
from headstart.core.errors import ConfigError

if TYPE_CHECKING:
    import polars as pl

    from headstart.frames.door import Opened

__all__ = ["evaluate", "generate", "predict", "recommend"]

Out = Annotated[
    Path | None,
    typer.Option(metavar="FILE", help="File to write, .csv or .parquet. [dim](default: CSV on standard output)[/dim]"),
]


def predict(
    folder: Folder,
    source: Input,
    query: Query = None,
    out: Out = None,
    on_error: Annotated[
        Literal["raise", "skip"],
        typer.Option(help="Images that cannot be decoded: raise an error, or skip them; a column then says why."),
    ] = "raise",
    device: Device = "auto",
) -> None:
    """Predict each row of a table, or each text or image of a folder.

    The rows come out in their order, their own columns unchanged, and the predictions beside them. Of a CSV file each
    value stays as it is written there; a Parquet file gets numbers and dates as such.
    """
    from headstart import load
    from headstart.frames.door import check_output

    if out is not None:
        check_output(out)
    learner = load(folder, device=device)
    given = source_of(source, query)
    if learner.application == "vision":
        _write(_predict_images(learner, given, on_error, flat=out is None or out.suffix == ".csv"), out)
        return
    opened = _rows(learner, given)
    predictions = learner.predict(opened.frame)
    for name in predictions.columns:
        if name in opened.frame.columns:
            typer.echo(f"warning: the column {name!r} of the input is replaced by the new predictions", err=True)
    own = opened.frame if out is not None and out.suffix == ".parquet" else opened.unread  # Parquet has types
    _write(own.with_columns(predictions), out)


def evaluate(
    folder: Folder,
    source: Input,
    where: Annotated[
        str | None,
        typer.Option(
            metavar="SQL", help='Condition on the rows, as for train, such as "Sales > 0"; others are left out.'
        ),
    ] = None,
    query: Query = None,
    device: Device = "auto",
    as_json: AsJson = False,
) -> None:
    """Print the metrics of a saved model over the rows of a table with the target, or over a folder per class."""
    from headstart import load

    learner = load(folder, device=device)
    given = source_of(source, query)
    metrics = metrics_in(learner.evaluate(given) if where is None else learner.evaluate(given, where=where))
    if as_json:
        typer.echo(json.dumps({"metrics": metrics}))
    else:
        print_metrics(metrics)


def recommend(
    folder: Folder,
    user: Annotated[
        str | None, typer.Option(metavar="ID", help="User to recommend to. [dim](default: every user)[/dim]")
    ] = None,
    n: Annotated[int, typer.Option("-n", metavar="N", help="Number of items per user.")] = 10,
    only: Annotated[
        str, typer.Option(metavar="A,...", help="Choose among these items alone.", show_default=False)
    ] = "",
    exclude: Annotated[str, typer.Option(metavar="A,...", help="Leave out these items.", show_default=False)] = "",
    seen: Annotated[
        bool, typer.Option("--seen", metavar=" ", help="Also recommend what the user had chosen in the training rows.")
    ] = False,
    out: Out = None,
    device: Device = "auto",
) -> None:
    """Recommend items to a user, or to all users, with the reason for each."""
    from headstart import load
    from headstart.frames.door import check_output

    if out is not None:
        check_output(out)
    learner = load(folder, device=device)
    if "recommend" not in APPLICATIONS[learner.application].does:
        raise ConfigError(f"{folder} holds no recommender: train one with headstart train collab")
    options: dict[str, Any] = {
        "exclude_seen": not seen, "only": names(only) or None, "exclude": names(exclude), "because": True,
    }  # fmt: skip
    found = learner.recommend_all(n, **options) if user is None else learner.recommend(user, n, **options)
    if out is None and sys.stdout.isatty():
        _show(found)
    else:
        _write(found, out)


def generate(
    folder: Folder,
    prompt: Annotated[str, typer.Option(metavar="TEXT", help="Beginning of the text.")] = "",
    n: Annotated[int, typer.Option("-n", metavar="N", help="Most tokens to write.")] = 50,
    temperature: Annotated[
        float,
        typer.Option(metavar="X", help="Below 1: likelier words; 0: always the likeliest; above 1: more surprising."),
    ] = 0.8,
    top_k: Annotated[int | None, typer.Option(metavar="N", help="Draw among the N likeliest words.")] = None,
    top_p: Annotated[
        float | None, typer.Option(metavar="X", help="Draw among the likeliest words with this share, such as 0.9.")
    ] = None,
    beams: Annotated[
        int | None, typer.Option(metavar="N", help="Search for the N likeliest texts, instead of drawing one.")
    ] = None,
    seed: Annotated[int | None, typer.Option(metavar="N", help="Seed of the draws.")] = None,
    device: Device = "auto",
) -> None:
    """Let a language model continue a text."""
    from headstart import load

    learner = load(folder, device=device)
    if "generate" not in APPLICATIONS[learner.application].does:
        raise ConfigError(f"{folder} holds no language model: train one with headstart train language-model")
    if beams is not None:
        for found in learner.beam_search(prompt, n, beams=beams):
            typer.echo(f"{found.log_probability:8.2f}  {' '.join(filter(None, (prompt, found.text)))}")
        return
    written = learner.generate(prompt, n, temperature=temperature, top_k=top_k, top_p=top_p, seed=seed)
    typer.echo(" ".join(filter(None, (written, prompt) if learner.codec.backward else (prompt, written))))


def _rows(learner: Any, source: Any) -> Opened:
    """Return the rows of a table, read as the training rows were; or, for a classifier of texts, a folder's files."""
    from headstart.frames.door import open_table
    from headstart.frames.folders import is_folder

    if is_folder(source) and "read" in APPLICATIONS[learner.application].does:
        return open_table(learner.rows_of(source), "input", readings=learner.codec.readings)
    columns = learner.codec.first_columns if "recommend" in APPLICATIONS[learner.application].does else ()
    return open_table(source, "input", readings=learner.codec.readings, csv=learner.codec.csv, columns=columns)


def _may_be_table(path: Path) -> bool:
    """Return whether a path has an ending of tables, and not of an image, whose ending may be any other."""
    from headstart.frames.files import DATABASES, PACKED, is_table_name

    return is_table_name(path.name) or path.suffix.lower() in (".txt", *PACKED, *DATABASES)


def _predict_images(learner: Any, source: Any, on_error: str, *, flat: bool) -> pl.DataFrame:
    """Predictions for an image, a folder of images or a table of paths, beside its columns.

    Args:
        learner: of the application ``vision``.
        source: what to predict.
        on_error: ``"raise"`` or ``"skip"``.
        flat: several labels as one text, with ``|`` between them, as CSV needs it.
    """
    import polars as pl

    from headstart.frames.folders import is_folder

    if is_folder(source):
        found = learner.predict(source, on_error=on_error)
    elif isinstance(source, Path) and not _may_be_table(source):
        found = learner.predict([source], on_error=on_error)
    else:
        opened = _rows(learner, source)
        root = source.parent if isinstance(source, Path) else Path()
        predictions = learner.predict(opened.frame, folder=root, on_error=on_error)
        found = (opened.unread if flat else opened.frame).with_columns(predictions)
    assert isinstance(found, pl.DataFrame)
    if flat and isinstance(found.schema["prediction"], pl.List):
        found = found.with_columns(pl.col("prediction").cast(pl.List(pl.String)).list.join("|"))
    return found


def _write(frame: pl.DataFrame, out: Path | None) -> None:
    """Write a table as CSV to standard output, or to a file."""
    from headstart.frames.door import csv_text, write_table

    if out is None:
        sys.stdout.write(csv_text(frame))
    else:
        write_table(frame, out)


def _show(frame: pl.DataFrame) -> None:
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    table = Table(*frame.columns)
    for row in frame.iter_rows():
        table.add_row(
            *("" if cell is None else f"{cell:.3f}" if isinstance(cell, float) else escape(str(cell)) for cell in row)
        )
    Console().print(table)
