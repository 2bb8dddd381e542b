"""What a careless user does with ratings, and what they are told."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import polars as pl
import pytest
import torch

import headstart
import headstart.command.main
import toys
from headstart import EASE, CollabLearner, ConfigError, DataError, RatingsData
from headstart.collab import recommender as module
from headstart.frames.splits import by_condition

TABLE = toys.ratings()
USERS = TABLE["user"].unique(maintain_order=True)


def data(table: pl.DataFrame = TABLE, rating: str | None = "stars", **options: Any) -> RatingsData:
    return RatingsData.from_table(table, "user", "item", rating, **options)


@pytest.fixture(scope="module")
def learner() -> CollabLearner:
    made = CollabLearner(data(batch_size=24), factors=4, progress="none")
    made.fit_one_cycle(0.03, 3)
    return made


def test_filters_from_a_generator_hold_for_all_users(learner: CollabLearner, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "CHUNK", 1)  # each user alone, as on a large table
    some = TABLE["item"].unique(maintain_order=True).head(6).to_list()
    only = learner.recommend_all(3, only=(item for item in some))
    assert only.equals(learner.recommend_all(3, only=some)) and set(only["item"]) <= set(some)
    without = learner.recommend_all(3, exclude=(item for item in some))
    assert not set(without["item"]) & set(some) and without["user"].n_unique() > 1


def test_validating_users_who_are_all_new_break_no_training() -> None:
    last = USERS.to_list()[-1]
    frame = TABLE.with_columns(new=pl.col("user") == last)
    made = CollabLearner(data(frame, None, split=by_condition("new"), negatives=3), factors=4, progress="none")
    history = made.fit_one_cycle(0.01, 1)
    assert set(history[0]) == {"fit", "epoch", "train_loss", "seconds"}
    assert EASE(data(frame, None, valid=TABLE.head(5))).metrics == {}
    with pytest.raises(
        DataError, match="no row to evaluate the ranking with: each is of an unknown user, or is a training row"
    ):
        made.evaluate(frame.filter("new"))


def test_going_on_with_new_rows_forgets_nothing_that_was_seen(tmp_path: Path) -> None:
    made = CollabLearner(data(batch_size=24), factors=4, progress="none")
    made.fit_one_cycle(0.01, 1)
    made.save(tmp_path / "model")
    loaded = headstart.load(tmp_path / "model")
    somebody = made.codec.users.values[0]
    before = set(made.recommend(somebody, 100)["item"])
    newly = sorted(before)[:2]
    more = pl.DataFrame({"user": [somebody] * 2, "item": newly, "stars": [5, 1]})
    extended = pl.concat(
        [
            more.select(TABLE.columns[:3]).cast(TABLE.select(TABLE.columns[:3]).schema),
            TABLE.select(TABLE.columns[:3])[:40],
        ]
    )
    loaded.data = data(extended, codec=loaded.codec, valid=TABLE)
    loaded.progress = "none"
    loaded.fit_one_cycle(0.01, 1)
    assert set(loaded.recommend(somebody, 100)["item"]) == before - set(
        extended.filter(pl.col("user") == somebody)["item"]
    )
    assert len(loaded.seen) == len(torch.unique(loaded.seen.users * 1000 + loaded.seen.items))
    loaded.save(tmp_path / "again")
    again = headstart.load(tmp_path / "again")
    assert torch.equal(again.seen.pairs, loaded.seen.pairs) and torch.equal(again.seen.ratings, loaded.seen.ratings)
    other = data(TABLE.filter(pl.col("user") != somebody))
    with pytest.raises(ConfigError, match=r"another codec than the learner's.*codec=learner.codec"):
        loaded.data = other
    with pytest.raises(ConfigError, match="the learner learns ratings, and these data are for rankings"):
        loaded.data = data(extended, codec=loaded.codec, valid=TABLE, negatives=3)
    with pytest.raises(ConfigError, match="the codec was learnt from the columns 'user', 'item' and 'stars'"):
        data(extended, None, codec=loaded.codec)


def test_rows_of_the_unknown_are_nobody_s(learner: CollabLearner) -> None:
    strangers = TABLE.with_columns(user=pl.lit("stranger") if TABLE.schema["user"] == pl.String else pl.lit(999_999))
    made = data(
        pl.concat([TABLE, strangers.unique(["user", "item"])], how="vertical_relaxed"), codec=learner.codec, valid=TABLE
    )
    assert bool((made.codec.seen.pairs > 0).all()) and any("the codec does not know" in note for note in made.notes)


@pytest.mark.parametrize(
    ("action", "kind", "message"),
    [
        (lambda learner: data(pl.concat([TABLE, TABLE.head(1).with_columns(stars=pl.lit(60, TABLE.schema["stars"]))]), y_range=(1, 5)), DataError, "1 ratings lie outside y_range .* the first is 60"),
        (lambda learner: data(TABLE.with_columns(stars=pl.when(pl.col("item") == TABLE["item"][0]).then(None).otherwise(pl.col("stars")))), DataError, "'stars' is missing in"),
        (lambda learner: data(y_range=(5, 1)), ConfigError, r"y_range must be \(lowest, highest\)"),
        (lambda learner: data(y_range="1,5"), ConfigError, "y_range must be"),
        (lambda learner: data(title="name"), ConfigError, "title='name' is a column of the table of items: give items= as well"),
        (lambda learner: data(items=pl.DataFrame({"item": TABLE["item"].unique(), "score": 1})), DataError, "the table of items has a column 'score', which is a column of recommendations; rename it"),
        (lambda learner: learner.evaluate_ranking(TABLE, k=0), ConfigError, "k must be a whole number of at least 1; got 0"),
        (lambda learner: learner.fold_in({TABLE["item"][0]: "good"}), DataError, "a rating given is missing or no finite number: 'good'"),
        (lambda learner: learner.fold_in({TABLE["item"][0]: None}), DataError, "a rating given is missing or no finite number: None"),
        (lambda learner: learner.fold_in({TABLE["item"][0]: 99.0}), DataError, "a rating given lies outside the range of the ratings"),
        (lambda learner: learner.predict(196), ConfigError, r"predict\(196\): give the item as well"),
        (lambda learner: learner.recommend_all(3, out="nowhere/x.csv"), DataError, "cannot write nowhere/x.csv"),
    ],
)  # fmt: skip
def test_bad_ratings_are_answered_with_what_to_do(
    action: Any, kind: type[Exception], message: str, learner: CollabLearner
) -> None:
    with pytest.raises(kind, match=message):
        action(learner)


def test_a_title_with_brackets_is_shown_as_it_is(capsys: pytest.CaptureFixture[str]) -> None:
    from headstart.command.predict import _show

    _show(pl.DataFrame({"title": ["a [/b] b [bold]c"], "score": [1.5]}))
    assert "a [/b] b [bold]c" in capsys.readouterr().out


def test_the_command_filters(
    learner: CollabLearner, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    learner.save(tmp_path / "model")
    some = [str(item) for item in learner.codec.items.values[:4]]
    user = str(learner.codec.users.values[0])
    monkeypatch.setattr(sys, "argv", ["headstart", "recommend", str(tmp_path / "model"), "--user", user, "--only", ",".join(some), "--exclude", some[0], "--seen"])  # fmt: skip
    with pytest.raises(SystemExit):
        headstart.command.main.main()
    rows = capsys.readouterr().out.splitlines()[1:]
    assert sorted(row.split(",")[0] for row in rows) == sorted(some[1:])
