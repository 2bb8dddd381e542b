"""What a model of a table has learnt of categories, and where it is wrong: embeddings, errors, confusion.

Each answer is an object with a ``frame()`` (polars) and plots.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import cast

import numpy as np
import polars as pl
import torch
from torch import Tensor, nn

from headstart.core.errors import ConfigError, did_you_mean
from headstart.tabular.codec import TableCodec
from headstart.tabular.models.network import TabularModel
from headstart.tabular.plots import plot_embeddings
from headstart.targets.target import AnyTarget
from headstart.training.ensemble import Ensemble
from headstart.training.plots import Plot, plot_confusion, plot_label_counts, plot_residuals

__all__ = ["Embeddings", "Framed", "Interpretation", "embedded_features", "embeddings_of"]


class Framed:
    """What shows itself as its frame."""

    def frame(self) -> pl.DataFrame:
        """The answer as a table."""
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
        table: the column's values, the first null: missing and never seen; and ``embedding_1``, ``embedding_2``, ...
    """

    column: str
    table: pl.DataFrame

    def frame(self) -> pl.DataFrame:
        """A row per value, its coordinates as columns; null is the missing and the never seen."""
        return self.table

    def plot(self) -> Plot:
        """The values in the plane of the two principal components, the outermost ones named first."""
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
        true: what was true, on the same scale.
        table: the rows, worst first: ``error`` (see `headstart.targets.target.Target.row_errors`), the target, the
            prediction, and all other columns.
    """

    target: AnyTarget
    prediction: Tensor
    true: Tensor
    table: pl.DataFrame

    @classmethod
    def of(cls, codec: TableCodec, prediction: Tensor, true: Tensor, rows: pl.DataFrame) -> Interpretation:
        """Puts predictions beside their rows.

        Args:
            codec: whose target reads them.
            prediction: in the rows' order.
            true: likewise.
            rows: with the target's columns.
        """
        prediction, true = prediction.cpu(), true.cpu()
        error = pl.Series("error", codec.target.row_errors(prediction, true).numpy())
        told = rows.select(codec.target.columns)
        answers = codec.decode(prediction)
        first = pl.DataFrame(
            [error, *told, *(answer for answer in answers if answer.name not in (*told.columns, "error"))]
        )
        table = first.hstack(rows.drop(first.columns, strict=False))
        return cls(codec.target, prediction, true, table.sort("error", descending=True, maintain_order=True))

    def frame(self) -> pl.DataFrame:
        """All rows, those with the largest error first."""
        return self.table

    def largest_errors(self, n: int = 20) -> pl.DataFrame:
        """The rows that the model gets most wrong.

        Args:
            n: how many.
        """
        return self.table.head(n)

    def confusion_matrix(self) -> pl.DataFrame:
        """Which class is taken for which; for several labels per row, hits and misses of each.

        Raises:
            ConfigError: the target is a number.
        """
        return self.target.confusion(self.prediction, self.true)

    def plot_confusion(self) -> Plot:
        """The confusion matrix as a picture; for several labels per row, precision and recall of each."""
        counted = self.confusion_matrix()
        return plot_label_counts(counted) if self.target.kind == "labels" else plot_confusion(counted)

    def plot_residuals(self, column: str | None = None) -> Plot:
        """Errors against predictions, and their distribution.

        Args:
            column: of several targets, which one; None: the first.

        Raises:
            ConfigError: the target is no number, or there is no such one.
        """
        frame = self.target.residuals(self.prediction, self.true, column)
        return plot_residuals(
            frame["prediction"].to_numpy(), frame["target"].to_numpy(), column or self.target.columns[0]
        )


def embeddings_of(model: nn.Module, codec: TableCodec, column: str) -> Embeddings:
    """The embeddings of a categorical column, by its values; see `TabularLearner.embeddings`."""
    names = [category.name for category in codec.categorical]
    if column not in names:
        raise ConfigError(f"{column!r} is no categorical column of the model; {did_you_mean(column, names)}")
    place = names.index(column)
    vectors = _vectors(model, place).detach().float().cpu().numpy()
    values = codec.categorical[place].vocab.decode(np.arange(len(vectors))).alias(column)
    coordinates = [pl.Series(f"embedding_{axis + 1}", vectors[:, axis]) for axis in range(vectors.shape[1])]
    return Embeddings(column, pl.DataFrame([values, *coordinates]))


def embedded_features(model: nn.Module, codec: TableCodec, frame: pl.DataFrame) -> pl.DataFrame:
    """What the model sees of a table before its hidden layers, as named columns; see `TabularLearner.transform`."""
    categorical, continuous = codec.encode(frame)
    columns: list[pl.Series] = []
    for place, category in enumerate(codec.categorical):
        vectors = _vectors(model, place).detach().float().cpu()
        found = vectors.index_select(0, categorical[:, place]).numpy()
        columns += [pl.Series(f"{category.name}_{axis + 1}", found[:, axis]) for axis in range(found.shape[1])]
    numbers = continuous.numpy()
    for place, column in enumerate(codec.continuous):
        columns.append(pl.Series(column.name, numbers[:, place] * column.sd + column.mean, dtype=pl.Float32))
    with_gaps = [column.name for column in codec.continuous if column.had_gaps]
    for place, name in enumerate(with_gaps, start=len(codec.continuous)):
        columns.append(pl.Series(f"{name}_na", numbers[:, place]))
    return pl.DataFrame(columns)


def _vectors(model: nn.Module, place: int) -> Tensor:
    """A column's embedding ``(ids, size)``; of an ensemble those of all members side by side, each in its own space."""
    members = list(model.members) if isinstance(model, Ensemble) else [model]
    return torch.cat([cast(TabularModel, member).embedding(place) for member in members], 1)
