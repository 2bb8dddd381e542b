"""What users would pick for ratings; runs in an environment of its own, without headstart.

Called as ``python suite_ratings_peers.py MODEL TRAIN TEST SEED``, with two Parquet files of the columns user, item and
rating; prints a line of JSON: ``prediction`` of the test rows, or ``recommended``, pairs of a user and ten items; and
``cpu``, CPU seconds of the fit.

``myfm`` is the Bayesian factorisation machine of myFM's own example for MovieLens: a user is its id and its items, an
item its id and its users, each weighted by one over the root of their number (Rendle, Zhang and Koren, "On the
Difficulty of Evaluating Baselines", 2019). ``myfm_plain`` has the ids alone.
"""

from __future__ import annotations

import importlib
import json
import sys
import time
import warnings
from typing import Any

import numpy as np
import pandas as pd
from scipy import sparse

RANK, SAMPLES, MOST = 10, 200, 10


def main() -> None:
    warnings.filterwarnings("ignore")
    model, train_path, test_path, seed = sys.argv[1:5]
    train, test = pd.read_parquet(train_path), pd.read_parquet(test_path)
    fit = ials if model == "ials" else factorisation_machine
    started = time.process_time()
    found = fit(train, test, seed=int(seed), implicit=model == "myfm")
    print(json.dumps({**found, "cpu": time.process_time() - started}))


def codes_of(train: pd.DataFrame, test: pd.DataFrame, column: str) -> tuple[Any, Any, list[Any]]:
    """Return numbers from 0 of the training rows' ids, of the test rows' (-1: unknown), and the ids."""
    ids = sorted(train[column].unique().tolist())
    known, tested = (pd.Categorical(part[column], categories=ids).codes.astype(int) for part in (train, test))
    return known, tested, ids


def block(own: Any, others: Any, own_count: int, other_count: int, *, implicit: bool) -> Any:
    """Return a row for each id, and one for unknown ids: one-hot, and the ids that it has rows with."""
    one_hot = sparse.eye(own_count + 1, own_count, format="csr")
    if not implicit:
        return one_hot
    pairs = sparse.csr_matrix((np.ones(len(own)), (own, others)), shape=(own_count + 1, other_count))
    counts = np.maximum(np.asarray(pairs.sum(1)).ravel(), 1)
    return sparse.hstack([one_hot, sparse.diags(counts**-0.5) @ pairs], format="csr")


def factorisation_machine(train: pd.DataFrame, test: pd.DataFrame, *, seed: int, implicit: bool) -> dict[str, Any]:
    myfm: Any = importlib.import_module("myfm")  # not in headstart's own environment
    users, test_users, user_ids = codes_of(train, test, "user")
    items, test_items, item_ids = codes_of(train, test, "item")
    counts = len(user_ids), len(item_ids)
    blocks = [
        block(users, items, *counts, implicit=implicit),
        block(items, users, *reversed(counts), implicit=implicit),
    ]
    groups = [
        shape for pair in ((counts, counts[::-1]) if implicit else ((counts[0],), (counts[1],))) for shape in pair
    ]

    def relations(of_users: Any, of_items: Any) -> list[Any]:
        rows = (np.where(of_users < 0, counts[0], of_users), np.where(of_items < 0, counts[1], of_items))
        return [myfm.RelationBlock(row, part) for row, part in zip(rows, blocks, strict=True)]

    model = myfm.MyFMRegressor(rank=RANK, random_seed=seed)
    model.fit(
        None, train["rating"].to_numpy(), X_rel=relations(users, items), group_shapes=groups, n_iter=SAMPLES,
        n_kept_samples=SAMPLES,
    )  # fmt: skip
    predicted = model.predict(None, X_rel=relations(test_users, test_items))
    return {"prediction": np.clip(predicted, train["rating"].min(), train["rating"].max()).tolist()}


def ials(train: pd.DataFrame, test: pd.DataFrame, *, seed: int, implicit: bool) -> dict[str, Any]:
    del implicit
    als: Any = importlib.import_module("implicit.als")  # not in headstart's own environment
    users, _, user_ids = codes_of(train, test, "user")
    items, _, item_ids = codes_of(train, test, "item")
    chosen = sparse.csr_matrix((np.ones(len(users), np.float32), (users, items)), shape=(len(user_ids), len(item_ids)))
    model = als.AlternatingLeastSquares(
        factors=64, regularization=10.0, alpha=1.0, iterations=15, num_threads=1, random_state=seed
    )
    model.fit(chosen, show_progress=False)
    ranked, _ = model.recommend(np.arange(len(user_ids)), chosen, N=MOST)
    return {
        "recommended": [[user, [item_ids[item] for item in row]] for user, row in zip(user_ids, ranked, strict=True)]
    }


if __name__ == "__main__":
    main()
