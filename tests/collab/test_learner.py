"""The straight line of ratings: learn, predict, recommend, fold in, save and load."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import headstart
import toys
from headstart import (
    EASE,
    IALS,
    ArtifactError,
    CollabLearner,
    ConfigError,
    DataError,
    HeadstartWarning,
    KeepBest,
    RatingsData,
)
from headstart.collab import METHODS, CollabDesign, Recommender, by_pairs, find_method
from headstart.collab.data import suggested_batch_size, suggested_epochs
from headstart.frames.splits import train_on_all
from headstart.training.settings import Plan

TABLE = toys.ratings()
ITEMS = pl.DataFrame(
    {"item": [number * 10 for number in range(15)], "title": [f"Film {n:02} (1990)" for n in range(15)]}
)


def make_data(**options: Any) -> RatingsData:
    rating = options.pop("rating", "stars")
    return RatingsData.from_table(
        TABLE, "user", "item", rating, items=ITEMS, **{"y_range": (1, 5) if rating else None, **options}
    )


@pytest.fixture(scope="module")
def learner() -> CollabLearner:
    made = CollabLearner(make_data(batch_size=24), factors=8, weight_decay=0.5, dropout=0.2, progress="none")
    made.fit_one_cycle(0.03, 60)
    return made


@pytest.fixture(scope="module")
def ranking() -> CollabLearner:
    data = make_data(rating=None, negatives=6, batch_size=24)
    made = CollabLearner(data, factors=8, weight_decay=0.3, progress="none")
    made.fit_one_cycle(0.05, 20)
    return made


@pytest.fixture(scope="module")
def ease() -> EASE:
    return EASE(make_data(rating=None), penalty=2.0)


@pytest.fixture(scope="module")
def ials() -> IALS:
    return IALS(make_data(rating=None), factors=6, penalty=0.5)


@pytest.fixture(params=["learner", "ranking", "ease", "ials"])
def recommender(request: pytest.FixtureRequest) -> Recommender:
    found = request.getfixturevalue(request.param)
    assert isinstance(found, Recommender)
    return found


def test_ratings_are_learnt(learner: CollabLearner) -> None:
    spread = float(TABLE["stars"].cast(pl.Float64).std())
    assert learner.history[-1]["rmse"] < 0.5 * spread
    assert {"valid_loss", "rmse", "mae", "r2"} <= set(learner.history[-1])


def test_rankings_are_learnt(ranking: CollabLearner) -> None:
    assert ranking.history[-1]["train_loss"] < ranking.history[0]["train_loss"]
    assert {"ndcg_10", "recall_10", "hit_rate_10", "mrr_10", "coverage_10", "novelty_10"} <= set(ranking.history[-1])


@settings(max_examples=20)
@given(
    st.lists(
        st.tuples(st.sampled_from([*TABLE["user"].unique().to_list(), "nobody", None]), st.integers(-1, 20)), min_size=1
    )
)
def test_predictions_stay_in_range_whoever_asks_and_agree_one_by_one(learner: CollabLearner, pairs: list[Any]) -> None:
    frame = pl.DataFrame(
        {"user": [user for user, _ in pairs], "item": [item * 10 for _, item in pairs]},
        schema={"user": pl.String, "item": pl.Int64},
    )
    answers = learner.predict(frame)["prediction"].to_numpy()
    assert ((answers >= 1) & (answers <= 5)).all()
    order = np.random.default_rng(len(pairs)).permutation(len(pairs))
    np.testing.assert_allclose(learner.predict(frame[order])["prediction"].to_numpy(), answers[order], atol=1e-6)
    for row, answer in zip(frame.iter_rows(named=True), answers, strict=True):
        assert learner.predict(row["user"], row["item"]) == pytest.approx(answer, abs=1e-5)
        assert learner.predict(row)["prediction"] == pytest.approx(answer, abs=1e-5)


def test_predictions_are_of_the_library_that_came_in(learner: CollabLearner) -> None:
    answers = learner.predict(TABLE.to_pandas())
    assert type(answers).__module__.startswith("pandas") and list(answers.columns) == ["prediction"]
    assert len(learner.predict(TABLE.head(0))) == 0


def test_the_unknown_get_what_is_to_be_expected() -> None:
    random = np.random.default_rng(0)
    pairs = [(user, item) for user in range(30) for item in random.permutation(20)[:10].tolist()]
    table = pl.DataFrame(pairs, schema=["user", "item"], orient="row").with_columns(
        stars=pl.when(pl.col("item") < 10).then(5.0).otherwise(2.0) - pl.col("user") % 2
    )
    data = RatingsData.from_table(table, "user", "item", "stars", batch_size=32, unknown=0.05)
    learner = CollabLearner(data, factors=4, progress="none")
    learner.fit_one_cycle(0.03, 30)
    assert learner.predict(999, 3) > learner.predict(999, 15) + 1.5  # an unknown user: what the film is worth
    assert learner.predict(2, 999) > learner.predict(3, 999) + 0.3  # an unknown film: what the user gives
    assert 2.2 < learner.predict(999, 999) < 4.0
    with pytest.warns(HeadstartWarning, match="there is no user 999"):
        assert set(learner.recommend(999, 10)["item"]) == set(range(10))


def test_a_recommendation_never_contains_what_was_seen(recommender: Recommender) -> None:
    for number in range(1, len(recommender.codec.users)):
        user = recommender.codec.users.values[number - 1]
        own = recommender.codec.items.decode(recommender.seen.of_user(number)[0].numpy()).to_list()
        found = recommender.recommend(user, 100)
        assert not set(found["item"]) & set(own)
        assert len(found) + len(own) == len(recommender.codec.items) - 1
        assert found["score"].is_sorted(descending=True)
        assert len(recommender.recommend(user, 100, exclude_seen=False)) == len(recommender.codec.items) - 1


def test_recommendations_for_all_are_those_for_each(recommender: Recommender, tmp_path: Path) -> None:
    everybody = recommender.recommend_all(3, because=True, out=tmp_path / "all.csv")
    for user in recommender.codec.users.values:
        alone = recommender.recommend(user, 3, because=True)
        same = everybody.filter(pl.col("user") == user)
        assert same["item"].to_list() == alone["item"].to_list() and same["rank"].to_list() == [1, 2, 3][: len(alone)]
        assert same["title"].to_list() == alone["title"].to_list()
        assert same["because"].to_list() == alone["because"].to_list()
        np.testing.assert_allclose(same["score"].to_numpy(), alone["score"].to_numpy(), atol=1e-5)
    assert len(pl.read_csv(tmp_path / "all.csv")) == len(everybody)
    assert recommender.recommend_all(2, users=["u03"])["user"].unique().to_list() == ["u03"]
    with pytest.raises(DataError, match="there is no user 'u99' in the training rows; did you mean 'u09'"):
        recommender.recommend_all(2, users=["u99"])


def test_candidates_can_be_filtered(recommender: Recommender) -> None:
    everything = recommender.recommend("u01", 100)["item"].to_list()
    few = everything[1:3]
    assert sorted(recommender.recommend("u01", 5, only=[*few, 99999])["item"]) == sorted(few)
    assert few[0] not in recommender.recommend("u01", 100, exclude=pl.Series(few))["item"].to_list()
    assert len(recommender.recommend("u01", 5, only=[])) == 0
    with pytest.raises(DataError, match="only must be a list of items; got 'Film'"):
        recommender.recommend("u01", only="Film")
    with pytest.raises(ConfigError, match="n must be a whole number of at least 1; got 0"):
        recommender.recommend("u01", 0)


def test_reasons_are_titles_of_what_the_user_chose(recommender: Recommender) -> None:
    chosen = recommender.seen.of_user(recommender.codec.known_user("u02"))[0]
    titles = recommender.codec.item_facts.names(recommender.codec.items, chosen.numpy())
    assert set(recommender.recommend("u02", 4, because=True)["because"]) <= set(titles)


def test_a_stranger_is_told_what_suits_most(recommender: Recommender) -> None:
    with pytest.warns(
        HeadstartWarning, match="there is no user 'nobody' in the training rows: these are what suits most"
    ):
        found = recommender.recommend("nobody", 5)
    assert len(found) == 5 and found["score"].is_not_nan().all()


def test_similar_items_are_of_one_kind(recommender: Recommender) -> None:
    found = recommender.similar_items(20, 5)
    assert 20 not in found["item"].to_list() and found["similarity"].is_between(-1.0001, 1.0001).all()
    assert found.columns == ["item", "title", "similarity"]
    with pytest.raises(DataError, match="there is no item 21 in the training rows; there are: '0', '10'"):
        recommender.similar_items(21)


def test_ratings_find_items_of_one_kind(learner: CollabLearner) -> None:
    assert all(item // 10 % 2 == 0 for item in learner.similar_items(20, 4)["item"])


def test_a_new_user_is_folded_in(recommender: Recommender) -> None:
    ratings = {0: 5, 20: 5, 40: 4, 10: 1, 30: 1, 99999: 5}
    new = recommender.fold_in(ratings if recommender.codec.target else list(ratings))
    found = recommender.recommend(new, 100, because=True)
    assert not set(found["item"]) & set(ratings) and len(found) == len(recommender.codec.items) - 1 - 5
    with pytest.raises(DataError, match="none of the 1 items given is one of the training rows"):
        recommender.fold_in({99999: 5.0})
    with pytest.raises(DataError, match="a rating given is missing or no finite number"):
        recommender.fold_in({0: float("nan")})


def test_a_new_user_s_taste_shows(learner: CollabLearner) -> None:
    even = learner.fold_in({0: 5, 20: 5, 40: 4, 10: 1, 30: 1})
    odd = learner.fold_in(pl.DataFrame({"item": [0, 20, 40, 10, 30], "stars": [1, 1, 1, 5, 4]}))
    assert learner.predict(even, 60) > learner.predict(odd, 60) + 0.5
    assert learner.predict(even, 50) < learner.predict(odd, 50) - 0.5
    assert [item // 10 % 2 for item in learner.recommend(even, 3)["item"]] == [0, 0, 0]
    with pytest.raises(ConfigError, match="fold_in needs ratings"):
        learner.fold_in([0, 20])
    nobody = learner.fold_in({})
    assert learner.predict(nobody, 60) == pytest.approx(learner.predict("nobody", 60), abs=1e-5)


def test_saved_and_loaded_it_recommends_the_same(recommender: Recommender, tmp_path: Path) -> None:
    recommender.save(tmp_path / "model")  # type: ignore[attr-defined]
    loaded = headstart.load(tmp_path / "model", device="cpu")
    assert type(loaded) is type(recommender)
    for user in ("u00", "u05"):
        assert loaded.recommend(user, 5, because=True).equals(recommender.recommend(user, 5, because=True))
    frame = TABLE.head(9)
    assert loaded.predict(frame).equals(recommender.predict(frame))  # type: ignore[attr-defined]
    assert loaded.evaluate(TABLE) == recommender.evaluate(TABLE)  # type: ignore[attr-defined]
    again = tmp_path / "again"
    loaded.save(again)
    first, second = (json.loads((folder / "learner.json").read_text()) for folder in (tmp_path / "model", again))
    assert first == second


def test_an_altered_folder_is_refused(learner: CollabLearner, tmp_path: Path) -> None:
    learner.save(tmp_path / "model")
    path = tmp_path / "model" / "learner.json"
    path.write_text(path.read_text().replace('"user"', '"usr"'))
    with pytest.raises(ArtifactError, match="is not as it was saved: it was altered; restore it"):
        headstart.load(tmp_path / "model")
    other = CollabLearner(make_data(), factors=9, progress="none")
    learner.save(tmp_path / "whole")
    with pytest.raises(ArtifactError, match="another design than this learner.*design.factors is 8 there and 9 here"):
        other.load(tmp_path / "whole")


def test_permuted_rows_train_the_same_model() -> None:
    made = []
    for table in (TABLE, TABLE.sample(fraction=1.0, shuffle=True, seed=1)):
        data = RatingsData.from_table(table, "user", "item", "stars", batch_size=24)
        made.append(CollabLearner(data, factors=4, progress="none"))
        made[-1].fit_one_cycle(0.03, 3)
    assert all(torch.equal(*pair) for pair in zip(*(m.model.state_dict().values() for m in made), strict=True))
    assert made[0].recommend_all(3).equals(made[1].recommend_all(3))


def test_pictures_of_taste(learner: CollabLearner, tmp_path: Path) -> None:
    bias = learner.item_bias()
    assert bias.columns == ["item", "title", "ratings", "bias"] and bias["bias"].is_sorted(descending=True)
    assert bias["ratings"].sum() == len(learner.seen)
    vectors = learner.embeddings("user")
    assert vectors.shape == (12, 9) and vectors.columns[:2] == ["user", "factor_1"]
    cross = learner.crosstab(3, 4)
    assert cross.shape == (3, 5) and cross.columns[1].startswith("Film")
    own = TABLE.join(ITEMS, on="item").filter(pl.col("user") == cross["user"][0], pl.col("title") == cross.columns[1])
    assert cross[cross.columns[1]][0] in (None, *own["stars"].to_list())
    whole = learner.crosstab(100, 100)
    assert whole.select(cross.columns).head(3).equals(cross)  # the same cells, whatever else is shown
    assert sum(whole[name].drop_nulls().sum() for name in whole.columns[1:]) == pytest.approx(
        float(learner.seen.ratings.sum())
    )
    assert sum(whole[name].count() for name in whole.columns[1:]) == len(learner.seen)
    for method in ("pca", "tsne"):
        learner.map(12, method=method).savefig(tmp_path / f"{method}.png")
        assert (tmp_path / f"{method}.png").stat().st_size > 10_000
    with pytest.raises(ConfigError, match="of must be 'item' or 'user'"):
        learner.embeddings("film")
    with pytest.raises(ConfigError, match="a map needs three items"):
        learner.map(2)
    with pytest.raises(ConfigError, match="n_users and n_items must be at least 1"):
        learner.crosstab(0)


@pytest.mark.parametrize("loss", ["softmax", "bpr"])
def test_a_ranking_beats_popularity_where_tastes_differ(loss: Any) -> None:
    random = np.random.default_rng(0)
    pairs = {(user, 2 * int(item) + user % 2) for user in range(40) for item in random.permutation(20)[:8]}
    table = pl.DataFrame(sorted(pairs), schema=["user", "item"], orient="row")
    data = RatingsData.from_table(
        table, "user", "item", negatives=10, split=by_pairs("user", "item", 0.2), batch_size=64
    )
    learner = CollabLearner(data, factors=8, ranking_loss=loss, progress="none")
    learner.fit_one_cycle(0.05, 40)
    right = sum(int(item % 2 == user % 2) for user in range(40) for item in learner.recommend(user, 5)["item"])
    assert right > 0.9 * 200


def test_wrong_options_are_named() -> None:
    with pytest.raises(ConfigError, match="ranking_loss must be 'softmax' or 'bpr', or None; got 'softmx'"):
        CollabLearner(make_data(), ranking_loss="softmx")
    with pytest.raises(ConfigError, match=r"ranking_loss='bpr' compares with random items, .* negatives=50"):
        CollabLearner(make_data(), ranking_loss="bpr")
    with pytest.raises(ConfigError, match="metrics are for ratings; a ranking has its own"):
        CollabLearner(make_data(rating=None), metrics=[lambda prediction, target: 0.0])
    with pytest.raises(ConfigError, match="penalty must be a number above 0; got 0"):
        EASE(make_data(), penalty=0)
    with pytest.raises(ConfigError, match="EASE has no option 'factors'"):
        EASE(make_data(), factors=3)
    with pytest.raises(ConfigError, match="factors must be a whole number of at least 1; got 0"):
        IALS(make_data(), factors=0)
    with pytest.raises(ConfigError, match="alpha must be a number above 0; got -1"):
        IALS(make_data(), alpha=-1)
    with pytest.raises(ConfigError, match="frequency must be a number of at least 0 and at most 1; got 1.5"):
        IALS(make_data(), frequency=1.5)


def trained_on(learner: CollabLearner, data: RatingsData) -> CollabLearner:
    learner.progress = "none"
    learner.data = data
    learner.fit_one_cycle(0.02, 3)
    return learner


@pytest.mark.parametrize(
    ("options", "weight_decay", "dropout"),
    [({}, 2.0, 0.5), ({"implicit": False}, 0.3, 0.0), ({"rating": None}, 0.1, 0.0), ({"weight_decay": 0.7}, 0.7, 0.5)],
)
def test_a_loaded_learner_trains_on_with_its_own_settings_to_the_bit(
    options: dict[str, Any], weight_decay: float, dropout: float, tmp_path: Path
) -> None:
    """A loaded learner's weight decay was once .01, whatever the saved one's: on ml-100k .9288 instead of .8863."""
    data = make_data(rating=options.get("rating", "stars"), batch_size=24)
    own = CollabLearner(data, progress="none", **{name: o for name, o in options.items() if name != "rating"})
    own.fit_one_cycle(0.02, 2)
    own.save(tmp_path / "model")
    record = json.loads((tmp_path / "model" / "learner.json").read_text())
    assert record["training"]["weight_decay"] == weight_decay
    assert record["design"]["dropout"] == dropout and record["design"]["factors"] == (100 if dropout else 50)
    again = headstart.load(tmp_path / "model", device="cpu")
    assert again.training == own.training and again.training.weight_decay == weight_decay
    own, again = trained_on(own, data), trained_on(again, data)
    assert [row["train_loss"] for row in again.history] == [row["train_loss"] for row in own.history]
    assert all(
        torch.equal(*pair)
        for pair in zip(own.model.state_dict().values(), again.model.state_dict().values(), strict=True)
    )
    other = trained_on(headstart.load(tmp_path / "model", device="cpu"), data)
    other.training = dataclasses.replace(other.training, weight_decay=0.01)
    trained_on(other, data)
    trained_on(own, data)
    assert own.history[-1]["train_loss"] != other.history[-1]["train_loss"]  # it makes a difference


def test_another_codec_s_weights_are_refused(tmp_path: Path) -> None:
    """The same numbers of users and items, who are others: the shapes fit, and the predictions would mean nothing."""
    renamed = TABLE.with_columns(user=pl.col("user").str.replace("u", "w"))
    strangers = RatingsData.from_table(renamed, "user", "item", "stars", items=ITEMS, y_range=(1, 5))
    CollabLearner(strangers, factors=4, progress="none").save(tmp_path / "model")
    own = CollabLearner(make_data(), factors=4, progress="none")
    before = own.predict(TABLE)
    with pytest.raises(ArtifactError, match="another codec than this learner.*codec.users"):
        own.load(tmp_path / "model")
    assert own.predict(TABLE).equals(before)


def test_the_best_epoch_of_a_ranking_is_kept() -> None:
    data = make_data(rating=None, negatives=6, batch_size=24)
    learner = CollabLearner(data, factors=8, progress="none")
    assert learner.first_figure() == "ndcg_10"
    assert learner.better()["coverage_10"] == "higher" and "novelty_10" not in learner.better()
    history = learner.fit_one_cycle(0.2, 8, callbacks=[KeepBest()])
    best = max(row["ndcg_10"] for row in history)
    assert best > history[-1]["ndcg_10"]  # so that keeping makes a difference
    assert learner.validate()["ndcg_10"] == best == learner.figures["ndcg_10"]
    kept = CollabLearner(data, factors=8, progress="none")
    kept.fit_one_cycle(0.2, 8, keep="best")
    assert kept.validate() == learner.validate()


def test_rankings_that_cannot_be_evaluated_keep_the_last_epoch() -> None:
    everybody = make_data(rating=None, split=train_on_all, batch_size=24)
    last = CollabLearner(everybody, factors=4, progress="none")
    assert last.first_figure() == "train_loss" and set(last.fit_one_cycle(0.02, 2, keep="best")[-1]) == {
        "fit", "epoch", "train_loss", "seconds"
    }  # fmt: skip
    with pytest.raises(ConfigError, match="there are no validation rows"):
        last.validate()
    known = RatingsData.from_table(TABLE, "user", "item", valid=TABLE, batch_size=24)
    learner = CollabLearner(known, factors=4, progress="none")  # no validation pair is new
    assert learner.validate() == {} and learner.first_figure() == "train_loss"
    learner.fit_one_cycle(0.02, 2, keep="best")
    assert EASE(known).metrics == {} and EASE(everybody).metrics == {}


def test_what_depends_on_the_data_is_settled_and_saved() -> None:
    ratings, rankings = CollabLearner(make_data()).design, CollabLearner(make_data(rating=None)).design
    assert ratings == CollabDesign(factors=100, implicit=True, dropout=0.5)
    assert rankings == CollabDesign(factors=50, implicit=False, dropout=0.0, ranking_loss="softmax")
    data = make_data(negatives=5)  # ratings that are learnt as a ranking
    ranker = CollabLearner(data)
    assert ranker.design.ranks and ranker.target is None and ranker.codec.target is not None
    assert CollabLearner(data.codec, design=ranker.design).target is None  # said by the design, not by the data
    assert CollabLearner(make_data().codec).target is not None
    assert CollabLearner(make_data(rating=None).codec).design.ranking_loss == "softmax"


def test_the_plan_is_one_cycle_by_the_number_of_steps() -> None:
    learner = CollabLearner(make_data(batch_size=24), progress="none")
    assert learner.plan() == Plan(lr=0.01, epochs=60)
    assert [suggested_epochs(steps) for steps in (1, 10, 29, 30, 31, 1000)] == [60, 45, 16, 15, 15, 15]
    assert [suggested_batch_size(rows) for rows in (1, 500, 80_000, 10**7)] == [16, 16, 2048, 8192]


@pytest.mark.parametrize("name", METHODS)
def test_each_method_makes_a_recommender(name: str) -> None:
    method = find_method(name, "stars")
    made = method(make_data(negatives=method.negatives), **({} if name == "ease" else {"factors": 3}))
    assert isinstance(made, Recommender) and isinstance(made, CollabLearner) == method.trained
    if isinstance(made, CollabLearner):
        assert made.design.ranking_loss == (None if name == "ratings" else name)
    assert len(made.recommend("u01", 3)) == 3


def test_the_usual_method_depends_on_ratings() -> None:
    assert find_method(None, "stars").name == "ratings" and find_method(None, None).name == "ials"
    with pytest.raises(ConfigError, match="there is no method 'eas'; did you mean 'ease'"):
        find_method("eas", None)
    with pytest.raises(ConfigError, match="the method 'ratings' needs a column of ratings"):
        find_method("ratings", None)
