"""What a model of a table has learnt of categories, and where it is wrong: embeddings, errors, confusion.

Each result is an object with a ``frame()`` (polars) and plots.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import polars as pl
import torch
from torch import Tensor, nn

from headstart.core.errors import ConfigError, did_you_mean
from headstart.tabular.codec import TableCodec
from headstart.tabular.models.network import TabularModel
from headstart.targets.target import AnyTarget
from headstart.training.ensemble import Ensemble

if TYPE_CHECKING:
    from headstart.training.plots import Plot

__all__ = ["Embeddings", "Framed", "Interpretation", "embedded_features", "embeddings_of"]


class Framed:
    """Base of results that are displayed as their frame."""

    def frame(self) -> pl.DataFrame:
        """Return the result as a table."""
        raise NotImplementedError

    def __repr__(self) -> str:
        return repr(self.frame())

    def _repr_html_(self) -> str:
        return self.frame()._repr_html_()


@dataclass(frozen=True, repr=False)
class Embeddings(Framed):
    """The vectors that a model has learnt for a column's values.

    Attributes:
        column: its name.
        table: the column's values, the first null, which stands for missing and unseen ones; and ``embedding_1``,
            ``embedding_2``, ...
    """

    column: str
    table: pl.DataFrame

    def frame(self) -> pl.DataFrame:
        """Return a row per value, its coordinates as columns; null stands for missing and unseen values."""
        return self.table

    def plot(self) -> Plot:
        """Return the values in the plane of the first two principal components, the outermost ones named first."""
        from headstart.tabular.plots import plot_embeddings  # matplotlib takes a moment to import

        known = self.table[1:]
        values = known[self.column]
        return plot_embeddings(
            self.column, values.to_list(), known.drop(self.column).to_numpy(), ordered=values.dtype.is_integer()
        )


@dataclass(frozen=True, repr=False)
class Interpretation(Framed):
    """Where a model is wrong.

    Attributes:
        target: how predictions are read.
        prediction: probabilities ``(rows, classes)`` or numbers.
        true: the targets, on the same scale.
        table: the rows, worst first: ``error`` (see `headstart.targets.target.Target.row_errors`), the target, the
            prediction, and all other columns.
    """

    target: AnyTarget
    prediction: Tensor
    true: Tensor
    table: pl.DataFrame

    @classmethod
    def of(cls, codec: TableCodec, prediction: Tensor, true: Tensor, rows: pl.DataFrame) -> Interpretation:
        """Return predictions beside their rows.

        Args:
            codec: the codec whose target reads them.
            prediction: as ``target.prediction`` returns them, in the rows' order.
            true: as ``target.original`` returns them, likewise.
            rows: the rows, with the target's columns.
        """
        prediction, true = prediction.cpu(), true.cpu()
        error = pl.Series("error", codec.target.row_errors(prediction, true).numpy())
        target = rows.select(codec.target.columns)
        taken = (*target.columns, "error")
        first = pl.DataFrame([error, *target, *(c for c in codec.decode(prediction) if c.name not in taken)])
        table = first.hstack(rows.drop(first.columns, strict=False))
        return cls(codec.target, prediction, true, table.sort("error", descending=True, maintain_order=True))

    def frame(self) -> pl.DataFrame:
        """Return all rows, those with the largest error first."""
        return self.table

    def largest_errors(self, n: int = 20) -> pl.DataFrame:
        """Return the rows with the largest errors.

        Args:
            n: how many.
        """
        return self.table.head(n)

    def confusion_matrix(self) -> pl.DataFrame:
        """Return which class is taken for which; for several classes per row, hits and misses of each.

        Raises:
            ConfigError: the target is made of numbers.
        """
        return self.target.confusion(self.prediction, self.true)

    def plot_confusion(self) -> Plot:
        """Return a plot of the confusion matrix; for several classes per row, of precision and recall of each."""
        from headstart.training.plots import plot_confusion, plot_label_counts  # matplotlib takes a moment to import

        counted = self.confusion_matrix()
        return plot_label_counts(counted) if self.target.kind == "labels" else plot_confusion(counted)

    def plot_residuals(self, column: str | None = None) -> Plot:
        """Return a plot of residuals against predictions, and of their distribution.

        Args:
            column: which of several targets; None: the first.

        Raises:
            ConfigError: the target is made of classes, or has no such column.
        """
        from headstart.training.plots import plot_residuals  # matplotlib takes a moment to import

        frame = self.target.residuals(self.prediction, self.true, column)
        return plot_residuals(
            frame["prediction"].to_numpy(), frame["target"].to_numpy(), column or self.target.columns[0]
        )


def embeddings_of(model: nn.Module, codec: TableCodec, column: str) -> Embeddings:
    """Return the embeddings of a categorical column, by its values; see `TabularLearner.embeddings`."""
    names = [category.name for category in codec.categorical]
    if column not in names:
        raise ConfigError(f"{column!r} is no categorical column of the model; {did_you_mean(column, names)}")
    index = names.index(column)
    vectors = _vectors(model, index).detach().float().cpu().numpy()
    values = codec.categorical[index].vocab.decode(np.arange(len(vectors))).alias(column)
    coordinates = [pl.Series(f"embedding_{axis + 1}", vectors[:, axis]) for axis in range(vectors.shape[1])]
    return Embeddings(column, pl.DataFrame([values, *coordinates]))


def embedded_features(model: nn.Module, codec: TableCodec, frame: pl.DataFrame) -> pl.DataFrame:
    """Return what the model sees of a table before its hidden layers; see `TabularLearner.transform`."""
    ids, continuous = codec.encode(frame).inputs
    columns: list[pl.Series] = []
    for index, category in enumerate(codec.categorical):
        vectors = _vectors(model, index).detach().float().cpu()
        rows = vectors.index_select(0, ids[:, index]).numpy()  # (rows, size)
        columns += [pl.Series(f"{category.name}_{axis + 1}", rows[:, axis]) for axis in range(rows.shape[1])]
    numbers = continuous.numpy()
    for index, column in enumerate(codec.continuous):
        columns.append(pl.Series(column.name, numbers[:, index] * column.sd + column.mean, dtype=pl.Float32))
    columns += [pl.Series(f"{name}_na", numbers[:, index]) for name, index in codec.indicators.items()]
    return pl.DataFrame(columns)


def _vectors(model: nn.Module, index: int) -> Tensor:
    """Return a column's embedding, ``(ids, size)``; of an ensemble those of all members, each in its own space."""
    members = list(model.members) if isinstance(model, Ensemble) else [model]
    vectors = []
    for member in members:
        if not isinstance(member, TabularModel):
            raise ConfigError(f"embeddings are those of the built-in network, but this is a {type(member).__name__}")
        vectors.append(member.embedding(index))
    return torch.cat(vectors, 1)
