"""`fit_target`: the target of training rows, of a given kind or of that which its column suggests."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, fields
from typing import Literal, TypeAlias, TypedDict, get_args

import polars as pl

from headstart.core.errors import ConfigError, DataError, did_you_mean
from headstart.core.values import Value
from headstart.targets.kinds import describe_kind
from headstart.targets.target import AnyTarget, Count, Label, Labels, Number, Quantiles

__all__ = [
    "OF_THE_TARGET",
    "KindOption",
    "TargetOptions",
    "TargetSettings",
    "check_labels",
    "fit_target",
    "label_or_target",
]

KindOption: TypeAlias = Literal["number", "count", "label"]
"""``target_kind``: what users choose; a column of lists with the kind ``"label"`` holds several classes per row."""


@dataclass(frozen=True, kw_only=True)
class TargetSettings(Value):
    """How the columns that are predicted become a target: the same for tables, texts and images.

    Attributes:
        target_kind: what the target is: ``"number"``; ``"count"``, numbers of events, by the Poisson loss; or
            ``"label"``, classes. None: text, booleans, lists and whole numbers with two values are classes, other
            numbers are numbers; a column given as label holds classes in any case.
        log_target: predict the logarithm of a positive number: right where relative errors matter.
        y_range: lowest and highest prediction, in the target's unit. Example: ``(0, 100)``.
        quantiles: predict these quantiles of a number instead of its mean, each between 0 and 1. Example:
            ``(0.1, 0.5, 0.9)``, whose outer two hold 80 % of the rows between them.
    """

    target_kind: KindOption | None = None
    log_target: bool = False
    y_range: tuple[float, float] | None = None
    quantiles: tuple[float, ...] | None = None

    def fit_target(
        self,
        rows: pl.DataFrame,
        columns: Sequence[str],
        *,
        usual: KindOption | None = None,
        declared: Collection[str] = (),
    ) -> AnyTarget:
        """Return the target of training rows; see `fit_target`.

        Args:
            rows: training rows.
            columns: the columns to predict.
            usual: the kind where the settings give none; None: that which the column suggests.
            declared: columns that were declared as categories.

        Raises:
            DataError: values that the target cannot hold.
            ConfigError: options that do not go together.
        """
        if self.target_kind is None and usual == "label" and rows.schema[columns[0]].is_float():
            name = columns[0]
            raise DataError(
                f"label {name!r} must be classes (text, whole numbers, booleans); got {rows.schema[name]}; to predict"
                f" it as a number give target={name!r} (--target {name}) instead of label"
            )
        return fit_target(
            rows, columns, kind=self.target_kind or usual, log=self.log_target, y_range=self.y_range,
            quantiles=self.quantiles, declared=declared,
        )  # fmt: skip


class TargetOptions(TypedDict, total=False):
    """The fields of `TargetSettings` as keyword arguments."""

    target_kind: KindOption | None
    log_target: bool
    y_range: tuple[float, float] | None
    quantiles: Sequence[float] | None


OF_THE_TARGET = tuple(field.name for field in fields(TargetSettings))
"""Fields of `TargetSettings`, which a codec has decided."""


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


def label_or_target(label: str, target: str | Sequence[str] | None) -> tuple[tuple[str, ...], KindOption | None]:
    """Return the columns to predict, and the kind of target that they are unless settings give one.

    Args:
        label: column of labels, which are classes, used unless ``target`` is given.
        target: column, or columns of numbers, of which the values decide.

    Raises:
        ConfigError: ``target`` is no column's name, nor several different ones.
    """
    if target is None:
        return (label,), "label"
    columns = (target,) if isinstance(target, str) else tuple(target)
    if not columns or len(set(columns)) < len(columns) or not all(isinstance(column, str) for column in columns):
        raise ConfigError(f"target must be a column, or several different ones; got {target!r}")
    return columns, None


def check_labels(labels: pl.Series, kind: KindOption | None) -> None:
    """Raise `DataError` if a list of labels holds fractions, but is not said to be numbers.

    Args:
        labels: as they came.
        kind: ``target_kind``, if it is given.
    """
    if kind is None and labels.dtype.is_float():
        raise DataError(
            f"labels must be classes (text, whole numbers, booleans); got {labels.dtype}; to predict numbers give"
            " target_kind='number'"
        )


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
