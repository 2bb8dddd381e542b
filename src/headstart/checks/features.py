"""`Features`: what rows are like, as a sparse or dense matrix, for quick linear models of them."""

from __future__ import annotations

import warnings
from collections.abc import Collection, Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl
import torch
from numpy.typing import NDArray
from torch import Tensor

__all__ = ["Features", "codes_of", "dense_features", "frame_features", "sparse_features"]

BINS = 24
"""Intervals that a number's values are put into, with about as many rows each."""

WHOLE = 32
"""Number of different values up to which a number's values are taken one by one."""

Codes = NDArray[np.int64]


@dataclass(frozen=True)
class Features:
    """A matrix with a row per row of the data, and its transpose, for products with either.

    Attributes:
        matrix: float32 ``(rows, features)``, dense or sparse by rows.
        transposed: float32 ``(features, rows)``, likewise.
    """

    matrix: Tensor
    transposed: Tensor

    @property
    def width(self) -> int:
        """The number of features."""
        return self.matrix.shape[1]

    def __len__(self) -> int:
        """Return the number of rows."""
        return self.matrix.shape[0]


def dense_features(values: Tensor) -> Features:
    """Return standardised numbers as features, scaled so that a row has a length of about 1.

    Args:
        values: float ``(rows, numbers)``.
    """
    values = values.float()
    scaled = (values - values.mean(0)) / values.std(0).clamp_min(1e-6) / values.shape[1] ** 0.5
    return Features(scaled, scaled.T)


def sparse_features(rows: Codes, columns: Codes, values: NDArray[np.float32], shape: tuple[int, int]) -> Features:
    """Return a sparse matrix of its entries.

    Args:
        rows: row of each entry, int64, ascending.
        columns: column of each entry, int64; equal entries of a row are added up by the products.
        values: float32.
        shape: rows and columns of the matrix.
    """
    order = np.argsort(columns, kind="stable")
    return Features(
        _by_rows(rows, columns, values, shape),
        _by_rows(columns[order], rows[order], values[order], (shape[1], shape[0])),
    )


def frame_features(frame: pl.DataFrame, columns: Sequence[str], *, categories: Collection[str] = ()) -> Features | None:
    """Return features of a table's columns: which value, or which interval of a number, each row has.

    Args:
        frame: the rows.
        columns: columns to use; those that cannot be coded, such as lists, are left out.
        categories: those of them whose values are taken one by one, also if they are numbers.

    Returns:
        The features; None if no column can be coded.
    """
    coded = []
    for name in columns:
        series = frame[name].cast(pl.String) if name in categories and frame.schema[name].is_integer() else frame[name]
        codes = codes_of(series)
        if codes is not None and codes.max(initial=0) > 0:
            coded.append(codes)
    if not coded:
        return None
    parts, offset = [], 0
    for codes in coded:
        parts.append(codes + offset)
        offset += int(codes.max()) + 1
    entries = np.stack(parts, axis=1)  # (rows, active features)
    rows = np.repeat(np.arange(len(frame)), entries.shape[1])
    values = np.full(entries.size, entries.shape[1] ** -0.5, dtype=np.float32)
    return sparse_features(rows, entries.reshape(-1), values, (len(frame), offset))


def codes_of(series: pl.Series) -> Codes | None:
    """Return a column as whole numbers, 0 for missing: equal values, or values of one interval, have equal numbers.

    Text that differs in most rows, lists and the like cannot be coded: None.
    """
    if series.dtype.is_temporal() and series.dtype != pl.Time:
        series = series.to_physical()
    if series.dtype.is_numeric():
        values = series.cast(pl.Float64).fill_nan(None)
        if values.n_unique() > WHOLE + 1:
            return _intervals(values.to_numpy())
    elif series.dtype not in (pl.String, pl.Categorical, pl.Enum, pl.Boolean):
        return None
    text = series.cast(pl.String)
    different = text.n_unique()
    if different > max(1000, len(text) // 2):
        return None
    counts = text.value_counts(name="rows").filter(pl.col("rows") > 1)[text.name].drop_nulls().sort()
    numbered = text.replace_strict(counts, pl.Series(range(2, len(counts) + 2), dtype=pl.Int64), default=1)
    codes: Codes = numbered.set(text.is_null(), 0).to_numpy().astype(np.int64)
    return codes


def _intervals(numbers: NDArray[np.float64]) -> Codes:
    """Return the number of the interval that each number lies in, from 1; 0 for missing and infinite ones."""
    known = numbers[np.isfinite(numbers)]
    edges = np.unique(np.quantile(known, np.linspace(0, 1, BINS + 1)[1:-1])) if len(known) else np.zeros(0)
    codes = np.searchsorted(edges, numbers, side="right") + 1
    return np.where(np.isfinite(numbers), codes, 0).astype(np.int64)


def _by_rows(rows: Codes, columns: Codes, values: NDArray[np.float32], shape: tuple[int, int]) -> Tensor:
    starts = np.concatenate([[0], np.cumsum(np.bincount(rows, minlength=shape[0]))])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # torch says that its sparse matrices are in beta state
        return torch.sparse_csr_tensor(
            torch.from_numpy(starts), torch.from_numpy(np.ascontiguousarray(columns)),
            torch.from_numpy(np.ascontiguousarray(values)), size=shape,
        )  # fmt: skip
