"""The suite's ratings: RMSE of ratings, and NDCG@10 of what users chose last.

ml-100k               five folds of its rows, shuffled by numpy's RandomState(0); a seed is a fold
ml-latest-small-2016  RandomState(42).permutation: the first fifth is tested; a seed is that of the training
ml-100k last          of each user the last fifth, rounded up, by time, then item; all of them are relevant, and every
                      item that the user has not in training is a candidate; a seed is that of the training

headstart and its rankers get the training rows alone; their plans need no validation rows. Peers run in an environment
of their own (`benchmarks/suite_ratings_peers.py`): myFM, a Bayesian factorisation machine, of rank 10 with implicit
blocks on both sides (a user is also the items rated, an item also its users) or without; iALS by the library implicit,
64 factors, regularisation 10, alpha 1.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import polars as pl

from benchmarks.suite_kind import Kind, Record, Setting, SuiteModel, SuiteSet, cpu_of, number_figures, run_peer
from headstart import EASE, IALS, CollabLearner, RatingsData, datasets, splits
from headstart.collab import by_last_of_user
from headstart.training.settings import Preset

__all__ = ["RATINGS"]

RATED = ("ml-100k", "ml-latest-small-2016")
CHOSEN = ("ml-100k last",)
FACTS = {
    "ml-100k": {"items": "ml-100k-items", "users": "ml-100k-users"},
    "ml-latest-small-2016": {"items": "ml-latest-small-2016-items"},
}
"""Tables of facts: titles, years and genres of films, ages and jobs of users."""
MOST = 10


def rows_of(name: str, seed: int) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Return the training and the test rows of a split."""
    table = pl.read_parquet(datasets.get(name.split()[0]))
    if name in CHOSEN:
        indices = by_last_of_user("user", "timestamp", "item", fraction=0.2)(table)
        return table[indices.train], table[indices.valid]
    table = table.select("user", "item", "rating")
    if name == "ml-100k":
        tested = np.array_split(np.random.RandomState(0).permutation(len(table)), 5)[seed]
    else:
        tested = np.random.RandomState(42).permutation(len(table))[: round(0.2 * len(table))]
    test = pl.Series(np.isin(np.arange(len(table)), tested))
    return table.filter(~test), table.filter(test)


def data_of(train: pl.DataFrame, seed: int, facts: Mapping[str, str] | None = None) -> RatingsData:
    """Return data that train on all rows; ``facts`` names tables of items and users."""
    tables: dict[str, Any] = {part: datasets.get(table) for part, table in (facts or {}).items()}
    return RatingsData.from_table(train, "user", "item", "rating", split=splits.train_on_all, seed=seed, **tables)


def headstart(
    name: str, seed: int, setting: Setting, *, preset: Preset = "default", with_facts: bool = False
) -> Record:
    """Train the default model by a preset, and predict the test rows."""
    del setting
    train, test = rows_of(name, seed)

    def fit() -> CollabLearner:
        data = data_of(train, seed, FACTS[name] if with_facts else None)
        learner = CollabLearner(data, seed=seed, progress="none")
        learner.fit_preset(preset)
        return learner

    learner, cpu = cpu_of(fit)
    predicted = learner.predict(test.select("user", "item"))["prediction"].to_numpy()
    return {"cpu": cpu, **number_figures(predicted, test["rating"].to_numpy())}


def ndcg(recommended: dict[Any, Sequence[Any]], test: pl.DataFrame) -> float:
    """Return the mean NDCG of the users' recommendations; all test items of a user are equally relevant."""
    gains = 1 / np.log2(np.arange(2, MOST + 2))
    found = []
    for (user,), rows in test.group_by("user"):
        relevant = set(rows["item"].to_list())
        hits = np.array([item in relevant for item in recommended.get(user, ())][:MOST], dtype=float)
        found.append(float((hits * gains[: len(hits)]).sum() / gains[: min(MOST, len(relevant))].sum()))
    return float(np.mean(found))


def ranker(name: str, seed: int, setting: Setting, *, kind: type[EASE] | type[IALS]) -> Record:
    """Solve one of headstart's rankers by its defaults, and recommend ten items to each user."""
    del setting
    train, test = rows_of(name, seed)
    options: dict[str, Any] = {"seed": seed} if kind is IALS else {}
    solved, cpu = cpu_of(lambda: kind(data_of(train, seed), **options))
    table = solved.recommend_all(MOST)
    recommended = {user: rows["item"].to_list() for (user,), rows in table.group_by("user", maintain_order=True)}
    return {"cpu": cpu, "ndcg_10": ndcg(recommended, test)}


def peer(name: str, seed: int, setting: Setting, *, model: str) -> Record:
    """Fit a peer in its own environment."""
    train, test = rows_of(name, seed)
    record = run_peer(setting, "suite_ratings_peers.py", model, train, test, seed)
    if name in CHOSEN:
        recommended = dict(record["recommended"])
        return {"cpu": record["cpu"], "ndcg_10": ndcg(recommended, test)}
    return {"cpu": record["cpu"], **number_figures(np.array(record["prediction"]), test["rating"].to_numpy())}


RATINGS = Kind(
    title="Ratings",
    sets={
        "ml-100k": SuiteSet(development=True, splits=5),
        "ml-latest-small-2016": SuiteSet(),
        CHOSEN[0]: SuiteSet(development=True),
    },
    models={
        "headstart": SuiteModel(headstart, RATED),
        "headstart_facts": SuiteModel(functools.partial(headstart, with_facts=True), RATED),
        "headstart_best": SuiteModel(functools.partial(headstart, preset="best"), RATED, default=False),
        "headstart_best_facts": SuiteModel(
            functools.partial(headstart, preset="best", with_facts=True), RATED, default=False
        ),
        "myfm": SuiteModel(functools.partial(peer, model="myfm"), RATED, elsewhere=True),
        "myfm_plain": SuiteModel(functools.partial(peer, model="myfm_plain"), RATED, elsewhere=True),
        "headstart_ials": SuiteModel(functools.partial(ranker, kind=IALS), CHOSEN),
        "headstart_ease": SuiteModel(functools.partial(ranker, kind=EASE), CHOSEN),
        "ials": SuiteModel(functools.partial(peer, model="ials"), CHOSEN, elsewhere=True),
    },
    figures=("rmse", "ndcg_10", "mae"),
    about="""
        The first four of the five folds of ml-100k were in view while headstart's model was chosen; the parameters
        of headstart's iALS and EASE were chosen on training rows of ml-100k last. myfm: a Bayesian factorisation
        machine of rank 10 with implicit blocks on both sides, 200 samples; myfm_plain: without these blocks. ials:
        the library implicit, 64 factors, regularisation 10, alpha 1. All see user, item and
        rating alone, except headstart_facts, which also sees the tables of films and users.""",
)
