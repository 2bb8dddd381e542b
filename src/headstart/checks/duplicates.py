"""Rows and texts that occur more than once, also nearly, and with which labels."""

from __future__ import annotations

import re
import zlib
from collections import defaultdict
from collections.abc import Iterator, Sequence

import numpy as np
import polars as pl
from numpy.typing import NDArray

__all__ = ["PAIRS", "duplicate_rows", "near_duplicate_texts", "pair_table"]

PAIRS = {
    "row": pl.Int64, "same_as": pl.Int64, "kind": pl.String, "across": pl.Boolean, "labels_differ": pl.Boolean,
}  # fmt: skip
"""Columns of a table of pairs: numbers of a row and of the earlier one that it repeats, over both parts; ``equal`` or
``near``; whether one trains and the other validates; whether what is predicted differs."""

DIGITS = 6
"""Leading digits to which numbers agree in rows that are nearly equal."""

SHINGLE = 3
"""Words of a text that are compared together."""

HASHES, BANDS = 64, 16
"""Number of hashes by which similar texts are found, and of the bands of them that must agree in one."""

ALIKE = 0.8
"""Least share of common shingles of texts that are nearly equal."""

Signature = NDArray[np.uint64]


def duplicate_rows(frame: pl.DataFrame, columns: Sequence[str]) -> Iterator[tuple[int, int, str]]:
    """Yield each row that equals an earlier one in some columns, the earlier row, and ``equal`` or ``near``.

    Nearly equal are rows whose numbers agree to six digits, and whose texts agree but for capitals and blanks.

    Args:
        frame: the rows.
        columns: columns to compare.
    """
    known = [name for name in columns if not frame.schema[name].is_nested() and frame.schema[name] != pl.Object]
    if not known:
        return
    exact = _firsts(frame.select(known))
    rough = _firsts(frame.select(_rough(name, frame.schema[name]) for name in known))
    for row, (same, near) in enumerate(zip(exact, rough, strict=True)):
        if same != row:
            yield row, same, "equal"
        elif near != row:
            yield row, near, "near"


def near_duplicate_texts(texts: Sequence[str]) -> Iterator[tuple[int, int, str]]:
    """Yield each text that equals or nearly equals an earlier one, the earlier one, and ``equal`` or ``near``.

    Nearly equal are texts that agree but for capitals, blanks and marks, and those that have four in five of their
    sequences of three words in common. Texts of fewer than six words are compared whole.

    **Source:** Broder, "On the Resemblance and Containment of Documents" (1997): minimum hashes, in bands.
    """
    first: dict[str, int] = {}
    plain_first: dict[str, int] = {}
    buckets: dict[tuple[int, bytes], list[int]] = defaultdict(list)
    shingles: dict[int, Signature] = {}
    random = np.random.default_rng(0)
    factors = random.integers(1, 2**63, HASHES, dtype=np.uint64) | np.uint64(1)
    shifts = random.integers(0, 2**63, HASHES, dtype=np.uint64)
    for row, text in enumerate(texts):
        words = re.findall(r"\w+", text.casefold())
        plain = " ".join(words)
        if not plain:
            continue
        if text in first:
            yield row, first[text], "equal"
            continue
        first[text] = row
        if plain in plain_first:
            yield row, plain_first[plain], "near"
            continue
        plain_first[plain] = row
        if len(words) < 2 * SHINGLE:
            continue
        own = np.unique(
            np.array(
                [zlib.crc32(" ".join(words[i : i + SHINGLE]).encode()) for i in range(len(words) - SHINGLE + 1)],
                dtype=np.int64,
            )
        ).view(np.uint64)
        with np.errstate(over="ignore"):
            signature = (own[:, None] * factors + shifts).min(0)  # (hashes,)
        keys = [(band, part.tobytes()) for band, part in enumerate(signature.reshape(BANDS, -1))]
        candidates = {other for key in keys for other in buckets[key]}
        close = [(_resemblance(own, shingles[other]), other) for other in sorted(candidates)]
        best = max(close, default=(0.0, 0), key=lambda pair: (pair[0], -pair[1]))
        if best[0] >= ALIKE:
            yield row, best[1], "near"
            continue
        shingles[row] = own
        for key in keys:
            buckets[key].append(row)


def pair_table(
    pairs: Iterator[tuple[int, int, str]], first_valid: int, labels: Sequence[object] | None
) -> pl.DataFrame:
    """Return pairs of rows as a table; see `PAIRS`.

    Args:
        pairs: row, earlier row, kind.
        first_valid: number of the first validation row; the rows before it train.
        labels: what is predicted of each row; None: nothing is.
    """
    rows = [
        {
            "row": row, "same_as": same, "kind": kind, "across": (row < first_valid) != (same < first_valid),
            "labels_differ": labels is not None and labels[row] != labels[same],
        }
        for row, same, kind in pairs
    ]  # fmt: skip
    return pl.DataFrame(rows, schema=PAIRS)


def _firsts(frame: pl.DataFrame) -> list[int]:
    """Return for each row the number of the first row that equals it."""
    numbered = frame.with_row_index("__row__")
    return numbered.select(pl.col("__row__").first().over(frame.columns)).to_series().to_list()


def _rough(name: str, dtype: pl.DataType) -> pl.Expr:
    column = pl.col(name)
    if dtype.is_float():
        return column.round_sig_figs(DIGITS)
    if dtype == pl.String:
        return column.str.to_lowercase().str.replace_all(r"\s+", "")
    return column


def _resemblance(one: Signature, other: Signature) -> float:
    common = len(np.intersect1d(one, other, assume_unique=True))
    return common / (len(one) + len(other) - common)
