"""What was measured beside what must be reached: the table that is printed, and the JSON that is written."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from rich.markup import escape
from rich.table import Table

__all__ = ["Figure", "missed", "not_measured", "show", "to_json"]


@dataclass(frozen=True)
class Figure:
    """One line of the table.

    Attributes:
        what: what was measured.
        value: the figure; None if it could not be measured.
        unit: of the value and of the goal.
        goal: what must be reached; None for information.
        at_least: whether the goal is the least that will do, or the most.
        ours: what headstart took or gave, in words.
        beside: what it is compared with, in words.
        why_not: why there is no value.
        raw: each side's measurements in order, to judge how far they scatter.
    """

    what: str
    value: float | None
    unit: str
    goal: float | None = None
    at_least: bool = True
    ours: str = ""
    beside: str = ""
    why_not: str = ""
    raw: dict[str, list[float]] = field(default_factory=dict)

    @property
    def reached(self) -> bool | None:
        """Whether the goal is reached; None without a goal or a value."""
        if self.goal is None or self.value is None:
            return None
        return self.value >= self.goal if self.at_least else self.value <= self.goal


def not_measured(what: str, unit: str, goal: float, why_not: str) -> Figure:
    """A line that says why there is no figure: the last line of what was said."""
    said = why_not.strip().splitlines()
    return Figure(what, None, unit, goal, why_not=said[-1] if said else "no reason was given")


def show(figures: Sequence[Figure], title: str) -> Table:
    """The table, a line per figure."""
    table = Table(title=title, title_justify="left", caption_justify="left")
    table.add_column("what", overflow="fold")
    for name in ("headstart", "beside it"):
        table.add_column(name, no_wrap=True)
    for name in ("measured", "must reach"):
        table.add_column(name, justify="right", no_wrap=True)
    table.add_column("")
    for figure in figures:
        if figure.value is None:
            measured, verdict = "", f"[yellow]not measured: {escape(figure.why_not)}"
        else:
            measured = _with_unit(figure.value, figure.unit)
            verdict = {None: "for information", True: "[green]reached", False: "[bold red]MISSED"}[figure.reached]
        sign = "≥" if figure.at_least else "≤"
        goal = "" if figure.goal is None else f"{sign} {_with_unit(figure.goal, figure.unit)}"
        table.add_row(escape(figure.what), figure.ours, figure.beside, measured, goal, verdict)
    return table


def missed(figures: Sequence[Figure]) -> list[str]:
    """The names of the figures that miss their goal."""
    return [figure.what for figure in figures if figure.reached is False]


def to_json(figures: Sequence[Figure]) -> list[dict[str, Any]]:
    """The figures as JSON holds them."""
    return [asdict(figure) | {"reached": figure.reached} for figure in figures]


def _with_unit(value: float, unit: str) -> str:
    number = f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.3g}"
    return f"{number}x" if unit == "x" else f"{number} {unit}"
