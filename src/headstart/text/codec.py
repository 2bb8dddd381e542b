"""`TextCodec`: what is learnt from the training texts before training: tokens, vocabulary, labels."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from headstart.core import values
from headstart.core.errors import ConfigError, DataError, did_you_mean
from headstart.frames.categories import is_missing
from headstart.frames.door import check_columns
from headstart.targets.target import ClassTarget
from headstart.text.tokenizing import tokenizer_from_json
from headstart.text.tokens import BOS, EOS, Tokenizer
from headstart.text.vocabulary import Vocabulary

__all__ = ["Columns", "TextCodec", "columns_and_marks", "texts_of"]

Columns = str | Sequence[str] | Mapping[str, str]
"""The column of texts; or several, in the order in which they are read; or each with the mark that it gets."""


@dataclass(frozen=True)
class TextCodec:
    """Turns texts into ids, and labels into targets. Made from training rows alone.

    Attributes:
        columns: the table's columns of text, in the order in which they are read.
        marks: the field mark before each column's text; empty for a single column.
        tokenizer: of words or subwords.
        vocabulary: the tokens that have ids.
        backward: whether each text is read from its end.
        target: the label; None for a language model.
    """

    columns: tuple[str, ...]
    marks: tuple[str, ...]
    tokenizer: Tokenizer
    vocabulary: Vocabulary
    backward: bool = False
    target: ClassTarget | None = None

    def texts(self, frame: pl.DataFrame) -> list[str]:
        """The texts of a table's rows, several columns joined with their marks; what is missing is empty."""
        return texts_of(frame, self.columns, self.marks)

    def encode_one(self, text: str | Mapping[str, Any]) -> NDArray[np.int32]:
        """The ids of one text, between ``<bos>`` and ``<eos>``: what `encode_texts` gives for it.

        Args:
            text: for one column the text itself; else a row as a dictionary. Of several columns the text itself is
                taken with its marks in it.
        """
        if isinstance(text, Mapping):
            check_columns_of_row(text, self.columns)
            text = _joined([_as_text(text[column], column) for column in self.columns], self.marks)
        if not isinstance(text, str):
            raise DataError(f"a text must be text; got {type(text).__name__}")
        words = self.tokenizer.tokens(text)
        return self.vocabulary.encode([BOS, *(reversed(words) if self.backward else words), EOS])

    def join(self, tokens: Sequence[str]) -> str:
        """Tokens, in the model's order, as readable text."""
        return self.tokenizer.join(tokens[::-1] if self.backward else tokens)

    def to_json(self) -> dict[str, Any]:
        """What `from_json` takes."""
        return {
            "columns": list(self.columns), "marks": list(self.marks), "tokenizer": self.tokenizer.to_json(),
            "vocabulary": list(self.vocabulary.words), "backward": self.backward,
            "target": values.to_json(self.target, kind=ClassTarget),
        }  # fmt: skip

    @classmethod
    def from_json(cls, record: Mapping[str, Any]) -> TextCodec:
        """The codec that `to_json` described."""
        return cls(
            tuple(record["columns"]), tuple(record["marks"]), tokenizer_from_json(record["tokenizer"]),
            Vocabulary(tuple(record["vocabulary"])), bool(record["backward"]),
            values.from_json(ClassTarget | None, record["target"]),
        )  # fmt: skip


def columns_and_marks(columns: Columns) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The columns of text and their field marks, ``<summ>``.

    Raises:
        ConfigError: not names of columns, or two alike, or a mark that is no word of letters, digits and underscores.
    """
    if isinstance(columns, str):
        return (columns,), ()
    chosen = dict(columns) if isinstance(columns, Mapping) else {str(name): str(name) for name in columns}
    if not chosen or (not isinstance(columns, Mapping) and len(chosen) != len(columns)):
        raise ConfigError(f"text must be a column's name, or several different ones; got {columns!r}")
    if len(chosen) == 1 and not isinstance(columns, Mapping):
        return tuple(chosen), ()
    marks = [re.sub(r"\W+", "_", str(mark)).strip("_").lower() for mark in chosen.values()]
    if len(set(marks)) != len(marks) or not all(re.fullmatch(r"[a-z][a-z0-9_]*", mark) for mark in marks):
        raise ConfigError(
            f"the field marks {', '.join(map(repr, chosen.values()))} must be different words of a to z, 0 to 9 and _:"
            " give text={'column': 'mark'}"
        )
    return tuple(chosen), tuple(f"<{mark}>" for mark in marks)


def texts_of(frame: pl.DataFrame, columns: Sequence[str], marks: Sequence[str]) -> list[str]:
    """The texts of a table's rows, several columns joined with their marks; what is missing is empty.

    Raises:
        DataError: a column is missing, or holds lists.
    """
    check_columns(frame, columns, "the table (text)")
    parts: list[list[str]] = []
    for column in columns:
        series = frame[column]
        if series.dtype.is_nested() or series.dtype == pl.Binary:
            raise DataError(f"text column {column!r} holds {series.dtype}; it must be text")
        parts.append(series.cast(pl.String).fill_null("").to_list())
    if not marks:
        return parts[0]
    return [_joined(row, marks) for row in zip(*parts, strict=True)]


def check_columns_of_row(row: Mapping[str, Any], columns: Sequence[str]) -> None:
    """That a row has the columns of text.

    Raises:
        DataError: one is missing.
    """
    for column in columns:
        if column not in row:
            raise DataError(f"the row has no text column {column!r}; {did_you_mean(column, row)}")


def _joined(parts: Sequence[str], marks: Sequence[str]) -> str:
    if not marks:
        return parts[0]
    return " ".join(f"{mark} {part}" for mark, part in zip(marks, parts, strict=True))


def _as_text(value: Any, column: str) -> str:
    if is_missing(value):
        return ""
    if isinstance(value, list | dict | bytes):
        raise DataError(f"text column {column!r} must be text; got {type(value).__name__}")
    return str(value)
