"""`Label` and `Labels`: targets that are classes, one per row or any number of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Literal, NoReturn, TypeAlias

import numpy as np
import polars as pl
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from headstart.core.batch import Batch, output_of, weighted_mean
from headstart.core.errors import ConfigError, DataError
from headstart.frames.categories import Categories, Value, canonical, canonical_value, kind_of
from headstart.frames.readings import Reading
from headstart.targets.calibration import fitted_temperature
from headstart.targets.confusion import confusion_matrix, label_counts
from headstart.targets.kinds import TargetKind, describe_kind
from headstart.targets.metrics import Metric, accuracy, auc, balanced_accuracy, log_loss
from headstart.targets.missing import check_no_missing

__all__ = ["ClassWeight", "Label", "Labels"]

ClassWeight: TypeAlias = Literal["balanced"] | Mapping[Any, float]
"""``"balanced"``: each class counts the same in the loss; or a weight above 0 for each class."""

_SMALLEST = 1e-30
"""Lower bound of probabilities whose logarithm is taken, so that a certain mistake has a finite error."""


@dataclass(frozen=True)
class _Classes:
    """What one class per row and several have in common.

    Attributes:
        column: name of the column.
        categories: the classes of the training rows.
    """

    column: str
    categories: Categories

    kind: ClassVar[TargetKind]

    @property
    def classes(self) -> tuple[Value, ...]:
        """The classes, sorted, in the order of the outputs."""
        return self.categories.values

    @property
    def columns(self) -> tuple[str, ...]:
        """The one column."""
        return (self.column,)

    @property
    def readings(self) -> dict[str, Reading]:
        """How the column is read in a table of text: as the classes are."""
        return {self.column: self.categories.reading}

    @property
    def outputs(self) -> int:
        """The number of classes."""
        return len(self.classes)

    def output_range(self) -> None:
        """Return None: logits have no bounds."""

    def own_metrics(self) -> tuple[Metric, ...]:
        """Return no metrics: those of classes need no parameters of the target."""
        return ()

    def residuals(self, prediction: Tensor, target: Tensor, column: str | None = None) -> NoReturn:
        """Raise `ConfigError`: classes have no residuals."""
        raise ConfigError(
            f"{describe_kind(self.kind, self.columns)} and has no residuals; look at the confusion instead:"
            " plot_confusion()"
        )


@dataclass(frozen=True)
class Label(_Classes):
    """One class out of two or more.

    Attributes:
        column: name of the column.
        categories: the classes of the training rows.
    """

    kind: ClassVar[Literal["label"]] = "label"

    @classmethod
    def fit(cls, frame: pl.DataFrame, column: str, *, declared: bool = False) -> Label:
        """Learn the classes from training rows.

        Args:
            frame: training rows.
            column: the column of classes.
            declared: whether the table declares it as categories, so that fractions are names, too.

        Raises:
            DataError: a missing class, fewer than two classes, or values that cannot be classes (dates, fractions).
        """
        check_no_missing(frame[column])
        categories = _categories(frame[column], column, declared=declared)
        if len(categories.values) < 2:
            only = categories.values
            what = f"one class in the training rows ({only[0]!r})" if only else "no rows to learn from"
            raise DataError(f"target {column!r} has {what}; two or more classes are needed")
        return cls(column, categories)

    def encode(self, frame: pl.DataFrame) -> Tensor:
        """Return the indices of the classes, int64 ``(rows,)``.

        Raises:
            DataError: a missing class, or one that no training row has.
        """
        series = frame[self.column]
        check_no_missing(series)
        ids = self.categories.encode(series)
        if not ids.all():
            unseen = canonical(series, self.categories.kind).filter(ids == 0).unique().to_list()
            raise DataError(
                f"target {self.column!r}: no training row has the class {unseen[0]!r}"
                f"{f' (nor {len(unseen) - 1} more)' if len(unseen) > 1 else ''}, so the model cannot predict it;"
                " leave those rows out, or split so that each class has training rows"
            )
        return torch.from_numpy(ids.astype(np.int64) - 1)

    def loss(self, outputs: Any, batch: Batch, *, smoothing: float = 0.0) -> Tensor:
        """Return the cross-entropy, a mean over the rows.

        **Source:** of smoothing: Szegedy et al., "Rethinking the Inception Architecture" (2016), section 7.

        Args:
            outputs: logits, float ``(rows, classes)``, or a tuple of which they are the first.
            batch: with class indices, int64 ``(rows,)``, as target.
            smoothing: share of each label that is spread evenly over all classes, 0 to 1.
        """
        assert batch.target is not None
        losses = F.cross_entropy(
            output_of(outputs).float(), batch.target, reduction="none", label_smoothing=smoothing
        )  # (rows,)
        return weighted_mean(losses, batch)

    def prediction(self, outputs: Tensor) -> Tensor:
        """Return the probabilities of logits, float32 ``(rows, classes)``, each row summing to 1."""
        return outputs.float().softmax(1)

    def temperature(self, outputs: Tensor, encoded: Tensor) -> float:
        """Return the temperature of logits ``(rows, classes)`` whose classes are known, int64 ``(rows,)``.

        A row in each class more than there are keeps a model that makes no mistake on few rows from being certain.

        **Source:** Platt, "Probabilistic Outputs for Support Vector Machines" (1999), section 2.2, of the latter.
        """
        logits, smoothing = outputs.double(), self.outputs / (len(outputs) + self.outputs)
        return fitted_temperature(
            lambda value: F.cross_entropy(logits / value, encoded, label_smoothing=smoothing), len(outputs)
        )

    def original(self, encoded: Tensor) -> Tensor:
        """Return the class indices, int64 ``(rows,)``, as they are."""
        return encoded

    def chosen(self, prediction: Tensor) -> Tensor:
        """Return the index of the most probable class, int64 ``(rows,)``, of probabilities ``(rows, classes)``."""
        return prediction.argmax(1)

    def certainty(self, prediction: Tensor) -> Tensor:
        """Return the probability of the most probable class, ``(rows,)``."""
        return prediction.amax(1)

    def row_errors(self, prediction: Tensor, target: Tensor) -> Tensor:
        """Return minus the logarithm of the true class's probability, float32 ``(rows,)``.

        Args:
            prediction: probabilities, float ``(rows, classes)``.
            target: class indices, ``(rows,)``.
        """
        true = prediction.gather(1, target.long()[:, None]).squeeze(1)  # (rows,)
        return -true.float().clamp_min(_SMALLEST).log()

    def confusion(self, prediction: Tensor, target: Tensor) -> pl.DataFrame:
        """Return the confusion matrix: see `headstart.targets.confusion.confusion_matrix`."""
        return confusion_matrix(prediction, target, self.classes)

    def class_weights(self, class_weight: ClassWeight, encoded: Tensor) -> Tensor:
        """Return each row's weight by its class, float64 ``(rows,)``.

        Args:
            class_weight: ``"balanced"``: rows divided by the class's number of rows; or a weight above 0 per class.
            encoded: class indices of the training rows, int64 ``(rows,)``.

        Raises:
            ConfigError: another word, other classes, or a weight that is not finite and above 0.
        """
        return self._weights(class_weight, encoded)[encoded]

    def default_metrics(self) -> tuple[Metric, ...]:
        """Return accuracy, balanced accuracy, AUC and log loss."""
        return (accuracy, balanced_accuracy, auc, log_loss)

    def decode(self, prediction: Tensor) -> dict[str, pl.Series]:
        """Return ``prediction``, the most probable class, and ``probability_<class>`` for each class."""
        indices: NDArray[np.int64] = self.chosen(prediction).cpu().numpy()
        columns = {"prediction": self.categories.decode(indices + 1).alias("prediction")}
        return columns | _probabilities(prediction, self.classes)

    def decode_one(self, prediction: Tensor) -> dict[str, Any]:
        """Return what `decode` returns for one row, ``(1, classes)``, as Python values."""
        probabilities = prediction[0].tolist()
        best = self.classes[probabilities.index(max(probabilities))]
        return {"prediction": best, **_named_probabilities(probabilities, self.classes)}

    def text_of(self, encoded: Tensor) -> str:
        """Return one row's class as text, of its index, ``()``."""
        return str(self.classes[int(encoded)])

    def _weights(self, class_weight: ClassWeight, encoded: Tensor) -> Tensor:
        """Weight of each class, float64 ``(classes,)``."""
        if isinstance(class_weight, str):
            if class_weight != "balanced":
                raise ConfigError(f"class_weight must be 'balanced' or a weight per class; got {class_weight!r}")
            rows = np.bincount(encoded.numpy(), minlength=self.outputs)
            return torch.from_numpy(len(encoded) / np.maximum(1, rows).astype(np.float64))
        kind = self.categories.kind
        weights = {canonical_value(name, kind, "class_weight"): float(value) for name, value in class_weight.items()}
        wrong: list[Any] = [name for name in self.classes if name not in weights]
        wrong += [name for name in weights if name not in self.classes]
        if wrong:
            raise ConfigError(f"class_weight needs one weight for each of {list(self.classes)}; look at {wrong[0]!r}")
        if not all(np.isfinite(value) and value > 0 for value in weights.values()):
            raise ConfigError(f"class_weight must be finite numbers above 0; got {dict(class_weight)}")
        return torch.tensor([weights[name] for name in self.classes], dtype=torch.float64)


@dataclass(frozen=True)
class Labels(_Classes):
    """Any number of classes at once, in a column of lists.

    Attributes:
        column: name of the column.
        categories: the classes of the training rows.
    """

    kind: ClassVar[Literal["labels"]] = "labels"

    @classmethod
    def fit(cls, frame: pl.DataFrame, column: str) -> Labels:
        """Learn the classes from training rows; an empty list is a row without any.

        Raises:
            DataError: the column does not hold lists, a list is missing, or no row has a class.
        """
        _check_lists(frame[column])
        categories = _categories(frame[column].explode(), column)
        if not categories.values:
            raise DataError(f"target {column!r} has no class in any training row")
        return cls(column, categories)

    def encode(self, frame: pl.DataFrame) -> Tensor:
        """Return 1 where a row has a class, float32 ``(rows, classes)``; unseen classes are left out.

        Raises:
            DataError: the column does not hold lists, or a list is missing.
        """
        series = frame[self.column]
        _check_lists(series)
        lengths = series.list.len().to_numpy()
        rows = np.repeat(np.arange(len(series)), lengths)
        ids = self.categories.encode(series.filter(lengths > 0).explode())
        encoded = np.zeros((len(series), self.outputs + 1), dtype=np.float32)
        encoded[rows, ids] = 1.0
        return torch.from_numpy(encoded[:, 1:].copy())

    def loss(self, outputs: Any, batch: Batch, *, smoothing: float = 0.0) -> Tensor:
        """Return the binary cross-entropy, the mean over the classes and the rows.

        Args:
            outputs: logits, float ``(rows, classes)``, or a tuple of which they are the first.
            batch: with 0 and 1, float32 ``(rows, classes)``, as target.
            smoothing: each class's 0 and 1 become ``smoothing / 2`` and ``1 - smoothing / 2``; 0 to 1.
        """
        assert batch.target is not None
        target = batch.target * (1 - smoothing) + smoothing / 2 if smoothing else batch.target
        losses = F.binary_cross_entropy_with_logits(output_of(outputs).float(), target, reduction="none")
        return weighted_mean(losses.mean(1), batch)  # (rows, classes) -> (rows,)

    def prediction(self, outputs: Tensor) -> Tensor:
        """Return each class's probability of logits, float32 ``(rows, classes)``."""
        return outputs.float().sigmoid()

    def temperature(self, outputs: Tensor, encoded: Tensor) -> float:
        """Return the temperature of logits, ``(rows, classes)``, with 0 and 1, ``(rows, classes)``; as for `Label`."""
        logits, rows = outputs.double(), len(outputs)
        target = (encoded.double() * rows + 1.0) / (rows + 2.0)
        return fitted_temperature(lambda value: F.binary_cross_entropy_with_logits(logits / value, target), rows)

    def original(self, encoded: Tensor) -> Tensor:
        """Return 0 and 1 as integers, int64 ``(rows, classes)``: targets that are classes are whole numbers."""
        return encoded.long()

    def chosen(self, prediction: Tensor) -> Tensor:
        """Return 1 for each class of probability 0.5 and more, otherwise 0, int64 ``(rows, classes)``."""
        return (prediction >= 0.5).long()

    def certainty(self, prediction: Tensor) -> Tensor:
        """Return the probability of the least certain decision, of a class being there or not, ``(rows,)``."""
        return torch.where(prediction >= 0.5, prediction, 1 - prediction).amin(1)

    def row_errors(self, prediction: Tensor, target: Tensor) -> Tensor:
        """Return minus the logarithm of the true decisions' probabilities, the mean over the classes.

        Args:
            prediction: probabilities, float ``(rows, classes)``.
            target: 0 and 1, ``(rows, classes)``.

        Returns:
            Float32 ``(rows,)``.
        """
        true = torch.where(target >= 0.5, prediction, 1 - prediction).float()  # (rows, classes)
        return -true.clamp_min(_SMALLEST).log().mean(1)

    def confusion(self, prediction: Tensor, target: Tensor) -> pl.DataFrame:
        """Return each class's hits and misses: see `headstart.targets.confusion.label_counts`."""
        return label_counts(prediction, target, self.classes)

    def class_weights(self, class_weight: object, encoded: Tensor) -> NoReturn:
        """Raise `ConfigError`: a row has no one class by which it could be weighted."""
        raise ConfigError(
            "class_weight needs a target with one class per row,"
            f" but {describe_kind(self.kind, self.columns)}; leave class_weight out"
        )

    def default_metrics(self) -> tuple[Metric, ...]:
        """Return accuracy, AUC and log loss."""
        return (accuracy, auc, log_loss)

    def decode(self, prediction: Tensor) -> dict[str, pl.Series]:
        """Return ``prediction``, the list of classes of probability 0.5 and more, and ``probability_<class>``."""
        names = np.array(self.classes, dtype=object)
        lists = [names[row].tolist() for row in (prediction >= 0.5).cpu().numpy()]
        dtype = pl.List(pl.Series(self.classes).dtype)  # explicit, since there may be no rows, or none with a class
        return {"prediction": pl.Series("prediction", lists, dtype)} | _probabilities(prediction, self.classes)

    def decode_one(self, prediction: Tensor) -> dict[str, Any]:
        """Return what `decode` returns for one row, ``(1, classes)``, as Python values."""
        probabilities = prediction[0].tolist()
        chosen = [name for name, probability in zip(self.classes, probabilities, strict=True) if probability >= 0.5]
        return {"prediction": chosen, **_named_probabilities(probabilities, self.classes)}

    def text_of(self, encoded: Tensor) -> str:
        """Return one row's classes as text, of 0 and 1 for each class, ``(classes,)``."""
        chosen = [str(name) for name, has in zip(self.classes, encoded.tolist(), strict=True) if has >= 0.5]
        return ", ".join(chosen) or "none"


def _categories(series: pl.Series, column: str, *, declared: bool = False) -> Categories:
    try:
        kind_of(series, declared=declared)
        if series.dtype.is_temporal() and not declared:
            raise DataError(f"target {column!r} holds dates")
    except DataError:
        advice = "use target_kind='number'" if series.dtype.is_numeric() else "convert it"
        raise DataError(
            f"target {column!r} must be classes (text, whole numbers, booleans); got {series.dtype}; {advice}"
        ) from None
    return Categories.fit(series, declared=declared)


def _check_lists(series: pl.Series) -> None:
    if not isinstance(series.dtype, pl.List):
        raise DataError(f"target {series.name!r} must be a column of lists of classes; got {series.dtype}")
    check_no_missing(series)


def _probabilities(prediction: Tensor, classes: Sequence[Value]) -> dict[str, pl.Series]:
    values = prediction.float().cpu().numpy()
    return {
        f"probability_{name}": pl.Series(f"probability_{name}", values[:, index]) for index, name in enumerate(classes)
    }


def _named_probabilities(probabilities: Sequence[float], classes: Sequence[Value]) -> dict[str, float]:
    return {f"probability_{name}": value for name, value in zip(classes, probabilities, strict=True)}
