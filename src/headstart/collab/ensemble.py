"""`DotProductEnsemble`: several models of ratings, averaged, which are one model with longer vectors."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from headstart.collab.models.dot_product import Bounds, DotProductBias, HeldTables
from headstart.training.ensemble import Ensemble

__all__ = ["DotProductEnsemble"]


class DotProductEnsemble(HeldTables, Ensemble):
    """Models of one design, whose scores are averaged.

    The mean of the members' products is one product of all their factors side by side. So the ensemble has tables as a
    single model has, and recommends, explains and represents new users like one.

    **Shape:** as for `DotProductBias`; in training with an axis of the members before it.

    Args:
        members: models of the same design.

    Raises:
        ConfigError: there are no members.
    """

    @property
    def models(self) -> list[DotProductBias]:
        """The members."""
        return [member for member in self.members if isinstance(member, DotProductBias)]

    @property
    def range(self) -> Bounds | None:
        """Limits of the outputs; None: there are none."""
        return self.models[0].range

    def forward(self, *inputs: Tensor) -> Tensor:
        """Return the outputs of all members in training, ``(members, rows, ...)``; else those of their mean scores."""
        if self.training:
            return super().forward(*inputs)
        users, items = inputs
        return self.bounded(torch.stack([model.scores(users, items) for model in self.models]).mean(0))

    def new_tables(self) -> tuple[Tensor, Tensor]:
        """Return factors and bias of all users, ``(users, members * factors + 1)``, and of all items."""
        of_users, of_items = zip(*(model.tables() for model in self.models), strict=True)
        return _side_by_side(of_users), _side_by_side(of_items)

    def new_user(self, items: Tensor) -> Tensor:
        """Return factors and bias to expect of a new user; see `DotProductBias.new_user`."""
        return _side_by_side([model.new_user(items)[None] for model in self.models])[0]

    def bounded(self, score: Tensor) -> Tensor:
        """Return the outputs for scores, of any shape."""
        return self.models[0].bounded(score)

    def set_seen(self, seen: Tensor) -> None:
        """Set who has rated what; see `ImplicitDotProductBias.set_seen`."""
        for model in self.models:
            model.set_seen(seen)
        self.drop_tables()


def _side_by_side(tables: Sequence[Tensor]) -> Tensor:
    """Return one table, ``(rows, members * factors + 1)``; products of its rows are the means of the members'."""
    factors = [table[:, :-1] * len(tables) ** -0.5 for table in tables]
    biases = torch.stack([table[:, -1:] for table in tables]).mean(0)
    return torch.cat([*factors, biases], 1)
