"""Features that are made of columns before a model sees them, including those that need the history of a row's group.

    add_dateparts   month, week, first day of a quarter, ... of a date
    add_elapsed     days since the last event and until the next: holidays, promotions
    add_rolling     how many events lie in the days or rows before and after
    FeatureRecipe   several of these as one object, which is saved with a model

Each function takes any table (pandas, polars, pyarrow, a path), leaves it unchanged, and returns one of the same
library with further columns; rows may come in any order and keep it.

**What is known in advance.** A feature that looks ahead (`add_elapsed`'s days until the next event, `add_rolling`
forward) and one that counts the present row use values of the row's own day and of later ones. That is right for what
is known when one predicts (holidays, planned promotions), and a leak for what is not (sales, weather). For those look
back only, and leave out the present: ``add_rolling(..., forward=False, present=False)``.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import polars as pl

from headstart.core.errors import ConfigError, DataError
from headstart.frames.door import Table, read_table, with_new_columns
from headstart.tabular.steps import PARTS, AddDateparts, AddElapsed, AddRolling, Events, Step
from headstart.tabular.timeline import Unit

__all__ = [
    "PARTS",
    "AddDateparts",
    "AddElapsed",
    "AddRolling",
    "FeatureRecipe",
    "add_dateparts",
    "add_elapsed",
    "add_rolling",
]


def add_dateparts(table: Table, column: str, *, parts: Sequence[str] = PARTS, prefix: str | None = None) -> Table:
    """Add the parts of a date as columns.

    `TabularData` makes year, month, week, day, day of the week and day of the year of each date column by itself; this
    function is for the other parts, for other tools, and for models that should not see the date itself.

    Args:
        table: any table; it is not changed.
        column: dates, times, or text such as 2015-06-20.
        parts: some of ``year``, ``month``, ``week`` (ISO 8601), ``day``, ``day_of_week`` (Monday is 1),
            ``day_of_year``, ``is_month_start``, ``is_month_end``, the same of ``quarter`` and ``year`` (booleans),
            ``elapsed`` (days since 1970-01-01), ``hour``, ``days_left_in_month`` (0 on the last day: salaries and rents
            go by it, and months differ in length).
        prefix: beginning of the new columns' names; None: the column's name and an underscore (``Date_month``).

    Returns:
        A table of the same library with a column per part; null where the date is missing.

    Raises:
        DataError: no such column, not dates, or a new column's name is taken.
        ConfigError: an unknown part.
    """
    return _added(table, AddDateparts(column, parts=parts, prefix=prefix))


def add_elapsed(
    table: Table,
    events: Events,
    *,
    date: str,
    group: str | Sequence[str] | None = None,
    cap: int | None = None,
    until: bool = True,
    names: tuple[str, str] = ("After{event}", "Before{event}"),
) -> Table:
    """Add the days since the last event and until the next one; 0 on the day of an event itself.

    **Source:** ``get_elapsed`` in fast.ai's notebook of Rossmann's sales. We differ where there is no event before or
    after: there it had numbers such as -9e18, later 0, which means "today". Here it is null, or ``cap``. Days until the
    next event are positive.

    Args:
        table: any table, rows in any order; it is not changed.
        events: columns of booleans or numbers (an event where not 0), or a mapping of names to SQL conditions, such as
            ``{"StateHoliday": "StateHoliday <> '0'"}``. A missing value is no event.
        date: the column of dates or times. A row without one gets null, and its event is left out.
        group: column or columns that identify what has its own events (a shop); None: all rows belong together.
        cap: largest number of days, which also stands where there is no event in that direction; None: no limit, and
            null.
        until: also add the days until the next event: only for what is known in advance.
        names: names of the two new columns of each event.

    Returns:
        A table of the same library; Int32 days, or Float64 for times.

    Raises:
        DataError: no such column, text as an event, no dates, or a new column's name is taken.
        ConfigError: a cap, name or condition that makes no sense.
    """
    return _added(table, AddElapsed(events, date=date, group=group, cap=cap, until=until, names=names))


def add_rolling(
    table: Table,
    events: Events,
    *,
    date: str,
    group: str | Sequence[str] | None = None,
    window: int = 7,
    unit: Unit = "rows",
    forward: bool = True,
    present: bool = True,
    horizon: int | None = None,
    names: tuple[str, str] = ("{event}_bw", "{event}_fw"),
) -> Table:
    """Add the number of events in a window before each row, and in one after it. Numbers are summed.

    **Source:** ``rolling(7, min_periods=1).sum()`` over dates ascending and descending, in fast.ai's notebook of
    Rossmann's sales: the present row counts as one of the seven, and shorter windows at the ends are not filled.

    Args:
        table: as for `add_elapsed`.
        events: as for `add_elapsed`; numbers count as what they are, missing values as 0.
        date: as for `add_elapsed`.
        group: as for `add_elapsed`.
        window: number of rows or days, the present one counted if it takes part.
        unit: ``"rows"`` (a shop's previous rows, whatever lies between them) or ``"days"``.
        forward: also add the window after the row: only for what is known in advance.
        present: whether the row itself takes part; with days all rows of its group and moment.
        horizon: number of days from the end of the window to the row: how far ahead one predicts, for values that are
            not known later, such as the target. The feature is then null, not 0, where the window is empty or has a
            missing value. Needs ``forward=False, present=False``. None: the window ends at the row.
        names: names of the two new columns of each event.

    Returns:
        A table of the same library; Int64, or Float64 where the numbers have fractions.

    Raises:
        DataError: as for `add_elapsed`.
        ConfigError: a window, unit, name or condition that makes no sense.
    """
    step = AddRolling(
        events, date=date, group=group, window=window, unit=unit, forward=forward, present=present, horizon=horizon,
        names=names,
    )  # fmt: skip
    return _added(table, step)


@dataclass(frozen=True)
class FeatureRecipe:
    """How a table's features are made, step by step; given to `TabularData.from_table`, it is saved with the model.

    The steps look along time, so they are applied to a whole table: training, validation and new rows with the rows
    before (and, for what is planned, after) them. That leaks nothing as long as each column that a step looks at ahead
    (`ahead`) is known in advance.

    Attributes:
        steps: `AddDateparts`, `AddElapsed` and `AddRolling`; later ones may use what earlier ones add.

    Raises:
        ConfigError: no steps, or two that add a column of the same name.
    """

    steps: Sequence[Step]

    def __post_init__(self) -> None:
        """Check the steps."""
        if not isinstance(self.steps, Sequence) or not self.steps:
            raise ConfigError(f"a recipe needs a list of steps such as AddElapsed; got {self.steps!r}")
        for step in self.steps:
            if not isinstance(step, AddDateparts | AddElapsed | AddRolling):
                raise ConfigError(f"a recipe's steps are AddDateparts, AddElapsed and AddRolling; got {step!r}")
        object.__setattr__(self, "steps", tuple(self.steps))
        twice = [name for name, count in Counter(self.outputs).items() if count > 1]
        if twice:
            raise ConfigError(f"two steps of the recipe add a column {twice[0]!r}: give one of them other names=")

    @property
    def inputs(self) -> tuple[str, ...]:
        """The columns that a table must have."""
        return self._of_table("inputs")

    @property
    def ahead(self) -> tuple[str, ...]:
        """The columns whose present or later values are used, so that they must be known in advance."""
        return self._of_table("ahead")

    def without_horizon(self, column: str) -> bool:
        """Return whether a step looks back on a column up to the row itself, as if it were always known at once."""
        return any(column in step.inputs and getattr(step, "horizon", None) is None for step in self.steps)

    def date_of(self, column: str) -> str | None:
        """Return the column of dates along which a step looks back on a column; None: no step does."""
        return next((step.date for step in self.steps if isinstance(step, AddRolling) and column in step.inputs), None)

    @property
    def outputs(self) -> tuple[str, ...]:
        """The columns that it adds."""
        return tuple(name for step in self.steps for name in step.outputs)

    def apply(self, table: Table) -> Table:
        """Return a table of the same library with all features, its rows in their order.

        Args:
            table: any table that holds the rows' history; it is not changed.

        Raises:
            DataError: a column is missing or cannot be what a step needs, or a feature's name is taken.
        """
        frame = read_table(table)
        added: list[pl.Series] = []
        for step in self.steps:
            _check_free(frame, step.outputs)
            columns = step.make(frame)
            added += columns
            frame = frame.with_columns(columns)
        return with_new_columns(table, added)

    def completed(self, frame: pl.DataFrame) -> pl.DataFrame:
        """Return the frame with all features: unchanged if it has them already, otherwise with them added.

        Raises:
            DataError: it has some of them but not all; and as for `apply`.
        """
        present = [name for name in self.outputs if name in frame.columns]
        if len(present) == len(self.outputs):
            return frame
        if present:
            absent = next(name for name in self.outputs if name not in frame.columns)
            raise DataError(
                f"the table has the recipe's feature {present[0]!r} but not {absent!r}: give it with all of them, as"
                " recipe.apply(table) makes it, or with none"
            )
        completed: pl.DataFrame = self.apply(frame)
        return completed

    def _of_table(self, attribute: str) -> tuple[str, ...]:
        names: dict[str, None] = {}
        added: set[str] = set()
        for step in self.steps:
            names |= dict.fromkeys(name for name in getattr(step, attribute) if name not in added)
            added |= set(step.outputs)
        return tuple(names)


def _added(table: Table, step: Step) -> Table:
    frame = read_table(table)
    _check_free(frame, step.outputs)
    return with_new_columns(table, step.make(frame))


def _check_free(frame: pl.DataFrame, names: Sequence[str]) -> None:
    for name in names:
        if name in frame.columns:
            raise DataError(f"the table has a column {name!r} already, and the new feature has that name: rename one")
