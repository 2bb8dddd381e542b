"""Ranking metrics against plain, independent ones and scikit-learn; ties; who is judged."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import ndcg_score

import toys
from headstart import EASE, DataError, RatingsData
from headstart.collab.evaluation import evaluate_ranking
from headstart.collab.ranking import RANKING_METRICS, Ranking, coverage, novelty, ranking_of
from headstart.collab.recommender import top


def plain(ranked: list[int], relevant: set[int], k: int) -> dict[str, float]:
    """One user's figures, from the definitions."""
    hits = [item in relevant for item in ranked[:k]]
    gain = sum(1 / math.log2(place + 2) for place, hit in enumerate(hits) if hit)
    ideal = sum(1 / math.log2(place + 2) for place in range(min(k, len(relevant))))
    first = next((place + 1 for place, hit in enumerate(hits) if hit), None)
    return {
        f"precision_{k}": sum(hits) / k, f"recall_{k}": sum(hits) / len(relevant), f"ndcg_{k}": gain / ideal,
        f"hit_rate_{k}": float(any(hits)), f"mrr_{k}": 1 / first if first else 0.0,
    }  # fmt: skip


def compared(recommended: torch.Tensor, users: torch.Tensor, items: torch.Tensor) -> Ranking:
    return ranking_of(recommended, users, items, item_counts=torch.ones(50, dtype=torch.int64), user_count=9)


def figures_of(ranking: Ranking, k: int) -> dict[str, float]:
    names = ("ndcg", "precision", "recall", "hit_rate", "mrr")
    return {f"{metric.name}_{k}": metric.function(ranking) for metric in RANKING_METRICS if metric.name in names}


@given(st.integers(1, 12), st.integers(2, 40), st.integers(1, 12), st.integers(0, 1000))
def test_the_metrics_are_their_definitions(users: int, items: int, k: int, seed: int) -> None:
    random = np.random.default_rng(seed)
    k = min(k, items)
    ranked = np.stack([random.permutation(items)[:k] + 1 for _ in range(users)])
    relevant = [set((random.permutation(items)[: random.integers(0, items + 1)] + 1).tolist()) for _ in range(users)]
    pairs = [(user, item) for user, own in enumerate(relevant) for item in own]
    judged = [plain(ranked[user].tolist(), own, k) for user, own in enumerate(relevant) if own]
    places = torch.tensor([user for user, _ in pairs], dtype=torch.int64)
    chosen = torch.tensor([item for _, item in pairs], dtype=torch.int64)
    found = figures_of(compared(torch.from_numpy(ranked), places, chosen), k)
    assert len(found) == 5
    for name, value in found.items():
        if judged:
            assert value == pytest.approx(np.mean([figures[name] for figures in judged])), name
        else:
            assert math.isnan(value)


@given(st.integers(0, 100))
def test_ndcg_is_that_of_scikit_learn(seed: int) -> None:
    random = np.random.default_rng(seed)
    scores = random.normal(size=(6, 30))
    relevant = random.random((6, 30)) < 0.3
    relevant[:, 0] = True
    columns, _ = top(torch.from_numpy(scores), 10)
    places, chosen = (torch.from_numpy(part) for part in np.nonzero(relevant))
    found = figures_of(compared(columns + 1, places, chosen + 1), 10)["ndcg_10"]
    assert found == pytest.approx(ndcg_score(relevant, scores, k=10))


@given(st.integers(1, 8), st.integers(1, 30), st.integers(1, 30), st.integers(1, 4), st.integers(0, 1000))
def test_the_best_come_first_and_of_equals_the_lower(rows: int, columns: int, n: int, levels: int, seed: int) -> None:
    scores = torch.from_numpy(np.random.default_rng(seed).integers(0, levels, (rows, columns))).float()
    scores[0, 0] = -torch.inf
    places, values = top(scores, n)
    for row in range(rows):
        expected = sorted(range(columns), key=lambda column: (-float(scores[row, column]), column))[:n]
        assert places[row].tolist() == expected
        assert values[row].tolist() == scores[row, expected].tolist()


def test_an_unknown_item_is_relevant_and_never_found() -> None:
    ranked = torch.tensor([[1, 0]])
    found = figures_of(compared(ranked, torch.tensor([0, 0]), torch.tensor([1, 0])), 2)
    assert found["recall_2"] == 0.5 and found["precision_2"] == 0.5


def test_coverage_and_novelty() -> None:
    def of(recommended: list[list[int]], item_counts: list[int]) -> Ranking:
        nobody = torch.zeros(0, dtype=torch.int64)
        return ranking_of(
            torch.tensor(recommended), nobody, nobody, item_counts=torch.tensor(item_counts), user_count=8
        )

    ranking = of([[1, 2], [1, 0]], [0, 4, 1, 0, 0])
    assert coverage(ranking) == 0.5
    assert novelty(ranking) == pytest.approx((1 + 3 + 1) / 3)
    assert math.isnan(novelty(of([[0, 0]], [1, 1])))


def test_models_are_compared_by_ndcg_and_it_is_known_which_is_better() -> None:
    assert RANKING_METRICS[0].name == "ndcg"
    assert {metric.name for metric in RANKING_METRICS if metric.better is None} == {"novelty"}
    assert all(metric.better == "higher" for metric in RANKING_METRICS if metric.name != "novelty")


def test_who_is_judged_and_who_is_not() -> None:
    data = RatingsData.from_table(toys.ratings(), "user", "item", "stars", unknown=0.0)
    ranker = EASE(data, penalty=1.0)
    known = len(data.codec.users) - 1
    pairs = torch.tensor([[1, 1, 0], [int(data.valid_pairs[1, 0]), 0, 3]])
    own = int(ranker.seen.of_user(1)[0][0])
    figures = evaluate_ranking(ranker, torch.cat([pairs, torch.tensor([[2], [own]])], 1), k=3)
    assert figures["users"] + figures["users_left_out"] == known and figures["rows_left_out"] == 1
    seen_again = ranker.seen.pairs[:, :1].long()
    with pytest.raises(DataError, match="no row to evaluate the ranking with"):
        evaluate_ranking(ranker, seen_again)
