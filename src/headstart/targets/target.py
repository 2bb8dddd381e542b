"""Targets: how a column becomes what the loss compares with, and how outputs become answers in the user's own terms."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol, TypeAlias

import polars as pl
from torch import Tensor

from headstart.core.batch import Batch, Loss, weighted_mean
from headstart.frames.categories import Categories
from headstart.targets.classes import Label, Labels
from headstart.targets.numbers import Count, Number, Quantiles, checked_range

__all__ = [
    "AnyTarget",
    "Count",
    "Label",
    "Labels",
    "Loss",
    "Number",
    "Quantiles",
    "Target",
    "checked_range",
    "target_from_json",
    "weighted_mean",
]


class Target(Protocol):
    """What a supervised codec holds: the bridge between a column and a model's outputs."""

    @property
    def outputs(self) -> int:
        """How many outputs the model needs."""

    @property
    def columns(self) -> tuple[str, ...]:
        """The columns it is made of."""

    def encode(self, frame: pl.DataFrame) -> Tensor:
        """What the loss compares with, ``(rows, ...)``."""

    def loss(self, outputs: Any, batch: Batch) -> Tensor:
        """The default loss, a mean over the rows."""

    def prediction(self, outputs: Tensor) -> Tensor:
        """Probabilities ``(rows, classes)``, or numbers in the user's own unit."""

    def original(self, encoded: Tensor) -> Tensor:
        """Encoded targets on their original scale: what metrics compare predictions with."""

    def decode(self, prediction: Tensor) -> dict[str, pl.Series]:
        """Predictions as columns, in the user's own terms."""

    def decode_one(self, prediction: Tensor) -> dict[str, Any]:
        """What `decode` gives for one row, ``(1, ...)``, as Python's own values and without a frame."""

    def to_json(self) -> dict[str, Any]:
        """What `target_from_json` takes."""


AnyTarget: TypeAlias = Number | Quantiles | Count | Label | Labels
"""Those that headstart knows how to save."""


def target_from_json(record: Mapping[str, Any]) -> AnyTarget:
    """The target that ``to_json`` described."""
    if record["kind"] == "number":
        return Number.from_json(record)
    if record["kind"] == "quantiles":
        return Quantiles(Number.from_json(record["number"]), tuple(record["quantiles"]))
    if record["kind"] == "count":
        return Count(record["column"], float(record["mean"]))
    if record["kind"] in ("label", "labels"):
        make = Label if record["kind"] == "label" else Labels
        return make(record["column"], Categories.from_json(record["vocab"]))
    raise ValueError(f"unknown kind of target {record['kind']!r}")
