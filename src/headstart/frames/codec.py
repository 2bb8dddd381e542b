"""`Codec`: all that is learnt from training rows before training: rows to tensors, outputs to the user's own terms."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Generic, Protocol, TypeVar

import polars as pl
from torch import Tensor

from headstart.frames.csv import CsvOptions
from headstart.frames.readings import Reading

__all__ = ["Codec", "Encoded"]

Inputs = TypeVar("Inputs", covariant=True)


@dataclass(frozen=True, kw_only=True)
class Encoded(Generic[Inputs]):
    """Rows as a model reads them.

    Attributes:
        inputs: what the batches are made of: tensors ``(rows, ...)``, or a corpus of tokens, or images to be decoded.
        target: what the loss compares with, ``(rows, ...)``; None if it was not asked for, or there is none.
        notes: what a user should know of these rows: values never seen in training, missing values that were filled.
    """

    inputs: Inputs
    target: Tensor | None = None
    notes: tuple[str, ...] = ()


class Codec(Protocol[Inputs]):
    """What the assembly and the learners ask of an application's codec: a frozen dataclass.

    It is made by a constructor that sees training rows alone, so that validation rows cannot leak into it. It is stored
    as JSON, its tensors beside, by `headstart.core.values`. A row that is encoded alone gives what it gives in a table.
    """

    @property
    def target(self) -> Any:
        """The target, or None."""

    @property
    def readings(self) -> Mapping[str, Reading]:
        """How each column of a table of text is read that the codec reads: as in the training rows."""

    @property
    def csv(self) -> CsvOptions | None:
        """How the training rows' CSV file was read, as far as it was given, for later files; None: nothing was."""

    def encode(self, rows: pl.DataFrame, *, with_target: bool = False) -> Encoded[Inputs]:
        """Encode rows; columns may come in any order, and others are ignored.

        Raises:
            DataError: a column is missing, or holds what it cannot be read as.
        """

    def encode_one(self, row: Mapping[str, Any]) -> tuple[Tensor, ...]:
        """Encode one row by the shortest path: tensors ``(1, ...)``."""

    def decode(self, prediction: Tensor) -> pl.DataFrame:
        """Return predictions as columns in the user's own terms, a row per row."""
