"""Texts that stand for a missing value."""

from __future__ import annotations

from collections.abc import Collection

import polars as pl

__all__ = ["MISSING_TEXTS", "without_missing"]

MISSING_TEXTS = ("", "NA", "N/A", "NaN", "nan", "NULL", "null")
"""Texts that stand for a missing value: those of pandas, except the rarest."""


def without_missing(series: pl.Series, known: Collection[str] = ()) -> pl.Series:
    """Return text with null in place of texts that stand for a missing value.

    Args:
        series: text.
        known: such texts that are values here.
    """
    words = [text for text in MISSING_TEXTS if text not in known]
    stand_in = series.is_in(words).fill_null(value=False)
    return series.set(stand_in, None) if stand_in.any() else series
