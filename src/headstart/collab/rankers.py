"""`EASE` and `IALS`: recommenders with a solution in closed form, of who has chosen what; quick, and hard to beat."""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, ClassVar, Self, TypedDict, Unpack

import torch
from torch import Tensor

from headstart.collab.codec import RatingsCodec
from headstart.collab.data import RatingsData
from headstart.collab.evaluation import LENGTH, evaluate_ranking, usable_pairs
from headstart.collab.models.dot_product import member_sums
from headstart.collab.recommender import Recommender
from headstart.collab.seen import NewUser
from headstart.core.artefact import finite, reading
from headstart.core.engine import Engine
from headstart.core.errors import ConfigError
from headstart.core.paths import expanded
from headstart.core.values import Json, Range, Value, from_json, options_of, replaced, unknown_option
from headstart.frames.door import Table, to_source, usable_rows
from headstart.training.saved import MODEL, own_tensors, save_values

__all__ = ["EASE", "IALS", "EASEDesign", "EASEOptions", "IALSDesign", "IALSOptions"]

MOST_ITEMS = 25_000
"""Largest number of items for EASE, whose weights are a square of them: 2.5 GB, and 7.5 GB while it solves."""

BYTES_PER_PAIR = 12
"""Memory that EASE needs while it solves: a float64 and a float32 for each pair of items."""

PADDED = 4_000_000
"""Numbers that are gathered at a time in a sweep of iALS."""


class Ranker(Recommender):
    """What both rankers have in common: solved from data, evaluated on the validation rows, saved and loaded.

    Args:
        data: from `RatingsData.from_table`; ratings count as chosen, however low. Or a `RatingsCodec`, for a ranker
            whose solution is loaded.
        design: all options; None: the defaults.
        options: fields of the design by name.

    Attributes:
        design: all options.
        solution: the solved tensors, by name.
        metrics: of the validation rows; empty if none of them is a new pair of a known user.
    """

    application: ClassVar[str]
    design_type: ClassVar[type[Value]]
    parts: ClassVar[tuple[str, ...]]
    """Names of the tensors of the solution."""

    design: Any
    solution: Mapping[str, Tensor]
    metrics: dict[str, float]

    def __init__(self, data: RatingsData | RatingsCodec, *, design: Any = None, **options: Any) -> None:
        fields = {option.name for option in options_of(self.design_type)}
        for name in options:
            if name not in fields:
                raise unknown_option(name, type(self).__name__, self.design_type)
        self.design = replaced(design or self.design_type(), options)
        self.metrics = {}
        if isinstance(data, RatingsCodec):
            self.codec, self.engine = data, Engine("cpu")
            return
        self.engine = data.engine
        self.codec = data.codec
        self.solution = self.solved()
        if data.valid_pairs is not None and usable_pairs(self, data.valid_pairs).any():
            self.metrics = evaluate_ranking(self, data.valid_pairs)

    @abstractmethod
    def solved(self) -> dict[str, Tensor]:
        """Return the solution for ``codec.seen``: tensors by name."""

    def predict(self, pairs: Table) -> Any:
        """Return the score of each pair of a table; of unknown users how many users chose the item.

        Scores order the items of one user; they are no ratings. An unknown item has the user's lowest score.

        Args:
            pairs: a table with the columns of users and items, in any order, others ignored.

        Returns:
            A table of the same library with a column ``prediction``, Float32, a row per row.
        """
        frame = self.read(pairs)
        users, items = self.codec.encode(frame).inputs
        scores = torch.zeros(len(frame))
        distinct, inverse = torch.unique(users, return_inverse=True)
        before = 0
        for chunk in self._chunks(distinct):
            of_items = self.user_scores(chunk)  # (users, items)
            of_items[:, 0] = of_items.amin(1)
            rows = ((inverse >= before) & (inverse < before + len(chunk))).nonzero()[:, 0]
            scores[rows] = of_items[inverse[rows] - before, items[rows]]
            before += len(chunk)
        return to_source(self.codec.decode(scores), pairs)

    def evaluate(self, table: Table, k: int = LENGTH, *, where: str | None = None) -> dict[str, float]:
        """Return how well `recommend` finds what the users of a table chose; see `headstart.collab.evaluation`.

        Args:
            table: a table of users and items; pairs that are also training rows are not relevant.
            k: number of recommended items.
            where: a SQL condition on the rows; None: all count.
        """
        frame = usable_rows(self.read(table), where, "table", ())
        return evaluate_ranking(self, torch.stack(self.codec.encode(frame).inputs), k)

    def fold_in(self, ratings: Mapping[Any, float] | Iterable[Any] | Table) -> NewUser:
        """Return a new user described by chosen items; ratings matter only for the reasons of recommendations.

        Args:
            ratings: a list of items, or items with ratings as a dictionary or a table. Unknown items are left out.
        """
        items, values = self._known_ratings(ratings)
        return NewUser(items, values, None)

    def save(self, folder: str | Path) -> Path:
        """Save to a folder: ``learner.json`` and ``weights.safetensors``, whole or not at all.

        Raises:
            ArtifactError: the folder cannot be written, or holds other files.
        """
        tensors = {f"{MODEL}{name}": tensor for name, tensor in self.solution.items()}
        rest = {"model": type(self).__name__, "metrics": finite(self.metrics), "history": []}
        values = {"codec": self.codec, "design": self.design}
        self.engine.on_main(lambda: save_values(expanded(folder), self.application, values, tensors, rest))
        return expanded(folder)

    @classmethod
    def restored(cls, record: Json, tensors: Mapping[str, Tensor], folder: Path, engine: Engine) -> Self:
        """Return the ranker that `save` wrote. It runs on the processor, whatever the engine's device.

        Args:
            record: the content of ``learner.json``.
            tensors: the content of ``weights.safetensors``.
            folder: the artefact, for messages.
            engine: not used.

        Raises:
            ArtifactError: the record or the tensors are incomplete.
        """
        with reading(folder):
            codec = from_json(RatingsCodec, record["codec"], tensors)
            ranker = cls(codec, design=from_json(cls.design_type, record["design"]))
            solution = own_tensors(tensors)
            ranker.solution = {name: solution[name] for name in cls.parts}
            ranker.metrics = {name: math.nan if v is None else v for name, v in record["metrics"].items()}
        return ranker

    def _popularity(self) -> Tensor:
        """Return the number of users of each item, as a share of the largest, float32 ``(items,)``."""
        counts = self.seen.item_counts(len(self.codec.items)).float()
        return counts / counts.max().clamp(min=1)


@dataclass(frozen=True, kw_only=True)
class EASEDesign(Value):
    """Options of `EASE`.

    Attributes:
        penalty: ridge penalty on the weights, in training rows; higher for fewer rows per item.
    """

    penalty: Annotated[float, Range(above=0)] = 400.0


class EASEOptions(TypedDict, total=False):
    """The fields of `EASEDesign` as keyword arguments."""

    penalty: float


class EASE(Ranker):
    """Scores each item by a weighted sum over the chosen items; the weights solve one ridge regression per item.

    **Source:** Steck, "Embarrassingly Shallow Autoencoders for Sparse Data" (2019), equation 8.

    Args:
        data: from `RatingsData.from_table`; ratings count as chosen, however low. Or a `RatingsCodec`, for a ranker
            whose solution is loaded.
        design: all options; None: the defaults of `EASEDesign`.
        options: its fields by name: ``EASE(data, penalty=200)``.

    Raises:
        ConfigError: an option is out of its range, or there are over 25,000 items.
    """

    application = "ease"
    design_type = EASEDesign
    parts = ("weights",)
    design: EASEDesign

    def __init__(
        self, data: RatingsData | RatingsCodec, *, design: EASEDesign | None = None, **options: Unpack[EASEOptions]
    ) -> None:
        super().__init__(data, design=design, **options)

    @property
    def weights(self) -> Tensor:
        """How much each chosen item adds to each item's score: float32 ``(chosen, items)``."""
        return self.solution["weights"]

    def user_scores(self, users: Tensor) -> Tensor:
        """Return sums of the chosen items' weights, float32 ``(users, items)``; popularity for the unknown user."""
        rows, chosen = self.seen.of_users(users)
        starts = torch.zeros(len(users) + 1, dtype=torch.int32)
        starts[1:] = torch.bincount(rows, minlength=len(users)).cumsum(0)
        scores = member_sums(starts, chosen.int(), self.weights)
        scores[users == 0] = self._popularity()
        return scores

    def new_user_scores(self, user: NewUser) -> Tensor:
        """Return the sums for a new user, float32 ``(items,)``."""
        return self.weights[user.items].sum(0) if len(user.items) else self._popularity()

    def item_profiles(self) -> Tensor:
        """Return the items' weights, both directions added, float32 ``(items, items)``."""
        return self.weights + self.weights.T

    def influences(self, items: Tensor, of: Tensor) -> Tensor:
        """Return exactly what each chosen item adds to the score of each recommended one."""
        return self.weights[of][:, items].T

    def solved(self) -> dict[str, Tensor]:
        """Return the weights, of which no item has one for itself."""
        items = len(self.codec.items)
        if items > MOST_ITEMS:
            raise ConfigError(
                f"EASE holds a number for each pair of items, and {items - 1:,} items are more than {MOST_ITEMS:,}:"
                f" solving it takes {BYTES_PER_PAIR * items**2 / 1e9:,.1f} GB; leave rare items out with where=, or use"
                " IALS"
            )
        together = torch.zeros(items, items)  # number of users who chose both
        for users in self._chunks(torch.arange(1, len(self.codec.users))):
            indices, chosen = self.seen.of_users(users)
            rows = torch.zeros(len(users), items)
            rows[indices, chosen] = 1.0
            together.addmm_(rows.T, rows)
        matrix = together.double().T  # column by column, as LAPACK needs it to work in place
        matrix.diagonal().add_(self.design.penalty)
        torch.linalg.cholesky(matrix, out=matrix)
        torch.cholesky_inverse(matrix, out=matrix)
        matrix.div_(-matrix.diagonal().clone())
        return {"weights": together.copy_(matrix).fill_diagonal_(0.0)}


@dataclass(frozen=True, kw_only=True)
class IALSDesign(Value):
    """Options of `IALS`.

    Attributes:
        factors: width of the vectors of users and items.
        penalty: ridge penalty on each vector.
        frequency: exponent by which the penalty grows with the number of rows: it is multiplied by
            (rows / mean number of rows)^frequency.
        alpha: weight of what was chosen, beside the weight 1 that everything has.
        sweeps: number of times that users and items are solved for.
        seed: seed of the first item vectors.
    """

    factors: Annotated[int, Range(low=1)] = 64
    penalty: Annotated[float, Range(above=0)] = 10.0
    frequency: Annotated[float, Range(low=0, high=1)] = 0.5
    alpha: Annotated[float, Range(above=0)] = 0.5
    sweeps: Annotated[int, Range(low=1)] = 10
    seed: Annotated[int, Range(low=0)] = 0


class IALSOptions(TypedDict, total=False):
    """The fields of `IALSDesign` as keyword arguments."""

    factors: int
    penalty: float
    frequency: float
    alpha: float
    sweeps: int
    seed: int


class IALS(Ranker):
    """Learns factors of users and items whose product is 1 for what was chosen and 0, with less weight, for all else.

    Users and items are solved for in turn, each exactly, by torch's batched Cholesky factorisation.

    **Source:** Hu, Koren and Volinsky, "Collaborative Filtering for Implicit Feedback Datasets" (2008), equations 4 and
    5; the penalty that grows with the number of rows is that of Rendle et al., "Revisiting the Performance of iALS on
    Item Recommendation Benchmarks" (2022), section 3.2.

    Args:
        data: from `RatingsData.from_table`; ratings count as chosen, however low. Or a `RatingsCodec`, for a ranker
            whose solution is loaded.
        design: all options; None: the defaults of `IALSDesign`.
        options: its fields by name: ``IALS(data, factors=128)``.

    Raises:
        ConfigError: an option is out of its range.
    """

    application = "ials"
    design_type = IALSDesign
    parts = ("user_factors", "item_factors")
    design: IALSDesign

    def __init__(
        self, data: RatingsData | RatingsCodec, *, design: IALSDesign | None = None, **options: Unpack[IALSOptions]
    ) -> None:
        super().__init__(data, design=design, **options)

    @property
    def user_factors(self) -> Tensor:
        """The users' vectors, float32 ``(users, factors)``."""
        return self.solution["user_factors"]

    @property
    def item_factors(self) -> Tensor:
        """The items' vectors, float32 ``(items, factors)``."""
        return self.solution["item_factors"]

    def user_scores(self, users: Tensor) -> Tensor:
        """Return products of the factors, float32 ``(users, items)``; popularity for the unknown user."""
        scores = self.user_factors[users] @ self.item_factors.T
        scores[users == 0] = self._popularity()
        return scores

    def new_user_scores(self, user: NewUser) -> Tensor:
        """Return the scores of a new user, whose factors are solved for, float32 ``(items,)``."""
        if not len(user.items):
            return self._popularity()
        starts = torch.tensor([0, len(user.items)])
        mean = len(self.seen) / max(1, len(self.codec.users) - 1)
        return self.item_factors @ self._owners(self.item_factors, starts, user.items, mean)[0]

    def item_profiles(self) -> Tensor:
        """Return the items' factors, float32 ``(items, factors)``."""
        return self.item_factors

    def solved(self) -> dict[str, Tensor]:
        """Return the factors of users and items."""
        seen, users, items = self.seen, len(self.codec.users), len(self.codec.items)
        generator = torch.Generator().manual_seed(self.design.seed)
        item_factors = torch.randn(items, self.design.factors, generator=generator) * 0.1 / self.design.factors**0.5
        item_factors[0] = 0.0
        item_starts = torch.zeros(items + 1, dtype=torch.int64)
        item_starts[1:] = seen.item_counts(items).cumsum(0)
        item_users = seen.users[seen.items.argsort(stable=True)]
        user_mean, item_mean = len(seen) / max(1, users - 1), len(seen) / max(1, items - 1)
        for _ in range(self.design.sweeps):
            user_factors = self._owners(item_factors, seen.starts, seen.items, user_mean)
            item_factors = self._owners(user_factors, item_starts, item_users, item_mean)
        return {"user_factors": user_factors, "item_factors": item_factors}

    def _owners(self, others: Tensor, starts: Tensor, members: Tensor, mean: float) -> Tensor:
        """Return the factors of owners (users or items), given those of the others: float32 ``(owners, factors)``.

        An owner without rows has zeros.

        Args:
            others: the others' factors, float32 ``(others, factors)``.
            starts: where each owner's members begin, int64 ``(owners + 1,)``.
            members: ids of others, int64.
            mean: mean number of rows per owner.
        """
        counts = starts.diff()
        gram = others.T @ others
        factors = torch.zeros(len(counts), others.shape[1])
        order = counts.argsort(descending=True, stable=True)
        order = order[: int((counts > 0).sum())]
        at = 0
        while at < len(order):  # owners with about as many members, padded to the longest of them
            longest = int(counts[order[at]])
            owners = order[at : at + max(1, PADDED // (longest * others.shape[1]))]
            at += len(owners)
            position = torch.arange(longest)
            inside = position < counts[owners][:, None]  # (owners, longest)
            rows = (starts[owners][:, None] + position).clamp(max=len(members) - 1)
            vectors = others[members[rows]] * inside[..., None]  # (owners, longest, factors)
            ridge = self.design.penalty * (counts[owners] / mean) ** self.design.frequency
            matrix = gram + self.design.alpha * torch.bmm(vectors.mT, vectors)
            matrix = matrix + ridge[:, None, None] * torch.eye(others.shape[1])
            right = (1 + self.design.alpha) * vectors.sum(1)
            factors[owners] = torch.cholesky_solve(right[..., None], torch.linalg.cholesky(matrix))[..., 0]
        return factors
