"""`TextCodec`: all that is learnt from training texts before training: tokens, vocabulary, labels."""

from __future__ import annotations

import itertools
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeAlias

import numpy as np
import polars as pl
import torch
from numpy.typing import NDArray
from torch import Tensor

from headstart.core.errors import ConfigError, DataError, did_you_mean
from headstart.frames.categories import is_missing
from headstart.frames.codec import Encoded
from headstart.frames.csv import CsvOptions
from headstart.frames.door import check_columns
from headstart.frames.labels import split_labels
from headstart.frames.readings import ReadAsText, Reading
from headstart.frames.rows import clean_text
from headstart.targets.target import AnyTarget
from headstart.text.corpus import Corpus, Texts, encode_texts
from headstart.text.linear import LinearPath
from headstart.text.tokenizing import AnyTokenizer
from headstart.text.tokens import BOS, EOS, Tokenized
from headstart.text.vocabulary import Vocabulary

__all__ = ["Columns", "EncodedTexts", "TextCodec", "columns_and_marks", "texts_of", "total_characters"]

Columns: TypeAlias = str | Sequence[str] | Mapping[str, str]
"""The column of texts; or several, in reading order; or several with their field marks, by column."""


@dataclass(frozen=True)
class EncodedTexts:
    """Texts as a classifier reads them.

    Attributes:
        corpus: the texts as ids.
        linear: outputs of the linear path for each text, float32 ``(texts, outputs)``; None if there is none.
    """

    corpus: Corpus
    linear: Tensor | None


@dataclass(frozen=True)
class TextCodec:
    """Texts to ids, labels to targets, and predictions back to labels. `headstart.text.corpus_data.fit_codec` makes it.

    Attributes:
        columns: the columns of text, in reading order.
        marks: field mark before each column's text, such as ``<title>``; empty for a single column.
        tokenizer: what cuts texts into tokens.
        vocabulary: the tokens that have ids.
        backward: whether each text is read from its end.
        target: the label, or the numbers; None for language models.
        separator: what stands between several labels of one text; None: labels are classes, or lists of them.
        csv: how the training rows' CSV file was read, as far as it was given, for later files.
        linear: the linear path beside a classifier's network; None: there is none.
    """

    columns: tuple[str, ...]
    marks: tuple[str, ...]
    tokenizer: AnyTokenizer
    vocabulary: Vocabulary
    backward: bool = False
    target: AnyTarget | None = None
    separator: str | None = field(default=None, compare=False)
    csv: CsvOptions | None = field(default=None, compare=False)
    linear: LinearPath | None = None

    @property
    def label(self) -> AnyTarget:
        """The target.

        Raises:
            ConfigError: this is the codec of a language model.
        """
        if self.target is None:
            raise ConfigError("a language model has no labels: train a classifier from it, TextLearner(data)")
        return self.target

    @property
    def readings(self) -> dict[str, Reading]:
        """How each column of a table of text is read: texts with nothing left out, and labels as the classes are."""
        labels = {} if self.target is None else self.target.readings
        return {**labels, **dict.fromkeys(self.columns, ReadAsText(missing=False))}

    def texts(self, rows: pl.DataFrame) -> list[str]:
        """Return the text of each row, several columns joined with their marks; a missing value is an empty text.

        Raises:
            DataError: a column is missing, or does not hold text.
        """
        return texts_of(rows, self.columns, self.marks)

    def encode(
        self, rows: pl.DataFrame, *, with_target: bool = False, workers: int | None = None
    ) -> Encoded[EncodedTexts]:
        """Encode the texts, and on request the labels, of a table's rows.

        Args:
            rows: a frame with the columns of text; others are ignored.
            with_target: whether to encode the labels, int64 ``(rows,)`` or bool ``(rows, labels)``.
            workers: number of processes; None: by the amount of text.

        Raises:
            DataError: a column is missing, or holds what it cannot be read as.
        """
        target = None
        if with_target:
            check_columns(rows, self.label.columns, "the table (label)")
            label = self.label.columns[0]  # several are numbers, of which none is split
            target = self.label.encode(split_labels(rows, label, self.separator, "the table (label)"))
        outputs: list[Tensor] = []
        path = self.linear
        corpus = self.encode_texts(
            [self.texts(rows)], workers=workers,
            also=None if path is None else lambda part: outputs.append(path.outputs(part)),
        )  # fmt: skip
        linear = None if path is None else torch.cat([torch.zeros(0, self.label.outputs), *outputs])
        return Encoded(inputs=EncodedTexts(corpus, linear), target=target, notes=self.notes(corpus))

    def encode_texts(
        self,
        texts: Texts,
        *,
        workers: int | None = None,
        characters: int | None = None,
        also: Callable[[Tokenized], object] | None = None,
    ) -> Corpus:
        """Encode pieces of texts, which need not fit into memory together.

        Args:
            texts: pieces of texts, marks included.
            workers: number of processes; None: by the number of characters.
            characters: number of characters of all texts; None: counted if ``texts`` is a list, else unknown.
            also: called with the tokens of each piece.
        """
        characters = total_characters(texts) if characters is None else characters
        corpus = encode_texts(texts, self.tokenizer, self.vocabulary, workers=workers, characters=characters, also=also)
        return corpus.reverse() if self.backward else corpus

    def encode_one(self, row: str | Mapping[str, Any]) -> tuple[Tensor, ...]:
        """Encode one text by the shortest path.

        Args:
            row: as for `ids`.

        Returns:
            Tokens, int32 ``(1, time)``, and their number, int64 ``(1,)``; with a linear path also its outputs, float32
            ``(1, outputs)``.
        """
        return self.encode_words([self.words(row)])

    def encode_words(self, texts: Sequence[Sequence[str]]) -> tuple[Tensor, ...]:
        """Encode texts of the same number of tokens: as `encode_one` does, a row per text.

        Args:
            texts: the tokens of each, in their order in the text.
        """
        ids = np.stack([self._ids_of(words) for words in texts])
        encoded = torch.from_numpy(ids), torch.full((len(ids),), ids.shape[1])
        return encoded if self.linear is None else (*encoded, self.linear.outputs(Tokenized.of(texts)))

    def ids(self, row: str | Mapping[str, Any]) -> NDArray[np.int32]:
        """Return the ids of one text between ``<bos>`` and ``<eos>``, int32 ``(time,)``: as `encode` does.

        Args:
            row: as for `words`.
        """
        return self._ids_of(self.words(row))

    def words(self, row: str | Mapping[str, Any]) -> list[str]:
        """Return the tokens of one text, in their order in the text.

        Args:
            row: a dictionary with a value per column; or the text itself, of several columns with its marks.

        Raises:
            DataError: a column is missing, or a value is not text.
        """
        if isinstance(row, Mapping):
            for column in self.columns:
                if column not in row:
                    raise DataError(f"the row has no text column {column!r}; {did_you_mean(column, row)}")
            row = _joined([_as_text(row[column], column) for column in self.columns], self.marks)
        if not isinstance(row, str):
            raise DataError(f"a text must be text; got {type(row).__name__}")
        return self.tokenizer.tokens(clean_text(row))

    def _ids_of(self, words: Sequence[str]) -> NDArray[np.int32]:
        return self.vocabulary.encode([BOS, *(reversed(words) if self.backward else words), EOS])

    def decode(self, prediction: Tensor) -> pl.DataFrame:
        """Return predictions as columns: ``prediction`` and ``probability_<class>`` for each class.

        Args:
            prediction: probabilities, float32 ``(rows, classes)``, or numbers.
        """
        return pl.DataFrame(list(self.label.decode(prediction).values()))

    def join(self, tokens: Sequence[str]) -> str:
        """Return tokens in the model's reading order as readable text."""
        return self.tokenizer.join(tokens[::-1] if self.backward else tokens)

    def notes(self, corpus: Corpus) -> tuple[str, ...]:
        """Return what a user should know of encoded texts: their amount, unknown words, empty texts."""
        amount = f"{len(corpus.tokens):,} tokens in {len(corpus):,} texts"
        notes = [f"{amount}; vocabulary {len(self.vocabulary):,}, {corpus.unknown:.2%} of the words unknown"]
        empty = int((corpus.lengths == 2).sum())
        return (*notes, f"empty texts: {empty:,}") if empty else tuple(notes)


def columns_and_marks(columns: Columns) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Return the columns of text and their field marks, such as ``<summ>``; a single column has no mark.

    Raises:
        ConfigError: a column is given twice, or marks are equal or not words of a to z, 0 to 9 and _.
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


def texts_of(rows: pl.DataFrame, columns: Sequence[str], marks: Sequence[str]) -> list[str]:
    """Return the text of each row: see `TextCodec.texts`."""
    check_columns(rows, columns, "the table (text)")
    parts: list[list[str]] = []
    for column in columns:
        series = rows[column]
        if series.dtype.is_nested() or series.dtype == pl.Binary:
            raise DataError(f"text column {column!r} holds {series.dtype}; it must be text")
        parts.append(series.cast(pl.String).fill_null("").to_list())
    if not marks:
        return parts[0]
    return [_joined(row, marks) for row in zip(*parts, strict=True)]


def total_characters(texts: Texts) -> int | None:
    """Return the number of characters of all texts if they are a list; else None, since reading would use them up."""
    return sum(map(len, itertools.chain.from_iterable(texts))) if isinstance(texts, list) else None


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
