"""`TabularModel`: entity embeddings and numbers, through hidden layers, to the outputs. With `numeric` it stands alone.

**Source:** Guo and Berkhahn, "Entity Embeddings of Categorical Variables" (2016); the embedding sizes are those of
fast.ai's lesson.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from headstart.core.errors import ConfigError
from headstart.tabular.models.numeric import Periodic, PiecewiseLinear

__all__ = ["TabularModel", "embedding_size"]


def embedding_size(cardinality: int) -> int:
    """Return the width of an embedding by the lesson's rule of thumb: half the number of ids, at most 50.

    Args:
        cardinality: number of ids, with the one for missing and unseen values.
    """
    return min(50, (cardinality + 1) // 2)


class TabularModel(nn.Module):
    """Embeddings of the categorical columns beside the continuous ones, then hidden layers, then the outputs.

    With ``members`` above 1 it is several networks in one: they share embeddings and weights, each has multipliers,
    biases and a head of its own, and each has its own loss. The prediction is the mean of their outputs.

    **Source:** ``input_scale``: Holzmüller, Grinsztajn and Steinwart, "Better by Default: Strong Pre-Tuned MLPs and
    Boosted Trees on Tabular Data" (2024), section 3.2; members: Gorishniy et al., "TabM: Advancing Tabular Deep
    Learning with Parameter-Efficient Ensembling" (2024), section 3. We differ in what saves time: the first layer's
    product is computed once, and the members differ after it, by signs drawn at random; the outputs of a layer are
    multiplied, its inputs are not; and there are fewer members.

    **Shape:**
    - Input: ids, int32 or int64, ``(rows, categorical columns)``; numbers, float32, ``(rows, continuous columns)``
    - Output: ``(rows, outputs)``; in training with several members ``(members, rows, outputs)``

    >>> model = TabularModel([8, 13], continuous=3, outputs=2, hidden=[20])
    >>> model(torch.tensor([[7, 0], [1, 12]]), torch.randn(2, 3)).shape
    torch.Size([2, 2])

    Args:
        cardinalities: number of ids of each categorical column.
        continuous: number of continuous columns.
        outputs: number of outputs.
        hidden: width of each hidden layer; may be empty.
        embedding_sizes: width of each column's embedding; None: by `embedding_size`.
        members: number of networks in one.
        bins: each continuous column's edges for `PiecewiseLinear`; None: the numbers enter as they are.
        periodic: the numbers also enter by `Periodic`; not together with bins.
        batch_norm: whether each hidden layer has batch norm, and numbers that enter as they are.
        norm_first: batch norm before the ReLU. False: after it, as in the lesson, where a unit that seldom fires has
            next to no variance, so that a new row on which it does can be magnified hundreds of times.
        straight: with ``bins``, also a linear path from the numbers to the outputs, 0 at the start: where most rows
            lie in a few bins, as with delays, it carries what the wide last bin is too coarse for. Numbers beyond the
            outer edges count as these.
        input_scale: a learnt factor, 1 at the start, on each input of the first hidden layer, as in RealMLP: inputs
            that say nothing are turned down by one weight instead of by a column of them.
        category_dropout: probability of replacing an id by 0, the unknown one, in training, at least 0 and below 1.
        embedding_dropout: probability of dropping an element of an embedding, likewise.
        dropout: probability of dropping a unit after each hidden layer, one for all or one per layer; likewise.
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
        hidden: Sequence[int],
        embedding_sizes: Sequence[int] | None = None,
        members: int = 1,
        bins: Sequence[Sequence[float]] | None = None,
        periodic: bool = False,
        batch_norm: bool = True,
        norm_first: bool = True,
        straight: bool = True,
        input_scale: bool = False,
        category_dropout: float = 0.0,
        embedding_dropout: float = 0.0,
        dropout: float | Sequence[float] = 0.0,
        output_range: tuple[Sequence[float], Sequence[float]] | None = None,
    ) -> None:
        super().__init__()
        if not isinstance(hidden, Sequence):
            raise ConfigError(f"hidden must be a list of widths, one per hidden layer; got {hidden!r}")
        sizes = [embedding_size(count) for count in cardinalities] if embedding_sizes is None else list(embedding_sizes)
        dropouts = [dropout] * len(hidden) if isinstance(dropout, int | float) else list(dropout)
        probabilities = {"category_dropout": category_dropout, "embedding_dropout": embedding_dropout}
        _check(cardinalities, continuous, outputs, sizes, hidden, probabilities, dropouts)
        _check_range(output_range, outputs)
        if not isinstance(members, int) or isinstance(members, bool) or members < 1:
            raise ConfigError(f"members must be a whole number of at least 1; got {members!r}")
        if bins is not None and (periodic or len(bins) != continuous):
            raise ConfigError(f"bins are one list per continuous column ({continuous}), and not together with periodic")
        self.members = members
        self.embeddings = PackedEmbeddings(cardinalities, sizes) if cardinalities else None
        self.category_dropout = CategoryDropout(category_dropout)
        self.embedding_dropout = Dropout(embedding_dropout)
        self.numeric: PiecewiseLinear | Periodic | None = None
        if continuous and bins is not None:
            self.numeric = PiecewiseLinear(bins)
        elif continuous and periodic:
            self.numeric = Periodic(continuous)
        numbers = continuous if self.numeric is None else continuous * (1 + self.numeric.size)
        self.normalise = nn.BatchNorm1d(numbers) if continuous and batch_norm and bins is None else None
        layers: list[nn.Module] = []
        width = sum(sizes) + numbers
        self.input_scale = nn.Parameter(torch.ones(width)) if input_scale else None
        for size, probability in zip(hidden, dropouts, strict=True):
            layers.append(nn.Linear(width, size) if members == 1 else MemberLinear(width, size, members, not layers))
            norms = [nn.BatchNorm1d(size * members)] if batch_norm else []
            layers += [*norms, nn.ReLU(inplace=True)] if norm_first else [nn.ReLU(inplace=True), *norms]
            if probability > 0:
                layers.append(Dropout(probability))
            width = size
        self.body = nn.Sequential(*layers)
        self.head = nn.Linear(width, outputs) if members == 1 else MemberHeads(width, outputs, members)
        self.straight_path: nn.Linear | None = None
        if isinstance(self.numeric, PiecewiseLinear) and straight:
            self.straight_path = nn.Linear(continuous, outputs, bias=False)
            nn.init.zeros_(self.straight_path.weight)
        self.lowest: Tensor | None
        self.highest: Tensor | None
        lowest, highest = (None, None) if output_range is None else map(torch.tensor, output_range)
        self.register_buffer("lowest", lowest)
        self.register_buffer("highest", highest)

    def groups(self) -> list[list[nn.Module | nn.Parameter]]:
        """Return the parameter groups: embeddings, body (with the layers of numbers), head (with the straight path)."""
        embeddings: list[nn.Module | nn.Parameter] = [] if self.embeddings is None else [self.embeddings]
        parts = (self.numeric, self.normalise, self.input_scale, self.body)
        body: list[nn.Module | nn.Parameter] = [part for part in parts if part is not None]
        return [embeddings, body, [self.head, *([] if self.straight_path is None else [self.straight_path])]]

    def embedding(self, position: int) -> Tensor:
        """Return the embedding of one categorical column, float ``(ids, size)``; id 0 is missing and unseen values.

        Args:
            position: the column's index among the categorical columns.
        """
        if self.embeddings is None:
            raise IndexError("the model has no categorical columns")
        return self.embeddings.of_column(position)

    def forward(self, categorical: Tensor, continuous: Tensor) -> Tensor:
        """Return the outputs for ids and numbers."""
        parts: list[Tensor] = []
        if self.embeddings is not None:
            parts = self.embeddings(self.category_dropout(categorical))  # each (rows, sizes of some columns)
            if self.embedding_dropout.probability > 0:
                parts = [self.embedding_dropout(torch.cat(parts, 1))]  # (rows, all embedding sizes)
        if continuous.shape[1]:
            numbers = continuous if self.numeric is None else self.numeric(continuous)
            parts.append(numbers if self.normalise is None else self.normalise(numbers))
        inputs = torch.cat(parts, 1)  # (rows, all embedding sizes + numbers)
        hidden = self._body(inputs if self.input_scale is None else inputs * self.input_scale)
        with torch.autocast(hidden.device.type, enabled=False):  # bf16 outputs would take few distinct values
            outputs: Tensor = self.head(hidden.float())  # (rows, outputs), or (members, rows, outputs)
            if self.straight_path is not None:
                assert isinstance(self.numeric, PiecewiseLinear)
                outputs = outputs + self.straight_path(self.numeric.clamped(continuous))
            if self.lowest is not None and self.highest is not None:
                outputs = self.lowest + (self.highest - self.lowest) * outputs.sigmoid()
        return outputs if self.members == 1 or self.training else outputs.mean(0)

    def _body(self, inputs: Tensor) -> Tensor:
        if self.members > 1 and not len(self.body):
            return inputs.repeat(1, self.members)
        hidden: Tensor = self.body(inputs)
        return hidden


class PackedEmbeddings(nn.Module):
    """The embeddings of all columns: one table for those of equal width, one look-up for each table.

    **Shape:**
    - Input: ids, int ``(rows, columns)``
    - Output: a list with ``(rows, columns of this width * width)`` for each width

    Args:
        cardinalities: number of ids of each column.
        sizes: width of each column's embedding.
    """

    def __init__(self, cardinalities: Sequence[int], sizes: Sequence[int]) -> None:
        super().__init__()
        widths = list(dict.fromkeys(sizes))
        self.columns = [[index for index, size in enumerate(sizes) if size == width] for width in widths]
        self.slices: dict[int, tuple[int, int, int]] = {}  # of each column: table, first row, number of rows
        self.tables = nn.ParameterList()
        for table, (width, columns) in enumerate(zip(widths, self.columns, strict=True)):
            first = 0
            for index in columns:
                self.slices[index] = (table, first, cardinalities[index])
                first += cardinalities[index]
            weight = torch.empty(first, width)
            nn.init.trunc_normal_(weight, std=0.01)  # fastai's: far smaller than torch's, so ids start alike
            self.tables.append(nn.Parameter(weight))
        order = [index for columns in self.columns for index in columns]
        self.register_buffer("order", torch.tensor(order), persistent=False)
        offsets = torch.tensor([self.slices[index][1] for index in order])
        self.register_buffer("offsets", offsets, persistent=False)
        self.order: Tensor
        self.offsets: Tensor

    def of_column(self, position: int) -> Tensor:
        """Return one column's rows of its table, ``(ids, size)``."""
        table, first, count = self.slices[position]
        vectors: Tensor = self.tables[table][first : first + count]
        return vectors

    def forward(self, ids: Tensor) -> list[Tensor]:
        """Return the vectors, side by side, in the order of the tables."""
        rows = ids.index_select(1, self.order) + self.offsets
        parts = torch.split(rows, [len(columns) for columns in self.columns], 1)
        return [F.embedding(part, table).flatten(1) for part, table in zip(parts, self.tables, strict=True)]


class MemberLinear(nn.Module):
    """A linear layer whose weights all members share; multipliers and biases of the results are each member's own.

    **Shape:**
    - Input: ``(rows, members * inputs)``, or ``(rows, inputs)`` in the first layer
    - Output: ``(rows, members * outputs)``

    Args:
        inputs: inputs of one member.
        outputs: outputs of one member.
        members: number of members.
        first: whether all members get the same inputs, and differ by random signs.
    """

    def __init__(self, inputs: int, outputs: int, members: int, first: bool) -> None:  # noqa: FBT001
        super().__init__()
        self.members, self.first = members, first
        bound = inputs**-0.5
        self.weight = nn.Parameter(torch.empty(outputs, inputs).uniform_(-bound, bound))
        signs = torch.randint(0, 2, (members * outputs,)) * 2.0 - 1.0
        self.multiplier = nn.Parameter(signs if first else torch.ones(members * outputs))
        self.bias = nn.Parameter(torch.empty(members * outputs).uniform_(-bound, bound))

    def forward(self, inputs: Tensor) -> Tensor:
        """Return each member's outputs, side by side."""
        rows = len(inputs)
        if self.first:
            product = F.linear(inputs, self.weight).repeat(1, self.members)
        else:
            product = F.linear(inputs.view(rows * self.members, -1), self.weight).view(rows, -1)
        return torch.addcmul(self.bias.to(product.dtype), product, self.multiplier.to(product.dtype))


class MemberHeads(nn.Module):
    """Each member's own last layer.

    **Shape:**
    - Input: ``(rows, members * inputs)``
    - Output: ``(members, rows, outputs)``

    Args:
        inputs: inputs of one member.
        outputs: outputs of one member.
        members: number of members.
    """

    def __init__(self, inputs: int, outputs: int, members: int) -> None:
        super().__init__()
        bound = inputs**-0.5
        self.members = members
        self.weight = nn.Parameter(torch.empty(members, inputs, outputs).uniform_(-bound, bound))
        self.bias = nn.Parameter(torch.zeros(members, 1, outputs))

    def forward(self, inputs: Tensor) -> Tensor:
        """Return each member's outputs."""
        apart = inputs.view(len(inputs), self.members, -1).transpose(0, 1)  # (members, rows, inputs)
        return torch.bmm(apart, self.weight) + self.bias


class Dropout(nn.Module):
    """Dropout whose random numbers cost a quarter on a processor: 64 random bits make four.

    Args:
        probability: probability of dropping an element, at least 0 and below 1; rounded to 1/65,536.
    """

    def __init__(self, probability: float) -> None:
        super().__init__()
        self.probability = probability

    def forward(self, values: Tensor) -> Tensor:
        """Return the values; in training with random elements set to zero and the rest scaled up."""
        if not self.training or self.probability == 0:
            return values
        if values.device.type != "cpu":
            return F.dropout(values, self.probability)
        return values * _kept(values, self.probability).to(values.dtype).mul_(1.0 / (1.0 - self.probability))


class CategoryDropout(nn.Module):
    """Replace random ids by 0 in training, so that the vector of missing and unseen values is trained too.

    **Shape:** ids, int ``(rows, columns)``, in and out.

    Args:
        probability: probability of replacing an id, at least 0 and below 1; rounded to 1/65,536 on a processor.
    """

    def __init__(self, probability: float) -> None:
        super().__init__()
        self.probability = probability

    def forward(self, ids: Tensor) -> Tensor:
        """Return the ids; in training with random ones replaced by 0."""
        return ids * _kept(ids, self.probability) if self.training and self.probability > 0 else ids


def _kept(values: Tensor, probability: float) -> Tensor:
    """Return which elements are kept, bool of the same shape: False with the given probability."""
    if values.device.type != "cpu":
        return torch.rand(values.shape, device=values.device) >= probability
    bits = torch.empty((values.numel() + 3) // 4, dtype=torch.int64).random_(-(2**63), None)
    draws = bits.view(torch.int16)[: values.numel()].view(values.shape)
    return draws >= round(probability * 65_536) - 32_768


def _check(
    cardinalities: Sequence[int],
    continuous: int,
    outputs: int,
    sizes: Sequence[int],
    hidden: Sequence[int],
    probabilities: Mapping[str, float],
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
    for name, probability in (*probabilities.items(), *(("dropout", value) for value in dropouts)):
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
