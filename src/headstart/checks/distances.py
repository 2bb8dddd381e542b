"""How far a column tells the training rows from the validation rows, and how far it tells the target."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import polars as pl
from numpy.typing import NDArray

from headstart.checks.features import codes_of

__all__ = ["drift_table", "leaking_columns"]

LEAKS = 0.98
"""Share of the target that a column alone explains, from which on it is taken to hold the target."""

Codes = NDArray[np.int64]


def drift_table(train: pl.DataFrame, valid: pl.DataFrame, columns: Sequence[str]) -> pl.DataFrame:
    """Return how the columns' values differ between the parts, the most different first.

    Args:
        train: training rows.
        valid: validation rows.
        columns: columns to compare.

    Returns:
        ``column``; ``distance``, from 0 (alike) to 1 (no value in common): of numbers and dates the largest difference
        of the shares of the rows up to some value (Kolmogorov and Smirnov), of categories half the sum of the
        differences of their shares; ``certain``: larger than chance explains in one of a thousand columns.
    """
    rows = []
    for name in columns:
        both = pl.concat([train.select(name), valid.select(name)], how="vertical_relaxed")[name]
        if both.dtype.is_numeric() or (both.dtype.is_temporal() and both.dtype != pl.Time):
            values = both.to_physical().cast(pl.Float64).fill_nan(None)
            distance = _largest_difference(values[: len(train)].drop_nulls(), values[len(train) :].drop_nulls())
            chance = 1.95 * _noise(len(train), len(valid))
        else:
            codes = codes_of(both)
            if codes is None:
                continue
            shares = [
                np.bincount(part, minlength=codes.max() + 1) / max(1, len(part))
                for part in np.split(codes, [len(train)])
            ]
            distance = float(np.abs(shares[0] - shares[1]).sum() / 2)
            kinds = int((shares[0] + shares[1] > 0).sum())
            chance = (kinds**0.5 / 2 + 1.65) * _noise(len(train), len(valid))
        rows.append({"column": name, "distance": distance, "certain": distance > chance})
    schema = {"column": pl.String, "distance": pl.Float64, "certain": pl.Boolean}
    return pl.DataFrame(rows, schema=schema).sort("distance", descending=True, maintain_order=True)


def leaking_columns(frame: pl.DataFrame, target: pl.Series, columns: Sequence[str]) -> dict[str, float]:
    """Return the columns that tell the target by themselves, with the share of it that each explains.

    A number explains a number if the one orders the other; otherwise a column's values, or intervals of them, explain
    the target's mean or its class, of each half of the rows by the other half.

    Args:
        frame: the rows.
        target: what is predicted.
        columns: columns that may leak it.
    """
    found = {}
    number = target.dtype.is_float() or (target.dtype.is_integer() and target.n_unique() > 20)
    known = target.cast(pl.Float64).to_numpy() if number else codes_of(target)
    if known is None or len(target) < 20 or target.n_unique() < 2:
        return {}
    for name in columns:
        series = frame[name]
        if number and series.dtype.is_numeric():
            share = _order(series.cast(pl.Float64).fill_nan(None), target.cast(pl.Float64))
        else:
            codes = codes_of(series)
            share = 0.0 if codes is None or codes.max() > len(codes) // 4 else _explained(codes, known, number=number)
        if share >= LEAKS:
            found[name] = share
    return found


def _noise(one: int, other: int) -> float:
    return float(np.sqrt((one + other) / max(1, one * other)))


def _largest_difference(one: pl.Series, other: pl.Series) -> float:
    if not len(one) or not len(other):
        return float(len(one) != len(other))
    first, second = np.sort(one.to_numpy()), np.sort(other.to_numpy())
    points = np.concatenate([first, second])
    shares = [np.searchsorted(values, points, side="right") / len(values) for values in (first, second)]
    return float(np.abs(shares[0] - shares[1]).max())


def _order(one: pl.Series, other: pl.Series) -> float:
    """Return the square of the rank correlation of two columns of numbers, over the rows that have both."""
    both = pl.DataFrame({"one": one, "other": other}).drop_nulls()
    if len(both) < max(20, len(one) // 2) or both["one"].n_unique() < 2 or both["other"].n_unique() < 2:
        return 0.0
    correlation = both.select(pl.corr("one", "other", method="spearman")).item()
    return float(correlation) ** 2


def _explained(codes: Codes, target: NDArray[np.generic], *, number: bool) -> float:
    """Return the share of the variance, or of the errors of the largest class, that a column's codes explain."""
    errors = base = 0.0
    half = np.arange(len(codes)) % 2 == 0
    for seen in (half, ~half):
        if number:
            values = target.astype(np.float64)
            sums = np.bincount(codes[seen], values[seen], minlength=codes.max() + 1)
            counts = np.bincount(codes[seen], minlength=codes.max() + 1)
            mean = values[seen].mean()
            expected = np.where(counts > 0, sums / np.maximum(counts, 1), mean)
            errors += float(((values[~seen] - expected[codes[~seen]]) ** 2).sum())
            base += float(((values[~seen] - mean) ** 2).sum())
        else:
            classes = target.astype(np.int64)
            counted = np.zeros((codes.max() + 1, classes.max() + 1))
            np.add.at(counted, (codes[seen], classes[seen]), 1)
            largest = counted.sum(0).argmax()
            expected_class = np.where(counted.sum(1) > 0, counted.argmax(1), largest)
            errors += float((classes[~seen] != expected_class[codes[~seen]]).sum())
            base += float((classes[~seen] != largest).sum())
    return 1 - errors / base if base else 0.0
