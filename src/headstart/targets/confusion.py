"""Confusion: which classes a model takes for which. Of any application."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import polars as pl
import torch
from torch import Tensor

from headstart.core.errors import ConfigError, DataError
from headstart.frames.categories import Value

__all__ = ["confusion_matrix", "label_counts", "most_confused"]


def confusion_matrix(prediction: Tensor, target: Tensor, classes: Sequence[Value]) -> pl.DataFrame:
    """Count how many rows of each class are predicted as each class.

    Args:
        prediction: probabilities, float ``(rows, classes)``; or indices of the predicted classes, integer ``(rows,)``.
        target: indices of the true classes, integer ``(rows,)``.
        classes: in the order of their indices.

    Returns:
        A row per true class: ``class``, the class itself, and ``predicted_<class>``, the number of its rows that are
        predicted as that class.

    Raises:
        ConfigError: shapes or indices that do not go together.
        DataError: there are no rows.
    """
    count = len(classes)
    if prediction.ndim == 2 and prediction.shape[1] != count:
        raise ConfigError(f"{prediction.shape[1]} probabilities per row do not go with {count} classes")
    predicted = prediction.argmax(1) if prediction.ndim == 2 else prediction
    integers = not predicted.is_floating_point() and not target.is_floating_point()
    if predicted.ndim != 1 or predicted.shape != target.shape or not integers:
        raise ConfigError(
            "a confusion matrix needs the index of one true class per row, and probabilities or the index of one"
            f" predicted class; got shapes {tuple(target.shape)} and {tuple(prediction.shape)}"
        )
    if not len(target):
        raise DataError("a confusion matrix needs rows, but there are none")
    lowest, highest = (int(bound) for bound in torch.stack([predicted.long(), target.long()]).aminmax())
    if lowest < 0 or highest >= count:
        raise ConfigError(f"the indices of {count} classes go from 0 to {count - 1}; got {lowest} to {highest}")
    pairs = target.long().cpu() * count + predicted.long().cpu()
    counts = torch.bincount(pairs, minlength=count * count).reshape(count, count).numpy()  # (true, predicted)
    columns = {f"predicted_{name}": counts[:, index] for index, name in enumerate(classes)}
    return pl.DataFrame({"class": list(classes), **columns})


def most_confused(matrix: pl.DataFrame, least: int = 1) -> pl.DataFrame:
    """Return the pairs of classes that are taken for one another, most frequent first.

    Args:
        matrix: from `confusion_matrix`.
        least: rows that a pair must have to be listed.

    Returns:
        ``class``, ``predicted``, ``rows``, and ``share``: of the class's rows, 0 to 1.
    """
    counts = matrix.drop("class").to_numpy()
    classes = matrix["class"]
    true, predicted = np.nonzero(counts >= max(1, least))
    wrong = true != predicted
    true, predicted = true[wrong], predicted[wrong]
    return pl.DataFrame(
        [
            classes.gather(true).alias("class"),
            classes.gather(predicted).alias("predicted"),
            pl.Series("rows", counts[true, predicted]),
            pl.Series("share", counts[true, predicted] / counts.sum(1)[true]),
        ]
    ).sort("rows", "share", descending=True, maintain_order=True)


def label_counts(prediction: Tensor, target: Tensor, classes: Sequence[Value]) -> pl.DataFrame:
    """Count the hits and misses of each class by itself, at probability 0.5: for several classes per row.

    Args:
        prediction: each class's probability, float ``(rows, classes)``.
        target: 1 where a row has the class, otherwise 0, ``(rows, classes)``.
        classes: in the order of the columns.

    Returns:
        A row per class: ``class``, ``true_positive``, ``false_positive``, ``false_negative``, ``true_negative``,
        ``precision`` and ``recall`` (null if the class is never predicted, or no row has it).

    Raises:
        ConfigError: the shapes differ.
    """
    if prediction.ndim != 2 or prediction.shape != target.shape or prediction.shape[1] != len(classes):
        raise ConfigError(
            f"{len(classes)} classes need probabilities and targets of the shape (rows, {len(classes)}); got"
            f" {tuple(prediction.shape)} and {tuple(target.shape)}"
        )
    predicted, true = (prediction >= 0.5).cpu(), (target >= 0.5).cpu()
    cells = {
        "true_positive": predicted & true,
        "false_positive": predicted & ~true,
        "false_negative": ~predicted & true,
        "true_negative": ~predicted & ~true,
    }
    counts = pl.DataFrame({"class": list(classes), **{name: cell.sum(0).numpy() for name, cell in cells.items()}})
    hits = pl.col("true_positive")
    shares = {
        "precision": hits / (hits + pl.col("false_positive")),
        "recall": hits / (hits + pl.col("false_negative")),
    }
    return counts.with_columns(**shares).with_columns(pl.col("precision", "recall").fill_nan(None))
