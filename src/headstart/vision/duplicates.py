"""Images that occur in a set more than once: among training and validation rows they make the figures too good.

Equal files are recognised by their content, at almost no cost. The same image in different files (saved again, smaller,
in another format) is recognised by its thumbnail, for which every image must be decoded.
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
from headstart.vision.images import Images, ImageSource

__all__ = ["duplicates", "near_duplicates"]

Rows = NDArray[np.int64]

THUMBNAIL = 16
"""Side of a thumbnail in pixels; it is grey."""

ALIKE = 0.998
"""Least correlation of two thumbnails of one image. Of the 1,920 photos of dogs-vs-cats the one pair that is the same
photo has .9990, the closest other pair .893; the closest pair of 3,000 garments of fashion-mnist has .994."""

FLAT = 2.0
"""Standard deviation of a thumbnail, in grey levels of 255, below which there is nothing to compare."""

AT_ONCE = 512


def duplicates(images: Images, labels: pl.Series, split: Split) -> tuple[pl.DataFrame, tuple[str, ...]]:
    """Return the rows whose image has, byte for byte, the content of an earlier row's, and notes on them.

    Args:
        images: the set's images.
        labels: label of each row.
        split: numbers of the training and of the validation rows.

    Returns:
        A table of ``path``, ``same_as``, ``across`` (one trains, the other validates), ``labels_differ``; and notes.
    """
    used = np.sort(np.concatenate([split.train, split.valid]))
    _, first, inverse = np.unique(images.digests[used], return_index=True, return_inverse=True)
    earliest = first[inverse]
    later = np.flatnonzero(earliest != np.arange(len(used)))
    table = _pairs(images, labels, split, used[later], used[earliest[later]])
    notes = []
    across, differ = int(table["across"].sum()), int(table["labels_differ"].sum())
    if across:
        example = table.filter(pl.col("across")).row(0)
        notes.append(
            f"{across:,} images are among the training and the validation rows, which makes the figures too good:"
            f" {example[0]} is {example[1]}; see data.duplicates"
        )
    if differ:
        notes.append(f"{differ:,} images occur again with another label; see data.duplicates")
    if len(table) - across > 0:
        notes.append(f"{len(table) - across:,} images occur again among rows of the same part; see data.duplicates")
    return table, tuple(notes)


def near_duplicates(images: Images, source: ImageSource, labels: pl.Series, split: Split) -> pl.DataFrame:
    """Return the rows whose image looks like an earlier row's though the files differ; a table as `duplicates` returns.

    Args:
        images: the set's images.
        source: the same images at one size.
        labels: label of each row.
        split: numbers of the training and of the validation rows.

    Raises:
        DataError: an image cannot be decoded.
    """
    used = np.sort(np.concatenate([split.train, split.valid]))
    source.start(used)
    parts = [_thumbnails(source.take(used[start : start + AT_ONCE])) for start in range(0, len(used), AT_ONCE)]
    digests = images.digests[used]
    pairs = [(later, earlier) for later, earlier in _close(torch.cat(parts)) if digests[later] != digests[earlier]]
    later, earlier = np.array(pairs, dtype=np.int64).reshape(-1, 2).T
    return _pairs(images, labels, split, used[later], used[earlier])


def _thumbnails(pixels: Tensor) -> Tensor:
    """Return grey thumbnails of mean 0 and length 1, ``(rows, THUMBNAIL ** 2)``; 0 throughout where an image is flat.

    Args:
        pixels: ``(rows, 3, height, width)``.
    """
    grey = F.adaptive_avg_pool2d(pixels.float().mean(1, keepdim=True), THUMBNAIL).flatten(1)
    grey = grey - grey.mean(1, keepdim=True)
    grey[grey.square().mean(1) < FLAT**2] = 0
    return F.normalize(grey, dim=1)


def _close(thumbnails: Tensor) -> Iterator[tuple[int, int]]:
    """Yield each row that correlates with earlier ones, and the row that it correlates with most."""
    for start in range(0, len(thumbnails), AT_ONCE):
        some = thumbnails[start : start + AT_ONCE]
        correlation = (some @ thumbnails[: start + len(some)].T).tril(start - 1)  # with the rows before each
        most, earlier = correlation.max(1)
        for index in (most >= ALIKE).nonzero().flatten().tolist():
            yield start + index, int(earlier[index])


def _pairs(images: Images, labels: pl.Series, split: Split, later: Rows, earlier: Rows) -> pl.DataFrame:
    """Return the table of pairs of rows."""
    validates = np.zeros(len(images.names), dtype=bool)
    validates[split.valid] = True
    differ = [str(labels[int(row)]) != str(labels[int(other)]) for row, other in zip(later, earlier, strict=True)]
    return pl.DataFrame(
        {
            "path": [images.names[row] for row in later],
            "same_as": [images.names[row] for row in earlier],
            "across": validates[later] != validates[earlier],
            "labels_differ": differ,
        },
        schema={"path": pl.String, "same_as": pl.String, "across": pl.Boolean, "labels_differ": pl.Boolean},
    )
