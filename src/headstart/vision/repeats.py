"""Pictures that stand in a set more than once: across the split they make the figures too good.

The same files are told by their content, which costs next to nothing. The same pictures in other files (saved again,
smaller, in another format) are told by their thumbnails, for which each picture must be decoded.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import polars as pl
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from headstart.frames.splits import Split
from headstart.vision.images import Pictures, PictureSource

__all__ = ["alike", "repeated"]

THUMBNAIL = 16
"""Side in pixels, grey."""

ALIKE = 0.998
"""Least correlation of two thumbnails of one picture. Of the 1,920 photos of dogs-vs-cats the one pair that is the same
photo has .9990, the closest other pair .893; the closest pair of 3,000 garments of fashion-mnist has .994."""

FLAT = 2.0
"""Standard deviation of a thumbnail, of 255, below which there is nothing to compare."""

AT_ONCE = 512


def repeated(pictures: Pictures, labels: pl.Series, sides: Split) -> tuple[pl.DataFrame, tuple[str, ...]]:
    """Rows whose picture has the content of an earlier row's, byte for byte.

    Args:
        pictures: with each row's digest.
        labels: of each row.
        sides: which rows train and validate.

    Returns:
        A table of ``path``, ``same_as``, ``across`` (one trains, the other validates), ``labels_differ``; and notes.
    """
    used = np.concatenate([sides.train, sides.valid])
    used.sort()
    _, first, inverse = np.unique(pictures.digests[used], return_index=True, return_inverse=True)
    firsts = first[inverse]
    later = np.flatnonzero(firsts != np.arange(len(used)))
    table = _pairs(pictures, labels, sides, used[later], used[firsts[later]])
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


def alike(pictures: Pictures, source: PictureSource, labels: pl.Series, sides: Split) -> pl.DataFrame:
    """Rows whose picture looks like an earlier row's, though the files differ; a table as `repeated` gives.

    Args:
        pictures: with each row's digest.
        source: the same pictures at one size.
        labels: of each row.
        sides: which rows train and validate.

    Raises:
        DataError: a picture cannot be decoded.
    """
    used = np.concatenate([sides.train, sides.valid])
    used.sort()
    source.start(used)
    parts = [_thumbnails(source.take(used[start : start + AT_ONCE])) for start in range(0, len(used), AT_ONCE)]
    thumbnails = torch.cat(parts)
    found = [pair for pair in _close(thumbnails) if pictures.digests[used[pair[0]]] != pictures.digests[used[pair[1]]]]
    later = np.array([pair[0] for pair in found], dtype=np.int64)
    earlier = np.array([pair[1] for pair in found], dtype=np.int64)
    return _pairs(pictures, labels, sides, used[later], used[earlier])


def _thumbnails(pixels: Tensor) -> Tensor:
    """Of pictures ``(rows, 3, height, width)``, grey, with mean 0 and length 1, ``(rows, THUMBNAIL ** 2)``; 0: flat."""
    grey = F.adaptive_avg_pool2d(pixels.float().mean(1, keepdim=True), THUMBNAIL).flatten(1)
    grey = grey - grey.mean(1, keepdim=True)
    grey[grey.square().mean(1) < FLAT**2] = 0
    return F.normalize(grey, dim=1)


def _close(thumbnails: Tensor) -> Iterator[tuple[int, int]]:
    """For each row that correlates with earlier ones: its number, and that of the one it correlates most with."""
    for start in range(0, len(thumbnails), AT_ONCE):
        some = thumbnails[start : start + AT_ONCE]
        correlation = (some @ thumbnails[: start + len(some)].T).tril(start - 1)  # with the rows before each
        most, earlier = correlation.max(1)
        for place in (most >= ALIKE).nonzero().flatten().tolist():
            yield start + place, int(earlier[place])


def _pairs(
    pictures: Pictures, labels: pl.Series, sides: Split, later: NDArray[np.int64], earlier: NDArray[np.int64]
) -> pl.DataFrame:
    """What `repeated` gives, of pairs of rows."""
    side = np.zeros(len(pictures.names), dtype=np.int8)
    side[sides.train], side[sides.valid] = 1, 2
    differ = [str(labels[int(row)]) != str(labels[int(other)]) for row, other in zip(later, earlier, strict=True)]
    return pl.DataFrame(
        {
            "path": [pictures.names[row] for row in later],
            "same_as": [pictures.names[row] for row in earlier],
            "across": side[later] != side[earlier],
            "labels_differ": differ,
        },
        schema={"path": pl.String, "same_as": pl.String, "across": pl.Boolean, "labels_differ": pl.Boolean},
    )
