"""`CollabLearner`: learns ratings or rankings, predicts, recommends, explains, and is saved as one folder."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Unpack

import numpy as np
import polars as pl
import torch
from torch import Tensor, nn

from headstart.collab.codec import RatingsCodec
from headstart.collab.data import RatingsData, ratings_loader, suggested_epochs
from headstart.collab.design import RANKING_LOSSES, CollabDesign, CollabOptions, CollabTraining
from headstart.collab.ensemble import DotProductEnsemble
from headstart.collab.evaluation import LENGTH, evaluate_ranking, usable_pairs
from headstart.collab.fold_in import fold
from headstart.collab.models.dot_product import DotProductBias
from headstart.collab.ranking import RANKING_METRICS
from headstart.collab.recommender import Recommender
from headstart.collab.seen import NewUser
from headstart.core.batch import Loss
from headstart.core.errors import ConfigError
from headstart.core.values import checked
from headstart.frames.door import Table, to_source, usable_rows
from headstart.targets.metrics import Better
from headstart.targets.target import Number
from headstart.training.application_learner import ApplicationLearner
from headstart.training.callbacks import Deadline
from headstart.training.history import History
from headstart.training.loaders import Loader
from headstart.training.settings import Plan, Preset, Training

if TYPE_CHECKING:
    from headstart.training.plots import Plot

__all__ = ["MEMBERS", "CollabLearner"]

MEMBERS = 6
"""Number of models that ``preset="best"`` averages."""


class CollabLearner(ApplicationLearner, Recommender):
    """A model of ratings, or of rankings, with implicit terms or without; and a recommender.

    Args:
        data: from `RatingsData.from_table`; or a `RatingsCodec`, for a learner that only predicts.
        design: the model; None: the defaults of `CollabDesign`, which depend on the data.
        training: all that changes what a training step does; None: the defaults of `CollabTraining`, whose weight decay
            depends on the design.
        options: the fields of both by name, ``CollabLearner(data, factors=20, clip=1.0)``, and those of
            `LearnerOptions`: ``loss``, ``metrics`` (of ratings; rankings have their own), ``callbacks``, ``folder``,
            ``progress``, ``engine``.

    Raises:
        ConfigError: an option is unknown or out of its range, or does not go with the data.
    """

    application = "collab"
    codec_type = RatingsCodec
    design_type = CollabDesign
    training_type = CollabTraining
    codec: RatingsCodec
    design: CollabDesign
    model: DotProductBias | DotProductEnsemble
    target: Number | None

    def __init__(
        self,
        data: RatingsData | RatingsCodec,
        *,
        design: CollabDesign | None = None,
        training: Training | None = None,
        **options: Unpack[CollabOptions],
    ) -> None:
        super().__init__(data, design=design, training=training, **options)
        if self.design.ranks and self.metrics:
            raise ConfigError("metrics are for ratings; a ranking has its own: leave metrics out")

    def make_model(self, seed: int) -> DotProductBias | DotProductEnsemble:
        """Return a fresh model of the design."""
        return self.design.network(self.codec, seed)

    def settled(self, design: CollabDesign, data: RatingsData | None) -> CollabDesign:
        """Return the design with every field settled: whether a ranking is learnt is up to the data."""
        ranks = design.ranks or self.codec.target is None if data is None else data.negatives > 0
        if design.ranks and not ranks:
            raise ConfigError(
                f"ranking_loss={design.ranking_loss!r} compares with random items, which these data do not have:"
                " RatingsData.from_table(..., negatives=50)"
            )
        return design.settled(self.codec, ranks=ranks)

    def usual_training(self, design: CollabDesign) -> CollabTraining:
        """Return the default training: its weight decay depends on the design."""
        return design.training()

    def target_of(self, data: RatingsData | None) -> Number | None:
        """Return the rating, or None for a learner of rankings."""
        return None if self.design.ranks else self.codec.target

    @classmethod
    def suggest(cls, data: RatingsData, design: CollabDesign | None = None) -> Plan:
        """Return how long and how fast to train on these data: see `suggested_epochs`.

        Args:
            data: the rows.
            design: makes no difference.
        """
        return Plan(lr=0.01, epochs=suggested_epochs(data.train.steps(0)))

    def fit_preset(
        self, preset: Preset = "default", *, plan: Plan | None = None, minutes: float | None = None
    ) -> History:
        """Train in as much time as there is: fast, by the suggested plan, or as well as can be.

        Args:
            preset: ``"fast"``: a third of the epochs; ``"default"``: by the plan; ``"best"``: models with different
                first weights, trained one after the other and averaged.
            plan: plan of each model; None: the suggested one.
            minutes: time limit; the model is then the mean of those trained so far. None: none.

        Returns:
            The figures of the epochs of all models.

        Raises:
            ConfigError: an unknown preset.
            NotFittedError: the learner has no data.
        """
        preset, started = checked("preset", Preset, preset), len(self.history)
        plan = self.plan() if plan is None else plan
        deadline = None if minutes is None else Deadline(minutes)
        if preset == "best":
            self._fit_members(plan, deadline)
        else:
            plan = plan.shortened() if preset == "fast" else plan
            self.fit_plan(plan, callbacks=[] if deadline is None else [deadline])
        return History(self.history[started:])

    def _fit_members(self, plan: Plan, deadline: Deadline | None) -> None:
        """Train members one after the other, and take them as one ensemble; one that the deadline cuts is left out."""
        data = self._own_data()
        models: list[nn.Module] = []
        for number in range(MEMBERS):
            member = type(self)(
                data, design=replace(self.design, ensemble=1),
                training=replace(self.training, seed=self.training.seed + 1_000_003 * number), loss=self.loss,
                metrics=self.metrics, callbacks=self.callbacks, progress=self.progress, engine=self.engine,
            )  # fmt: skip
            history = member.fit_plan(plan, callbacks=[] if deadline is None else [deadline])
            if deadline is not None and deadline.reached and models:
                break
            models.append(member.model)
            self.history += [{**figures, "fit": self.fits} for figures in history]
            self.fits += 1
            if deadline is not None and deadline.reached:
                break
        self.design = replace(self.design, ensemble=len(models))
        self.model = self.design.joined(models).to(self.engine.device).eval()
        if data.valid is not None:
            self.measure()

    def prepare_for(self, data: RatingsData) -> None:
        """Add the pairs of new data, made with ``codec=learner.codec``, to those seen before.

        Users and items that the codec does not have stay unknown.

        Raises:
            ConfigError: the learner learns ratings, and the data are for rankings, or the other way round.
        """
        if (data.negatives > 0) != self.design.ranks:
            what, other = ("rankings", "ratings") if self.design.ranks else ("ratings", "rankings")
            raise ConfigError(f"the learner learns {what}, and these data are for {other}: see negatives=")
        if data.codec.seen is None or data.codec is self.codec:
            return
        self.codec = self.codec.with_seen(data.codec.seen)
        self.model.set_seen(self.seen.pairs.long())

    # ---- ratings

    def predict(self, user: Any, item: Any = None) -> Any:
        """Return the rating to expect; of a learner of rankings the score.

        Args:
            user: a user id as in the training table, or a `NewUser` from `fold_in`; or, without ``item``, a table of
                pairs (columns in any order, others ignored), or one pair as a dictionary.
            item: an item id as in the training table.

        Returns:
            A number for a pair; a dictionary with ``prediction`` for a dictionary; for a table one of the same library
            with a column ``prediction``, a row per row. Unknown users and items get the prediction learnt for an
            unknown id.

        Raises:
            DataError: a column is missing, or an id cannot be one of its column's kind.
            ConfigError: a user without an item.
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
        frame = self.read(user)
        if not len(frame):
            return to_source(self.codec.decode(torch.zeros(0)), user)
        prediction = self.predict_batches(ratings_loader(self.codec.encode(frame), self.engine))
        return to_source(self.codec.decode(prediction.reshape(len(frame))), user)

    def evaluate(self, table: Table, *, where: str | None = None) -> dict[str, float]:
        """Return the metrics over the rows of a table: of its ratings, or of the ranking.

        Args:
            table: a table of pairs, with ratings if ratings are learnt.
            where: a SQL condition on the rows; None: all count.
        """
        frame = usable_rows(self.read(table), where, "table", ())
        if self.design.ranks:
            return self.evaluate_ranking(frame)
        rows = self.codec.encode(frame, with_target=True)
        return self.validate(ratings_loader(rows, self.engine))

    # ---- what training needs to know of rankings

    def validate(self, loader: Loader | None = None) -> dict[str, float]:
        """Return ``valid_loss`` and the metrics over the validation rows, or those of the ranking.

        The figures of a ranking are empty if no validation row is a new pair of a known user: no reason to break off a
        training.

        Raises:
            ConfigError: there are no validation rows.
        """
        if not self.design.ranks:
            return super().validate(loader)
        if loader is not None:
            raise ConfigError("a ranking is evaluated on a table of pairs: learner.evaluate_ranking(table)")
        self._valid()
        pairs = self.data.valid_pairs
        return evaluate_ranking(self, pairs) if usable_pairs(self, pairs).any() else {}

    def better(self) -> dict[str, Better]:
        """Return for each figure of an epoch whether lower or higher is better, if that is known."""
        if not self.design.ranks:
            return super().better()
        known: dict[str, Better] = {
            f"{metric.name}_{LENGTH}": metric.better for metric in RANKING_METRICS if metric.better is not None
        }
        return {**known, "train_loss": "lower"}

    def first_figure(self, *, validated: bool | None = None) -> str:
        """Return the figure by which the best epoch is chosen: ``rmse`` or ``ndcg_10``, else a loss."""
        if self.design.ranks and self.data is not None and self.data.valid_pairs is not None:
            usable = bool(usable_pairs(self, self.data.valid_pairs).any())
            return next(iter(self.better())) if usable else "train_loss"
        return super().first_figure(validated=validated)

    def _row_loss(self) -> Loss:
        if self.loss is None and self.design.ranking_loss is not None:
            return RANKING_LOSSES[self.design.ranking_loss]
        return super()._row_loss()

    # ---- what a Recommender needs

    def user_scores(self, users: Tensor) -> Tensor:
        """Return the scores of all items before the model's sigmoid, float32 ``(users, items)``."""
        user_table, item_table = self._tables()
        vectors = user_table[users.to(user_table.device)]  # (users, factors + bias)
        return torch.addmm(item_table[:, -1], vectors[:, :-1], item_table[:, :-1].T) + vectors[:, -1:]

    def new_user_scores(self, user: NewUser) -> Tensor:
        """Return the scores of all items for a new user, float32 ``(items,)``."""
        user_table, item_table = self._tables()
        vector = user_table[0] if user.vector is None else user.vector.to(user_table.device)
        return item_table[:, :-1] @ vector[:-1] + item_table[:, -1] + vector[-1]

    def item_profiles(self) -> Tensor:
        """Return the items' factors, implicit terms included, float32 ``(items, factors)``."""
        return self._tables()[1][:, :-1].cpu()

    def fold_in(self, ratings: Mapping[Any, float] | Iterable[Any] | Table) -> NewUser:
        """Return a new user described by ratings: the vector that explains them best, with all else fixed.

        It takes milliseconds: a few ridge regressions on the vectors of the rated items.

        Args:
            ratings: a dictionary of items and ratings; a table with the columns of items and ratings; for a learner of
                rankings a list of chosen items. Unknown items are left out.

        Returns:
            What `predict` and `recommend` take in place of a user.

        Raises:
            DataError: no item is known, one occurs twice, or a rating is missing.
            ConfigError: items without ratings, for a learner of ratings.
        """
        items, values = self._known_ratings(ratings)
        if values is None and self.target is not None:
            raise ConfigError("fold_in needs ratings: a dictionary such as {item: rating}, or a table with both")
        if not len(items):
            return NewUser(items, values, None)
        return NewUser(items, values, fold(self.model, self.codec, items, values))

    def shown(self, scores: Tensor, user: Any) -> Tensor:
        """Return predicted ratings in their unit; of a learner of rankings the scores themselves."""
        if self.target is None or not len(scores):
            return scores
        return self.target.prediction(self.model.bounded(scores)[:, None]).cpu()

    def evaluate_ranking(self, table: Table, k: int = LENGTH) -> dict[str, float]:
        """Return how well `recommend` finds what the users of a table chose; see `headstart.collab.evaluation`.

        Args:
            table: a table of users and items; pairs that are also training rows are not relevant.
            k: number of recommended items.
        """
        return evaluate_ranking(self, torch.stack(self.codec.encode(self.read(table)).inputs), k)

    # ---- taste

    def item_bias(self) -> pl.DataFrame:
        """Return how much higher each item is rated than the users' taste (the factors) explains, the best first.

        Returns:
            The item, the facts on it, ``ratings`` (its number of training rows) and ``bias``: by how much it raises an
            average user's rating, in the ratings' unit; of a learner of rankings in units of the score.
        """
        biases = self._tables()[1][1:, -1].cpu()
        shown = self.shown(biases, None) - self.shown(torch.zeros(1), None)
        counts = self.seen.item_counts(len(self.codec.items))[1:]
        frame = self._items_frame(torch.arange(1, len(self.codec.items))).with_columns(
            pl.Series("ratings", counts.numpy()), pl.Series("bias", shown.numpy())
        )
        return frame.sort("bias", descending=True, maintain_order=True)

    def embeddings(self, of: Literal["item", "user"]) -> pl.DataFrame:
        """Return the vectors of all known items or users: id, facts, and ``factor_1`` and so on, Float32.

        Args:
            of: ``"item"`` or ``"user"``.
        """
        if of not in ("item", "user"):
            raise ConfigError(f"embeddings: of must be 'item' or 'user'; got {of!r}")
        known, name = (self.codec.items, self.codec.item) if of == "item" else (self.codec.users, self.codec.user)
        vectors = self._tables()[of == "item"][1:, :-1].cpu().numpy()
        factors = [pl.Series(f"factor_{number + 1}", vectors[:, number]) for number in range(vectors.shape[1])]
        ids = np.arange(1, len(known))
        facts = (self.codec.item_facts if of == "item" else self.codec.user_facts).frame(ids)
        return pl.DataFrame([known.decode(ids).alias(name), *facts.get_columns(), *factors])

    def map(self, n: int = 60, *, method: Literal["pca", "tsne"] = "pca") -> Plot:
        """Draw the most rated items in two dimensions, close to each other if the same users like them.

        Args:
            n: number of items, at least 3.
            method: principal components; or t-SNE, which needs scikit-learn.

        Raises:
            ConfigError: scikit-learn is needed and not installed, or there are under three items.
        """
        from headstart.collab.taste import taste_map  # matplotlib takes a moment to import

        counts = self.seen.item_counts(len(self.codec.items))
        counts[0] = -1
        ids = counts.argsort(descending=True, stable=True)[: min(n, len(counts) - 1)]
        names = self.codec.item_facts.names(self.codec.items, ids.numpy())
        biases = self._tables()[1][:, -1].cpu()
        lift = self.shown(biases[ids], None) - self.shown(torch.zeros(1), None)
        return taste_map(self.item_profiles()[ids].numpy(), names, counts[ids].numpy(), lift.numpy(), method)

    def crosstab(self, n_users: int = 15, n_items: int = 15) -> pl.DataFrame:
        """Return the ratings of the busiest users for the most rated items: a row per user, a column per item.

        A cell is null if there is no training row, and 1 for a choice without a rating.

        Args:
            n_users: number of users.
            n_items: number of items.
        """
        from headstart.collab.taste import crosstab

        return crosstab(self.codec, self.seen, n_users, n_items)

    # ---- inside

    def _own_data(self) -> RatingsData:
        data = super()._own_data()
        assert isinstance(data, RatingsData)
        return data

    def _tables(self) -> tuple[Tensor, Tensor]:
        """Factors and bias of all users, ``(users, factors + 1)``, and of all items."""
        with torch.no_grad():
            users, items = self.model.tables()
        return users.detach(), items.detach()

    def _predict_one(self, row: Mapping[str, Any]) -> float:
        user, item = self.codec.encode_one(row)
        device = self.engine.device
        with torch.inference_mode(), self.engine.autocast():
            outputs = self.model(user.to(device), item.to(device))
            return float(outputs if self.target is None else self.target.prediction(outputs))
