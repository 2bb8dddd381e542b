"""From a table of ratings to encoded pairs: ids of any type, duplicates, splits, and what is refused."""

from __future__ import annotations

import datetime
import json
import typing
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

import toys
from headstart import CollabLearner, ConfigError, DataError, Engine, HeadstartWarning, RatingsData
from headstart.collab import RatingsCodec, by_last_of_user, by_pairs
from headstart.collab.data import RatingsDataOptions, RatingsSettings
from headstart.collab.loaders import RatingLoader
from headstart.collab.seen import Seen
from headstart.core import values
from headstart.frames import splits

TABLE = toys.ratings()
IDS = st.one_of(
    st.lists(st.text(min_size=1, max_size=8), min_size=1, max_size=20),
    st.lists(st.integers(-(2**62), 2**62), min_size=1, max_size=20),
)


def data(table: Any = TABLE, **options: Any) -> RatingsData:
    return RatingsData.from_table(table, "user", "item", options.pop("rating", "stars"), **options)


def seen(found: RatingsData) -> Seen:
    assert found.codec.seen is not None
    return found.codec.seen


@given(IDS, IDS)
def test_ids_of_any_type_come_back(users: list[Any], items: list[Any]) -> None:
    rows = max(len(users), len(items))
    frame = pl.DataFrame(
        {"who": [users[row % len(users)] for row in range(rows)], "what": [items[row % len(items)] for row in range(rows)],
         "stars": [float(row % 5) for row in range(rows)]}
    )  # fmt: skip
    codec = RatingsCodec.fit(frame, "who", "what", "stars")
    codec = values.from_json(RatingsCodec, values.to_json(codec))
    user_ids, item_ids = codec.encode(frame).inputs
    assert user_ids.min() > 0 and item_ids.min() > 0
    assert codec.users.decode(user_ids.numpy()).to_list() == frame["who"].to_list()
    assert codec.items.decode(item_ids.numpy()).to_list() == frame["what"].to_list()
    for row in range(min(rows, 5)):
        one = codec.encode_one(frame.row(row, named=True))
        assert (one[0].item(), one[1].item()) == (user_ids[row].item(), item_ids[row].item())


def test_any_library_s_table_gives_the_same() -> None:
    first, second, third = data(), data(TABLE.to_pandas()), data(TABLE.to_arrow())
    assert first.codec == second.codec == third.codec
    assert torch.equal(seen(first).pairs, seen(second).pairs) and torch.equal(seen(first).pairs, seen(third).pairs)


@given(st.randoms(use_true_random=False))
def test_the_order_of_the_rows_makes_no_difference(random: Any) -> None:
    order = list(range(len(TABLE)))
    random.shuffle(order)
    first, second = data(), data(TABLE[order])
    assert first.codec == second.codec
    assert torch.equal(seen(first).pairs, seen(second).pairs)
    assert torch.equal(seen(first).ratings, seen(second).ratings)
    batches = [[batch.inputs for batch in each.train.batches(0)] for each in (first, second)]
    assert all(torch.equal(a, b) for one, other in zip(*batches, strict=True) for a, b in zip(one, other, strict=True))
    assert sorted(map(tuple, first.valid_pairs.T.tolist())) == sorted(map(tuple, second.valid_pairs.T.tolist()))


@given(st.integers(2, 200), st.integers(2, 70), st.integers(0, 3))
def test_every_row_comes_once_per_epoch(rows: int, batch_size: int, epoch: int) -> None:
    ids = torch.arange(rows)
    loader = RatingLoader((ids, ids + 1000), ids.float()[:, None], batch_size=batch_size, seed=1, engine=Engine("cpu"))
    batches = list(loader.batches(epoch))
    assert len(batches) == loader.steps(epoch)
    assert torch.cat([batch.inputs[0] for batch in batches]).sort().values.equal(ids)
    for batch in batches:
        assert torch.equal(batch.inputs[1], batch.inputs[0] + 1000)
        assert torch.equal(batch.target[:, 0].long(), batch.inputs[0])
    later = next(iter(loader.batches(epoch, start_step=len(batches) - 1)))
    assert torch.equal(later.inputs[0], batches[-1].inputs[0])


def test_ids_are_dropped_at_the_rate_asked_for() -> None:
    found = data(unknown=0.3, batch_size=8)
    users = torch.cat([batch.inputs[0] for epoch in range(40) for batch in found.train.batches(epoch)])
    assert 0.25 < float((users == 0).float().mean()) < 0.35
    assert (data(unknown=0.0).train.inputs[0] > 0).all()


def test_drawn_items_stand_beside_the_one_chosen() -> None:
    found = data(rating=None, negatives=7, batch_size=16, unknown=0.0)
    batch = next(iter(found.train.batches(0)))
    assert batch.inputs[1].shape == (16, 8) and batch.target is None
    assert int(batch.inputs[1].min()) >= 1 and int(batch.inputs[1].max()) < len(found.codec.items)
    again = next(iter(found.train.batches(0)))
    assert torch.equal(batch.inputs[1], again.inputs[1])


def test_of_duplicates_the_last_by_time_counts_else_their_mean() -> None:
    table = pl.DataFrame(
        {"user": [1, 1, 2, 1, 3], "item": [5, 5, 5, 6, 6], "stars": [1.0, 4.0, 3.0, 2.0, 5.0], "at": [9, 3, 1, 1, 1]}
    )
    given_split = splits.by_indices([3])
    by_time = data(table, time="at", split=given_split)
    assert by_time.notes[0] == "1 earlier rows on the same user and item were left out: the last by at counts"
    assert seen(by_time).ratings.tolist() == [1.0, 2.0, 3.0]
    by_mean = data(table.drop("at"), split=given_split)
    assert "1 further rows on the same user and item were joined: the mean stars counts" in by_mean.notes[0]
    assert seen(by_mean).ratings.tolist() == [2.5, 2.0, 3.0]
    chosen = data(table, rating=None, split=given_split)
    assert len(seen(chosen)) == 3 and "were left out" in chosen.notes[0]


def test_the_last_rows_of_each_user_validate() -> None:
    table = pl.DataFrame({"u": [1, 1, 1, 2, 2, 3], "i": [3, 2, 1, 5, 4, 9], "t": [7, 7, 1, 2, 1, 1]})
    assert by_last_of_user("u", "t", "i", count=1)(table).valid.tolist() == [0, 3]  # user 3 keeps the only one
    assert by_last_of_user("u", "t", "i", fraction=0.5)(table).valid.tolist() == [0, 1, 3]
    assert by_last_of_user("u", None, "i", count=2)(table).valid.tolist() == [0, 1, 3]
    with pytest.raises(ConfigError, match="give count or fraction, not both"):
        by_last_of_user("u", "t", "i", count=1, fraction=0.2)
    with pytest.raises(ConfigError, match="count must be a whole number of at least 1; got 0"):
        by_last_of_user("u", "t", "i", count=0)


def test_a_random_split_is_of_the_size_asked_for() -> None:
    split = by_pairs("user", "item", 0.25, seed=3)(TABLE)
    assert len(split.valid) == round(len(TABLE) * 0.25) and not set(split.valid) & set(split.train)


def test_strangers_in_validation_are_legal_and_counted() -> None:
    table = pl.DataFrame({"user": ["a", "a", "b", "c"], "item": [1, 2, 1, 3], "stars": [1, 2, 3, 4]})
    found = data(table, split=splits.by_indices([3]))
    assert found.valid_pairs.tolist() == [[0], [0]]
    assert found.notes == (
        "user: 1 of 1 rows have a value never seen in training", "item: 1 of 1 rows have a value never seen in training",
        "stars: 1 of 1 ratings lie outside 1 to 3, all that is predicted",
    )  # fmt: skip


def test_one_user_alone_is_a_model_like_any_other() -> None:
    table = pl.DataFrame({"user": ["a"] * 10, "item": range(10), "stars": [1, 5] * 5})
    found = data(table)
    assert len(found.codec.users) == 2 and len(seen(found)) == 8


def test_facts_are_joined_by_key() -> None:
    items = pd.DataFrame(
        {
            "item": [20, 10, 10, 990],
            "name": ["twenty", "ten", "ten again", "stranger"],
            "when": [datetime.date(2000, 1, 1)] * 4,
            "price": [1.5, np.nan, 2, 3],
        }
    )
    codec = data(items=items).codec
    ids = np.array([codec.known_item(value) for value in (10, 20, 30)])
    assert codec.item_facts.title == "name"
    assert codec.item_facts.names(codec.items, ids) == ["ten", "twenty", "30"]
    assert codec.item_facts.frame(ids).rows() == [
        ("ten", "2000-01-01", None),
        ("twenty", "2000-01-01", 1.5),
        (None, None, None),
    ]
    tensors: dict[str, torch.Tensor] = {}
    assert values.from_json(RatingsCodec, values.to_json(codec, tensors), tensors) == codec


def test_the_codec_and_its_pairs_survive_json() -> None:
    codec = data(
        items=pl.DataFrame({"item": [10, 20], "year": [1990, None], "kind": ["a", "b"], "good": [True, None]})
    ).codec
    tensors: dict[str, torch.Tensor] = {}
    text = json.dumps(values.to_json(codec, tensors, name="codec"))
    assert (
        set(tensors) == {"codec.seen.pairs", "codec.seen.ratings"} and tensors["codec.seen.pairs"].dtype == torch.int32
    )
    again = values.from_json(RatingsCodec, json.loads(text), tensors)
    assert again == codec and again.item_facts.columns == codec.item_facts.columns
    assert torch.equal(again.seen.starts, codec.seen.starts) and again.seen.user_count == len(codec.users)


def test_pairs_seen_are_joined_and_the_newer_rating_counts() -> None:
    older = Seen(torch.tensor([[1, 1, 2], [1, 3, 2]]), torch.tensor([1.0, 2.0, 3.0]), 4)
    newer = Seen(torch.tensor([[1, 3], [3, 1]]), torch.tensor([5.0, 4.0]), 4)
    joined = older.joined(newer, 4)
    assert joined.pairs.tolist() == [[1, 1, 2, 3], [1, 3, 2, 1]] and joined.ratings.tolist() == [1.0, 5.0, 3.0, 4.0]
    assert joined.starts.tolist() == [0, 0, 2, 3, 4]
    assert joined.item_counts(4).tolist() == [0, 2, 1, 1]
    again = joined.joined(joined, 4)
    assert torch.equal(again.pairs, joined.pairs) and torch.equal(again.ratings, joined.ratings)
    assert Seen.none(4).joined(newer, 4).pairs.tolist() == newer.pairs.tolist()


def test_all_rows_may_train() -> None:
    found = data(split=splits.train_on_all)
    assert found.valid is None and found.valid_pairs is None and len(seen(found)) == len(TABLE)
    assert repr(found) == f"RatingsData({len(TABLE)} training and no validation rows, target stars)"


def test_data_with_an_earlier_codec_know_the_pairs_of_both() -> None:
    first = data(TABLE[:65].filter(pl.col("item") != 30), valid=TABLE)
    second = data(TABLE[20:100], valid=TABLE, codec=first.codec)
    assert second.codec == first.codec and first.codec != data(TABLE[:20], valid=TABLE).codec
    kept = TABLE[:100].filter(pl.col("user").is_in(TABLE["user"][:65].implode()), pl.col("item") != 30)
    users, items = (column.numpy() for column in (seen(second).users, seen(second).items))
    pairs = pl.DataFrame({"user": first.codec.users.decode(users), "item": first.codec.items.decode(items)})
    assert pairs.equals(kept.select("user", "item"))
    assert len(seen(second)) > len(seen(first))


def test_keywords_are_the_fields_of_the_settings() -> None:
    fields = {option.name for option in values.options_of(RatingsSettings)}
    assert set(typing.get_type_hints(RatingsDataOptions)) == fields | {"codec", "engine"}
    assert all(len(option.help) > 20 for option in values.options_of(RatingsSettings))
    with pytest.raises(ConfigError, match=r"RatingsData.from_table has no option 'negative'; did you mean 'negatives'"):
        data(negative=3)


BAD: list[tuple[dict[str, Any], str]] = [
    ({"table": TABLE.head(0)}, "table has no rows"),
    ({"table": TABLE.drop("stars")}, "there is no column 'stars'"),
    ({"table": TABLE.with_columns(user=pl.lit(None, dtype=pl.String))}, "column 'user' has .* rows without an id; leave them out"),
    ({"table": TABLE.with_columns(item=pl.col("item") + 0.5)}, "column 'item' cannot be categorical: it holds Float64"),
    ({"table": TABLE.with_columns(stars=pl.col("stars").replace(5, None))}, "'stars'"),
    ({"table": TABLE.with_columns(stars=pl.lit("good"))}, "stars"),
    ({"y_range": (1, 4)}, r"column 'stars': \d+ ratings lie outside y_range \(1.0, 4.0\), the first is 5; correct them"),
    ({"where": "stars > 9"}, r"none of the 120 rows fulfils where='stars > 9'"),
    ({"items": pl.DataFrame({"film": [1]})}, "the table of items: there is no column 'item'"),
    ({"items": pl.DataFrame({"item": [10], "genres": [["a"]]})}, "column 'genres' holds lists"),
    ({"title": "titel", "items": pl.DataFrame({"item": [10], "title": ["a"]})}, "did you mean 'title'"),
]  # fmt: skip

WRONG: list[tuple[dict[str, Any], str]] = [
    ({"rating": "user"}, "user, item, rating and time must be different columns"),
    ({"unknown": 1.0}, "unknown must be a number of at least 0 and below 1; got 1.0"),
    ({"rating": None, "negatives": 0}, "negatives must be a whole number of at least 1 without ratings; got 0"),
    ({"valid": TABLE, "split": splits.by_random()}, "by split= or by valid=, not by both"),
    ({"batch_size": 0}, "batch_size must be a whole number of at least 1, or None; got 0"),
]


@pytest.mark.parametrize(("options", "message"), BAD)
def test_bad_data_are_named(options: dict[str, Any], message: str) -> None:
    with pytest.raises(DataError, match=message):
        data(**options)


@pytest.mark.parametrize(("options", "message"), WRONG)
def test_wrong_options_are_named(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        data(**options)


def test_a_rating_outside_the_range_of_training_counts_as_it_is() -> None:
    """Predictions stay within the training rows' 1 to 5; what was true is not moved there, and a note counts the rows."""
    train = TABLE.filter(pl.col("stars").is_between(1, 5))
    valid = train.head(4).with_columns(stars=pl.Series([-3.0, 2.0, 100.0, 5.0]))
    rows = data(train, valid=valid)
    lowest, highest = train["stars"].min(), train["stars"].max()
    assert any(f"stars: 2 of 4 ratings lie outside {lowest:g} to {highest:g}" in note for note in rows.notes)
    learner = CollabLearner(rows, factors=2, progress="none")
    predicted = learner.predict(valid)["prediction"]
    expected = ((predicted - valid["stars"]) ** 2).mean() ** 0.5
    assert expected > 40 and predicted.is_between(lowest, highest).all()
    assert learner.validate()["rmse"] == pytest.approx(expected, rel=1e-5)
    assert learner.evaluate(valid)["rmse"] == pytest.approx(expected, rel=1e-5)


def test_ids_are_read_as_the_training_rows_have_them(tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    codes = ["007", "7", "A1", "010"]
    table = pl.DataFrame(
        {
            "user": [codes[n % 4] for n in range(40)],
            "item": pl.Series([n % 10 for n in range(40)], dtype=pl.Int32),
            "stars": random.integers(1, 6, 40).astype(float),
        }
    )
    learner = CollabLearner(
        RatingsData.from_table(table, "user", "item", "stars", split=splits.train_on_all), factors=2, progress="none"
    )
    learner.fit(0.01, 1)
    few = table.filter(pl.col("user").is_in(["007", "7"]))
    few.write_csv(tmp_path / "few.csv")  # by itself a column of numbers, both of them 7
    expected = learner.predict(few)["prediction"].to_list()
    assert learner.predict(tmp_path / "few.csv")["prediction"].to_list() == expected
    assert learner.predict(few.to_pandas())["prediction"].to_list() == expected
    assert learner.evaluate(tmp_path / "few.csv", where="item < 5") == learner.evaluate(few.filter(pl.col("item") < 5))
    assert learner.recommend("007", 3, exclude_seen=False)["item"].dtype == pl.Int32
    declared = table.to_pandas().astype({"user": "category", "item": "category"})
    again = RatingsData.from_table(declared, "user", "item", "stars", split=splits.train_on_all)
    assert again.codec.items.values == tuple(range(10)) and again.codec.users == learner.codec.users


@pytest.mark.parametrize(("name", "separator"), [("ratings.dat", "::"), ("u.data", "\t")])
def test_movielens_own_files_are_read_as_they_are(name: str, separator: str, tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    rows = [(*row, 900_000_000 + number) for number, row in enumerate(random.integers(1, 30, (300, 2)).tolist())]
    text = "\n".join(separator.join(map(str, (user, item, 1 + (user + item) % 5, time))) for user, item, time in rows)
    (tmp_path / name).write_text(text)
    with pytest.warns(HeadstartWarning, match="no header, so the columns are user, item, rating, timestamp"):
        made = RatingsData.from_table(tmp_path / name, "user", "item", "rating", time="timestamp")
    assert (made.codec.user, made.codec.item, made.codec.rating) == ("user", "item", "rating")
    assert set(made.codec.users.values) == {user for user, _, _ in rows}
    learner = CollabLearner(made, factors=4, progress="none")
    with pytest.warns(HeadstartWarning, match="no header"):
        assert learner.evaluate(tmp_path / name)["rmse"] > 0


def test_facts_given_twice_are_noted() -> None:
    facts = pl.DataFrame({"item": [10, 20, 10], "year": [1990, 1991, 1992]})
    known = pl.DataFrame({"user": [1, 2, 3, 4] * 3, "item": [10, 20] * 6, "stars": [1.0, 2.0, 3.0] * 4})
    made = data(known, items=facts, split=splits.train_on_all)
    assert "items: 1 rows are on an item that an earlier row is on, with other facts: the first counts" in made.notes
    assert made.codec.item_facts.columns["year"] == (1990, 1991)
    assert not [note for note in data(known, items=facts[:2], split=splits.train_on_all).notes if "items" in note]


def test_a_list_of_users_is_recommended_to_at_once() -> None:
    learner = CollabLearner(data(), factors=4, progress="none")
    users = list(learner.codec.users.values[:2])
    several = learner.recommend(users, 2)
    assert several.equals(learner.recommend_all(2, users=users)) and len(several) == 4
    for column in (pd.Series(users), pl.Series(users), np.array(users), pl.Series(users).to_arrow()):
        assert several.equals(learner.recommend(column, 2))
    one = learner.recommend(users[0], 2)
    assert one.equals(learner.recommend(np.array(users)[0], 2))
