"""``headstart check``: a look at a table or a folder before training."""

from __future__ import annotations

import json
import shutil
import sys
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any

import typer

from headstart.command.jobs import job_of
from headstart.command.options import AsJson, names
from headstart.core.errors import ConfigError

__all__ = ["check"]

SHOWN_COLUMNS = 20
"""Columns that a message lists."""

WIDTH = 80
"""Characters per line where there is no terminal."""


def check(
    source: Annotated[Path, typer.Argument(metavar="SOURCE", help="A table, or a folder of images or texts.")],
    target: Annotated[str, typer.Option(metavar="A,...", help="Column to predict, or several of numbers.")] = "",
    text: Annotated[str, typer.Option(metavar="A,...", help="Columns of texts: they are what is learnt from.")] = "",
    path: Annotated[str | None, typer.Option(metavar="COL", help="Column of paths of images.")] = None,
    user: Annotated[str | None, typer.Option(metavar="COL", help="Column of users, of ratings.")] = None,
    item: Annotated[str | None, typer.Option(metavar="COL", help="Column of items, of ratings.")] = None,
    exclude: Annotated[str, typer.Option(metavar="A,...", help="Columns of a table not to use.")] = "",
    numbers: Annotated[
        str, typer.Option(metavar="A,...", help='Columns of text that are numbers, such as "$1,234" or "12 %".')
    ] = "",
    where: Annotated[str | None, typer.Option(metavar="SQL", help="Condition on the rows, as for train.")] = None,
    time: Annotated[str | None, typer.Option(metavar="COL", help="Column of times: the latest rows validate.")] = None,
    valid_from: Annotated[
        str | None, typer.Option(metavar="VALUE", help="First moment whose rows validate, with --time.")
    ] = None,
    valid_fraction: Annotated[
        float | None, typer.Option(metavar="X", help="Share of the rows that validate. [dim](default: none)[/dim]")
    ] = None,
    valid_where: Annotated[
        str | None, typer.Option(metavar="SQL", help="Condition: the rows that fulfil it validate.")
    ] = None,
    labels: Annotated[
        bool, typer.Option("--labels/--no-labels", help="Look for labels that are probably wrong, which takes longest.")
    ] = True,
    html: Annotated[Path | None, typer.Option(metavar="FILE", help="Also write a page of HTML.")] = None,
    as_json: AsJson = False,
) -> None:
    """Look at data before training: what each column holds and is taken for, rows that occur again, columns that give
    the target away, rare classes, labels that are probably wrong, and how training and validation rows differ.
    """
    from headstart.core.engine import Engine
    from headstart.frames.door import read_table
    from headstart.frames.folders import is_folder

    if html is not None and html.suffix.lower() not in (".html", ".htm"):
        raise ConfigError(f"--html {html} must end in .html")
    application = _application(source, text=text, path=path, user=user, item=item)
    if application == "tabular" and not target:
        columns = ", ".join(map(repr, read_table(source).columns[:SHOWN_COLUMNS]))
        raise ConfigError(
            f"give --target, the column to predict, or for ratings --user and --item; {source.name} has {columns}"
        )
    given: dict[str, Any] = {
        "where": where, "time": time, "valid_from": valid_from, "valid_fraction": valid_fraction,
        "valid_where": valid_where,
    }  # fmt: skip
    given |= _columns(application, _target(target), names(text), path, user, item, names(exclude), names(numbers))
    given = {name: value for name, value in given.items() if value is not None and value != []}
    if not is_folder(source) and not {"time", "valid_from", "valid_fraction", "valid_where"} & set(given):
        given["valid_fraction"] = 0
    report = replace(job_of(application).data(source, given, Engine("cpu")).check(labels=labels), name=source.name)
    if html is not None:
        typer.echo(f"written to {report.save(html)}", err=True)
    if as_json:
        typer.echo(json.dumps(report.to_dict(), default=str))
        return
    terminal = sys.stdout.isatty()
    width = shutil.get_terminal_size().columns if terminal else WIDTH
    typer.echo(report.text(width, colours=terminal), nl=False)


def _target(text: str) -> list[str]:
    """Return the columns of ``--target``, read as ``train`` reads them: ``price, USD`` is one name."""
    if not text:
        return []
    option = next(option for option in job_of("tabular").options if option.name == "target")
    columns = option.parsed(text)
    return [columns] if isinstance(columns, str) else list(columns)


def _application(source: Path, **columns: str | None) -> str:
    """Return the application whose data a source is, by the columns that are named, or by the files of a folder."""
    from headstart.core.paths import expanded
    from headstart.frames.folders import is_folder

    if is_folder(source):
        return _of_folder(expanded(source))
    if columns["user"] or columns["item"]:
        if not (columns["user"] and columns["item"]):
            raise ConfigError("ratings need --user and --item")
        return "collab"
    if columns["text"]:
        return "text"
    return "vision" if columns["path"] else "tabular"


def _of_folder(source: Path) -> str:
    """Return ``text`` for a folder, or a zip archive, with more texts than images, else ``vision``."""
    from headstart.datasets.get import usual_cache
    from headstart.frames.folders import opened_folder, walk
    from headstart.text.folders import ENDINGS as TEXTS
    from headstart.vision.decoding import ENDINGS as IMAGES

    files = walk(opened_folder(source, usual_cache() / "vision"), {*TEXTS, *IMAGES}).files
    texts = sum(Path(parts[-1]).suffix.lower() in TEXTS for parts in files)
    return "text" if 2 * texts > len(files) else "vision"


def _columns(
    application: str, target: list[str], text: list[str], path: str | None, user: str | None,
    item: str | None, exclude: list[str], numbers: list[str],
) -> dict[str, Any]:  # fmt: skip
    """Return the named columns as the arguments of an application's data."""
    if application == "tabular":
        return {"target": target, "exclude": exclude, "numbers": numbers}
    for flag, columns in (("--numbers", numbers), ("--exclude", exclude)):
        if columns:
            raise ConfigError(f"{flag} is for tables, and these are data for 'train {application}': leave it out")
    if application == "collab":
        return {"user": user, "item": item, "rating": target[0] if target else None}
    skip = {"on_error": "skip"} if application == "vision" else {}  # a look shows broken files, and goes on
    return {"target": target or None, "text": text or None, "path": path, **skip}
