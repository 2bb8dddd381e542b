"""Where a model is wrong: confusion matrices, and how wrong it is row by row. For any application."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import polars as pl
import torch
from numpy.typing import NDArray
from torch import Tensor

from headstart.core.errors import ConfigError, DataError
from headstart.frames.categories import Value
from headstart.targets.classes import Label, Labels
from headstart.targets.target import Count, Number, Quantiles, Target

__all__ = ["confusion_matrix", "label_counts", "most_confused", "principal_components", "row_errors"]


def confusion_matrix(prediction: Tensor, target: Tensor, classes: Sequence[Value]) -> pl.DataFrame:
    """How many rows of each class were taken for each class.

    Args:
        prediction: probabilities, float ``(rows, classes)``; or the classes' places, whole numbers ``(rows,)``.
        target: the true classes' places, whole numbers ``(rows,)``.
        classes: in the order of their places.

    Returns:
        A row per true class: ``class``, the class itself, and ``predicted_<class>``, the rows that were taken for it.

    Raises:
        ConfigError: shapes or places that do not go together.
        DataError: there are no rows.
    """
    count = len(classes)
    if prediction.ndim == 2 and prediction.shape[1] != count:
        raise ConfigError(f"{prediction.shape[1]} probabilities per row do not go with {count} classes")
    guessed, true = (prediction.argmax(1) if prediction.ndim == 2 else prediction), target
    if guessed.ndim != 1 or guessed.shape != true.shape or guessed.is_floating_point() or true.is_floating_point():
        raise ConfigError(
            "a confusion matrix needs the place of one true class per row, and probabilities or the place of one"
            f" predicted class; got shapes {tuple(target.shape)} and {tuple(prediction.shape)}"
        )
    if not len(true):
        raise DataError("a confusion matrix needs rows, but there are none")
    lowest, highest = (int(bound) for bound in torch.stack([guessed.long(), true.long()]).aminmax())
    if lowest < 0 or highest >= count:
        raise ConfigError(f"the places of {count} classes go from 0 to {count - 1}; got {lowest} to {highest}")
    counts = torch.bincount(true.long().cpu() * count + guessed.long().cpu(), minlength=count * count)
    counted = counts.reshape(count, count).numpy()  # (true, predicted)
    columns = {f"predicted_{name}": counted[:, place] for place, name in enumerate(classes)}
    return pl.DataFrame({"class": list(classes), **columns})


def most_confused(matrix: pl.DataFrame, least: int = 1) -> pl.DataFrame:
    """The pairs of classes that are taken for one another, most frequent first.

    Args:
        matrix: from `confusion_matrix`.
        least: rows that a pair must have to be listed.

    Returns:
        ``class``, ``predicted``, ``rows``, and ``share``: of the class's rows, 0 to 1.
    """
    counts = matrix.drop("class").to_numpy()
    classes = matrix["class"]
    true, guessed = np.nonzero(counts >= max(1, least))
    wrong = true != guessed
    true, guessed = true[wrong], guessed[wrong]
    return pl.DataFrame(
        [
            classes.gather(true).alias("class"),
            classes.gather(guessed).alias("predicted"),
            pl.Series("rows", counts[true, guessed]),
            pl.Series("share", counts[true, guessed] / counts.sum(1)[true]),
        ]
    ).sort("rows", "share", descending=True, maintain_order=True)


def label_counts(prediction: Tensor, target: Tensor, classes: Sequence[Value]) -> pl.DataFrame:
    """For several labels per row, where there is no one confusion matrix: each class judged alone, at probability 0.5.

    Args:
        prediction: each class's own probability, float ``(rows, classes)``.
        target: 1 where a row has the class, ``(rows, classes)``.
        classes: in the order of the columns.

    Returns:
        A row per class: ``class``, ``true_positive``, ``false_positive``, ``false_negative``, ``true_negative``,
        ``precision`` and ``recall`` (null where no row was predicted, or none has the class).
    """
    if prediction.ndim != 2 or prediction.shape != target.shape or prediction.shape[1] != len(classes):
        raise ConfigError(
            f"{len(classes)} classes need probabilities and targets of the shape (rows, {len(classes)}); got"
            f" {tuple(prediction.shape)} and {tuple(target.shape)}"
        )
    said, true = (prediction >= 0.5).cpu(), (target >= 0.5).cpu()
    cells = {
        "true_positive": said & true,
        "false_positive": said & ~true,
        "false_negative": ~said & true,
        "true_negative": ~said & ~true,
    }
    counted = pl.DataFrame({"class": list(classes), **{name: cell.sum(0).numpy() for name, cell in cells.items()}})
    right = pl.col("true_positive")
    shares = {
        "precision": right / (right + pl.col("false_positive")),
        "recall": right / (right + pl.col("false_negative")),
    }
    return counted.with_columns(**shares).with_columns(pl.col("precision", "recall").fill_nan(None))


def row_errors(prediction: Tensor, target: Tensor, kind: Target) -> Tensor:
    """How wrong each row's prediction is, by which the worst rows are found.

    Args:
        prediction: probabilities or numbers, as `Learner.predict_with_targets` gives them.
        target: what was true, on the same scale.
        kind: the target.

    Returns:
        Float32 ``(rows,)``, 0 or more. A class: minus the logarithm of the true one's probability. Several labels: the
        mean of that over the classes. A number: the absolute error in its unit; with a log target the error relative to
        the true value; several numbers: the mean over the columns, each in its standard deviations. Quantiles: the
        pinball loss in the target's unit. A count: the absolute error.
    """
    if isinstance(kind, Label):
        return -prediction.gather(1, target.long()[:, None]).squeeze(1).float().clamp_min(1e-30).log()
    if isinstance(kind, Labels):
        hit = torch.where(target >= 0.5, prediction, 1 - prediction).float()
        return -hit.clamp_min(1e-30).log().mean(1)
    if isinstance(kind, Quantiles):
        missed, level = target.float()[:, None] - prediction.float(), prediction.new_tensor(kind.quantiles)
        return torch.maximum(level * missed, (level - 1) * missed).mean(1)  # (rows,)
    if isinstance(kind, Count):
        return (prediction - target).abs().float()
    if not isinstance(kind, Number):
        raise ConfigError(f"errors by row are for numbers and classes; got a target {type(kind).__name__}")
    error = (prediction - target).abs().float()
    if kind.log:
        error = error / target.abs()
    elif error.ndim == 2:
        error = error / error.new_tensor(kind.sd)
    return error if error.ndim == 1 else error.mean(1)


def principal_components(vectors: NDArray[np.floating[Any]]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Vectors as places in the plane that keeps most of their spread.

    Args:
        vectors: ``(vectors, size)``; of size 1, or of one vector, the missing coordinates are 0.

    Returns:
        Places, float64 ``(vectors, 2)``, each axis turned so that its outermost vector is positive; and the share of
        the spread that each of the two axes shows, ``(2,)``.
    """
    centred = np.asarray(vectors, dtype=np.float64) - vectors.mean(0)
    left, sizes, _ = np.linalg.svd(centred, full_matrices=False)
    places = np.zeros((len(vectors), 2))
    places[:, : len(sizes[:2])] = left[:, :2] * sizes[:2]
    turned = np.where(places[np.abs(places).argmax(0), [0, 1]] < 0, -1.0, 1.0)
    shares = np.zeros(2)
    shares[: len(sizes[:2])] = sizes[:2] ** 2 / max(float((sizes**2).sum()), 1e-30)
    return places * turned, shares
