"""Targets that are classes: one class per row, or any number of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl
import torch
from torch import Tensor
from torch.nn import functional as F

from headstart.core.batch import Batch, output_of, weighted_mean
from headstart.core.errors import DataError
from headstart.frames.categories import Categories, Value, canonical, kind_of
from headstart.frames.door import sql_name

__all__ = ["Label", "Labels", "check_no_gaps"]


@dataclass(frozen=True)
class _Classes:
    """What one class per row and several have in common.

    Attributes:
        column: its name.
        vocab: the classes that the training rows have.
    """

    column: str
    vocab: Categories

    @property
    def classes(self) -> tuple[Value, ...]:
        """The classes, sorted; a probability's place is its class's place here."""
        return self.vocab.values

    @property
    def columns(self) -> tuple[str, ...]:
        """The one column."""
        return (self.column,)

    @property
    def outputs(self) -> int:
        """One per class."""
        return len(self.classes)

    def original(self, encoded: Tensor) -> Tensor:
        """Encoded targets are on their original scale."""
        return encoded

    def to_json(self) -> dict[str, Any]:
        """What `target_from_json` takes."""
        return {"kind": type(self).__name__.lower(), "column": self.column, "vocab": self.vocab.to_json()}


@dataclass(frozen=True)
class Label(_Classes):
    """One class out of two or more."""

    @classmethod
    def fit(cls, frame: pl.DataFrame, column: str) -> Label:
        """Learns the classes from training rows.

        Raises:
            DataError: a row without a class, fewer than two classes, or what is no class (dates, fractions).
        """
        check_no_gaps(frame[column])
        vocab = _classes(frame[column], column)
        if len(vocab.values) < 2:
            one = f"one class in the training rows ({vocab.values[0]!r})" if vocab.values else "no rows to learn from"
            raise DataError(f"target {column!r} has {one}; two or more classes are needed")
        return cls(column, vocab)

    def encode(self, frame: pl.DataFrame) -> Tensor:
        """The class's place, int64 ``(rows,)``."""
        series = frame[self.column]
        check_no_gaps(series)
        ids = self.vocab.encode(series)
        if not ids.all():
            strange = canonical(series, self.vocab.kind).filter(ids == 0).unique().to_list()
            raise DataError(
                f"target {self.column!r}: no training row has the class {strange[0]!r}"
                f"{f' (nor {len(strange) - 1} more)' if len(strange) > 1 else ''}, so it cannot be judged;"
                " leave those rows out, or split so that each class has training rows"
            )
        return torch.from_numpy(ids.astype(np.int64) - 1)

    def loss(self, outputs: Any, batch: Batch) -> Tensor:
        """Cross-entropy."""
        assert batch.target is not None
        return weighted_mean(F.cross_entropy(output_of(outputs).float(), batch.target, reduction="none"), batch)

    def prediction(self, outputs: Tensor) -> Tensor:
        """Probabilities, float32 ``(rows, classes)``, each row summing to 1."""
        return outputs.float().softmax(1)

    def decode(self, prediction: Tensor) -> dict[str, pl.Series]:
        """``prediction``, the likeliest class, and ``probability_<class>`` for each."""
        places = prediction.argmax(1).cpu().numpy()
        columns = {"prediction": self.vocab.decode(places + 1).alias("prediction")}
        return columns | _probabilities(prediction, self.classes)

    def decode_one(self, prediction: Tensor) -> dict[str, Any]:
        """The same of one row."""
        probabilities = prediction[0].tolist()
        likeliest = self.classes[probabilities.index(max(probabilities))]
        return {"prediction": likeliest, **_named_probabilities(probabilities, self.classes)}


@dataclass(frozen=True)
class Labels(_Classes):
    """Any number of classes at once, in a column of lists."""

    @classmethod
    def fit(cls, frame: pl.DataFrame, column: str) -> Labels:
        """Learns the classes from training rows; an empty list is a row without any.

        Raises:
            DataError: not a column of lists, a missing list, or no class at all.
        """
        _check_lists(frame[column])
        vocab = _classes(frame[column].explode(), column)
        if not vocab.values:
            raise DataError(f"target {column!r} has no class in any training row")
        return cls(column, vocab)

    def encode(self, frame: pl.DataFrame) -> Tensor:
        """1 where a row has a class, float32 ``(rows, classes)``; a class that no training row has is left out."""
        series = frame[self.column]
        _check_lists(series)
        lengths = series.list.len().to_numpy()
        rows = np.repeat(np.arange(len(series)), lengths)
        ids = self.vocab.encode(series.filter(lengths > 0).explode())
        encoded = np.zeros((len(series), self.outputs + 1), dtype=np.float32)
        encoded[rows, ids] = 1.0
        return torch.from_numpy(encoded[:, 1:].copy())

    def loss(self, outputs: Any, batch: Batch) -> Tensor:
        """Binary cross-entropy, the mean over the classes."""
        assert batch.target is not None
        entropy = F.binary_cross_entropy_with_logits(output_of(outputs).float(), batch.target, reduction="none")
        return weighted_mean(entropy.mean(1), batch)

    def prediction(self, outputs: Tensor) -> Tensor:
        """Each class's own probability, float32 ``(rows, classes)``."""
        return outputs.float().sigmoid()

    def decode(self, prediction: Tensor) -> dict[str, pl.Series]:
        """``prediction``, the list of classes of probability 0.5 and more, and ``probability_<class>`` for each."""
        names = np.array(self.classes, dtype=object)
        chosen = [names[row].tolist() for row in (prediction >= 0.5).cpu().numpy()]
        lists = pl.List(pl.Series(self.classes).dtype)  # said, since there may be no rows, or none with a class
        return {"prediction": pl.Series("prediction", chosen, lists)} | _probabilities(prediction, self.classes)

    def decode_one(self, prediction: Tensor) -> dict[str, Any]:
        """The same of one row."""
        probabilities = prediction[0].tolist()
        chosen = [name for name, probability in zip(self.classes, probabilities, strict=True) if probability >= 0.5]
        return {"prediction": chosen, **_named_probabilities(probabilities, self.classes)}


def _classes(series: pl.Series, column: str) -> Categories:
    try:
        kind_of(series)
    except DataError:
        advice = "use target_kind='number'" if series.dtype.is_numeric() else "convert it"
        raise DataError(
            f"target {column!r} must be classes (text, whole numbers, booleans); got {series.dtype}; {advice}"
        ) from None
    return Categories.fit(series)


def _check_lists(series: pl.Series) -> None:
    if not isinstance(series.dtype, pl.List):
        raise DataError(f"target {series.name!r} must be a column of lists of classes; got {series.dtype}")
    check_no_gaps(series)


def check_no_gaps(series: pl.Series) -> None:
    """That each row of a target has a value.

    Raises:
        DataError: one has none.
    """
    missing = series.null_count() + (int(series.is_nan().sum()) if series.dtype.is_float() else 0)
    if missing:
        raise DataError(
            f"target {series.name!r} is missing in {missing} of {len(series)} rows;"
            f" leave those out, where='{sql_name(series.name)} IS NOT NULL'"
        )


def _probabilities(prediction: Tensor, classes: Sequence[Value]) -> dict[str, pl.Series]:
    values = prediction.float().cpu().numpy()
    return {
        f"probability_{name}": pl.Series(f"probability_{name}", values[:, number])
        for number, name in enumerate(classes)
    }


def _named_probabilities(probabilities: Sequence[float], classes: Sequence[Value]) -> dict[str, float]:
    return {f"probability_{name}": value for name, value in zip(classes, probabilities, strict=True)}
