"""`TabularDesign`: the network of a table as a value, and the networks that have a name."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Literal, TypeAlias

from torch import nn

from headstart.core.errors import ConfigError, did_you_mean
from headstart.core.values import Range, Value
from headstart.tabular.codec import TableCodec
from headstart.tabular.models.network import TabularModel, embedding_size
from headstart.training.ensemble import Ensemble
from headstart.training.optim import AdamW, AnyOptimizer
from headstart.training.settings import LearnerOptions, Training

__all__ = [
    "LESSON_NETWORK",
    "MEMBERS_NETWORK",
    "NumericEmbedding",
    "TabularDesign",
    "TabularOptions",
    "TabularTraining",
]

NumericEmbedding: TypeAlias = Literal["piecewise_linear", "periodic"]


@dataclass(frozen=True, kw_only=True)
class TabularDesign(Value):
    """The network of a table: embeddings of categories, an embedding of each number, and a multilayer perceptron.

    The defaults are the lesson's network but for how numbers enter, a learnt factor on each input and no batch norm, by
    the figures of docs/tables.md; `LESSON_NETWORK` and `MEMBERS_NETWORK` are others.

    Attributes:
        hidden: width of each hidden layer.
        members: number of weight-sharing networks to train as one (TabM), for example 4.
        numeric_embedding: how numbers enter: ``"piecewise_linear"``, with bins of as many training rows each;
            ``"periodic"``, by sines and cosines; or None, as they are.
        batch_norm: whether each hidden layer has batch norm, and numbers that enter as they are.
        norm_first: batch norm before the ReLU; False: after it, as in the lesson.
        straight: also a linear path from piecewise linear numbers to the outputs.
        input_scale: a learnt factor on each input of the first hidden layer.
        dropout: probability of dropping a unit after each hidden layer: one for all, or one per layer.
        category_dropout: probability of replacing a category by the unknown one in training, so that unseen categories
            get a trained vector. At 0.05 rows of held-out categories had 0.976 times the loss of 0, others 0.994 times
            (geometric means over eleven tasks of the development suite, three seeds).
        embedding_dropout: probability of dropping an element of an embedding.
        embedding_sizes: width of some columns' embeddings, by column; others have half their number of values, at most
            50. Example: ``{"Store": 100}``.
        ensemble: number of networks, each from first weights of its own, whose outputs are averaged.
    """

    hidden: Annotated[tuple[int, ...], Range(low=1)] = (200, 100)
    members: Annotated[int, Range(low=1)] = 1
    numeric_embedding: NumericEmbedding | None = "piecewise_linear"
    batch_norm: bool = False
    norm_first: bool = True
    straight: bool = True
    input_scale: bool = True
    dropout: Annotated[float | tuple[float, ...], Range(low=0, below=1)] = 0.1
    category_dropout: Annotated[float, Range(low=0, below=1)] = 0.05
    embedding_dropout: Annotated[float, Range(low=0, below=1)] = 0.0
    embedding_sizes: Mapping[str, int] | None = None
    ensemble: Annotated[int, Range(low=1)] = 1

    def network(self, codec: TableCodec, seed: int) -> nn.Module:
        """Return a fresh network for a codec's columns and target.

        Args:
            codec: learnt from the training rows.
            seed: seed of the first weights.
        """
        bounds = codec.target.output_range()
        piecewise = self.numeric_embedding == "piecewise_linear" and codec.numbers > 0

        def member() -> TabularModel:
            return TabularModel(
                codec.cardinalities, codec.numbers, codec.target.outputs,
                embedding_sizes=self._embedding_sizes(codec), hidden=self.hidden, members=self.members,
                bins=codec.bin_edges if piecewise else None, periodic=self.numeric_embedding == "periodic",
                batch_norm=self.batch_norm, norm_first=self.norm_first, straight=self.straight,
                input_scale=self.input_scale,
                category_dropout=self.category_dropout, embedding_dropout=self.embedding_dropout, dropout=self.dropout,
                output_range=bounds,
            )  # fmt: skip

        return Ensemble.of(member, self.ensemble, seed)

    def _embedding_sizes(self, codec: TableCodec) -> list[int]:
        given = self.embedding_sizes or {}
        names = [column.name for column in codec.categorical]
        for name in given:
            if name not in names:
                raise ConfigError(f"embedding_sizes: {name!r} is no categorical column; {did_you_mean(name, names)}")
        return [given.get(column.name, embedding_size(len(column.vocab))) for column in codec.categorical]


@dataclass(frozen=True, kw_only=True)
class TabularTraining(Training):
    """Training of a table's network.

    At fastai's ``eps`` of 1e-5 the embeddings of rare categories, whose gradients are small, hardly learn, and less
    so in an ensemble, where each member's gradient is a share of that of the mean loss.

    Attributes:
        optimizer: `AdamW`, here with a lower ``eps`` than elsewhere, or `SGD`; in Python also a function that makes a
            torch optimizer.
    """

    optimizer: AnyOptimizer = AdamW(eps=1e-8)


class TabularOptions(LearnerOptions, total=False):
    """Keyword arguments of `TabularLearner`: the fields of its design and its training, and those of every learner."""

    hidden: tuple[int, ...] | list[int]
    members: int
    numeric_embedding: NumericEmbedding | None
    batch_norm: bool
    norm_first: bool
    straight: bool
    input_scale: bool
    dropout: float | tuple[float, ...] | list[float]
    category_dropout: float
    embedding_dropout: float
    embedding_sizes: Mapping[str, int] | None
    ensemble: int


LESSON_NETWORK: TabularOptions = {
    "numeric_embedding": None, "batch_norm": True, "norm_first": False, "input_scale": False, "category_dropout": 0.0,
}  # fmt: skip
"""The network of fast.ai's lesson, ``TabularLearner(data, **LESSON_NETWORK)``."""

MEMBERS_NETWORK: TabularOptions = {
    "hidden": (256, 128), "members": 4, "numeric_embedding": "piecewise_linear", "batch_norm": False, "dropout": 0.3,
    "embedding_dropout": 0.1,
}  # fmt: skip
"""Four networks in one, ``TabularLearner(data, **MEMBERS_NETWORK)``; its usual top rate is 0.003."""
