"""`DotProductBias`: a rating as the product of a user's and an item's vector; and its variant with implicit terms.

One file that needs only torch. A table holds the factors and, last, the bias: one look-up instead of two.

**Source:** Koren, Bell and Volinsky, "Matrix Factorization Techniques for Recommender Systems" (2009); the sigmoid that
keeps ratings in their range is that of fast.ai's lesson.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Sequence
from typing import Any, Self, TypeAlias

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from headstart.core.errors import ConfigError

__all__ = ["DotProductBias", "HeldTables", "ImplicitDotProductBias", "member_sums"]


SPREAD = 0.05
"""Standard deviation of new factors."""

Bounds: TypeAlias = tuple[float, float]
"""Lowest and highest output, around 0."""


class HeldTables(nn.Module):
    """A model whose tables are computed anew in each training step, and once in evaluation mode without gradients."""

    _held: tuple[Tensor, Tensor] | None = None

    def new_tables(self) -> tuple[Tensor, Tensor]:
        """Return the tables of users and of items, computed from the parameters as they are."""
        raise NotImplementedError

    def tables(self) -> tuple[Tensor, Tensor]:
        """Return factors and bias of all users, ``(users, factors + 1)``, and of all items, as the score uses them."""
        if self.training or torch.is_grad_enabled():
            return self.new_tables()
        if self._held is None:
            self._held = self.new_tables()
        return self._held

    def drop_tables(self) -> None:
        """Drop the tables held for evaluation: what they were computed from has changed."""
        self._held = None

    def train(self, mode: bool = True) -> Self:  # noqa: FBT001 - torch's own signature
        """Set the mode as in torch; the tables held for evaluation are dropped."""
        self.drop_tables()
        return super().train(mode)

    def _apply(self, *arguments: Any, **options: Any) -> Self:
        self.drop_tables()
        super()._apply(*arguments, **options)  # type: ignore[no-untyped-call]  # torch's
        return self

    def _load_from_state_dict(self, *arguments: Any, **options: Any) -> None:
        self.drop_tables()
        super()._load_from_state_dict(*arguments, **options)


class DotProductBias(nn.Module):
    """The product of a user's and an item's factors, plus the bias of each.

    **Shape:**
    - Input: user ids, int64 ``(rows,)``; item ids, int64 ``(rows,)``, or ``(rows, choices)`` to compare several items
    - Output: ``(rows, 1)``, or ``(rows, choices)``

    >>> model = DotProductBias(users=5, items=7, factors=3, output_range=(-2.0, 1.5))
    >>> model(torch.tensor([1, 0]), torch.tensor([6, 6])).shape
    torch.Size([2, 1])

    What several items or users have in common can be given as traits, such as genres and jobs. To a user's factors and
    bias is added the sum of those of the user's traits, divided by the square root of their number; to an item's
    likewise.

    **Source:** of the traits: Rendle, "Factorization Machines" (2010), section V.

    Args:
        users: number of user ids, 0 (the unknown) included.
        items: number of item ids, 0 (the unknown) included.
        factors: width of the vectors.
        user_traits: ids of users and indices of their traits, int64 ``(2, pairs)``, no pair twice; None: none.
        item_traits: likewise of items.
        output_range: limits of the outputs, one below and one above 0, by a sigmoid that maps a score of 0 to 0 (the
            mean of standardised ratings); None: unbounded scores, for ranking.
        dropout: probability of leaving out a factor's product in training, from 0 to below 1.

    Raises:
        ConfigError: an argument is out of its range.
    """

    def __init__(
        self,
        users: int,
        items: int,
        factors: int = 50,
        *,
        user_traits: Tensor | None = None,
        item_traits: Tensor | None = None,
        output_range: Sequence[float] | None = None,
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        for name, value in (("users", users), ("items", items), ("factors", factors)):
            if not isinstance(value, int) or isinstance(value, bool) or value < 1:
                raise ConfigError(f"{name} must be a whole number of at least 1; got {value!r}")
        if not (isinstance(dropout, int | float) and 0 <= dropout < 1):
            raise ConfigError(f"dropout is a probability from 0 to below 1; got {dropout!r}")
        if output_range is not None and not (len(output_range) == 2 and output_range[0] < 0 < output_range[1]):
            raise ConfigError(f"output_range must be two numbers, one below and one above 0; got {output_range!r}")
        self.factors, self.dropout = factors, dropout
        self.range: Bounds | None = None if output_range is None else (float(output_range[0]), float(output_range[1]))
        self.user_table = nn.Parameter(_small(users, factors))
        self.item_table = nn.Parameter(_small(items, factors))
        self.user_traits = None if user_traits is None else _Traits(user_traits, users, factors)
        self.item_traits = None if item_traits is None else _Traits(item_traits, items, factors)

    def groups(self) -> list[list[nn.Module | nn.Parameter]]:
        """Return one parameter group: there is no head."""
        return [list(self.parameters())]

    def forward(self, users: Tensor, items: Tensor) -> Tensor:
        """Return the outputs, ``(rows, 1)`` or ``(rows, choices)``."""
        if items.ndim == 2 or (self.dropout and self.training):
            return _bounded(self.scores(users, items), self.range)
        outputs: Tensor = _PairScore.apply(  # type: ignore[no-untyped-call]  # torch leaves apply untyped
            *self.tables(), users, items, self.range
        )
        return outputs

    def scores(self, users: Tensor, items: Tensor) -> Tensor:
        """Return scores before the sigmoid, ``(rows, 1)``; of choices ``(rows, choices)``, without the user's bias."""
        user_table, item_table = self.tables()
        user = user_table.index_select(0, users)  # (rows, factors + bias)
        if items.ndim == 2:
            # The user's bias would not change the order of the choices, and is left out.
            choices = F.embedding(items, item_table)  # (rows, choices, factors + bias)
            factors = F.dropout(user[:, :-1], self.dropout, self.training)
            product = torch.bmm(choices[..., :-1], factors[:, :, None]).squeeze(2)
            return product + choices[..., -1]
        item = item_table.index_select(0, items)
        product = F.dropout(user[:, :-1] * item[:, :-1], self.dropout, self.training).sum(1, keepdim=True)
        return product + user[:, -1:] + item[:, -1:]

    def new_user(self, items: Tensor) -> Tensor:
        """Return factors and bias to expect of a new user who has chosen these items, ``(factors + 1,)``.

        Args:
            items: ids, int64 ``(items,)``, at least one, all different.
        """
        return self.tables()[0][0].clone()

    def tables(self) -> tuple[Tensor, Tensor]:
        """Return factors and bias of all users, ``(users, factors + 1)``, and of all items, as the score uses them."""
        return self.with_traits(self.user_table, self.item_table)

    def with_traits(self, users: Tensor, items: Tensor) -> tuple[Tensor, Tensor]:
        """Return the tables of users and items, ``(users, factors + 1)`` and so on, with what their traits add."""
        return (
            users if self.user_traits is None else users + self.user_traits(),
            items if self.item_traits is None else items + self.item_traits(),
        )

    def bounded(self, score: Tensor) -> Tensor:
        """Return the outputs for scores, of any shape."""
        return _bounded(score, self.range)

    def set_seen(self, seen: Tensor) -> None:
        """Do nothing: without implicit terms it makes no difference who has rated what."""


class ImplicitDotProductBias(HeldTables, DotProductBias):
    """`DotProductBias` in which the rated items also represent a user, and the users who rated an item also the item.

    To a user's factors is added the sum of the implicit factors of the user's items, divided by the square root of
    their number; to an item's factors likewise that of its users. The pairs are those of the training rows. Every
    output depends on all users and items through these sums, so a step costs one pass over all training pairs: use
    large batches.

    **Source:** the users' terms are SVD++ (Koren, "Factorization Meets the Neighborhood", 2008, equation 15); the
    items' terms mirror them, as in Rendle, Zhang and Koren, "On the Difficulty of Evaluating Baselines" (2019),
    "flipped".

    **Shape:** as for `DotProductBias`.

    >>> model = ImplicitDotProductBias(users=3, items=4, seen=torch.tensor([[1, 1, 2], [1, 3, 3]]), factors=2)
    >>> model(torch.tensor([1, 0]), torch.tensor([3, 2])).shape
    torch.Size([2, 1])

    Args:
        users: as for `DotProductBias`.
        items: as for `DotProductBias`.
        seen: ids of users and items, int64 ``(2, training rows)``, no pair twice.
        factors: width of the vectors.
        output_range: as for `DotProductBias`.
        dropout: as for `DotProductBias`.
    """

    user_starts: Tensor
    user_members: Tensor
    item_starts: Tensor
    item_members: Tensor

    def __init__(
        self,
        users: int,
        items: int,
        seen: Tensor,
        factors: int = 50,
        *,
        user_traits: Tensor | None = None,
        item_traits: Tensor | None = None,
        output_range: Sequence[float] | None = None,
        dropout: float = 0.0,
    ) -> None:
        super().__init__(
            users, items, factors, user_traits=user_traits, item_traits=item_traits, output_range=output_range,
            dropout=dropout,
        )  # fmt: skip
        if seen.ndim != 2 or len(seen) != 2:
            raise ConfigError(f"seen must be ids of users and items, (2, training rows); got {tuple(seen.shape)}")
        # Biases of their own, since weight decay, which must be strong here, is for tables and not for vectors.
        self.user_bias, self.item_bias = nn.Parameter(torch.zeros(users)), nn.Parameter(torch.zeros(items))
        self.user_table, self.user_implicit = (nn.Parameter(torch.randn(users, factors) * SPREAD) for _ in range(2))
        self.item_table, self.item_implicit = (nn.Parameter(torch.randn(items, factors) * SPREAD) for _ in range(2))
        self.set_seen(seen)

    def set_seen(self, seen: Tensor) -> None:
        """Set who has rated what: ids of users and items, int64 ``(2, training rows)``, no pair twice."""
        users, items = len(self.user_bias), len(self.item_bias)
        for name, owners, members, count in (("user", seen[0], seen[1], users), ("item", seen[1], seen[0], items)):
            starts, ordered = _grouped(owners, members, count)
            self.register_buffer(f"{name}_starts", starts.to(self.user_bias.device), persistent=False)
            self.register_buffer(f"{name}_members", ordered.to(self.user_bias.device), persistent=False)
        self.drop_tables()

    def new_tables(self) -> tuple[Tensor, Tensor]:
        """Return the tables of users and of items, implicit terms included."""
        by_user: tuple[Any, Any] = (self.user_starts, self.user_members)
        by_item: tuple[Any, Any] = (self.item_starts, self.item_members)
        # What a user's items add to the user, (users, factors), and an item's users to the item.
        sums: Any = _MemberSums.apply  # torch leaves it untyped
        of_items: Tensor = sums(*by_user, *by_item, self.item_implicit)
        of_users: Tensor = sums(*by_item, *by_user, self.user_implicit)
        return self.with_traits(
            torch.cat([self.user_table + of_items, self.user_bias[:, None]], 1),
            torch.cat([self.item_table + of_users, self.item_bias[:, None]], 1),
        )

    def new_user(self, items: Tensor) -> Tensor:
        """Return factors and bias to expect of a new user who has chosen these items; see `DotProductBias.new_user`."""
        vector = super().new_user(items)
        vector[:-1] += self.item_implicit[items].sum(0) / len(items) ** 0.5
        return vector


class _Traits(nn.Module):
    """Factors and a bias of each trait; what they add to their owners, ``(owners, factors + 1)``.

    Args:
        pairs: ids of owners and indices of their traits, int64 ``(2, pairs)``, no pair twice.
        owners: number of ids, 0 included.
        factors: width of the vectors.
    """

    def __init__(self, pairs: Tensor, owners: int, factors: int) -> None:
        super().__init__()
        count = int(pairs[1].max()) + 1
        self.table = nn.Parameter(_small(count, factors))
        for name, first, second, rows in (("own", pairs[0], pairs[1], owners), ("back", pairs[1], pairs[0], count)):
            starts, members = _grouped(first, second, rows)
            self.register_buffer(f"{name}_starts", starts, persistent=False)
            self.register_buffer(f"{name}_members", members, persistent=False)

    def forward(self) -> Tensor:
        """Return what the traits add to the factors and the bias of each id."""
        total: Tensor = _MemberSums.apply(  # type: ignore[no-untyped-call]  # torch leaves apply untyped
            self.own_starts, self.own_members, self.back_starts, self.back_members, self.table
        )
        return total


class _PairScore(torch.autograd.Function):
    """The output for pairs, ``(rows, 1)``: one function forward and one backward instead of a dozen operations."""

    @staticmethod
    def forward(
        ctx: Any, user_table: Tensor, item_table: Tensor, users: Tensor, items: Tensor, bounds: Bounds | None
    ) -> Tensor:
        user, item = user_table.index_select(0, users), item_table.index_select(0, items)
        score = (user[:, :-1] * item[:, :-1]).sum(1, keepdim=True)
        score += user[:, -1:]
        score += item[:, -1:]
        ctx.sizes, ctx.bounds = (user_table.shape, item_table.shape), bounds
        if bounds is not None:  # what `_bounded` does, in place
            low, high = bounds
            score.add_(math.log(-low / high)).sigmoid_().mul_(high - low).add_(low)
        ctx.save_for_backward(user, item, users, items, *(() if bounds is None else (score,)))
        return score

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, Tensor, None, None, None]:
        user, item, users, items, *outputs = ctx.saved_tensors
        (gradient,) = gradients  # (rows, 1)
        if ctx.bounds is not None:  # the sigmoid's slope
            low, high = ctx.bounds
            gradient = gradient * ((outputs[0] - low) * (high - outputs[0])).div_(high - low)
        tables = []
        for other, ids, size in ((item, users, ctx.sizes[0]), (user, items, ctx.sizes[1])):
            part = other * gradient  # (rows, factors + bias)
            part[:, -1:] = gradient
            tables.append(part.new_zeros(size).index_add_(0, ids, part))
        return tables[0], tables[1], None, None, None


class _MemberSums(torch.autograd.Function):
    """For each owner the sum of its members' rows over the square root of their number, ``(owners, factors)``.

    Both passes are products with a sparse matrix; the backward pass has the transposed one, which the caller gives.
    """

    @staticmethod
    def forward(ctx: Any, starts: Tensor, members: Tensor, back_starts: Tensor, back: Tensor, table: Tensor) -> Tensor:
        scale = starts.diff().clamp(min=1).to(table.dtype).rsqrt()[:, None]
        ctx.save_for_backward(back_starts, back, scale)
        return member_sums(starts, members, table) * scale

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[None, None, None, None, Tensor]:
        back_starts, back, scale = ctx.saved_tensors
        return None, None, None, None, member_sums(back_starts, back, gradients[0] * scale)


def member_sums(starts: Tensor, members: Tensor, table: Tensor) -> Tensor:
    """Return for each owner the sum of its members' rows of a table, ``(owners, width)``.

    Args:
        starts: index of each owner's first member, and the number of members: int32 ``(owners + 1,)``.
        members: row indices of the table, int32 ``(members,)``.
        table: float ``(rows, width)``.
    """
    owners = len(starts) - 1
    if table.device.type == "mps":  # which has no sparse products
        owner_of = torch.repeat_interleave(
            torch.arange(owners, device=table.device), starts.diff(), output_size=len(members)
        )
        return table.new_zeros(owners, table.shape[1]).index_add_(0, owner_of, table.index_select(0, members))
    ones = torch.ones(len(members), dtype=table.dtype, device=table.device)
    with torch.autocast(table.device.type, enabled=False):
        matrix = torch.sparse_csr_tensor(starts, members, ones, (owners, len(table)), check_invariants=False)
        return torch.mm(matrix, table)


with warnings.catch_warnings():  # torch warns once per process that these tensors are in beta: let it do so here
    warnings.simplefilter("ignore", UserWarning)
    torch.sparse_csr_tensor(torch.tensor([0, 1]), torch.tensor([0]), torch.ones(1), (1, 1), check_invariants=False)


def _grouped(owners: Tensor, members: Tensor, count: int) -> tuple[Tensor, Tensor]:
    """Index of each owner's first member, int32 ``(count + 1,)``, and the members by owner, ascending, int32."""
    order = members.argsort(stable=True)
    order = order[owners[order].argsort(stable=True)]
    starts = torch.zeros(count + 1, dtype=torch.int32, device=owners.device)
    starts[1:] = torch.bincount(owners, minlength=count).cumsum(0)
    return starts, members[order].to(torch.int32)


def _bounded(score: Tensor, bounds: Bounds | None) -> Tensor:
    """Scores mapped into the range by a sigmoid, 0 to 0."""
    if bounds is None:
        return score
    low, high = bounds
    return torch.sigmoid(score + math.log(-low / high)) * (high - low) + low


def _small(count: int, factors: int) -> Tensor:
    """Return normal factors, and a bias of 0: ``(count, factors + 1)``."""
    table = torch.randn(count, factors + 1) * SPREAD
    table[:, -1] = 0.0
    return table
