"""The steps of a `FeatureRecipe`: each says which columns it reads and adds, and makes them.

What they mean is told where they are used, in `headstart.tabular.features`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import KW_ONLY, dataclass
from typing import TypeAlias

import numpy as np
import polars as pl
from numpy.typing import NDArray

from headstart.core.errors import ConfigError, DataError, did_you_mean
from headstart.frames.door import check_columns, matches, sql_name
from headstart.tabular.dates import as_moments, date_parts
from headstart.tabular.timeline import Timeline, Unit, check_dates

__all__ = ["PARTS", "STEPS", "AddDateparts", "AddElapsed", "AddRolling", "Events", "Step"]

EDGES = ("is_month_start", "is_month_end", "is_quarter_start", "is_quarter_end", "is_year_start", "is_year_end")

PARTS = ("year", "month", "week", "day", "day_of_week", "day_of_year", *EDGES, "elapsed")
"""What `add_dateparts` adds: the lesson's."""

ALL_PARTS = (*PARTS, "hour", "days_left_in_month")
"""The last two can be asked for besides."""

Events: TypeAlias = str | Sequence[str] | Mapping[str, str] | Mapping[str, str | None]
"""One column or several, or names with SQL conditions."""


@dataclass(frozen=True)
class AddDateparts:
    """`add_dateparts` as a step of a `FeatureRecipe`; arguments as there."""

    column: str
    parts: Sequence[str] = PARTS
    prefix: str | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "parts", _texts("parts", self.parts))
        for part in self.parts:
            if part not in ALL_PARTS:
                raise ConfigError(f"parts: {part!r} is no part of a date; {did_you_mean(part, ALL_PARTS)}")

    @property
    def inputs(self) -> tuple[str, ...]:
        """The columns it reads."""
        return (self.column,)

    @property
    def ahead(self) -> tuple[str, ...]:
        """Those whose present or later values it uses, so that they must be known in advance."""
        return (self.column,)

    @property
    def outputs(self) -> tuple[str, ...]:
        """The columns it adds."""
        prefix = f"{self.column}_" if self.prefix is None else self.prefix
        return tuple(f"{prefix}{part}" for part in self.parts)

    def make(self, frame: pl.DataFrame) -> list[pl.Series]:
        """The new columns, in the order of ``outputs``."""
        check_columns(frame, self.inputs, "add_dateparts")
        check_dates(frame[self.column])
        made = {
            name.rpartition(".")[2]: part
            for name, part in date_parts(frame[self.column], with_time="hour" in self.parts).items()
        }
        moments = as_moments(frame[self.column], with_time=False)
        made |= _edges(moments) | {"elapsed": moments.to_physical()}
        return [made[part].alias(name) for part, name in zip(self.parts, self.outputs, strict=True)]


@dataclass(frozen=True)
class _OfEvents:
    """What the steps that look along time have in common."""

    events: Events
    _: KW_ONLY
    date: str
    group: str | Sequence[str] | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "events", _as_conditions(self.events))
        group = () if self.group is None else (self.group,) if isinstance(self.group, str) else self.group
        object.__setattr__(self, "group", _texts("group", group))

    @property
    def inputs(self) -> tuple[str, ...]:
        """The columns it reads."""
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
        named = ([name] if said is None else _names_in(said) for name, said in self._conditions.items())
        return tuple(dict.fromkeys(column for columns in named for column in columns))

    def _named(self, names: tuple[str, ...]) -> tuple[str, ...]:
        return tuple(name.replace("{event}", event) for event in self._conditions for name in names)


@dataclass(frozen=True)
class AddElapsed(_OfEvents):
    """`add_elapsed` as a step of a `FeatureRecipe`; arguments as there."""

    _: KW_ONLY
    cap: int | None = None
    until: bool = True
    names: tuple[str, str] = ("After{event}", "Before{event}")

    def __post_init__(self) -> None:
        super().__post_init__()
        object.__setattr__(self, "names", _templates(self.names))
        if self.cap is not None and not _is_whole(self.cap, 1):
            raise ConfigError(f"cap must be a whole number of days of at least 1, or None; got {self.cap!r}")

    @property
    def ahead(self) -> tuple[str, ...]:
        """The columns whose present or later values it uses, so that they must be known in advance."""
        return self._sources

    @property
    def outputs(self) -> tuple[str, ...]:
        """The columns it adds."""
        return self._named(self.names if self.until else self.names[:1])

    def make(self, frame: pl.DataFrame) -> list[pl.Series]:
        """The new columns, in the order of ``outputs``."""
        check_columns(frame, self.inputs, "add_elapsed")
        timeline = Timeline(frame, self.date, self._groups)
        dated = frame[self.date].is_not_null()
        made: list[pl.Series] = []
        for event, condition in self._conditions.items():
            happened = _values(frame, event, condition) != 0
            made += [timeline.since(happened), timeline.until(happened)][: 1 + self.until]
        if self.cap is not None:
            capped = (days.fill_null(self.cap).clip(upper_bound=self.cap) for days in made)
            made = [pl.select(pl.when(dated).then(days)).to_series() for days in capped]
        return [days.alias(name) for days, name in zip(made, self.outputs, strict=True)]


@dataclass(frozen=True)
class AddRolling(_OfEvents):
    """`add_rolling` as a step of a `FeatureRecipe`; arguments as there."""

    _: KW_ONLY
    window: int = 7
    unit: Unit = "rows"
    forward: bool = True
    present: bool = True
    names: tuple[str, str] = ("{event}_bw", "{event}_fw")

    def __post_init__(self) -> None:
        super().__post_init__()
        object.__setattr__(self, "names", _templates(self.names))
        if not _is_whole(self.window, 1):
            raise ConfigError(f"window must be a whole number of at least 1; got {self.window!r}")
        if self.unit not in ("rows", "days"):
            raise ConfigError(f"unit must be 'rows' or 'days'; got {self.unit!r}")

    @property
    def ahead(self) -> tuple[str, ...]:
        """The columns whose present or later values it uses, so that they must be known in advance."""
        return self._sources if self.forward or self.present else ()

    @property
    def outputs(self) -> tuple[str, ...]:
        """The columns it adds."""
        return self._named(self.names if self.forward else self.names[:1])

    def make(self, frame: pl.DataFrame) -> list[pl.Series]:
        """The new columns, in the order of ``outputs``."""
        check_columns(frame, self.inputs, "add_rolling")
        timeline = Timeline(frame, self.date, self._groups)
        made = [
            timeline.window_sum(values, self.window, self.unit, forward=forward, present=self.present)
            for values in (_values(frame, event, condition) for event, condition in self._conditions.items())
            for forward in (False, True)[: 1 + self.forward]
        ]
        return [sums.alias(name) for sums, name in zip(made, self.outputs, strict=True)]


Step: TypeAlias = AddDateparts | AddElapsed | AddRolling
STEPS: dict[str, type[Step]] = {"dateparts": AddDateparts, "elapsed": AddElapsed, "rolling": AddRolling}


def _edges(moments: pl.Series) -> dict[str, pl.Series]:
    """First and last days of months, quarters and years, and how far the month's last one is."""
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
    """What an event counts for in each row: int64, or float64 where there are fractions."""
    series = frame[event] if condition is None else matches(frame, condition, f"events[{event!r}]")
    if not (series.dtype.is_numeric() or series.dtype in (pl.Boolean, pl.Null)):
        advice = f'events={{"{event}": "{sql_name(event)} <> \'...\'"}}'
        raise DataError(
            f"column {event!r} holds {series.dtype}, which does not say in which rows an event is; say it by a"
            f" condition: {advice}"
        )
    if series.dtype.is_integer() or series.dtype in (pl.Boolean, pl.Null):
        return series.cast(pl.Int64).fill_null(0).to_numpy()
    values = series.cast(pl.Float64).fill_nan(None).fill_null(0.0)
    if not values.is_finite().all():
        raise DataError(f"column {event!r} has infinite values; replace them (None says that a value is missing)")
    whole = bool(((values == values.round(0)) & (values.abs() < 2**53)).all())
    return (values.cast(pl.Int64) if whole else values).to_numpy()


def _names_in(condition: str) -> list[str]:
    try:
        return pl.sql_expr(condition).meta.root_names()
    except Exception as error:
        raise ConfigError(f"events: {condition!r} is no SQL condition: {str(error).splitlines()[0]}") from error


def _as_conditions(events: object) -> dict[str, str | None]:
    """Each event's name, and its condition, or None for the column of that name."""
    found = {events: None} if isinstance(events, str) else events
    if not isinstance(found, Mapping):
        found = dict.fromkeys(_texts("events", found))
    if not found or not all(isinstance(name, str) and isinstance(said, str | None) for name, said in found.items()):
        raise ConfigError(f"events must be columns, or names with SQL conditions; got {events!r}")
    return dict(found)


def _texts(argument: str, names: object) -> tuple[str, ...]:
    if isinstance(names, str) or not isinstance(names, Sequence) or not all(isinstance(name, str) for name in names):
        raise ConfigError(f"{argument} must be a list of texts; got {names!r}")
    if len(set(names)) < len(names):
        raise ConfigError(f"{argument} names one twice: {list(names)}")
    return tuple(names)


def _templates(names: object) -> tuple[str, ...]:
    found = _texts("names", names)
    if len(found) != 2 or not all("{event}" in name for name in found):
        raise ConfigError(f"names must be two texts with {{event}} in them, back and ahead; got {names!r}")
    return found


def _is_whole(value: object, least: int) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= least
