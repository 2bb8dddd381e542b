"""What a user should know of a table's columns before training: which are not used and why, and which know too much."""

from __future__ import annotations

from collections.abc import Collection, Sequence

import numpy as np
import polars as pl
from numpy.typing import NDArray

from headstart.core.errors import DataError
from headstart.frames.amounts import form_of_amounts
from headstart.frames.dates import forms_of
from headstart.frames.door import sql_name
from headstart.tabular.columns import SortedColumns

__all__ = ["check_target", "leak_notes", "row_number_notes", "total_rows", "unused_columns"]

NEARLY = 0.9
"""Share of the values of a text column that are numbers, from which on it is taken for a column of numbers."""

ROWS = 5_000
"""Training rows in which leaks are looked for."""

TOTALS = ("total", "totals", "grand total", "subtotal", "sum", "summe", "gesamt", "gesamtsumme", "zwischensumme",
          "insgesamt", "somme", "total général", "totale", "totaal")  # fmt: skip
"""Words in a row of totals, in lower case."""

FEWEST = 30
"""Fewest rows from which a perfect order is no accident."""

ORDER = 0.9995
"""Rank correlation from which on a column tells the target."""


def unused_columns(train: pl.DataFrame, columns: SortedColumns, *, elsewhere: Collection[str] = ()) -> list[str]:
    """Return a line for each column that is left out although nobody excluded it, and for text that is nearly numbers.

    A column with the same value in all rows is no loss, and gets no line.

    Args:
        train: training rows.
        columns: what their columns are taken as.
        elsewhere: columns that serve otherwise, such as for features or the choice of rows.
    """
    lines = []
    for name, reason in columns.left_out.items():
        constant = train[name].dtype != pl.Object and train[name].drop_nulls().n_unique() == 1
        if name not in columns.named and name not in elsewhere and not constant:
            advice = _number_advice(train[name]) or _date_advice(train[name]) or f"exclude=[{name!r}] if that is right"
            lines.append(f"column {name!r} is not used: {reason}; {advice}")
    for name in columns.categorical:
        advice = "" if name in columns.named else _number_advice(train[name])
        if advice:
            lines.append(f"column {name!r} is taken as categories, but {advice}")
    return lines


def total_rows(train: pl.DataFrame) -> str | None:
    """Return a warning of rows that look like totals of the others, as exports of spreadsheets end with.

    Such a row has ``Total`` or the like in a column of text, and no value in at least half of the others.

    Args:
        train: training rows.
    """
    half_missing = 2 * pl.sum_horizontal(pl.all().is_null()) >= max(2, train.width - 1)
    texts = [name for name, dtype in train.schema.items() if dtype == pl.String]
    words = (pl.col(name).str.strip_chars(" :").str.to_lowercase().is_in(TOTALS) for name in texts)
    totals = train.filter(pl.any_horizontal(False, *words) & half_missing)
    if not len(totals):
        return None
    what = "1 row looks like a total" if len(totals) == 1 else f"{len(totals):,} rows look like totals"
    column = next(name for name in texts if (totals[0, name] or "").strip(" :").lower() in TOTALS)
    return (
        f"{what} of the others, from which nothing is to be learnt: delete such rows, or where= (--where)"
        f" {sql_name(column)} IS DISTINCT FROM '{totals[0, column]}'"
    )


def check_target(series: pl.Series) -> None:
    """Raise `DataError` if a target of text is numbers as people write them, of which each would become a class."""
    advice = _number_advice(series)
    if advice:
        raise DataError(f"target {series.name!r} is text, but {advice}; target_kind='label' takes them as classes")


def _number_advice(series: pl.Series) -> str:
    """Return what to do about text that is nearly numbers; empty if it is not."""
    if series.dtype != pl.String:
        return ""
    texts = series.drop_nulls()
    texts = texts.filter(texts.str.strip_chars() != "").head(ROWS)
    if not texts.head(100).str.contains(r"\d").any():
        return ""
    numbers = form_of_amounts(texts)[1]
    read = len(numbers) - numbers.null_count()
    if read < NEARLY * len(texts):
        return ""
    plain = texts.cast(pl.Float64, strict=False).null_count() == 0
    if plain or texts.str.contains(r"^[+-]?0[0-9]").any():  # texts by their owner's will, or codes
        return ""
    other = texts.filter(numbers.is_null())
    shown = f"; {other[0]!r} is not, and would be missing" if len(other) else f", such as {texts[0]!r}"
    option = f"numbers=[{series.name!r}] reads them as numbers"
    return f"{read:,} of {len(texts):,} values are numbers{shown}: {option}"


def _date_advice(series: pl.Series) -> str:
    """Return what to do about text of which nearly all values are dates; empty if it is not."""
    if series.dtype != pl.String:
        return ""
    texts = series.drop_nulls().head(ROWS)
    digits = texts.str.contains(r"\d")
    if not digits.any() or digits.sum() < NEARLY * len(texts) or not forms_of(texts.filter(digits)):
        return ""
    others = texts.filter(~digits)
    if not len(others):
        return ""
    return (
        f"{len(texts) - len(others):,} of {len(texts):,} values are dates, but {others[0]!r} is not: delete such rows,"
        f" or take it as missing: csv=CsvOptions(null_values=[{others[0]!r}, 'NA', 'N/A'])"
    )


def leak_notes(train: pl.DataFrame, columns: SortedColumns, targets: Sequence[str], *, classes: bool) -> list[str]:
    """Return a note for each column that orders the target almost perfectly, as a copy or a consequence of it does.

    Args:
        train: training rows.
        columns: what their columns are taken as.
        targets: the columns to predict.
        classes: whether the target is a class.
    """
    rows = train if len(train) <= ROWS else train.sample(ROWS, seed=0)
    notes = []
    for target in targets:
        for name in dict.fromkeys((*columns.continuous, *columns.categorical, *columns.dates)):
            pair = rows.select(pl.col(name).alias("column"), pl.col(target).alias("target"))
            if pair["target"].dtype.is_nested() or pair["column"].dtype.is_nested():
                continue
            pair = pair.drop_nulls()
            if len(pair) >= FEWEST and (_tells_class(pair) if classes else _tells_number(pair)):
                notes.append(
                    f"column {name!r} alone tells the target {target!r} almost perfectly: if it is known only with the"
                    f" target, or made of it, leave it out: exclude=[{name!r}]"
                )
    return notes


def row_number_notes(train: pl.DataFrame, columns: SortedColumns) -> list[str]:
    """Return a note for each column of whole numbers of which each row has its own, as row numbers do.

    Args:
        train: training rows.
        columns: what their columns are taken as.
    """
    return [
        f"column {name!r}: each row has its own whole number; if they only number the rows, leave it out:"
        f" exclude=[{name!r}]"
        for name in columns.continuous
        if name not in columns.named
        and train[name].dtype.is_integer()
        and train[name].n_unique() == len(train) >= FEWEST
    ]


def _ranks(series: pl.Series) -> NDArray[np.float64]:
    """Return the rank of each value, equal ones at the mean of theirs, ``(rows,)``."""
    return series.rank("average").cast(pl.Float64).to_numpy()


def _tells_number(pair: pl.DataFrame) -> bool:
    """Return whether a column ranks a target of numbers, or by its categories leaves hardly any variance of it.

    Args:
        pair: ``column`` and ``target``, without missing values.
    """
    column, target = pair["column"], pair["target"]
    if not target.dtype.is_numeric() or target.n_unique() < 3:
        return False
    if column.dtype.is_numeric() or column.dtype.is_temporal():
        if column.n_unique() < 3:
            return False
        return bool(abs(np.corrcoef(_ranks(column), _ranks(target))[0, 1]) >= ORDER)
    values = column.n_unique()
    if values * 5 > len(pair):  # a group of its own tells its mean always
        return False
    number = pl.col("target").cast(pl.Float64)
    within = pair.select(((number - number.mean().over("column")) ** 2).sum()).item()
    total = pair.select(((number - number.mean()) ** 2).sum()).item()
    return bool(total > 0 and within <= (1 - ORDER) * total)


def _tells_class(pair: pl.DataFrame) -> bool:
    """Return whether a column parts the classes by thresholds, or by its values, but for 0.5 % of the rarest class.

    Args:
        pair: ``column`` and ``target``, without missing values.
    """
    column = pair["column"]
    share = pair["target"].value_counts()["count"].to_numpy() / len(pair)
    rarest = share.min() * len(pair)
    if len(share) < 2 or rarest < 5:
        return False
    if (column.dtype.is_numeric() or column.dtype.is_temporal()) and column.n_unique() * 5 > len(pair):
        ordered = pair.sort("column")["target"]
        changes = int((ordered != ordered.shift(1)).sum())
        return bool(changes <= len(share) - 1 + 0.005 * rarest)
    if column.n_unique() * 5 > len(pair):
        return False
    most = pair.group_by("column", "target").len().group_by("column").agg(pl.col("len").max())["len"].sum()
    return bool(len(pair) - most <= 0.005 * rarest)
