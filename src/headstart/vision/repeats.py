"""Pictures that stand in a set more than once: across the split they make the figures too good."""

from __future__ import annotations

import numpy as np
import polars as pl

from headstart.core.splits import Split
from headstart.vision.pictures import Pictures

__all__ = ["repeated"]


def repeated(pictures: Pictures, labels: pl.Series, sides: Split) -> tuple[pl.DataFrame, tuple[str, ...]]:
    """Rows whose picture has the content of an earlier row's, byte for byte.

    Args:
        pictures: with each row's digest.
        labels: of each row.
        sides: which rows train and validate.

    Returns:
        A table of ``path``, ``same_as``, ``across`` (one trains, the other validates), ``labels_differ``; and notes.
    """
    side = np.zeros(len(pictures.names), dtype=np.int8)
    side[sides.train], side[sides.valid] = 1, 2
    used = np.flatnonzero(side)
    frame = pl.DataFrame(
        {
            "path": [pictures.names[row] for row in used],
            "digest": pictures.digests[used],
            "side": side[used],
            "label": pl.Series([str(labels[int(row)]) for row in used], dtype=pl.String),
        }
    )
    first = pl.col("path", "side", "label").first().over("digest").name.prefix("first_")
    later = frame.with_columns(first).filter(pl.col("digest").is_first_distinct().not_())
    table = later.select(
        "path",
        pl.col("first_path").alias("same_as"),
        (pl.col("side") != pl.col("first_side")).alias("across"),
        (pl.col("label") != pl.col("first_label")).alias("labels_differ"),
    )
    notes = []
    across, differ = int(table["across"].sum()), int(table["labels_differ"].sum())
    if across:
        example = table.filter(pl.col("across")).row(0)
        notes.append(
            f"{across:,} pictures are on both sides of the split, which makes the figures too good: {example[0]} is"
            f" {example[1]}; see data.duplicates"
        )
    if differ:
        notes.append(f"{differ:,} pictures stand there again with another label; see data.duplicates")
    if len(table) - across > 0:
        notes.append(f"{len(table) - across:,} pictures stand more than once on one side; see data.duplicates")
    return table, tuple(notes)
