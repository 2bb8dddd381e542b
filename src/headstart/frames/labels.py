"""Several labels in one text, such as ``comedy|drama``."""

from __future__ import annotations

import polars as pl

from headstart.core.errors import DataError

__all__ = ["split_labels"]


def split_labels(frame: pl.DataFrame, label: str, separator: str | None, name: str) -> pl.DataFrame:
    """Return a table with lists of labels in place of texts.

    Args:
        frame: the table.
        label: column of labels; lists stay as they are.
        separator: what stands between several labels in one text; None: the column is left as it is.
        name: name of the table in messages.

    Raises:
        DataError: the column holds neither text nor lists.
    """
    if separator is None or isinstance(frame.schema[label], pl.List):
        return frame
    if frame.schema[label] not in (pl.String, pl.Null):
        raise DataError(f"{name}: separator= is for labels in a text, but column {label!r} holds {frame.schema[label]}")
    parts = pl.col(label).cast(pl.String).fill_null("").str.split(separator)
    words = parts.list.eval(pl.element().str.strip_chars()).list.eval(pl.element().filter(pl.element() != ""))
    return frame.with_columns(words.alias(label))
