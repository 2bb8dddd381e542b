"""EASE and iALS against plain numpy."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest

import toys
from headstart import EASE, IALS, RatingsData
from headstart.collab.rankers import BYTES_PER_PAIR

DATA = RatingsData.from_table(toys.ratings(9, 11), "user", "item", valid=toys.ratings(9, 11, seed=5))


def chosen() -> np.ndarray:
    """1 where a training row says so, float64 ``(users, items)``."""
    table = np.zeros((len(DATA.codec.users), len(DATA.codec.items)))
    table[tuple(DATA.codec.seen.pairs.numpy())] = 1.0
    return table


def test_ease_solves_one_regression_for_each_item() -> None:
    table, penalty = chosen(), 3.0
    found = EASE(DATA, penalty=penalty).weights.numpy()
    for item in range(1, table.shape[1]):
        others = [other for other in range(table.shape[1]) if other != item]
        inputs = table[:, others]
        expected = np.linalg.solve(inputs.T @ inputs + penalty * np.eye(len(others)), inputs.T @ table[:, item])
        np.testing.assert_allclose(found[others, item], expected, atol=1e-5)
        assert found[item, item] == 0
    scores = EASE(DATA, penalty=penalty).user_scores(DATA.codec.seen.users.unique()).numpy()
    np.testing.assert_allclose(scores, table[1:] @ found, atol=1e-5)


MEMORY = """
import resource
import numpy as np
import polars as pl
from headstart import EASE, RatingsData
from headstart.collab.taste import crosstab
from headstart.frames.splits import train_on_all

def data(count):
    ids = np.arange(count)
    return RatingsData.from_table(pl.DataFrame({"user": ids % 500, "item": ids}), "user", "item", split=train_on_all)

def peak():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss

EASE(data(50))
large, wide = data(3000), data(100_000)
before = peak()
crosstab(wide.codec, wide.codec.seen, 3, 3)
between = peak()
EASE(large)
print(between - before, peak() - between)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere the peak of memory has another unit, or is not known")
def test_memory_is_what_is_said() -> None:
    done = subprocess.run([sys.executable, "-c", MEMORY], capture_output=True, text=True, check=True)
    of_crosstab, of_ease = (1024 * int(kilobytes) for kilobytes in done.stdout.split())
    assert of_crosstab < 30_000_000  # 200 MB with a number for each user and item
    assert of_ease < 1.5 * BYTES_PER_PAIR * 3001**2  # three times as much if each step makes a new matrix


@pytest.mark.parametrize("frequency", [0.0, 0.5])
def test_ials_solves_each_side_given_the_other(frequency: float) -> None:
    penalty, alpha = 0.7, 1.5
    table = chosen()
    ranker = IALS(DATA, factors=4, penalty=penalty, alpha=alpha, frequency=frequency, sweeps=3)
    users, items = ranker.user_factors.double().numpy(), ranker.item_factors.double().numpy()
    mean = table.sum() / (table.shape[1] - 1)
    for item in range(1, table.shape[1]):  # items were solved for last
        weight = 1 + alpha * table[:, item]
        ridge = penalty * (table[:, item].sum() / mean) ** frequency * np.eye(4)
        expected = np.linalg.solve(users.T * weight @ users + ridge, users.T @ (weight * table[:, item]))
        np.testing.assert_allclose(items[item], expected, atol=1e-4)


def test_ials_folds_a_user_in_as_training_would() -> None:
    ranker = IALS(DATA, factors=4, penalty=0.7, sweeps=30)
    own = DATA.codec.items.decode(ranker.seen.of_user(3)[0].numpy()).to_list()
    new = ranker.recommend(ranker.fold_in(own), 4)
    known = ranker.recommend(DATA.codec.users.values[2], 4)
    assert new["item"].to_list() == known["item"].to_list()
    np.testing.assert_allclose(new["score"].to_numpy(), known["score"].to_numpy(), atol=0.02)


def test_owners_in_many_chunks_are_solved_like_all_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = IALS(DATA, factors=4).item_factors
    monkeypatch.setattr("headstart.collab.rankers.PADDED", 40)
    np.testing.assert_allclose(IALS(DATA, factors=4).item_factors.numpy(), whole.numpy(), atol=1e-5)


def test_scores_of_pairs_are_those_of_the_table(monkeypatch: pytest.MonkeyPatch) -> None:
    ranker = EASE(DATA, penalty=3.0)
    frame = toys.ratings(9, 11).sample(fraction=1.0, shuffle=True, seed=2)
    whole = ranker.predict(frame)["prediction"].to_numpy()
    users, items = DATA.codec.encode(frame).inputs
    np.testing.assert_allclose(whole, ranker.user_scores(users)[range(len(frame)), items], atol=1e-6)
    monkeypatch.setattr("headstart.collab.recommender.CHUNK", 30)
    np.testing.assert_allclose(ranker.predict(frame)["prediction"].to_numpy(), whole, atol=1e-6)
