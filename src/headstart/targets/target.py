"""`Target`: how columns become what the loss compares with, and how outputs become predictions in the user's terms."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol, TypeAlias

import polars as pl
from torch import Tensor

from headstart.core.batch import Batch, Loss, weighted_mean
from headstart.frames.categories import Value
from headstart.frames.readings import Reading
from headstart.targets.classes import ClassWeight, Label, Labels
from headstart.targets.counts import Count
from headstart.targets.kinds import TargetKind
from headstart.targets.metrics import Metric
from headstart.targets.numbers import Number, checked_range
from headstart.targets.quantiles import Quantiles

__all__ = [
    "AnyTarget",
    "ClassTarget",
    "ClassWeight",
    "Count",
    "Label",
    "Labels",
    "Loss",
    "Number",
    "Quantiles",
    "Target",
    "TargetKind",
    "checked_range",
    "weighted_mean",
]


class Target(Protocol):
    """The bridge between the columns that are predicted and a model's outputs: all that depends on what they are.

    Three scales occur: *encoded* targets, which the loss compares with the model's *outputs*; and *predictions*, with
    which targets on their *original* scale are compared by metrics, errors and plots. A target is a frozen dataclass:
    ``values.to_json(target, kind=AnyTarget)`` stores one, and ``values.from_json(AnyTarget, record)`` makes it again.
    """

    @property
    def kind(self) -> TargetKind:
        """Tag of the class, for the few places outside that differ by it."""

    @property
    def outputs(self) -> int:
        """Number of outputs that the model needs."""

    @property
    def columns(self) -> tuple[str, ...]:
        """The columns that it is made of."""

    @property
    def readings(self) -> Mapping[str, Reading]:
        """How each of the columns is read in a table of text."""

    @property
    def classes(self) -> tuple[Value, ...]:
        """The classes, in the order of the outputs; empty for numbers."""

    def encode(self, frame: pl.DataFrame) -> Tensor:
        """Return what the loss compares with, ``(rows, ...)``."""

    def loss(self, outputs: Any, batch: Batch) -> Tensor:
        """Return the default loss, a mean over the rows."""

    def prediction(self, outputs: Tensor) -> Tensor:
        """Return probabilities, float32 ``(rows, classes)``, or numbers in the user's unit."""

    def temperature(self, outputs: Tensor, encoded: Tensor) -> float:
        """Return by what outputs must be divided for probabilities that are as certain as they are right.

        Numbers have no probabilities: for them, it is 1.

        Args:
            outputs: outputs of a trained model for rows that it was not trained on, ``(rows, ...)``.
            encoded: encoded targets of these rows, ``(rows, ...)``.
        """

    def original(self, encoded: Tensor) -> Tensor:
        """Return encoded targets on their original scale: what predictions are compared with.

        Numbers are floats in their unit; classes are whole numbers, int64: indices, or 0 and 1 for each class.
        """

    def decode(self, prediction: Tensor) -> dict[str, pl.Series]:
        """Return predictions as columns, in the user's terms."""

    def decode_one(self, prediction: Tensor) -> dict[str, Any]:
        """Return what `decode` returns for one row, ``(1, ...)``, as Python values and without a frame."""

    def text_of(self, encoded: Tensor) -> str:
        """Return one row's encoded target as text, for people."""

    def output_range(self) -> tuple[list[float], list[float]] | None:
        """Return the lowest and the highest value of each output; None if they have no bounds."""

    def row_errors(self, prediction: Tensor, target: Tensor) -> Tensor:
        """Return the error of each row, float32 ``(rows,)``, 0 or more, by which the worst rows are found.

        Args:
            prediction: as `prediction` returns them.
            target: as `original` returns them.
        """

    def default_metrics(self) -> tuple[Metric, ...]:
        """Return the metrics of a learner that is given none; the first is the one that models are compared by."""

    def own_metrics(self) -> tuple[Metric, ...]:
        """Return the metrics that depend on the target's own parameters."""

    def class_weights(self, class_weight: ClassWeight, encoded: Tensor) -> Tensor:
        """Return each row's weight in the loss by its class, float64 ``(rows,)``.

        Raises:
            ConfigError: rows do not have one class each, or the weights do not go with the classes.
        """

    def confusion(self, prediction: Tensor, target: Tensor) -> pl.DataFrame:
        """Return which classes are taken for which; arguments as for `row_errors`.

        Raises:
            ConfigError: the target is made of numbers.
        """

    def residuals(self, prediction: Tensor, target: Tensor, column: str | None = None) -> pl.DataFrame:
        """Return ``prediction``, ``target`` and ``residual`` of one column of numbers; arguments as for `row_errors`.

        Raises:
            ConfigError: the target is made of classes, or has no such column.
        """


AnyTarget: TypeAlias = Number | Quantiles | Count | Label | Labels
"""The targets of headstart: what is stored with a model."""

ClassTarget: TypeAlias = Label | Labels
"""Those that are classes."""
