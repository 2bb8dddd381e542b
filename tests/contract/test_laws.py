"""The laws that every application keeps: saved is described is constructed, and training is what was asked for."""

from __future__ import annotations

import dataclasses
import functools
import json
import pickle
import typing
from pathlib import Path
from typing import Any

import pytest
import torch

import headstart
import toys
import zoo
from headstart import ArtifactError, Callback, ConfigError, Engine, HeadstartWarning
from headstart.applications import APPLICATIONS
from headstart.core.values import options_of, replaced, to_json
from headstart.training.application_learner import ApplicationLearner
from headstart.training.optim import SGD, AdamW
from headstart.training.progress import Progress
from headstart.training.settings import SESSION, TrainingOptions
from zoo import ALL, SOLVED, ZOO

pytestmark = pytest.mark.filterwarnings("ignore:.*:headstart.core.errors.HeadstartWarning")

EACH = pytest.mark.parametrize("name", ZOO)

OTHERWISE: dict[str, Any] = {
    "optimizer": AdamW(betas=(0.8, 0.95), eps=1e-6),
    "weight_decay": 0.3,
    "clip": 0.7,
    "accumulate": 2,
    "momenta": (0.9, 0.7, 0.9),
    "seed": 5,
}
"""A training of which no field has its default."""


def learner_of(name: str, valid: str | None = None, **options: Any) -> Any:
    return ZOO[name].learner(ZOO[name].data(valid), **options)


def losses(learner: Any) -> list[float]:
    return [epoch["train_loss"] for epoch in learner.history]


def same_weights(first: Any, second: Any) -> bool:
    one, two = first.model.state_dict(), second.model.state_dict()
    return one.keys() == two.keys() and all(torch.equal(one[name], two[name]) for name in one)


def test_the_zoo_has_every_application() -> None:
    assert {name.partition(",")[0] for name in ZOO} | set(SOLVED) == set(APPLICATIONS)


@pytest.mark.parametrize("name", [*ZOO, *SOLVED])
def test_the_table_of_applications_says_what_each_can_do(name: str) -> None:
    learner: Any = SOLVED[name]() if name in SOLVED else learner_of(name)
    application = APPLICATIONS[learner.application]
    method = {"train": "fit_one_cycle", "recommend": "recommend", "generate": "generate", "read": "rows_of"}
    assert {ability for ability in method if hasattr(learner, method[ability])} == set(application.does)
    assert hasattr(learner, "history") == ("train" in application.does)
    if application.data:
        assert hasattr(application.data_type(), "from_folder") == application.folders


@EACH
def test_it_overfits_its_rows(name: str) -> None:
    learner = learner_of(name)
    learner.unfreeze()
    learner.fit_one_cycle(ZOO[name].rate, 25)
    assert losses(learner)[-1] < ZOO[name].overfitted * losses(learner)[0]


@EACH
def test_saved_and_loaded_gives_the_same_bits_and_the_same_values(name: str, tmp_path: Path) -> None:
    learner = learner_of(name, **OTHERWISE)
    learner.fit(0.01, 1)
    learner.save(tmp_path / "model")
    again = headstart.load(tmp_path / "model", device="cpu")
    assert type(again) is type(learner) and same_weights(again, learner)
    for part, value in learner.values().items():
        assert again.values()[part] == value, part
    assert [dict(epoch) for epoch in again.history] == [dict(epoch) for epoch in learner.history]
    assert again.figures == learner.figures and [m.name for m in again.metrics] == [m.name for m in learner.metrics]
    again.data = learner.data
    assert again.validate() == learner.validate()


@EACH
def test_a_loaded_learner_trains_on_like_the_unloaded_to_the_bit(name: str, tmp_path: Path) -> None:
    learner = learner_of(name, **OTHERWISE)
    learner.fit(0.01, 1)
    if len(learner.groups) > 1:
        learner.freeze()
    learner.save(tmp_path / "model")
    again, filled, given = (
        headstart.load(tmp_path / "model", device="cpu"),
        learner_of(name),
        learner_of(name, clip=7.0),
    )
    filled.load(tmp_path / "model")
    given.load(tmp_path / "model")
    assert given.training == dataclasses.replace(learner.training, clip=7.0), "what a learner was given stays"
    again.progress = "none"
    again.data = learner.data
    for each in (learner, again, filled):
        each.fit_one_cycle(0.02, 2)
    for each in (again, filled):
        assert losses(each) == losses(learner)
        assert same_weights(each, learner)
        assert each.fits == learner.fits == 2


@EACH
def test_another_codec_s_weights_and_data_are_refused(name: str, tmp_path: Path) -> None:
    learner = learner_of(name)
    stranger = ZOO[name].learner(ZOO[name].data(other=True))
    stranger.save(tmp_path / "model")
    before = {key: tensor.clone() for key, tensor in learner.model.state_dict().items()}
    with pytest.raises(ArtifactError, match=r"another codec|do not fit"):
        learner.load(tmp_path / "model")
    assert all(torch.equal(before[key], tensor) for key, tensor in learner.model.state_dict().items())
    with pytest.raises(ConfigError, match="another codec"):
        learner.data = stranger.data


@EACH
def test_another_design_s_weights_are_refused_by_name(name: str, tmp_path: Path) -> None:
    field, value = ZOO[name].design
    learner_of(name, **{field: value}).save(tmp_path / "model")
    with pytest.raises(ArtifactError, match=rf"another design .*design\.{field}"):
        learner_of(name).load(tmp_path / "model")


@EACH
def test_the_momentum_of_the_schedule_reaches_the_optimizer(name: str) -> None:
    seen: list[float] = []

    class Look(Callback):
        def on_step_end(self, progress: Progress) -> None:
            seen.append(progress.optimizer.param_groups[0]["betas"][0])

    learner = learner_of(name, momenta=(0.9, 0.5, 0.8))
    learner.fit_one_cycle(0.001, 3, callbacks=[Look()])
    assert seen[0] == pytest.approx(0.9) and min(seen) < 0.7 and seen[-1] > 0.7


@EACH
def test_a_checkpoint_refuses_each_changed_field_by_name(name: str, tmp_path: Path) -> None:
    data = ZOO[name].data()
    make = ZOO[name].learner
    folder = tmp_path / "checkpoint"
    make(data).fit(0.01, 1, checkpoint=folder)
    field, value = ZOO[name].design
    changed: dict[str, tuple[Any, float, str]] = {
        f"training.{option}": (make(data, **{option: other}), 0.01, f"training.{option}")
        for option, other in OTHERWISE.items()
        if option != "optimizer"
    }
    kept = make(data).training.optimizer
    changed |= {
        "eps": (make(data, optimizer=replaced(kept, {"eps": 0.1})), 0.01, "training.optimizer.eps"),
        "betas": (make(data, optimizer=replaced(kept, {"betas": (0.5, 0.5)})), 0.01, "training.optimizer.betas"),
        "another optimizer": (make(data, optimizer=SGD()), 0.01, "training.optimizer"),
        "precision": (make(data, precision="bf16"), 0.01, "training.precision"),
        "design": (make(data, **{field: value}), 0.01, f"design.{field}"),
        "codec": (make(ZOO[name].data(other=True)), 0.01, "codec"),
        "rate": (make(data), 0.02, "rates"),
    }
    if name in ("language-model", "text"):
        del changed["precision"]  # not every processor has an LSTM in bf16
    for what, (learner, rate, named) in changed.items():
        before = {key: tensor.clone() for key, tensor in learner.model.state_dict().items()}
        with pytest.raises(ArtifactError, match=rf"belongs to another fit: .*{named}"):
            learner.fit(rate, 1, checkpoint=folder, resume=True)
        assert all(torch.equal(before[key], value) for key, value in learner.model.state_dict().items()), what
    frozen = make(data)
    if len(frozen.groups) > 2:
        frozen.freeze_to(1 if all(any(p.requires_grad for p in g) for g in frozen.groups.parameters if g) else 0)
        with pytest.raises(ArtifactError, match="frozen|rates"):
            frozen.fit(0.01, 1, checkpoint=folder, resume=True)


@EACH
def test_without_validation_rows_it_trains_on_all_and_is_saved(name: str, tmp_path: Path) -> None:
    learner = learner_of(name, ALL)
    assert learner.data.valid is None
    history = learner.fit_one_cycle(0.01, 2, keep="best")  # without validation rows the last is kept
    assert "valid_loss" not in history[-1] and "kept" not in history[-1]
    learner.save(tmp_path / "model")
    assert same_weights(headstart.load(tmp_path / "model", device="cpu"), learner)
    with pytest.raises(ConfigError, match="no validation rows"):
        learner.validate()


@EACH
def test_without_arguments_it_follows_the_plan_and_keeps_the_best_epoch(name: str) -> None:
    learner = learner_of(name)
    plan = learner.plan()
    assert plan == learner.suggest(learner.data) or plan.epochs >= 1
    short = dataclasses.replace(plan, epochs=3, lr=ZOO[name].rate * 3)
    learner.plan = lambda: short
    history = learner.fit_one_cycle()
    assert len(history) == 3 and sum(epoch["kept"] for epoch in history) == 1
    first, best = learner.first_figure(), next(epoch for epoch in history if epoch["kept"])
    sign = 1 if learner.better()[first] == "lower" else -1
    assert sign * best[first] == min(sign * epoch[first] for epoch in history)
    validated = learner.validate()
    assert validated[first] == pytest.approx(best[first], rel=1e-5)
    assert {key: value for key, value in learner.figures.items() if key == first} == {first: best[first]}
    assert ZOO[name].measured_by in validated


@EACH
def test_keywords_and_fields_are_the_same(name: str) -> None:
    """What an editor completes is what the values have: names of the TypedDict, of design, training and session."""
    kind: type[ApplicationLearner] = type(learner_of(name))
    completed = typing.get_type_hints(kind.__init__)["options"]
    names = set(typing.get_type_hints(typing.get_args(completed)[0] if typing.get_args(completed) else completed))
    fields = {option.name for value in (kind.design_type, kind.training_type) for option in options_of(value)}
    assert names == fields | set(SESSION)
    assert set(typing.get_type_hints(TrainingOptions)) <= fields
    for value in (kind.design_type, kind.training_type):
        for option in options_of(value):
            assert len(option.help) > 10, f"{value.__name__}.{option.name} has no documentation"
    spelt_out = [p for p in kind.__init__.__annotations__ if p not in ("return", "options")]
    assert len(spelt_out) <= 6, spelt_out


@EACH
def test_an_unknown_keyword_is_named_with_the_nearest(name: str) -> None:
    with pytest.raises(ConfigError, match=r"has no option 'weight_decya'; did you mean 'weight_decay'\?"):
        learner_of(name, weight_decya=0.1)


@EACH
def test_its_values_survive_json(name: str) -> None:
    learner = learner_of(name, **OTHERWISE)
    tensors: dict[str, torch.Tensor] = {}
    for part, value in learner.values().items():
        text = json.dumps(to_json(value, tensors, name=part))
        kind = {"codec": learner.codec_type, "design": learner.design_type, "training": learner.training_type}[part]
        assert headstart.core.values.from_json(kind, json.loads(text), tensors) == value


def answer_of(solved: Any) -> Any:
    """What something that is solved predicts or recommends."""
    return (
        solved.recommend("u01") if hasattr(solved, "recommend") else solved.predict(zoo.sentences()["text"].to_list())
    )


@pytest.mark.parametrize("name", SOLVED)
def test_what_is_solved_is_saved_and_loaded_and_sent_to_another_process_alike(name: str, tmp_path: Path) -> None:
    solved = SOLVED[name]()
    solved.save(tmp_path / "model")
    for again in (headstart.load(tmp_path / "model", device="cpu"), pickle.loads(pickle.dumps(solved))):
        assert type(again) is type(solved)
        assert answer_of(again).equals(answer_of(solved))


@EACH
def test_it_goes_to_another_process_as_it_is_and_without_its_data(name: str) -> None:
    """By pickle, as joblib and multiprocessing send it: its values and weights, as in a saved folder."""
    learner = learner_of(name)
    learner.fit_one_cycle(ZOO[name].rate, 1)
    sent = pickle.loads(pickle.dumps(learner))
    assert type(sent) is type(learner)
    assert same_weights(learner, sent) and sent.data is None and sent.history == learner.history
    assert {k: to_json(v, {}) for k, v in sent.values().items()} == {
        k: to_json(v, {}) for k, v in learner.values().items()
    }
    sent.data = learner.data
    assert sent.validate() == learner.validate()


def test_a_learner_of_a_user_s_own_module_is_pickled_by_pytorch() -> None:
    learner = toys.LEARNERS[next(iter(toys.LEARNERS))](Engine("cpu"))
    learner.fit_one_cycle(0.05, 1)
    sent = pickle.loads(pickle.dumps(learner))
    assert same_weights(learner, sent) and sent.data is None and sent.metrics == learner.metrics


def test_a_user_s_module_with_an_attribute_members_trains_on_its_own_loss() -> None:
    """``members`` once made the loss a mean over the first axis of the outputs: of the rows."""
    rows = torch.randn(16, 3, generator=torch.Generator().manual_seed(0))
    data = headstart.tensor_data((rows, rows.sum(1, keepdim=True)), batch_size=16)

    def trained(members: int | None) -> list[float]:
        torch.manual_seed(0)
        model = torch.nn.Linear(3, 1)
        if members is not None:
            model.members = members
        learner = headstart.Learner(
            model, data, loss=lambda outputs, batch: (outputs - batch.target).square().mean(), progress="none"
        )
        return [epoch["train_loss"] for epoch in learner.fit(0.01, 2)]

    assert trained(16) == trained(None)


def test_a_custom_optimizer_is_named_and_asked_for_again(tmp_path: Path) -> None:
    def mine(groups: Any) -> torch.optim.Optimizer:
        return torch.optim.SGD(groups, lr=0.1)

    learner = learner_of("tabular", optimizer=mine)
    learner.fit(0.01, 1)
    learner.save(tmp_path / "model")
    again = headstart.load(tmp_path / "model", device="cpu")
    again.data = learner.data
    with pytest.raises(ConfigError, match="optimizer of your own, 'mine', which is not saved"):
        again.fit(0.01, 1)
    again.training = dataclasses.replace(again.training, optimizer=mine)
    again.fit(0.01, 1)


def test_warnings_of_ours_have_their_own_class() -> None:
    assert issubclass(HeadstartWarning, UserWarning)


DEFAULTS = json.loads(Path(__file__).with_name("defaults.json").read_text())
PLAIN = {
    "language-model": lambda: headstart.LanguageModelLearner(zoo.stream_data(), progress="none"),
    "text": lambda: headstart.TextLearner(zoo.text_data(), progress="none"),
    "tabular": lambda: headstart.TabularLearner(zoo.tabular_data(), progress="none"),
    "collab": lambda: headstart.CollabLearner(zoo.ratings_data(), progress="none"),
    "collab, rankings": lambda: headstart.CollabLearner(zoo.choices_data(), progress="none"),
    "transformer": lambda: zoo.TransformerLearner(zoo.transformer_data(), zoo.transformer(), progress="none"),
    "vision": lambda: ZOO["vision"].learner(zoo.image_data(), hidden=(512,)),
}


@pytest.mark.parametrize("name", DEFAULTS)
def test_a_default_changes_on_purpose_alone(name: str) -> None:
    """Design, training and plan of a learner that is given none, on the zoo's rows and a processor."""
    learner = PLAIN[name]()
    found = {part: to_json(learner.values()[part]) for part in ("training", "design")} | {
        "plan": to_json(learner.plan())
    }
    for part, expected in DEFAULTS[name].items():
        assert {key: found[part][key] for key in expected} == expected, part
        assert set(found[part]) - set(expected) <= {"config", "backbone"}  # the pretrained parts' own


@EACH
def test_another_kind_of_training_is_refused(name: str) -> None:
    """A training of another application would be saved with fields that are lost, or cannot be read, on loading."""
    learner = learner_of(name)
    before = learner.training
    for strange in (object(), 5, "fast", AdamW()):
        with pytest.raises(
            ConfigError, match=rf"{type(learner).__name__} is trained by a {learner.training_type.__name__}"
        ):
            learner.training = strange
    assert learner.training is before
    with pytest.raises(ConfigError, match=r"learner\.data must be .* got 5"):
        learner.data = 5


def test_own_optimizers_of_one_name_are_told_apart(tmp_path: Path) -> None:
    """Each ``partial`` is named partial: what it makes is compared."""
    make = ZOO["tabular"].learner
    data = zoo.tabular_data()

    def with_(**options: Any) -> Any:
        return functools.partial(torch.optim.AdamW, **options)

    make(data, optimizer=with_(eps=1e-8)).fit(0.01, 1, checkpoint=tmp_path / "checkpoint")
    for other in (
        with_(eps=1e-2),
        functools.partial(torch.optim.SGD, momentum=0.9),
        functools.partial(torch.optim.RMSprop),
    ):
        with pytest.raises(ArtifactError, match=r"belongs to another fit: .*optimizer"):
            make(data, optimizer=other).fit(0.01, 1, checkpoint=tmp_path / "checkpoint", resume=True)
    make(data, optimizer=with_(eps=1e-8)).fit(0.01, 1, checkpoint=tmp_path / "checkpoint", resume=True)


def test_a_schedule_of_one_s_own_is_resumed_and_compared(tmp_path: Path) -> None:
    class Falling:
        epochs, cycle_ends = 2, (2,)

        def __init__(self, last: float) -> None:
            self.last = last

        def lr(self, fraction: float) -> float:
            return 1 - (1 - self.last) * fraction

        def momentum(self, fraction: float) -> float | None:
            return None

    learner_of("tabular").fit_schedule(0.01, Falling(0.1), checkpoint=tmp_path / "checkpoint")
    learner_of("tabular").fit_schedule(0.01, Falling(0.1), checkpoint=tmp_path / "checkpoint", resume=True)
    with pytest.raises(ArtifactError, match=r"belongs to another fit: schedule\.lr"):
        learner_of("tabular").fit_schedule(0.01, Falling(0.2), checkpoint=tmp_path / "checkpoint", resume=True)


@pytest.mark.parametrize(
    ("action", "message"),
    [
        (lambda data: ZOO["tabular"].learner(data, optimizer="sgd"), r"optimizer must be optim\.AdamW\(\.\.\.\).* got 'sgd'"),
        (lambda data: ZOO["tabular"].learner(data, engine="cpu"), r"engine must be an Engine, or None; got 'cpu'"),
        (lambda data: ZOO["tabular"].learner(data, folder=5), "folder must be .* got 5"),
        (lambda data: ZOO["tabular"].learner(data, progres="bar"), "did you mean 'progress'"),
        (lambda data: ZOO["tabular"].learner(data, design="wide"), "design must be a TabularDesign; got a str"),
        (lambda data: ZOO["tabular"].learner(data).fit(0.1, 1, keep="bset"), "keep must be 'best' or 'last'; got 'bset'"),
        (lambda data: ZOO["tabular"].learner(data).fit_schedule(0.1, 5), r"schedule must be a schedule such as OneCycle\(5\); got 5"),
        (lambda data: headstart.Learner(torch.nn.Linear(1, 1), 5), "data must be Data, .* got 5"),
    ],
)  # fmt: skip
def test_natural_mistakes_are_answered(action: Any, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        action(zoo.tabular_data())


def test_an_optimizer_s_class_means_its_defaults() -> None:
    assert learner_of("tabular", optimizer=SGD).training.optimizer == SGD()


def test_a_checkpoint_compares_metrics_and_validation_rows(tmp_path: Path) -> None:
    """Else the best epoch would be chosen among unlike figures."""
    learner_of("tabular", metrics=["rmse"]).fit(0.01, 1, checkpoint=tmp_path / "checkpoint")
    with pytest.raises(ArtifactError, match=r"belongs to another fit: metrics"):
        learner_of("tabular", metrics=["r2"]).fit(0.01, 1, checkpoint=tmp_path / "checkpoint", resume=True)
    rows = zoo.table()
    data = headstart.TabularData.from_table(rows, "y", valid=rows[:20], batch_size=8, engine=zoo.CPU)
    with pytest.raises(ArtifactError, match=r"belongs to another fit: valid"):
        ZOO["tabular"].learner(data, metrics=["rmse"]).fit(0.01, 1, checkpoint=tmp_path / "checkpoint", resume=True)


def test_data_given_later_bring_their_target() -> None:
    data = zoo.tabular_data()
    learner = headstart.Learner(ZOO["tabular"].learner(data).model, None, progress="none")
    learner.data = data
    assert learner.target is data.target and [metric.name for metric in learner.metrics] == ["rmse", "mae", "r2"]
    assert learner.fit(0.01, 1)[-1]["rmse"] > 0


def test_a_field_of_the_training_is_not_set_on_the_learner_in_silence() -> None:
    learner = learner_of("tabular")
    with pytest.raises(
        ConfigError, match=r"clip is a field of learner\.training.*\.replace\(learner\.training, clip=\.\.\.\)"
    ):
        learner.clip = 1.0


def test_a_precision_that_the_device_lacks_warns_at_the_user_s_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    learner, other = learner_of("tabular", precision="bf16"), learner_of("tabular")
    learner.fit_one_cycle(0.02, 1)
    learner.save(tmp_path / "model")

    def check_engine(training: Any, engine: Any) -> None:
        if training.precision == "bf16":
            raise ConfigError("this device has no bf16")

    monkeypatch.setattr(type(learner), "check_engine", staticmethod(check_engine))
    with pytest.warns(HeadstartWarning, match="was trained in bf16 but runs in fp32 here") as warned:
        again = headstart.load(tmp_path / "model", device="cpu")
        other.load(tmp_path / "model")
    assert [warning.filename for warning in warned] == [__file__] * 2
    assert again.training.precision == other.training.precision == "fp32"
