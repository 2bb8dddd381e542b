"""`EASE` and `IALS`: recommenders with a solution in closed form, for who has chosen what; quick, and hard to beat."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Self

import numpy as np
import polars as pl
import torch
from torch import Tensor

from headstart.collab.codec import RatingsCodec
from headstart.collab.data import RatingsData
from headstart.collab.evaluation import evaluate_ranking, judging_rows
from headstart.collab.models.dot_product import member_sums
from headstart.collab.recommender import Recommender
from headstart.collab.seen import NewUser, Seen
from headstart.core.artefact import finite, reading, write_folder
from headstart.core.engine import Engine
from headstart.core.errors import ConfigError
from headstart.core.values import Json
from headstart.frames.door import Table, read_table, to_source
from headstart.version import __version__

__all__ = ["EASE", "IALS"]

MOST_ITEMS = 25_000
"""Items up to which EASE is offered: its weights are a square of them, 2.5 GB for this many."""

PADDED = 4_000_000
"""Numbers that are gathered at a time in a sweep of iALS."""


class _Ranker(Recommender):
    """What the two have in common: made from data, judged on its validation rows, saved and loaded."""

    application: str
    metrics: dict[str, float]

    def __init__(self, data: RatingsData) -> None:
        self.codec, self.seen = data.codec, Seen.of(data.seen, data.ratings, len(data.codec.users))
        self.metrics = {}
        self._solve()
        if data.valid_pairs is not None and bool(judging_rows(self, data.valid_pairs).any()):
            self.metrics = evaluate_ranking(self, data.valid_pairs)

    @abstractmethod
    def _solve(self) -> None:
        """Learns from ``seen``."""

    @abstractmethod
    def _settings(self) -> Json:
        """The options, by name."""

    @abstractmethod
    def _state(self) -> dict[str, Tensor]:
        """What was learnt."""

    @abstractmethod
    def _restore(self, tensors: Mapping[str, Tensor]) -> None:
        """Takes back what `_state` gave."""

    def predict(self, pairs: Table) -> Any:
        """The score of each pair of a table, as ``prediction``; for the unknown what suits most users.

        Scores rank items for one user; they are no ratings. An unknown item has the lowest score of all.
        """
        frame = read_table(pairs)
        users, items = self.codec.encode(frame)
        scores = torch.zeros(len(frame))
        distinct, places = torch.unique(users, return_inverse=True)
        before = 0
        for chunk in self._chunks(distinct):
            of_items = self.user_scores(chunk)
            of_items[:, 0] = of_items.amin(1)
            rows = ((places >= before) & (places < before + len(chunk))).nonzero()[:, 0]
            scores[rows] = of_items[places[rows] - before, items[rows]]
            before += len(chunk)
        return to_source(pl.DataFrame({"prediction": scores.numpy()}), pairs)

    def evaluate(self, table: Table, k: int = 10) -> dict[str, float]:
        """How well `recommend` finds what the users of a table chose; pairs of the training rows are not relevant."""
        return evaluate_ranking(self, torch.stack(self.codec.encode(read_table(table))), k)

    def fold_in(self, ratings: Mapping[Any, float] | Iterable[Any] | Table) -> NewUser:
        """A new user, from the items they chose; ratings are not looked at, but for the reasons given."""
        items, values = self._known_ratings(ratings)
        return NewUser(items, values, None)

    def save(self, folder: str | Path) -> Path:
        """Saves to a folder: ``learner.json`` and ``weights.safetensors``, whole or not at all.

        Raises:
            ArtifactError: the folder cannot be written, or holds other files.
        """
        tensors = {**self._state(), "seen": torch.stack([self.seen.users, self.seen.items]).int()}
        if self.seen.ratings is not None:
            tensors["ratings"] = self.seen.ratings
        write_folder(Path(folder), "learner", self.record(), tensors)
        return Path(folder)

    def record(self) -> Json:
        """What ``learner.json`` says."""
        return {
            "application": self.application,
            "headstart": __version__,
            "model": {"class": type(self).__name__, **self._settings()},
            "metrics": finite(self.metrics),
            "history": [],
            "codec": self.codec.to_json(),
        }

    @classmethod
    def from_record(cls, record: Json, tensors: Mapping[str, Tensor], folder: Path, engine: Engine) -> Self:
        """What `save` wrote. It runs on the processor, whatever the engine's device."""
        ranker = cls.__new__(cls)
        with reading(folder):
            ranker.codec = RatingsCodec.from_json(record["codec"])
            for name in record["model"].keys() - {"class"}:
                setattr(ranker, name, record["model"][name])
            ranker.metrics = {name: float("nan") if v is None else v for name, v in record["metrics"].items()}
            ranker.seen = Seen.of(tensors["seen"].long(), tensors.get("ratings"), len(ranker.codec.users))
            ranker._restore(tensors)
        return ranker

    def _popularity(self) -> Tensor:
        """What suits most users, between 0 and 1, float32 ``(items,)``."""
        counts = self.seen.counts(len(self.codec.items)).float()
        return counts / counts.max().clamp(min=1)


class EASE(_Ranker):
    """Each item's score is a weighted sum over the items chosen; the weights solve one regression, no item on itself.

    **Source:** Steck, "Embarrassingly Shallow Autoencoders for Sparse Data" (2019), equation 8.

    Args:
        data: from `RatingsData.from_table`; ratings count as chosen, whatever their height.
        penalty: the ridge on the weights, in rows; larger for fewer ratings per item.

    Raises:
        ConfigError: the penalty is not above 0, or there are over 25,000 items.
    """

    application = "ease"
    weights: Tensor

    def __init__(self, data: RatingsData, *, penalty: float = 400.0) -> None:
        if not penalty > 0:
            raise ConfigError(f"penalty must be above 0; got {penalty!r}")
        if len(data.codec.items) > MOST_ITEMS:
            raise ConfigError(
                f"EASE holds a number for each pair of items, and {len(data.codec.items) - 1:,} items are more than"
                f" {MOST_ITEMS:,}; leave rare items out with where=, or use IALS"
            )
        self.penalty = float(penalty)
        super().__init__(data)

    def user_scores(self, users: Tensor) -> Tensor:
        """Sums of the weights of the items chosen, float32 ``(users, items)``; for the unknown user popularity."""
        places, chosen = self.seen.of_users(users)
        starts = torch.zeros(len(users) + 1, dtype=torch.int32)
        starts[1:] = torch.bincount(places, minlength=len(users)).cumsum(0)
        scores = member_sums(starts, chosen.int(), self.weights)
        scores[users == 0] = self._popularity()
        return scores

    def new_user_scores(self, user: NewUser) -> Tensor:
        """The same for a new user, float32 ``(items,)``."""
        return self.weights[user.items].sum(0) if len(user.items) else self._popularity()

    def item_profiles(self) -> Tensor:
        """Who chose each item, as the weights see it: their rows, each direction counting the same."""
        return self.weights + self.weights.T

    def influences(self, items: Tensor, of: Tensor) -> Tensor:
        """Exactly what each chosen item adds to the score of each recommended one."""
        return self.weights[of][:, items].T

    def _solve(self) -> None:
        items = len(self.codec.items)
        together = torch.zeros(items, items)  # how many users chose both
        for users in self._chunks(torch.arange(1, len(self.codec.users))):
            places, chosen = self.seen.of_users(users)
            rows = torch.zeros(len(users), items)
            rows[places, chosen] = 1.0
            together += rows.T @ rows
        gram = together.double().numpy()
        gram[np.diag_indices(items)] += self.penalty
        inverse = np.linalg.inv(gram)
        weights = -inverse / np.diag(inverse)
        weights[np.diag_indices(items)] = 0.0
        self.weights = torch.from_numpy(weights.astype(np.float32))

    def _settings(self) -> Json:
        return {"penalty": self.penalty}

    def _state(self) -> dict[str, Tensor]:
        return {"weights": self.weights}

    def _restore(self, tensors: Mapping[str, Tensor]) -> None:
        self.weights = tensors["weights"]


class IALS(_Ranker):
    """Factors of users and items whose product is 1 for what was chosen and 0, with less weight, for all else.

    Users and items are solved for in turn, each exactly, with torch's batched Cholesky factorisation.

    **Source:** Hu, Koren and Volinsky, "Collaborative Filtering for Implicit Feedback Datasets" (2008), equations 4 and
    5; the penalty that grows with the number of rows is that of Rendle et al., "Revisiting the Performance of iALS on
    Item Recommendation Benchmarks" (2022), section 3.2.

    Args:
        data: from `RatingsData.from_table`; ratings count as chosen, whatever their height.
        factors: width of the vectors.
        penalty: the ridge on each vector.
        frequency: the penalty is multiplied by (number of rows / mean number)^frequency.
        alpha: what was chosen weighs 1 + alpha, all else 1.
        sweeps: how often both sides are solved.
        seed: of the first item factors.

    Raises:
        ConfigError: an option is out of its range.
    """

    application = "ials"
    user_factors: Tensor
    item_factors: Tensor

    def __init__(
        self,
        data: RatingsData,
        *,
        factors: int = 64,
        penalty: float = 10.0,
        frequency: float = 0.5,
        alpha: float = 0.5,
        sweeps: int = 10,
        seed: int = 0,
    ) -> None:
        for name, value in (("factors", factors), ("sweeps", sweeps)):
            if not isinstance(value, int) or isinstance(value, bool) or value < 1:
                raise ConfigError(f"{name} must be a whole number of at least 1; got {value!r}")
        if not (penalty > 0 and alpha > 0 and 0 <= frequency <= 1):
            raise ConfigError(
                f"penalty and alpha must be above 0, frequency from 0 to 1; got {penalty!r}, {alpha!r}, {frequency!r}"
            )
        self.factors, self.penalty, self.frequency, self.alpha = factors, float(penalty), float(frequency), float(alpha)
        self.sweeps, self.seed = sweeps, seed
        super().__init__(data)

    def user_scores(self, users: Tensor) -> Tensor:
        """Products of the factors, float32 ``(users, items)``; for the unknown user popularity."""
        scores = self.user_factors[users] @ self.item_factors.T
        scores[users == 0] = self._popularity()
        return scores

    def new_user_scores(self, user: NewUser) -> Tensor:
        """The same for a new user, whose factors are solved for, float32 ``(items,)``."""
        if not len(user.items):
            return self._popularity()
        starts = torch.tensor([0, len(user.items)])
        mean = len(self.seen.users) / max(1, len(self.codec.users) - 1)
        return self.item_factors @ self._solved(self.item_factors, starts, user.items, mean)[0]

    def item_profiles(self) -> Tensor:
        """The items' factors, float32 ``(items, factors)``."""
        return self.item_factors

    def _solve(self) -> None:
        users, items = len(self.codec.users), len(self.codec.items)
        generator = torch.Generator().manual_seed(self.seed)
        self.item_factors = torch.randn(items, self.factors, generator=generator) * 0.1 / self.factors**0.5
        self.item_factors[0] = 0.0
        order = self.seen.items.argsort(stable=True)
        item_starts = torch.zeros(items + 1, dtype=torch.int64)
        item_starts[1:] = self.seen.counts(items).cumsum(0)
        item_users, rows = self.seen.users[order], len(self.seen.users)
        for _ in range(self.sweeps):
            user_mean, item_mean = rows / max(1, users - 1), rows / max(1, items - 1)
            self.user_factors = self._solved(self.item_factors, self.seen.starts, self.seen.items, user_mean)
            self.item_factors = self._solved(self.user_factors, item_starts, item_users, item_mean)

    def _solved(self, others: Tensor, starts: Tensor, members: Tensor, mean: float) -> Tensor:
        """The factors of one side, given the other's: float32 ``(owners, factors)``, zeros for who has no rows.

        Args:
            others: factors of the other side.
            starts: where each owner's members begin, ``(owners + 1,)``.
            members: ids of the other side.
            mean: rows per owner.
        """
        counts = starts.diff()
        gram = others.T @ others
        found = torch.zeros(len(counts), others.shape[1])
        order = counts.argsort(descending=True, stable=True)
        order = order[: int((counts > 0).sum())]
        at = 0
        while at < len(order):  # owners with about as many members, padded to the longest of them
            longest = int(counts[order[at]])
            owners = order[at : at + max(1, PADDED // (longest * others.shape[1]))]
            at += len(owners)
            place = torch.arange(longest)
            inside = place < counts[owners][:, None]  # (owners, longest)
            rows = (starts[owners][:, None] + place).clamp(max=len(members) - 1)
            vectors = others[members[rows]] * inside[..., None]  # (owners, longest, factors)
            ridge = self.penalty * (counts[owners] / mean) ** self.frequency
            matrix = gram + self.alpha * torch.bmm(vectors.mT, vectors)
            matrix = matrix + ridge[:, None, None] * torch.eye(others.shape[1])
            right = (1 + self.alpha) * vectors.sum(1)
            found[owners] = torch.cholesky_solve(right[..., None], torch.linalg.cholesky(matrix))[..., 0]
        return found

    def _settings(self) -> Json:
        names = ("factors", "penalty", "frequency", "alpha", "sweeps", "seed")
        return {name: getattr(self, name) for name in names}

    def _state(self) -> dict[str, Tensor]:
        return {"user_factors": self.user_factors, "item_factors": self.item_factors}

    def _restore(self, tensors: Mapping[str, Tensor]) -> None:
        self.user_factors, self.item_factors = tensors["user_factors"], tensors["item_factors"]
