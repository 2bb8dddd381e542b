"""`fit_target`: the target of training rows, of a given kind or of that which its column suggests."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Literal, TypeAlias, get_args, overload

import polars as pl

from headstart.core.errors import ConfigError, did_you_mean
from headstart.targets.kinds import describe_kind
from headstart.targets.target import AnyTarget, ClassTarget, Count, Label, Labels, Number, Quantiles

__all__ = ["KindOption", "fit_target"]

KindOption: TypeAlias = Literal["number", "count", "label"]
"""``target_kind``: what users choose; a column of lists with the kind ``"label"`` holds several classes per row."""


@overload
def fit_target(
    frame: pl.DataFrame, columns: Sequence[str], *, kind: Literal["label"], declared: Collection[str] = ()
) -> ClassTarget: ...


@overload
def fit_target(
    frame: pl.DataFrame,
    columns: Sequence[str],
    *,
    kind: KindOption | None = None,
    log: bool = False,
    y_range: tuple[float, float] | None = None,
    quantiles: Sequence[float] | None = None,
    declared: Collection[str] = (),
) -> AnyTarget: ...


def fit_target(
    frame: pl.DataFrame,
    columns: Sequence[str],
    *,
    kind: KindOption | None = None,
    log: bool = False,
    y_range: tuple[float, float] | None = None,
    quantiles: Sequence[float] | None = None,
    declared: Collection[str] = (),
) -> AnyTarget:
    """Return the target of training rows.

    Args:
        frame: training rows.
        columns: the columns to predict; several must be numbers.
        kind: ``"number"``, ``"count"`` (of events, by the Poisson loss) or ``"label"`` (classes); None: text, booleans,
            lists, categories and whole numbers with two different values (also 0.0 and 1.0) are classes, other numbers
            are numbers.
        log: predict the logarithm of a positive number (``log_target``).
        y_range: lowest and highest prediction, in the target's unit.
        quantiles: predict these quantiles of a number instead of its mean, such as ``[0.1, 0.5, 0.9]``.
        declared: columns that the table declares as categories.

    Raises:
        ConfigError: options that do not go together, or with the kind.
        DataError: values that the target cannot hold.
    """
    kind = _checked_kind(frame, columns, kind, declared)
    column = columns[0]
    if kind == "number":
        number = Number.fit(frame, columns, log=log, range=y_range)
        return number if quantiles is None else Quantiles.of(number, quantiles)
    several = isinstance(frame.schema[column], pl.List)
    if log or y_range is not None or quantiles is not None:
        what = describe_kind("labels" if several and kind == "label" else kind, [column])
        raise ConfigError(f"log_target, y_range and quantiles are for numbers, but target {what}")
    if kind == "count":
        return Count.fit(frame, column)
    return Labels.fit(frame, column) if several else Label.fit(frame, column, declared=column in declared)


def _checked_kind(
    frame: pl.DataFrame, columns: Sequence[str], kind: KindOption | None, declared: Collection[str]
) -> KindOption:
    """Return the kind of the target: as given, or as its column suggests."""
    kinds = get_args(KindOption)
    if kind is not None and kind not in kinds:
        raise ConfigError(f"target_kind must be 'number', 'count' or 'label'; {did_you_mean(str(kind), kinds)}")
    if len(columns) > 1:
        if kind == "count":
            raise ConfigError("a count is one target; train a model for each, or use target_kind='number'")
        if kind == "label":
            raise ConfigError("several targets must be numbers; for several classes per row use one column of lists")
        return "number"
    if kind is not None:
        return kind
    series = frame[columns[0]]
    is_number = series.dtype.is_numeric() and columns[0] not in declared
    return "number" if is_number and not _has_two_whole_values(series) else "label"


def _has_two_whole_values(series: pl.Series) -> bool:
    """Return whether numbers are two whole ones; missing values turn whole numbers into floats in many tables."""
    distinct = series.cast(pl.Float64).fill_nan(None).drop_nulls().unique()
    return len(distinct) == 2 and bool((distinct == distinct.round(0)).all())
