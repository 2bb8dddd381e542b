"""The methods of learning from ratings or choices, as closed values: ``headstart train collab --method``."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, TypeAlias

from headstart.collab.data import NEGATIVES, RatingsData
from headstart.collab.learner import CollabLearner
from headstart.collab.rankers import EASE, IALS
from headstart.core.errors import ConfigError, did_you_mean

__all__ = ["METHODS", "Method", "find_method"]

AnyRecommender: TypeAlias = CollabLearner | EASE | IALS


@dataclass(frozen=True)
class Method:
    """A way to learn from ratings, or from who has chosen what.

    Attributes:
        name: its name.
        help: what it does, as a phrase.
        learner: class of the recommender; a `CollabLearner` is yet to be trained, the others are solved.
        fixed: options of its design that make it this method, by name.
        negatives: what ``RatingsData.from_table(negatives=...)`` needs for it; None: its default.
        needs_ratings: whether the table must have ratings.
    """

    name: str
    help: str
    learner: type[AnyRecommender]
    fixed: Mapping[str, Any] = field(default_factory=dict)
    negatives: int | None = None
    needs_ratings: bool = False

    @property
    def trained(self) -> bool:
        """Whether it is trained step by step, and not solved at once."""
        return issubclass(self.learner, CollabLearner)

    def __call__(self, data: RatingsData, **options: Any) -> AnyRecommender:
        """Return the recommender made from data and options."""
        return self.learner(data, **{**self.fixed, **options})


METHODS: dict[str, Method] = {
    method.name: method
    for method in (
        Method("ratings", "predict ratings", CollabLearner, negatives=0, needs_ratings=True),
        Method("ials", "rank by factors that are solved for (implicit ALS)", IALS),
        Method("ease", "rank by weights between items that are solved for; up to 25,000 items", EASE),
        Method(
            "softmax", "rank by factors trained with sampled softmax",
            CollabLearner, fixed={"ranking_loss": "softmax"}, negatives=NEGATIVES,
        ),
        Method(
            "bpr", "rank by factors trained to put the chosen item first (BPR)",
            CollabLearner, fixed={"ranking_loss": "bpr"}, negatives=NEGATIVES,
        ),
    )
}  # fmt: skip
"""By name."""


def find_method(name: str | None, rating: str | None) -> Method:
    """Return a method by name; without a name ``ratings`` if there are ratings, else ``ials``.

    Args:
        name: name of the method, or None.
        rating: column of ratings, or None.

    Raises:
        ConfigError: the name is unknown, or the method needs ratings.
    """
    if name is None:
        return METHODS["ials" if rating is None else "ratings"]
    if name not in METHODS:
        raise ConfigError(f"there is no method {name!r}; {did_you_mean(name, METHODS)}")
    if METHODS[name].needs_ratings and rating is None:
        raise ConfigError(f"the method {name!r} needs a column of ratings; {', '.join(METHODS)} are the methods")
    return METHODS[name]
