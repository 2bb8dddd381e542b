"""`CollabLearner`: learns ratings or rankings, predicts, recommends, explains, and is saved as one folder."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
import polars as pl
import torch
from torch import Tensor

from headstart.collab.codec import RatingsCodec
from headstart.collab.data import RatingsData, ratings_loader
from headstart.collab.evaluation import evaluate_ranking, judging_rows
from headstart.collab.fold_in import fold
from headstart.collab.losses import bpr_loss, softmax_loss
from headstart.collab.models.dot_product import DotProductBias, ImplicitDotProductBias
from headstart.collab.recommender import Recommender
from headstart.collab.seen import NewUser, Seen
from headstart.collab.taste import crosstab, taste_map
from headstart.core.artefact import load_weights, read_folder, reading, write_folder
from headstart.core.batch import Loss
from headstart.core.engine import Engine
from headstart.core.errors import ArtifactError, ConfigError, did_you_mean
from headstart.core.values import Json
from headstart.frames.door import Table, read_table, to_source
from headstart.targets.metrics import Metric
from headstart.training.callbacks import Callback
from headstart.training.display import Verbosity
from headstart.training.learner import Learner
from headstart.training.loaders import Loader
from headstart.training.optim import OptimizerFactory
from headstart.training.plots import Plot

__all__ = ["CollabLearner", "RankingLoss"]

RankingLoss = Literal["softmax", "bpr"]

RANKING_LOSSES: dict[str, Loss] = {"softmax": softmax_loss, "bpr": bpr_loss}

MOST_IMPLICIT = 5_000_000
"""Training ratings up to which implicit terms are on unless said otherwise: a step passes over all of them."""

STRETCH = 0.1
"""How far beyond the ratings' range the sigmoid reaches, as a share of its width, so that the ends can be predicted."""


class CollabLearner(Learner, Recommender):
    """A `DotProductBias` model, with implicit terms or without, on ratings or on choices.

    Args:
        data: from `RatingsData.from_table`.
        factors: width of the vectors; None: 100 with implicit terms, else 50.
        implicit: whether a user is also the items rated, and an item also the users who rated it; None: for ratings,
            yes, up to five million training rows; for rankings, no.
        dropout: probability of leaving out a factor; None: 0.5 with implicit terms, else 0.
        ranking_loss: for data with negatives: sampled softmax, or BPR.
        loss: as for `Learner`, and the same for all that follows; None: squared error, or the ranking loss.
        metrics: names or functions, for ratings; rankings have their own.
        optimizer: a factory.
        weight_decay: of factors, and without implicit terms of biases; None: 2 with implicit terms, 0.3 without, 0.1
            for rankings.
        clip: largest norm of the gradients.
        accumulate: batches per step.
        callbacks: for every fit.
        seed: of the factors and of dropout.
        folder: where snapshots are kept.
        progress: what a fit shows.

    Attributes:
        codec: what users, items and ratings are called.
        seen: what the users of the training rows have rated or chosen.
    """

    application = "collab"
    model: DotProductBias

    def __init__(
        self,
        data: RatingsData,
        *,
        factors: int | None = None,
        implicit: bool | None = None,
        dropout: float | None = None,
        ranking_loss: RankingLoss = "softmax",
        loss: Loss | None = None,
        metrics: Sequence[str | Metric] | None = None,
        optimizer: OptimizerFactory | None = None,
        weight_decay: float | None = None,
        clip: float | None = None,
        accumulate: int = 1,
        callbacks: Sequence[Callback] = (),
        seed: int = 0,
        folder: str | Path = "models",
        progress: Verbosity = "auto",
    ) -> None:
        if ranking_loss not in RANKING_LOSSES:
            raise ConfigError(f"ranking_loss: {did_you_mean(ranking_loss, RANKING_LOSSES)}")
        ranking = data.negatives > 0
        if implicit is None:
            implicit = not ranking and data.seen.shape[1] <= MOST_IMPLICIT
        self.codec = data.codec
        self.seen = Seen.of(data.seen, data.ratings, len(data.codec.users))
        self.design: Json = {
            "factors": (100 if implicit else 50) if factors is None else factors,
            "implicit": implicit,
            "dropout": (0.5 if implicit else 0.0) if dropout is None else dropout,
            "output_range": None if ranking else _output_range(data.codec),
            "ranking_loss": ranking_loss if ranking else None,
        }
        if weight_decay is None:
            weight_decay = 2.0 if implicit else 0.1 if ranking else 0.3
        super().__init__(
            _make_model(self.design, self.codec, data.seen, seed), data,
            loss=_own_loss(self.design) if loss is None else loss, metrics=metrics,
            optimizer=optimizer, weight_decay=weight_decay, clip=clip, accumulate=accumulate, callbacks=callbacks,
            seed=seed, folder=folder, progress=progress,
        )  # fmt: skip

    # ---- ratings

    def go_on(self, data: RatingsData) -> None:
        """Takes new training rows, made with ``codec=learner.codec``; what was seen before stays seen.

        Args:
            data: of the same users and items; those who are new stay unknown.

        Raises:
            ConfigError: the data have another codec, or the learner learns rankings from them where it learnt ratings.
        """
        if data.codec != self.codec or (data.negatives > 0) != (self.target is None):
            raise ConfigError(
                "these rows have another codec than the learner: RatingsData.from_table(..., codec=learner.codec)"
            )
        seen = self.seen.joined(Seen.of(data.seen, data.ratings, len(self.codec.users)), len(self.codec.items))
        if isinstance(self.model, ImplicitDotProductBias):
            self.model.set_seen(torch.stack([seen.users, seen.items]))
        self.data, self.seen = data, seen

    def predict(self, user: Any, item: Any = None) -> Any:
        """The rating to expect; for a ranking learner the score.

        Args:
            user: as the table calls them, or what `fold_in` gave; or, without ``item``, a table of pairs (columns in
                any order, others ignored), or one pair as a dictionary.
            item: as the table calls it.

        Returns:
            A number for a pair; a dictionary with ``prediction`` for a dictionary; for a table one of the same library
            with the column ``prediction``, a row per row. Whoever or whatever the training rows do not know gets what
            is to be expected of the unknown.

        Raises:
            DataError: a column is missing, or an id cannot be one of its column's kind.
        """
        if item is None and not (isinstance(user, Mapping | str | Path) or hasattr(user, "columns")):
            raise ConfigError(f"predict({user!r}): give the item as well, predict(user, item), or a table of pairs")
        if isinstance(user, NewUser):
            number = self.codec.items.encode_one(item, self.codec.item)
            return float(self.shown(self.new_user_scores(user)[number : number + 1], user))
        if item is not None:
            return self._predict_one({self.codec.user: user, self.codec.item: item})
        if isinstance(user, Mapping):
            return {"prediction": self._predict_one(user)}
        frame = read_table(user)
        if not len(frame):
            return to_source(self.codec.decode(torch.zeros(0)), user)
        found = self.predict_batches(ratings_loader(self.codec, frame, self.engine, with_target=False))
        return to_source(self.codec.decode(found.reshape(len(frame))), user)

    def validate(self, loader: Loader | None = None) -> dict[str, float]:
        """``valid_loss`` and the metrics over the validation rows; for a ranking learner those of its ranking."""
        if self.target is not None:
            return super().validate(loader)
        data = self._own_data()
        if not isinstance(data, RatingsData) or data.valid_pairs is None:
            raise ConfigError("a ranking is judged by the validation rows of RatingsData; learner.data has none")
        # Rows that cannot judge a ranking (new users, known pairs) are no reason to break off a training.
        judging = bool(judging_rows(self, data.valid_pairs).any())
        return evaluate_ranking(self, data.valid_pairs) if judging else {}

    def evaluate(self, table: Table) -> dict[str, float]:
        """The metrics over all rows of a table: of its ratings, or of the ranking for a ranking learner."""
        frame = read_table(table)
        if self.target is None:
            return self.evaluate_ranking(frame)
        return self.validate(ratings_loader(self.codec, frame, self.engine, with_target=True))

    # ---- what a Recommender is asked for

    def user_scores(self, users: Tensor) -> Tensor:
        """The scores of all items, float32 ``(users, items)``: what the model's range is put on."""
        user_table, item_table = self._tables()
        chosen = user_table[users.to(user_table.device)]
        return torch.addmm(item_table[:, -1], chosen[:, :-1], item_table[:, :-1].T) + chosen[:, -1:]

    def new_user_scores(self, user: NewUser) -> Tensor:
        """The scores of all items for a new user, float32 ``(items,)``."""
        user_table, item_table = self._tables()
        vector = user_table[0] if user.vector is None else user.vector.to(user_table.device)
        return item_table[:, :-1] @ vector[:-1] + item_table[:, -1] + vector[-1]

    def item_profiles(self) -> Tensor:
        """The items' factors, implicit sums included, float32 ``(items, factors)``."""
        return self._tables()[1][:, :-1].cpu()

    def fold_in(self, ratings: Mapping[Any, float] | Iterable[Any] | Table) -> NewUser:
        """A new user from what they rated: the vector that explains it best, with everything else as it is.

        It takes milliseconds: a few ridge regressions on the vectors of the items rated.

        Args:
            ratings: a dictionary of items and ratings; a table with the columns of items and ratings; for a ranking
                learner a list of items chosen. Unknown items are left out.

        Returns:
            To be given to `predict` and `recommend` in place of a user.

        Raises:
            DataError: no item is known, one stands twice, or a rating is missing.
            ConfigError: items without ratings, for a model of ratings.
        """
        items, values = self._known_ratings(ratings)
        if values is None and self.target is not None:
            raise ConfigError("fold_in needs ratings: a dictionary such as {item: rating}, or a table with both")
        if not len(items):
            return NewUser(items, values, None)
        return NewUser(items, values, fold(self.model, self.codec, items, values))

    def shown(self, scores: Tensor, user: Any) -> Tensor:
        """Predicted ratings in their own unit; for a ranking learner the scores themselves."""
        if self.target is None or not len(scores):
            return scores
        return self.target.prediction(self.model.bounded(scores)[:, None]).cpu()

    def evaluate_ranking(self, table: Table, k: int = 10) -> dict[str, float]:
        """How well `recommend` finds what the users of a table chose; see `headstart.collab.ranking`.

        Args:
            table: with users and items; pairs of the training rows in it are not relevant.
            k: length of the recommendations.
        """
        return evaluate_ranking(self, torch.stack(self.codec.encode(read_table(table))), k)

    # ---- taste

    def item_bias(self) -> pl.DataFrame:
        """What each item is rated above what the users' taste (the factors) explains, the best first.

        Returns:
            The item, its facts, ``ratings`` (how many training rows) and ``bias``: by how much an average user's
            rating is raised, in the ratings' unit; for a ranking learner in units of the score.
        """
        biases = self._tables()[1][1:, -1].cpu()
        shown = self.shown(biases, None) - self.shown(torch.zeros(1), None)
        ids = torch.arange(1, len(self.codec.items))
        frame = self._items_frame(ids).with_columns(
            pl.Series("ratings", self.seen.counts(len(self.codec.items))[1:].numpy()), pl.Series("bias", shown.numpy())
        )
        return frame.sort("bias", descending=True, maintain_order=True)

    def embeddings(self, of: Literal["item", "user"]) -> pl.DataFrame:
        """The vectors of all known items or users: their id, the facts on them, and ``factor_1`` and so on, Float32."""
        if of not in ("item", "user"):
            raise ConfigError(f"embeddings: of must be 'item' or 'user'; got {of!r}")
        vocab, name = (self.codec.items, self.codec.item) if of == "item" else (self.codec.users, self.codec.user)
        vectors = self._tables()[of == "item"][1:, :-1].cpu().numpy()
        factors = [pl.Series(f"factor_{number + 1}", vectors[:, number]) for number in range(vectors.shape[1])]
        ids = np.arange(1, len(vocab))
        facts = (self.codec.item_facts if of == "item" else self.codec.user_facts).frame(ids)
        return pl.DataFrame([vocab.decode(ids).alias(name), *facts.get_columns(), *factors])

    def map(self, n: int = 60, *, method: Literal["pca", "tsne"] = "pca") -> Plot:
        """A picture of taste: the most rated items in two dimensions, those liked alike near each other.

        Args:
            n: how many items.
            method: principal components; or t-SNE, with scikit-learn installed.

        Raises:
            ConfigError: scikit-learn is wanted and not installed, or there are under three items.
        """
        counts = self.seen.counts(len(self.codec.items))
        counts[0] = -1
        ids = counts.argsort(descending=True, stable=True)[: min(n, len(counts) - 1)]
        names = self.codec.item_facts.names(self.codec.items, ids.numpy())
        biases = self._tables()[1][:, -1].cpu()
        lift = self.shown(biases[ids], None) - self.shown(torch.zeros(1), None)
        return taste_map(self.item_profiles()[ids].numpy(), names, counts[ids].numpy(), lift.numpy(), method)

    def crosstab(self, n_users: int = 15, n_items: int = 15) -> pl.DataFrame:
        """The ratings of the busiest users for the most rated items: a row per user, a column per item.

        Null where there is no training row; for choices without ratings 1.

        Args:
            n_users: how many users.
            n_items: how many items.
        """
        return crosstab(self.codec, self.seen, n_users, n_items)

    # ---- keeping

    def save(self, folder: str | Path) -> Path:
        """As `Learner.save`; what the training users chose goes along, so that it is not recommended to them again."""
        folder = Path(folder)
        if self.engine.is_main:
            tensors = {**self.model.state_dict(), "seen": torch.stack([self.seen.users, self.seen.items]).int()}
            if self.seen.ratings is not None:
                tensors["ratings"] = self.seen.ratings
            write_folder(folder, "learner", self.record(), tensors)
        self.engine.wait()
        return folder

    def load(self, folder: str | Path) -> None:
        """As `Learner.load`: the weights alone; what the users have chosen stays this learner's."""
        record, tensors = read_folder(Path(folder), "learner")
        if record.get("application") != self.application:
            raise ArtifactError(
                f"{folder} holds a learner of the application {record.get('application')!r}, not 'collab'"
            )
        _without_seen(tensors)
        load_weights(self.model, tensors, Path(folder))

    def record(self) -> Json:
        """What ``learner.json`` says of this learner."""
        return super().record() | {
            "model": {"class": type(self.model).__name__, **self.design},
            "loss": "default" if self.loss is _own_loss(self.design) else "custom",
            "codec": self.codec.to_json(),
        }

    @classmethod
    def from_record(cls, record: Json, tensors: Mapping[str, Tensor], folder: Path, engine: Engine) -> CollabLearner:
        """The learner that `save` wrote, without data: it predicts; set ``data`` to go on training."""
        learner = cls.__new__(cls)
        tensors = dict(tensors)
        with reading(folder):
            learner.codec = RatingsCodec.from_json(record["codec"])
            learner.design = dict(record["model"])
            learner.design.pop("class")
            pairs, ratings = _without_seen(tensors)
            learner.seen = Seen.of(pairs, ratings, len(learner.codec.users))
            model = _make_model(learner.design, learner.codec, pairs, seed=0)
        load_weights(model, tensors, folder)
        target = learner.codec.target if record["target"] is not None else None
        Learner.__init__(learner, model, None, loss=_own_loss(learner.design), engine=engine, target=target)
        learner.take_over(record, folder)
        return learner

    # ---- inside

    def _tables(self) -> tuple[Tensor, Tensor]:
        with torch.no_grad():
            users, items = self.model.tables()
        return users.detach(), items.detach()

    def _predict_one(self, row: Mapping[str, Any]) -> float:
        user, item = self.codec.encode_one(row)
        device = self.engine.device
        with torch.inference_mode():
            outputs = self.model(user.to(device), item.to(device))
            return float(outputs if self.target is None else self.target.prediction(outputs))


def _make_model(design: Json, codec: RatingsCodec, seen: Tensor, seed: int) -> DotProductBias:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        users, items, factors = len(codec.users), len(codec.items), design["factors"]
        if design["implicit"]:
            return ImplicitDotProductBias(
                users, items, seen, factors, output_range=design["output_range"], dropout=design["dropout"]
            )
        return DotProductBias(users, items, factors, output_range=design["output_range"], dropout=design["dropout"])


def _own_loss(design: Json) -> Loss | None:
    """The loss of a ranking learner; None: the target's."""
    return None if design["ranking_loss"] is None else RANKING_LOSSES[design["ranking_loss"]]


def _output_range(codec: RatingsCodec) -> list[float] | None:
    """The sigmoid's ends: the target's range, stretched; the mean lies inside even if all ratings are at one end."""
    assert codec.target is not None
    bounds = codec.target.output_range()
    if bounds is None:
        return None
    low, high = bounds[0][0], bounds[1][0]
    return [low - STRETCH * (high - low), high + STRETCH * (high - low)]


def _without_seen(tensors: dict[str, Tensor]) -> tuple[Tensor, Tensor | None]:
    """Takes what is not the model's out of the tensors of a saved folder."""
    return tensors.pop("seen").long(), tensors.pop("ratings", None)
