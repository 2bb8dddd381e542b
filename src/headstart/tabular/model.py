"""`TabularModel`: entity embeddings and numbers, through hidden layers, to the outputs. One file that needs only torch.

**Source:** Guo and Berkhahn, "Entity Embeddings of Categorical Variables" (2016); the layers' order (linear, ReLU,
batch norm, dropout) and the embedding sizes are those of fast.ai's lesson.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from headstart.core.errors import ConfigError

__all__ = ["TabularModel", "embedding_size"]


def embedding_size(cardinality: int) -> int:
    """The lesson's rule of thumb: half the number of ids, at most 50.

    Args:
        cardinality: number of ids, with the one for missing and never seen.
    """
    return min(50, (cardinality + 1) // 2)


class TabularModel(nn.Module):
    """Embeddings of the categorical columns beside the continuous ones, then hidden layers, then the outputs.

    **Shape:**
    - Input: ids, int32 or int64, ``(rows, categorical columns)``; numbers, float32, ``(rows, continuous columns)``
    - Output: ``(rows, outputs)``

    >>> model = TabularModel([8, 13], continuous=3, outputs=2, hidden=[20])
    >>> model(torch.tensor([[7, 0], [1, 12]]), torch.randn(2, 3)).shape
    torch.Size([2, 2])

    Args:
        cardinalities: number of ids of each categorical column.
        continuous: number of continuous columns.
        outputs: number of outputs.
        embedding_sizes: width of each column's embedding; None: by `embedding_size`.
        hidden: width of each hidden layer; may be empty.
        embedding_dropout: probability of dropping an embedding's number, 0 to 1.
        dropout: after each hidden layer: one probability, or one per layer.
        output_range: lowest and highest value of each output, reached by a sigmoid; None: unbounded.

    Raises:
        ConfigError: an argument is out of its range, or two do not go together.
    """

    def __init__(
        self,
        cardinalities: Sequence[int],
        continuous: int,
        outputs: int,
        *,
        embedding_sizes: Sequence[int] | None = None,
        hidden: Sequence[int] = (200, 100),
        embedding_dropout: float = 0.0,
        dropout: float | Sequence[float] = 0.0,
        output_range: tuple[Sequence[float], Sequence[float]] | None = None,
    ) -> None:
        super().__init__()
        if not isinstance(hidden, Sequence):
            raise ConfigError(f"hidden must be a list of widths, one per hidden layer; got {hidden!r}")
        sizes = [embedding_size(count) for count in cardinalities] if embedding_sizes is None else list(embedding_sizes)
        dropouts = [dropout] * len(hidden) if isinstance(dropout, int | float) else list(dropout)
        _check(cardinalities, continuous, outputs, sizes, hidden, embedding_dropout, dropouts)
        _check_range(output_range, outputs)
        self.embeddings = nn.ModuleList(
            nn.Embedding(count, size) for count, size in zip(cardinalities, sizes, strict=True)
        )
        for embedding in self.embeddings:
            assert isinstance(embedding, nn.Embedding)
            nn.init.trunc_normal_(embedding.weight, std=0.01)  # fastai's: far smaller than torch's, so ids start alike
        self.embedding_dropout = nn.Dropout(embedding_dropout)
        self.normalise = nn.BatchNorm1d(continuous) if continuous else None
        layers: list[nn.Module] = []
        width = sum(sizes) + continuous
        for size, probability in zip(hidden, dropouts, strict=True):
            layers += [nn.Linear(width, size), nn.ReLU(inplace=True), nn.BatchNorm1d(size)]
            if probability > 0:
                layers.append(nn.Dropout(probability))
            width = size
        self.body = nn.Sequential(*layers)
        self.head = nn.Linear(width, outputs)
        self.lowest: Tensor | None
        self.highest: Tensor | None
        lowest, highest = (None, None) if output_range is None else map(torch.tensor, output_range)
        self.register_buffer("lowest", lowest)
        self.register_buffer("highest", highest)

    def groups(self) -> list[list[nn.Module | nn.Parameter]]:
        """Embeddings, body, head."""
        body: list[nn.Module | nn.Parameter] = [self.body]
        return [[self.embeddings], body if self.normalise is None else [self.normalise, *body], [self.head]]

    def embedding(self, position: int) -> Tensor:
        """The embedding of one categorical column: a vector per id, float ``(ids, size)``; id 0 is the unknown.

        Args:
            position: the column's place among the categorical columns, counted from 0.
        """
        embedding = self.embeddings[position]
        assert isinstance(embedding, nn.Embedding)
        return embedding.weight

    def forward(self, categorical: Tensor, continuous: Tensor) -> Tensor:
        """Outputs, ``(rows, outputs)``, of ids and numbers."""
        parts: list[Tensor] = []
        if len(self.embeddings):
            embeddings: Any = self.embeddings
            columns = zip(categorical.unbind(1), embeddings, strict=True)
            parts = [F.embedding(ids, embed.weight) for ids, embed in columns]  # each (rows, embedding size)
            if self.embedding_dropout.p > 0:
                parts = [self.embedding_dropout(torch.cat(parts, 1))]  # (rows, all embedding sizes)
        if self.normalise is not None:
            parts.append(self.normalise(continuous))
        outputs: Tensor = self.head(self.body(torch.cat(parts, 1)))  # (rows, outputs)
        if self.lowest is None or self.highest is None:
            return outputs
        return self.lowest + (self.highest - self.lowest) * outputs.sigmoid()


def _check(
    cardinalities: Sequence[int],
    continuous: int,
    outputs: int,
    sizes: Sequence[int],
    hidden: Sequence[int],
    embedding_dropout: float,
    dropouts: Sequence[float],
) -> None:
    if len(sizes) != len(cardinalities):
        raise ConfigError(f"embedding_sizes has {len(sizes)} sizes for {len(cardinalities)} categorical columns")
    if len(dropouts) != len(hidden):
        raise ConfigError(f"dropout has {len(dropouts)} probabilities for {len(hidden)} hidden layers")
    if not len(cardinalities) and not continuous:
        raise ConfigError("a model needs at least one categorical or continuous column")
    for name, values in (("cardinalities", cardinalities), ("embedding_sizes", sizes), ("hidden", hidden)):
        if any(not isinstance(value, int) or value < 1 for value in values):
            raise ConfigError(f"{name} must be whole numbers of at least 1; got {list(values)}")
    if outputs < 1 or continuous < 0:
        raise ConfigError(f"outputs must be at least 1 and continuous at least 0; got {outputs} and {continuous}")
    for name, probability in (("embedding_dropout", embedding_dropout), *(("dropout", value) for value in dropouts)):
        if not (isinstance(probability, int | float) and 0 <= probability < 1):
            raise ConfigError(f"{name} is a probability from 0 to below 1; got {probability!r}")


def _check_range(output_range: tuple[Sequence[float], Sequence[float]] | None, outputs: int) -> None:
    if output_range is None:
        return
    lowest, highest = output_range
    if not len(lowest) == len(highest) == outputs or any(
        low >= high for low, high in zip(lowest, highest, strict=True)
    ):
        raise ConfigError(
            f"output_range must be the lowest and the highest of each of {outputs} outputs; got {output_range!r}"
        )
