"""`fit_target`: the target of training rows, of a given kind or of that which its column suggests."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, TypeAlias, get_args, overload

import polars as pl

from headstart.core.errors import ConfigError, did_you_mean
from headstart.targets.kinds import describe_kind
from headstart.targets.target import AnyTarget, ClassTarget, Count, Label, Labels, Number, Quantiles

__all__ = ["KindOption", "fit_target"]

KindOption: TypeAlias = Literal["number", "count", "label"]
"""``target_kind``: what users choose; a column of lists with the kind ``"label"`` holds several classes per row."""


@overload
def fit_target(frame: pl.DataFrame, columns: Sequence[str], *, kind: Literal["label"]) -> ClassTarget: ...


@overload
def fit_target(
    frame: pl.DataFrame,
    columns: Sequence[str],
    *,
    kind: KindOption | None = None,
    log: bool = False,
    y_range: tuple[float, float] | None = None,
    quantiles: Sequence[float] | None = None,
) -> AnyTarget: ...


def fit_target(
    frame: pl.DataFrame,
    columns: Sequence[str],
    *,
    kind: KindOption | None = None,
    log: bool = False,
    y_range: tuple[float, float] | None = None,
    quantiles: Sequence[float] | None = None,
) -> AnyTarget:
    """Return the target of training rows.

    Args:
        frame: training rows.
        columns: the columns to predict; several must be numbers.
        kind: ``"number"``, ``"count"`` (of events, by the Poisson loss) or ``"label"`` (classes); None: text, booleans,
            lists and whole numbers with two different values are classes, other numbers are numbers.
        log: predict the logarithm of a positive number (``log_target``).
        y_range: lowest and highest prediction, in the target's unit.
        quantiles: predict these quantiles of a number instead of its mean, such as ``[0.1, 0.5, 0.9]``.

    Raises:
        ConfigError: options that do not go together, or with the kind.
        DataError: values that the target cannot hold.
    """
    kind = _checked_kind(frame, columns, kind)
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
    return Labels.fit(frame, column) if several else Label.fit(frame, column)


def _checked_kind(frame: pl.DataFrame, columns: Sequence[str], kind: KindOption | None) -> KindOption:
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
    two_whole = series.dtype.is_integer() and series.drop_nulls().n_unique() == 2
    return "number" if series.dtype.is_numeric() and not two_whole else "label"
