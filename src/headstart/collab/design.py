"""`CollabDesign`: the model of ratings or rankings as a value."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Literal, TypeAlias

from torch import nn

from headstart.collab.codec import RatingsCodec
from headstart.collab.ensemble import DotProductEnsemble
from headstart.collab.losses import bpr_loss, softmax_loss
from headstart.collab.models.dot_product import Bounds, DotProductBias, ImplicitDotProductBias
from headstart.collab.seen import Seen
from headstart.core.batch import Loss
from headstart.core.values import Range, Value
from headstart.training.settings import LearnerOptions, Training

__all__ = ["RANKING_LOSSES", "CollabDesign", "CollabOptions", "CollabTraining", "RankingLoss"]

RankingLoss: TypeAlias = Literal["softmax", "bpr"]

RANKING_LOSSES: dict[RankingLoss, Loss] = {"softmax": softmax_loss, "bpr": bpr_loss}

MOST_IMPLICIT = 5_000_000
"""Training ratings up to which implicit terms are the default: a step passes over all of them."""

STRETCH = 0.1
"""How far beyond the ratings' range the sigmoid reaches, as a share of its width, so that the ends can be predicted."""


@dataclass(frozen=True, kw_only=True)
class CollabDesign(Value):
    """The model of ratings or rankings: a product of a user's and an item's factors, plus their biases.

    Attributes:
        factors: width of the vectors of users and items; None: 100 with implicit terms, else 50.
        implicit: represent a user by the rated items besides, and an item by the users who rated it; None: yes for
            ratings, up to five million training rows, no for rankings.
        dropout: probability of leaving out a factor in training; None: 0.5 with implicit terms, else 0.
        ranking_loss: loss of a model that ranks: ``"softmax"``, cross-entropy of the chosen item among random ones; or
            ``"bpr"``, the chosen item beats each random one. None: ``"softmax"`` for data with random items, else
            ratings are predicted, with squared error.
        ensemble: number of models to train together and to average.
    """

    factors: Annotated[int | None, Range(low=1)] = None
    implicit: bool | None = None
    dropout: Annotated[float | None, Range(low=0, below=1)] = None
    ranking_loss: RankingLoss | None = None
    ensemble: Annotated[int, Range(low=1)] = 1

    @property
    def ranks(self) -> bool:
        """Whether the model learns to rank items instead of ratings; known once the design is settled."""
        return self.ranking_loss is not None

    def settled(self, codec: RatingsCodec, *, ranks: bool) -> CollabDesign:
        """Return the design with every field settled that is None.

        Args:
            codec: learnt from the training rows.
            ranks: whether the data are for learning a ranking.
        """
        implicit = self.implicit
        if implicit is None:
            implicit = not ranks and (0 if codec.seen is None else len(codec.seen)) <= MOST_IMPLICIT
        return CollabDesign(
            factors=(100 if implicit else 50) if self.factors is None else self.factors,
            implicit=implicit,
            dropout=(0.5 if implicit else 0.0) if self.dropout is None else self.dropout,
            ranking_loss=(self.ranking_loss or "softmax") if ranks else None,
            ensemble=self.ensemble,
        )

    def training(self) -> CollabTraining:
        """Return the default training of a settled design."""
        return CollabTraining(weight_decay=2.0 if self.implicit else 0.1 if self.ranks else 0.3)

    def network(self, codec: RatingsCodec, seed: int) -> DotProductBias | DotProductEnsemble:
        """Return a fresh model of a settled design, or an ensemble of several.

        Args:
            codec: learnt from the training rows, whose pairs the implicit terms are made of.
            seed: seed of the weights.
        """
        model = DotProductEnsemble.of(lambda: self._member(codec), self.ensemble, seed)
        assert isinstance(model, DotProductBias | DotProductEnsemble)
        return model

    def joined(self, models: Sequence[nn.Module]) -> DotProductBias | DotProductEnsemble:
        """Return trained models of the design as one: a single one as it is, several as an ensemble."""
        model = models[0] if len(models) == 1 else DotProductEnsemble(models)
        assert isinstance(model, DotProductBias | DotProductEnsemble)
        return model

    def _member(self, codec: RatingsCodec) -> DotProductBias:
        """Return one model, its weights drawn from torch's random stream."""
        assert self.factors is not None and self.dropout is not None
        users, items = len(codec.users), len(codec.items)
        bounds = None if self.ranks else _sigmoid_range(codec)
        of_users, of_items = (
            None if traits is None else traits.pairs.long() for traits in (codec.user_traits, codec.item_traits)
        )
        if not self.implicit:
            return DotProductBias(
                users, items, self.factors, user_traits=of_users, item_traits=of_items, output_range=bounds,
                dropout=self.dropout,
            )  # fmt: skip
        seen = codec.seen or Seen.none(users)
        return ImplicitDotProductBias(
            users, items, seen.pairs.long(), self.factors, user_traits=of_users, item_traits=of_items,
            output_range=bounds, dropout=self.dropout,
        )  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class CollabTraining(Training):
    """Training of a model of ratings or rankings.

    Attributes:
        weight_decay: decay of factors and, without implicit terms, of biases. Unless it is given, it is 2 with implicit
            terms, 0.3 without, and 0.1 for rankings without.
    """

    weight_decay: Annotated[float, Range(low=0)] = 2.0


class CollabOptions(LearnerOptions, total=False):
    """Keyword arguments of `CollabLearner`: the fields of its design and its training, and those of every learner."""

    factors: int | None
    implicit: bool | None
    dropout: float | None
    ranking_loss: RankingLoss | None
    ensemble: int


def _sigmoid_range(codec: RatingsCodec) -> Bounds | None:
    """Return the range of standardised ratings, stretched; the mean lies inside even if all ratings are at one end."""
    bounds = None if codec.target is None else codec.target.output_range()
    if bounds is None:
        return None
    low, high = bounds[0][0], bounds[1][0]
    return low - STRETCH * (high - low), high + STRETCH * (high - low)
