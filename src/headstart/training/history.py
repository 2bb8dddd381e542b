"""`History`: the figures of each epoch, as a table and as a plot."""

from __future__ import annotations

import html
import io
from typing import TYPE_CHECKING

import polars as pl
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from headstart.core.errors import NotFittedError

if TYPE_CHECKING:
    from headstart.training.plots import Plot

__all__ = ["History", "format_figure"]


class History(list[dict[str, float]]):
    """Figures of each epoch, one dictionary per epoch, in chronological order.

    ``fit`` is the number of the fit and ``epoch`` the number of the epoch within it, both from 0. Losses and metrics
    are those of the whole epoch. ``seconds`` is the duration of the epoch, including evaluation. In fits that kept the
    best epoch, ``kept`` is 1 for that epoch and 0 for all others.
    """

    def kept(self) -> int | None:
        """Return the number of the epoch, from 1, whose weights the last fit kept; None if there are no epochs."""
        last = [number for number, figures in enumerate(self, 1) if figures.get("fit") == self[-1].get("fit")]
        return next((number for number in last if self[number - 1].get("kept")), len(self) or None)

    def frame(self) -> pl.DataFrame:
        """Return the history as a polars frame with one row per epoch, and null for missing figures."""
        rows = [{name: figures.get(name) for name in self.names()} for figures in self]
        return pl.DataFrame(rows, infer_schema_length=None)

    def names(self) -> list[str]:
        """Return the names of all figures, in order of first appearance."""
        return list(dict.fromkeys(name for figures in self for name in figures))

    def table(self) -> Table:
        """Return the history as a table for terminals."""
        table = Table(show_edge=False, pad_edge=False)
        for name in self.names():
            table.add_column(escape(name), justify="right")
        for figures in self:
            table.add_row(*(_cell(name, figures) for name in self.names()))
        return table

    def plot(self) -> Plot:
        """Plot the losses and metrics by epoch.

        Raises:
            NotFittedError: there are no epochs.
        """
        if not self:
            raise NotFittedError("there are no epochs to plot yet: call fit, fit_one_cycle or fine_tune first")
        from headstart.training.plots import plot_history  # here, since matplotlib is slow to import

        return plot_history(self)

    def __repr__(self) -> str:
        if not self:
            return "no epochs yet"
        text = io.StringIO()
        Console(file=text, width=160, force_jupyter=False, force_terminal=False, color_system=None).print(self.table())
        return "\n".join(line.rstrip() for line in text.getvalue().splitlines())

    def _repr_html_(self) -> str:
        if not self:
            return "<p>no epochs yet</p>"
        head = "".join(f"<th>{html.escape(name)}</th>" for name in self.names())
        rows = "".join(
            "<tr>" + "".join(f"<td>{_cell(name, figures)}</td>" for name in self.names()) + "</tr>" for figures in self
        )
        return f"<table><tr>{head}</tr>{rows}</table>"


def format_figure(value: float) -> str:
    """Format a figure with four significant digits, or without decimals from 10,000."""
    return f"{value:.0f}" if 9_999.5 <= abs(value) < 1e9 else f"{value:.4g}"


def _cell(name: str, figures: dict[str, float]) -> str:
    if name not in figures:
        return ""
    if name == "kept":
        return "*" if figures[name] else ""
    return str(int(figures[name]) + 1) if name in ("epoch", "fit") else format_figure(figures[name])
