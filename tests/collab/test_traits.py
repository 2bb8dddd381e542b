"""Traits: which facts become one, what a model makes of them, and that they help."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest
import torch

from headstart import CollabLearner, RatingsData
from headstart.collab.catalogue import Catalogue
from headstart.collab.codec import RatingsCodec
from headstart.collab.models.dot_product import DotProductBias, ImplicitDotProductBias
from headstart.collab.traits import Traits
from headstart.core import values
from headstart.frames.splits import by_indices

PAIRS = torch.tensor([[1, 1, 2, 4], [0, 2, 1, 2]])


def traits_of(**columns: tuple[object, ...]) -> dict[str, list[int]]:
    """Return the ids that have each trait."""
    found = Traits.fit(Catalogue(columns))  # type: ignore[arg-type]  # columns of facts
    if found is None:
        return {}
    owners: dict[str, list[int]] = {name: [] for name in found.names}
    for owner, trait in found.pairs.T.tolist():
        owners[found.names[trait]].append(owner)
    return owners


def test_values_that_several_have_are_traits() -> None:
    assert traits_of(job=("cook", None, "cook", "judge", "cook", "judge")) == {"job: cook": [1, 3, 5]}
    assert traits_of(title=("a", "b", "c", "d"), same=("x", "x", "x", "x")) == {}
    assert traits_of(good=(True, False, True, True, None)) == {"good: True": [1, 3, 4]}
    assert traits_of(stars=(1, 2.0, 1, 1, None)) == {"stars: 1": [1, 3, 4]}


def test_lists_in_a_text_are_taken_apart_and_titles_are_not() -> None:
    genres = (
        "Comedy|Drama",
        "Drama",
        "Comedy|War",
        "War|Drama",
        "Comedy",
        "Comedy | Drama|War",
        "Drama|War",
        "Comedy|Drama|War",
    )
    assert traits_of(genres=genres) == {
        "genres: Comedy": [1, 3, 5, 6, 8], "genres: Drama": [1, 2, 4, 6, 7, 8], "genres: War": [3, 4, 6, 7, 8]
    }  # fmt: skip
    assert traits_of(title=("Wind, The", "Usual, The", "Kid, The", "Alien", "Kid, The", "Kid, The")) == {
        "title: Kid, The": [3, 5, 6]
    }


def test_many_numbers_become_sixteen_ranges_of_as_many() -> None:
    years = tuple(float(year) for year in range(1900, 1980))
    owners = traits_of(year=(*years, None))
    assert len(owners) == 16 and all(len(ids) == 5 for ids in owners.values())
    assert sorted(number for ids in owners.values() for number in ids) == list(range(1, 81))
    assert "year: below 1904.94" in owners and "year: from 1974.06" in owners


def test_large_numbers_that_differ_in_their_last_digits_are_different_traits() -> None:
    codes = (2_000_001, 2_000_001, 2_000_001, 2_000_002, 2_000_002, 2_000_002, 2_000_003)
    assert traits_of(code=codes) == {"code: 2000001": [1, 2, 3], "code: 2000002": [4, 5, 6]}
    owners = traits_of(budget=tuple(12_345_000 + number for number in range(80)))
    assert len(owners) == 16 and all(len(ids) == 5 for ids in owners.values())


@pytest.mark.parametrize("implicit", [True, False])
def test_traits_add_their_sum_over_the_root_of_their_number(implicit: bool) -> None:
    torch.manual_seed(0)
    if implicit:
        model: DotProductBias = ImplicitDotProductBias(5, 3, torch.tensor([[1, 2], [1, 2]]), 4, user_traits=PAIRS)
    else:
        model = DotProductBias(5, 3, 4, user_traits=PAIRS)
    assert model.user_traits is not None and model.item_traits is None
    with torch.no_grad():
        model.user_traits.table.normal_()
        table, tables = model.user_traits.table, [each.clone() for each in model.train().tables()]
        expected = torch.stack([torch.zeros(5), (table[0] + table[2]) / 2**0.5, table[1], torch.zeros(5), table[2]])
        model.user_traits.table.zero_()
        torch.testing.assert_close(tables[0] - model.tables()[0], expected)
        torch.testing.assert_close(tables[1], model.tables()[1])
    model.double()
    weights = torch.randn(5, 5, dtype=torch.float64)
    (gradient,) = torch.autograd.grad((model.tables()[0] * weights).sum(), [model.user_traits.table])
    own = torch.stack([weights[1] / 2**0.5, weights[2], weights[1] / 2**0.5 + weights[4]])
    torch.testing.assert_close(gradient, own)


def ratings_by_genre() -> tuple[pl.DataFrame, pl.DataFrame]:
    """Users like one genre each; films have few ratings, so that the genre says more than they do."""
    random = np.random.default_rng(0)
    items = pl.DataFrame({"item": range(200), "genre": [("war", "love", "crime")[item % 3] for item in range(200)]})
    users, chosen = np.repeat(np.arange(40), 20), np.concatenate([random.permutation(200)[:20] for _ in range(40)])
    stars = np.where(chosen % 3 == users % 3, 5.0, 2.0) + random.normal(0, 0.3, len(users))
    return pl.DataFrame({"user": users, "item": chosen, "stars": stars.clip(1, 5)}), items


def test_a_model_learns_from_facts_unless_it_shall_not() -> None:
    table, items = ratings_by_genre()
    split = by_indices(list(range(0, len(table), 4)))
    figures = {}
    for traits in (True, False):
        data = RatingsData.from_table(table, "user", "item", "stars", items=items, traits=traits, split=split)
        assert (data.codec.item_traits is not None) == traits and data.codec.item_facts.columns
        learner = CollabLearner(data, factors=8, progress="none")
        learner.fit_one_cycle(0.02, 15)
        figures[traits] = learner.validate()["rmse"]
    assert figures[True] < 0.8 * figures[False]


def test_traits_survive_json() -> None:
    table, items = ratings_by_genre()
    codec = RatingsData.from_table(table, "user", "item", "stars", items=items).codec
    tensors: dict[str, torch.Tensor] = {}
    again = values.from_json(RatingsCodec, values.to_json(codec, tensors), tensors)
    assert again == codec and again.item_traits is not None and codec.item_traits is not None
    assert again.item_traits.names == ("genre: crime", "genre: love", "genre: war")
    assert torch.equal(again.item_traits.pairs, codec.item_traits.pairs)
