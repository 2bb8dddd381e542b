"""The steps of a `FeatureRecipe`: each says which columns it reads and adds, and makes them.

What they compute is documented where they are used, in `headstart.tabular.features`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import KW_ONLY, dataclass
from typing import Annotated, TypeAlias

import numpy as np
import polars as pl
from numpy.typing import NDArray

from headstart.core.errors import ConfigError, DataError, did_you_mean, first_line
from headstart.core.values import Range, Value
from headstart.frames.dates import as_moments
from headstart.frames.door import check_columns, matches, sql_name
from headstart.tabular.dates import date_parts
from headstart.tabular.timeline import Timeline, Unit, check_dates

__all__ = ["PARTS", "AddDateparts", "AddElapsed", "AddRolling", "Events", "Step"]

EDGES = ("is_month_start", "is_month_end", "is_quarter_start", "is_quarter_end", "is_year_start", "is_year_end")

PARTS = ("year", "month", "week", "day", "day_of_week", "day_of_year", *EDGES, "elapsed")
"""The parts that `add_dateparts` adds by default: the lesson's."""

ALL_PARTS = (*PARTS, "hour", "days_left_in_month")
"""All parts; the last two are added only if they are named."""

Events: TypeAlias = str | Sequence[str] | Mapping[str, str | None]
"""One column, several columns, or SQL conditions by the names of their events."""


@dataclass(frozen=True)
class AddDateparts(Value):
    """`add_dateparts` as a step of a `FeatureRecipe`.

    Attributes:
        column: column of dates.
        parts: names of the parts to add.
        prefix: beginning of the new columns' names; None: the column's name and an underscore.
    """

    column: str
    parts: Sequence[str] = PARTS
    prefix: str | None = None

    def __post_init__(self) -> None:
        """Check the parts."""
        object.__setattr__(self, "parts", _texts("parts", self.parts))
        super().__post_init__()
        for part in self.parts:
            if part not in ALL_PARTS:
                raise ConfigError(f"parts: {part!r} is no part of a date; {did_you_mean(part, ALL_PARTS)}")

    @property
    def inputs(self) -> tuple[str, ...]:
        """The columns that it reads."""
        return (self.column,)

    @property
    def ahead(self) -> tuple[str, ...]:
        """The columns whose present or later values it uses, so that they must be known in advance."""
        return (self.column,)

    @property
    def outputs(self) -> tuple[str, ...]:
        """The columns that it adds."""
        prefix = f"{self.column}_" if self.prefix is None else self.prefix
        return tuple(f"{prefix}{part}" for part in self.parts)

    def make(self, frame: pl.DataFrame) -> list[pl.Series]:
        """Return the new columns, in the order of ``outputs``."""
        check_columns(frame, self.inputs, "add_dateparts")
        check_dates(frame[self.column])
        parts = {
            name.rpartition(".")[2]: part
            for name, part in date_parts(frame[self.column], with_time="hour" in self.parts).items()
        }
        moments = as_moments(frame[self.column], with_time=False)
        parts |= _edges(moments) | {"year": moments.dt.year()}
        return [parts[part].alias(name) for part, name in zip(self.parts, self.outputs, strict=True)]


@dataclass(frozen=True)
class _OfEvents(Value):
    """Base of the steps that look along time.

    Attributes:
        events: columns of booleans or numbers, or SQL conditions by the names of their events.
        date: column of dates or times.
        group: column or columns that identify what has its own events; None: all rows belong together.
    """

    events: Events
    _: KW_ONLY
    date: str
    group: str | Sequence[str] | None = None

    def __post_init__(self) -> None:
        """Normalise events to conditions by name, and groups to a tuple of columns."""
        object.__setattr__(self, "events", _as_conditions(self.events))
        group = () if self.group is None else (self.group,) if isinstance(self.group, str) else self.group
        object.__setattr__(self, "group", _texts("group", group))
        super().__post_init__()

    @property
    def inputs(self) -> tuple[str, ...]:
        """The columns that it reads."""
        return tuple(dict.fromkeys((*self._sources, self.date, *self._groups)))

    @property
    def _conditions(self) -> dict[str, str | None]:
        assert isinstance(self.events, dict)
        return self.events

    @property
    def _groups(self) -> tuple[str, ...]:
        assert isinstance(self.group, tuple)
        return self.group

    @property
    def _sources(self) -> tuple[str, ...]:
        """The columns that the events are made of."""
        each = ([name] if condition is None else _names_in(condition) for name, condition in self._conditions.items())
        return tuple(dict.fromkeys(column for columns in each for column in columns))

    def _named(self, names: tuple[str, ...]) -> tuple[str, ...]:
        return tuple(name.replace("{event}", event) for event in self._conditions for name in names)


@dataclass(frozen=True)
class AddElapsed(_OfEvents):
    """`add_elapsed` as a step of a `FeatureRecipe`.

    Attributes:
        cap: largest number of days, which also stands where there is no event; None: no limit, and missing.
        until: also add the days until the next event.
        names: names of the two new columns of each event.
    """

    _: KW_ONLY
    cap: Annotated[int | None, Range(low=1)] = None
    until: bool = True
    names: tuple[str, str] = ("After{event}", "Before{event}")

    def __post_init__(self) -> None:
        """Check the names."""
        object.__setattr__(self, "names", _templates(self.names))
        super().__post_init__()

    @property
    def ahead(self) -> tuple[str, ...]:
        """The columns whose present or later values it uses, so that they must be known in advance."""
        return self._sources

    @property
    def outputs(self) -> tuple[str, ...]:
        """The columns that it adds."""
        return self._named(self.names if self.until else self.names[:1])

    def make(self, frame: pl.DataFrame) -> list[pl.Series]:
        """Return the new columns, in the order of ``outputs``."""
        check_columns(frame, self.inputs, "add_elapsed")
        timeline = Timeline(frame, self.date, self._groups)
        dated = frame[self.date].is_not_null()
        days: list[pl.Series] = []
        for event, condition in self._conditions.items():
            happened = _values(frame, event, condition) != 0
            days += [timeline.since(happened), timeline.until(happened)][: 1 + self.until]
        if self.cap is not None:
            capped = (distance.fill_null(self.cap).clip(upper_bound=self.cap) for distance in days)
            days = [pl.select(pl.when(dated).then(distance)).to_series() for distance in capped]
        return [distance.alias(name) for distance, name in zip(days, self.outputs, strict=True)]


@dataclass(frozen=True)
class AddRolling(_OfEvents):
    """`add_rolling` as a step of a `FeatureRecipe`.

    Attributes:
        window: number of rows or days, the present one counted if it takes part.
        unit: what the window counts.
        forward: also add the window after the row.
        present: whether the row itself takes part.
        horizon: number of days from the end of the window to the row, for values that are not known later; None: the
            window ends at the row.
        names: names of the two new columns of each event.
    """

    _: KW_ONLY
    window: Annotated[int, Range(low=1)] = 7
    unit: Unit = "rows"
    forward: bool = True
    present: bool = True
    horizon: Annotated[int | None, Range(low=1)] = None
    names: tuple[str, str] = ("{event}_bw", "{event}_fw")

    def __post_init__(self) -> None:
        """Check the names, and that a horizon is for looking back."""
        object.__setattr__(self, "names", _templates(self.names))
        super().__post_init__()
        if self.horizon is not None and (self.forward or self.present):
            raise ConfigError("horizon is for looking back only: give forward=False and present=False with it")

    @property
    def ahead(self) -> tuple[str, ...]:
        """The columns whose present or later values it uses, so that they must be known in advance."""
        return self._sources if self.forward or self.present else ()

    @property
    def outputs(self) -> tuple[str, ...]:
        """The columns that it adds."""
        return self._named(self.names if self.forward else self.names[:1])

    def make(self, frame: pl.DataFrame) -> list[pl.Series]:
        """Return the new columns, in the order of ``outputs``."""
        check_columns(frame, self.inputs, "add_rolling")
        timeline = Timeline(frame, self.date, self._groups)
        if self.horizon is not None:
            known = frame.select(pl.all_horizontal(_is_known(frame[name]) for name in self._sources).alias("known"))[
                "known"
            ].to_numpy()
            behind = [
                timeline.window_sum_behind(
                    _values(frame, event, condition), known, self.window, self.unit, self.horizon
                )
                for event, condition in self._conditions.items()
            ]
            return [series.alias(name) for series, name in zip(behind, self.outputs, strict=True)]
        sums = [
            timeline.window_sum(values, self.window, self.unit, forward=forward, present=self.present)
            for values in (_values(frame, event, condition) for event, condition in self._conditions.items())
            for forward in (False, True)[: 1 + self.forward]
        ]
        return [series.alias(name) for series, name in zip(sums, self.outputs, strict=True)]


Step: TypeAlias = AddDateparts | AddElapsed | AddRolling


def _edges(moments: pl.Series) -> dict[str, pl.Series]:
    """Return first and last days of months, quarters and years, and the number of days until the month's last."""
    day, month, left = moments.dt.day(), moments.dt.month(), (moments.dt.month_end() - moments).dt.total_days()
    first, last = day == 1, left == 0
    return {
        "days_left_in_month": left,
        "is_month_start": first,
        "is_month_end": last,
        "is_quarter_start": first & (month % 3 == 1),
        "is_quarter_end": last & (month % 3 == 0),
        "is_year_start": first & (month == 1),
        "is_year_end": last & (month == 12),
    }


def _values(frame: pl.DataFrame, event: str, condition: str | None) -> NDArray[np.generic]:
    """Return what an event counts for in each row, ``(rows,)``: int64, or float64 where there are fractions."""
    series = frame[event] if condition is None else matches(frame, condition, f"events[{event!r}]")
    if not (series.dtype.is_numeric() or series.dtype in (pl.Boolean, pl.Null)):
        advice = f'events={{"{event}": "{sql_name(event)} <> \'...\'"}}'
        raise DataError(
            f"column {event!r} holds {series.dtype}, which does not say in which rows an event is; give a"
            f" condition: {advice}"
        )
    if series.dtype.is_integer() or series.dtype in (pl.Boolean, pl.Null):
        return series.cast(pl.Int64).fill_null(0).to_numpy()
    values = series.cast(pl.Float64).fill_nan(None).fill_null(0.0)
    if not values.is_finite().all():
        raise DataError(f"column {event!r} has infinite values; replace them (None says that a value is missing)")
    whole = bool(((values == values.round(0)) & (values.abs() < 2**53)).all())
    return (values.cast(pl.Int64) if whole else values).to_numpy()


def _is_known(series: pl.Series) -> pl.Series:
    """Return which values are neither null nor NaN."""
    return (
        series.is_not_null() & series.is_not_nan().fill_null(True) if series.dtype.is_float() else series.is_not_null()
    )


def _names_in(condition: str) -> list[str]:
    try:
        return pl.sql_expr(condition).meta.root_names()
    except Exception as error:
        raise ConfigError(f"events: {condition!r} is no SQL condition: {first_line(error)}") from error


def _as_conditions(events: object) -> dict[str, str | None]:
    """Return each event's condition by its name; None for the column of that name."""
    conditions = {events: None} if isinstance(events, str) else events
    if not isinstance(conditions, Mapping):
        conditions = dict.fromkeys(_texts("events", conditions))
    texts = all(isinstance(name, str) and isinstance(condition, str | None) for name, condition in conditions.items())
    if not conditions or not texts:
        raise ConfigError(f"events must be columns, or names with SQL conditions; got {events!r}")
    return dict(conditions)


def _texts(argument: str, names: object) -> tuple[str, ...]:
    if isinstance(names, str) or not isinstance(names, Sequence) or not all(isinstance(name, str) for name in names):
        raise ConfigError(f"{argument} must be a list of texts; got {names!r}")
    if len(set(names)) < len(names):
        raise ConfigError(f"{argument} names one twice: {list(names)}")
    return tuple(names)


def _templates(names: object) -> tuple[str, ...]:
    templates = _texts("names", names)
    if len(templates) != 2 or not all("{event}" in name for name in templates):
        raise ConfigError(f"names must be two texts with {{event}} in them, back and ahead; got {names!r}")
    return templates
