"""Several models of ratings as one: the mean of their scores, by every way to ask for them; and presets."""

from __future__ import annotations

from pathlib import Path

import polars as pl
import pytest
import torch

import toys
from headstart import CollabLearner, ConfigError, RatingsData, load
from headstart.collab import learner as learner_module
from headstart.collab.ensemble import DotProductEnsemble
from headstart.training.settings import Plan

TABLE = toys.ratings()
ITEMS = pl.DataFrame({"item": [n * 10 for n in range(15)], "kind": [("a", "b", "c")[n % 3] for n in range(15)]})
PLAN = Plan(lr=0.03, epochs=4)


def learner_of(**options: object) -> CollabLearner:
    data = RatingsData.from_table(TABLE, "user", "item", "stars", items=ITEMS, batch_size=24, y_range=(1, 5))
    return CollabLearner(data, factors=4, weight_decay=0.3, progress="none", **options)  # type: ignore[arg-type]


def test_an_ensemble_is_the_mean_of_its_members_scores() -> None:
    learner = learner_of(ensemble=3)
    learner.fit_plan(PLAN)
    model = learner.model
    assert isinstance(model, DotProductEnsemble) and len(model.models) == 3
    users, items = torch.meshgrid(torch.arange(6), torch.arange(9), indexing="ij")
    pairs = users.flatten(), items.flatten()
    with torch.inference_mode():
        scores = torch.stack([member.scores(*pairs) for member in model.models]).mean(0)
        assert scores.std() > 0.02
        torch.testing.assert_close(model(*pairs), model.bounded(scores))
        torch.testing.assert_close(learner.user_scores(torch.arange(6))[:, :9], scores.view(6, 9))
        own, of_items = model.tables()
        start = torch.stack([member.new_user(torch.tensor([1, 2]))[:4] for member in model.models]).flatten() / 3**0.5
        torch.testing.assert_close(model.new_user(torch.tensor([1, 2]))[:-1], start)
    assert own.shape[1] == of_items.shape[1] == 13
    row = {"user": TABLE["user"][0], "item": TABLE["item"][0]}
    assert learner.predict(TABLE.head(1))["prediction"][0] == pytest.approx(
        learner.predict(row)["prediction"], abs=1e-5
    )
    known = dict.fromkeys(TABLE["item"].unique().to_list()[:3], 5.0)
    assert learner.recommend(learner.fold_in(known), 3).height == 3


def test_the_best_preset_is_better_and_comes_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(learner_module, "MEMBERS", 3)
    learner = learner_of()
    history = learner.fit_preset("best", plan=PLAN)
    assert learner.design.ensemble == 3 and {epoch["fit"] for epoch in history} == {0, 1, 2} and learner.fits == 3
    assert learner.figures == learner.validate()
    last = [
        max((epoch for epoch in history if epoch["fit"] == fit), key=lambda epoch: epoch["kept"]) for fit in range(3)
    ]
    assert learner.figures["rmse"] < sum(epoch["rmse"] for epoch in last) / 3
    again = load(learner.save(tmp_path / "best"))
    assert again.predict(TABLE).equals(learner.predict(TABLE))
    for each in (learner, again):
        each.data = learner.data
        each.fit_one_cycle(0.01, 1)
    assert again.predict(TABLE).equals(learner.predict(TABLE))


def test_fast_is_a_third_and_minutes_end_the_fit() -> None:
    learner = learner_of()
    assert len(learner.fit_preset("fast", plan=PLAN)) == 2
    learner.fit_preset("best", plan=PLAN, minutes=1e-9)
    assert learner.design.ensemble == 1 and len(learner.history) == 3
    with pytest.raises(ConfigError, match="preset must be"):
        learner.fit_preset("quick")  # type: ignore[arg-type]


def test_tables_are_joined_once_until_a_member_changes() -> None:
    learner = learner_of(ensemble=2)
    model, weights = learner.model.eval(), {name: value + 1 for name, value in learner.model.state_dict().items()}
    changes = [
        lambda: model.set_seen(torch.tensor([[1, 2], [1, 1]])),
        lambda: model.load_state_dict(weights),
        lambda: learner.fit(0.01, 1),
    ]
    for change in changes:
        with torch.no_grad():
            before = model.tables()
            assert model.tables()[0] is before[0]
        change()
        with torch.no_grad():
            after = model.eval().tables()
            expected = [torch.cat([each[:, :-1] for each in tables], 1) * 2**-0.5 for tables in zip(
                *(member.tables() for member in model.models), strict=True
            )]  # fmt: skip
        assert not torch.equal(after[0], before[0])
        for joined, factors in zip(after, expected, strict=True):
            torch.testing.assert_close(joined[:, :-1], factors)


def test_other_pairs_change_all_members() -> None:
    learner = learner_of(ensemble=2)
    before = learner.model.tables()[0].clone()
    learner.model.set_seen(torch.tensor([[1, 2], [1, 1]]))
    assert all(len(member.user_members) == 2 for member in learner.model.models)  # type: ignore[union-attr]
    assert not torch.equal(before, learner.model.tables()[0])
