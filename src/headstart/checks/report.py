"""`CheckReport`: what a look at data found, as text for a terminal, as JSON, and as a page of HTML."""

from __future__ import annotations

import html
import io
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, TypeAlias

import polars as pl
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from headstart.core.errors import ConfigError
from headstart.core.paths import expanded

__all__ = ["CheckReport", "Finding", "Subject"]

Subject: TypeAlias = Literal["columns", "duplicates", "leaks", "classes", "labels", "drift", "time"]
"""What a finding is about."""

SHOWN = 10
"""Rows of each list that a terminal shows."""

LISTS = ("columns", "classes", "duplicates", "suspects", "drift")
"""Fields of a report that are tables."""

STYLE = (
    "body{font:15px/1.5 system-ui,sans-serif;max-width:60rem;margin:2rem auto;padding:0 1rem;color:#222}"
    "table{border-collapse:collapse;margin:.5rem 0 1.5rem}td,th{border-bottom:1px solid #ddd;padding:.2rem .6rem;"
    "text-align:left;vertical-align:top}th{background:#f4f4f4}.problem{color:#a40000}"
)


@dataclass(frozen=True)
class Finding:
    """One thing that was found.

    Attributes:
        subject: what it is about.
        text: what was found and what to do, in a sentence.
        problem: whether it makes results wrong; else it is worth a look.
        rows: number of rows that it concerns; None: it is about columns.
    """

    subject: Subject
    text: str
    problem: bool = True
    rows: int | None = None


@dataclass(frozen=True, repr=False)
class CheckReport:
    """What a look at data found.

    Attributes:
        name: what was looked at.
        train: number of training rows.
        valid: number of validation rows.
        findings: what was found, problems first.
        columns: a row per column; see `headstart.checks.columns.column_table`.
        classes: ``class`` and ``rows``, the most frequent first; empty for numbers.
        duplicates: pairs of rows; see `headstart.checks.duplicates.PAIRS`. Rows are numbered from 0, training rows
            first.
        suspects: the rows whose labels are most probably wrong, the worst first: ``row``, the target's columns as
            ``given NAME``, ``prediction``, ``loss``, and what shows the row.
        drift: how the columns differ between the parts; see `headstart.checks.distances.drift_table`.
    """

    name: str
    train: int
    valid: int
    findings: tuple[Finding, ...]
    columns: pl.DataFrame
    classes: pl.DataFrame
    duplicates: pl.DataFrame
    suspects: pl.DataFrame
    drift: pl.DataFrame

    @property
    def problems(self) -> tuple[Finding, ...]:
        """The findings that make results wrong."""
        return tuple(finding for finding in self.findings if finding.problem)

    def __str__(self) -> str:
        return self.text()

    def __repr__(self) -> str:
        found = f"{len(self.problems)} problems, {len(self.findings) - len(self.problems)} notes"
        return f"CheckReport({self.name}: {self.train:,} training and {self.valid:,} validation rows, {found})"

    def text(self, width: int = 80, *, colours: bool = False) -> str:
        """Return the report for a terminal.

        Args:
            width: characters per line.
            colours: whether problems are coloured.
        """
        out = io.StringIO()
        console = Console(file=out, width=width, force_terminal=colours, no_color=not colours, highlight=False)
        console.print(escape(f"{self.name}: {self._rows()}"))
        self._print_columns(console)
        for name, title in (("classes", "Classes"), ("drift", "Columns that differ most between the parts")):
            rows = getattr(self, name)
            self._print_list(console, title, rows.head(SHOWN), len(rows))
        self._print_list(console, "Labels to look at first", self.suspects.head(SHOWN), len(self.suspects))
        self._print_list(console, "Rows that occur again", self.duplicates.head(SHOWN), len(self.duplicates))
        console.print()
        if not self.findings:
            console.print("Nothing was found.")
        for finding in self.findings:
            mark = "[red]problem[/red]" if finding.problem else "note   "
            console.print(f"{mark} {escape(f'[{finding.subject}]')} {escape(finding.text)}")
        return out.getvalue()

    def to_dict(self) -> dict[str, Any]:
        """Return the whole report as values of JSON."""
        lists = {name: getattr(self, name).to_dicts() for name in LISTS}
        findings = [
            {"subject": finding.subject, "problem": finding.problem, "text": finding.text, "rows": finding.rows}
            for finding in self.findings
        ]
        return {"name": self.name, "train": self.train, "valid": self.valid, "findings": findings, **lists}

    def html(self) -> str:
        """Return the report as a page of HTML, which needs no other file."""
        titles = {
            "columns": "Columns", "classes": "Classes", "drift": "Differences between training and validation rows",
            "suspects": "Labels that are most probably wrong", "duplicates": "Rows that occur again",
        }  # fmt: skip
        items = "".join(
            f'<li class="{"problem" if finding.problem else "note"}"><b>{finding.subject}</b>:'
            f" {html.escape(finding.text)}</li>"
            for finding in self.findings
        )
        lists = "".join(
            f"<h2>{title}</h2>{_html_table(getattr(self, name))}"
            for name, title in titles.items()
            if len(getattr(self, name))
        )
        name = html.escape(self.name)
        return (
            f'<!doctype html><html lang="en"><meta charset="utf-8"><title>{name}</title><style>{STYLE}</style>'
            f"<h1>{name}</h1><p>{self._rows()}</p><h2>Findings</h2><ul>{items or '<li>Nothing was found.</li>'}</ul>"
            f"{lists}</html>"
        )

    def save(self, path: str | Path) -> Path:
        """Write the page of HTML to a file.

        Args:
            path: a file that ends in .html.

        Raises:
            ConfigError: it ends in something else, or cannot be written.
        """
        file = expanded(path)
        if file.suffix.lower() not in (".html", ".htm"):
            raise ConfigError(f"{file} must end in .html")
        try:
            file.write_text(self.html(), encoding="utf-8")
        except OSError as error:
            raise ConfigError(f"cannot write {file}: {error.strerror or error}") from error
        return file

    def _repr_html_(self) -> str:
        return self.html()

    def _rows(self) -> str:
        return f"{self.train:,} training rows, {self.valid:,} validation rows" if self.valid else f"{self.train:,} rows"

    def _print_columns(self, console: Console) -> None:
        if not len(self.columns):
            return
        table = Table(
            "column", "type", "missing", "unique", "range", "taken as", box=None, pad_edge=False, expand=False
        )
        for row in self.columns.iter_rows(named=True):
            span = "" if row["lowest"] is None else f"{row['lowest']} .. {row['highest']}"
            taken = row["taken_as"] + (f": {row['reason']}" if row["reason"] else "")
            missing = "" if not row["missing"] else f"{row['missing']:,}"
            cells = (
                row["column"],
                row["type"],
                missing,
                "" if row["unique"] is None else f"{row['unique']:,}",
                span,
                taken,
            )
            table.add_row(*map(escape, cells))
        console.print()
        console.print(table)

    def _print_list(self, console: Console, title: str, rows: pl.DataFrame, whole: int) -> None:
        if not len(rows):
            return
        console.print(f"\n{title}" + (f" ({len(rows)} of {whole:,})" if whole > len(rows) else ""))
        table = Table(*rows.columns, box=None, pad_edge=False)
        for row in rows.iter_rows():
            table.add_row(*(escape(_cell(cell)) for cell in row))
        console.print(table)


def _html_table(rows: pl.DataFrame) -> str:
    head = "".join(f"<th>{html.escape(name)}</th>" for name in rows.columns)
    body = "".join(
        f"<tr>{''.join(f'<td>{html.escape(_cell(cell, 200))}</td>' for cell in row)}</tr>" for row in rows.iter_rows()
    )
    return f"<table><tr>{head}</tr>{body}</table>"


def _cell(value: Any, most: int = 60) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return "yes" if value else "no"
    text = f"{value:.3g}" if isinstance(value, float) else f"{value:,}" if isinstance(value, int) else str(value)
    text = " ".join(text.split())
    return text if len(text) <= most else f"{text[: most - 1]}…"
