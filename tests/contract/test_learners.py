"""What every learner keeps, whatever its application: the shapes to come run through the unchanged loop."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Tensor

import toys
from headstart import (
    ArtifactError,
    Callback,
    ConfigError,
    EarlyStopping,
    Engine,
    HeadstartWarning,
    KeepBest,
    Learner,
    NotFittedError,
)
from headstart.core.batch import Batch
from headstart.targets.metrics import Metric
from headstart.training.ensemble import Ensemble
from headstart.training.loaders import Data, TensorLoader, tensor_data
from headstart.training.optim import SGD
from headstart.training.progress import Progress
from headstart.training.schedules import Triangular

Make = Callable[[Engine], Learner]


@pytest.fixture(params=toys.LEARNERS, scope="module")
def make(request: pytest.FixtureRequest) -> Make:
    return toys.LEARNERS[request.param]


@pytest.fixture(scope="module")
def engine() -> Engine:
    return Engine("cpu")


def weights(learner: Learner) -> dict[str, Tensor]:
    return {name: tensor.clone() for name, tensor in learner.model.state_dict().items()}


def same(first: dict[str, Tensor], second: dict[str, Tensor]) -> bool:
    return first.keys() == second.keys() and all(torch.equal(first[name], second[name]) for name in first)


def test_every_learner_overfits_its_rows(make: Make, engine: Engine) -> None:
    learner = make(engine)
    history = learner.fit_one_cycle(0.05, 60)
    assert history[-1]["train_loss"] < 0.25 * history[0]["train_loss"]


def test_a_saved_learner_gives_the_same_bits_after_loading(make: Make, engine: Engine, tmp_path: Path) -> None:
    learner, other = make(engine), make(engine)
    learner.fit(0.01, 2)
    learner.save(tmp_path / "saved")
    assert not same(weights(learner), weights(other))
    other.load(tmp_path / "saved")
    assert same(weights(learner), weights(other))


@pytest.mark.parametrize("stopped_after", [1, 3])
def test_a_resumed_fit_gives_the_same_bits(make: Make, engine: Engine, tmp_path: Path, stopped_after: int) -> None:
    whole, first, second = make(engine), make(engine), make(engine)
    arguments = {"cycle_len": 1, "cycle_mult": 2}  # epochs 1, 3, 7
    expected = whole.fit(0.02, 3, **arguments, callbacks=[KeepBest("train_loss")])

    class Crash(Callback):
        def on_epoch_end(self, progress: Progress) -> None:
            if progress.epoch == stopped_after + 1:
                raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        first.callbacks.append(Crash())
        first.fit(0.02, 3, **arguments, callbacks=[KeepBest("train_loss")], checkpoint=tmp_path / "checkpoint")
    second.callbacks.append(Callback())  # one in the crash's place
    with pytest.raises(ArtifactError, match="written with the callbacks"):
        second.fit(0.02, 3, **arguments, checkpoint=tmp_path / "checkpoint", resume=True)
    third = make(engine)

    Crash.on_epoch_end = Callback.on_epoch_end  # type: ignore[method-assign]
    third.callbacks.append(Crash())
    found = third.fit(
        0.02, 3, **arguments, callbacks=[KeepBest("train_loss")], checkpoint=tmp_path / "checkpoint", resume=True
    )
    assert same(weights(whole), weights(third))
    timeless = [[{k: v for k, v in row.items() if k != "seconds"} for row in history] for history in (expected, found)]
    assert timeless[0] == timeless[1]


def test_the_rate_finder_leaves_no_trace(
    make: Make, engine: Engine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    swept, untouched = make(engine), make(engine)
    before, state = weights(swept), torch.get_rng_state()
    buffers = {name: buffer.clone() for name, buffer in swept.model.named_buffers()}
    curve = swept.find_lr(steps=30)
    assert same(before, weights(swept))
    assert same(buffers, dict(swept.model.named_buffers()))
    assert torch.equal(state, torch.get_rng_state())
    assert not any(parameter.grad is not None for parameter in swept.model.parameters())
    assert list(tmp_path.iterdir()) == [] and len(swept.history) == 0
    assert curve.rates[0] <= curve.suggestion <= curve.rates[-1]
    swept.fit(0.01, 2), untouched.fit(0.01, 2)
    assert same(weights(swept), weights(untouched))


def test_a_fit_leaves_the_random_stream_of_the_caller_alone(make: Make, engine: Engine) -> None:
    torch.manual_seed(3)
    expected = torch.rand(3)
    torch.manual_seed(3)
    make(engine).fit(0.01, 1)
    assert torch.equal(torch.rand(3), expected)


def test_the_same_seed_gives_the_same_bits_and_another_does_not(engine: Engine) -> None:
    learners = [toys.plain_learner(engine) for _ in range(3)]
    learners[2].training = replace(learners[2].training, seed=1)  # another dropout
    for learner in learners:
        torch.rand(1)
        learner.fit(0.01, 2)
    assert same(weights(learners[0]), weights(learners[1]))
    assert not same(weights(learners[0]), weights(learners[2]))


def test_tied_weights_stay_tied_and_are_stored_once(engine: Engine, tmp_path: Path) -> None:
    learner, other = toys.stream_learner(engine), toys.stream_learner(engine)
    learner.fit(0.01, 1)
    learner.save(tmp_path / "saved")
    record = json.loads((tmp_path / "saved" / "learner.json").read_text())
    assert record["aliases"] == {"model.decoder.weight": "model.embedding.weight"}
    other.load(tmp_path / "saved")
    assert other.model.decoder.weight is other.model.embedding.weight
    assert sum(len(group) for group in learner.groups.parameters) == len(list(learner.model.parameters()))


def test_the_carried_state_is_in_checkpoints_and_not_in_artefacts(engine: Engine, tmp_path: Path) -> None:
    learner = toys.stream_learner(engine)
    learner.fit(0.01, 1, checkpoint=tmp_path / "checkpoint")
    learner.save(tmp_path / "saved")
    assert "carried" in (tmp_path / "checkpoint" / "checkpoint.json").read_text()
    assert "carried" not in learner.model.state_dict()


def test_windows_of_other_lengths_scale_the_rate(engine: Engine) -> None:
    rates: list[float] = []

    class Watch(Callback):
        def on_step_end(self, progress: Progress) -> None:
            rates.append(progress.optimizer.param_groups[0]["lr"])

    learner = toys.stream_learner(engine)
    learner.fit(0.01, 1, callbacks=[Watch()])
    lengths = [end - start for start, end in toys.StreamLoader(engine).windows(0)]
    assert rates == pytest.approx([0.01 * length / 5 for length in lengths])
    assert len(set(lengths)) > 1


def test_the_penalty_is_minimised_but_not_recorded(engine: Engine) -> None:
    class Large(Callback):
        def on_loss(self, progress: Progress, batch: Batch, outputs: object, loss: Tensor) -> Tensor:
            return loss + 1000.0

    with_penalty, without = toys.plain_learner(engine), toys.plain_learner(engine)
    history = with_penalty.fit(0.01, 1, callbacks=[Large()])
    assert history[0]["train_loss"] == without.fit(0.01, 1)[0]["train_loss"]


def test_predictions_come_back_in_row_order_whatever_the_loader(engine: Engine) -> None:
    learner = toys.tagging_learner(engine)
    loader = toys.LengthLoader(engine)
    prediction, target = learner.predict_with_targets()
    assert torch.equal(target, loader.target.float())
    assert not torch.equal(loader.order, torch.arange(len(loader.order)))
    for row in (0, 7, 31):
        document = loader.documents[row][None]
        alone = learner.target.prediction(learner.model(document, torch.tensor([document.shape[1]])))
        torch.testing.assert_close(prediction[row], alone[0])


def test_switching_to_precomputed_activations_and_back(engine: Engine) -> None:
    learner = toys.photo_learner(engine)
    whole, images = learner.model, learner.data
    learner.freeze()
    body = {name: tensor.clone() for name, tensor in whole.state_dict().items() if not name.startswith("head")}
    with torch.no_grad():
        pictures, labels = toys.photos()
        activations = whole.body(pictures)
    learner.model, learner.data = (
        toys.HeadOnly(whole),
        tensor_data((activations, labels), (activations, labels), batch_size=8),
    )
    learner.fit([1e-4, 1e-3, 1e-2], 3)
    from_activations, _ = learner.predict_with_targets()
    learner.model, learner.data = whole, images
    from_images, _ = learner.predict_with_targets()
    torch.testing.assert_close(from_activations, from_images, atol=1e-6, rtol=1e-5)
    assert same(body, {name: tensor for name, tensor in whole.state_dict().items() if not name.startswith("head")})
    learner.unfreeze()
    learner.fit([1e-4, 1e-3, 1e-2], 2)
    assert not same(body, {name: tensor for name, tensor in whole.state_dict().items() if not name.startswith("head")})


def test_the_head_trains_alike_from_images_and_from_activations(engine: Engine) -> None:
    slow, fast = toys.photo_learner(engine), toys.photo_learner(engine)
    slow.freeze()
    slow.fit(1e-2, 2)
    pictures, labels = toys.photos()
    with torch.no_grad():
        activations = fast.model.body(pictures)
    head = toys.HeadOnly(fast.model)
    fast.model, fast.data = head, tensor_data((activations, labels), batch_size=8)
    fast.fit(1e-2, 2)
    torch.testing.assert_close(slow.model.head.weight, head.head.weight, atol=1e-6, rtol=1e-5)


def test_a_loss_without_target_fits_and_brings_its_own_figures(engine: Engine) -> None:
    learner = toys.pair_learner(engine)
    before = learner.validate()["right_order"]
    history = learner.fit(0.1, 5)
    assert history[-1]["right_order"] > before
    with pytest.raises(ConfigError, match="no target"):
        learner.predict_with_targets()


def test_differential_rates_move_the_groups_by_their_own(engine: Engine) -> None:
    learner = toys.photo_learner(engine)
    learner.training = replace(learner.training, optimizer=SGD(momentum=0.0))
    before = weights(learner)
    learner.fit([0.0, 1e-9, 1e-2], 1)
    after = weights(learner)
    assert torch.equal(before["early.weight"], after["early.weight"])
    moved = [(before[name] - after[name]).abs().max() for name in ("late.weight", "head.weight")]
    assert moved[0] < 1e-6 < moved[1]
    with pytest.raises(ConfigError, match="lr has 2 rates, but the model has 3 groups"):
        learner.fit([1e-3, 1e-2], 1)


def test_accumulated_batches_count_like_one(engine: Engine) -> None:
    """37 rows: four batches of 8 and one of 5, in windows of two, against batches of 16 in the same order."""
    rows = torch.randn(37, 4, generator=torch.Generator().manual_seed(2))
    target = rows.sum(1, keepdim=True)

    def trained(batch_size: int, accumulate: int) -> Tensor:
        data = tensor_data((rows, target), batch_size=batch_size, engine=engine)
        model = toys.seeded(lambda: torch.nn.Linear(4, 1))
        Learner(model, data, loss=toys.square_loss, optimizer=SGD(), accumulate=accumulate, progress="none").fit(0.1, 3)
        return model.weight.detach()

    torch.testing.assert_close(trained(8, 2), trained(16, 1))
    assert not torch.allclose(trained(8, 1), trained(16, 1))


def test_clipping_bounds_the_step(engine: Engine) -> None:
    learner = toys.plain_learner(engine)
    learner.training = replace(learner.training, optimizer=SGD(momentum=0.0), clip=1e-3, weight_decay=0.0)
    before = weights(learner)
    steps = learner.data.train.steps(0)
    learner.fit(1.0, 1)
    moved = (
        sum(float((before[name] - tensor).square().sum()) for name, tensor in learner.model.state_dict().items()) ** 0.5
    )
    assert 0 < moved <= 1e-3 * steps * 1.001


def test_weights_of_rows_count_in_the_loss(engine: Engine) -> None:
    inputs, target = torch.ones(8, 1), torch.arange(8.0)[:, None]
    weight = torch.tensor([8.0] + [0.0] * 7)
    loader = TensorLoader([inputs], target, weight, batch_size=8, shuffle=True, engine=engine)
    learner = Learner(
        torch.nn.Linear(1, 1), Data(train=loader, valid=None), loss=toys.square_loss, optimizer=SGD(), progress="none"
    )
    learner.training = replace(learner.training, weight_decay=0.0)
    learner.fit(0.1, 200)
    assert learner.model(torch.ones(1, 1)).item() == pytest.approx(0.0, abs=1e-3)


def test_early_stopping_stops_and_the_best_weights_come_back(engine: Engine) -> None:
    figures = iter([0.5, 0.3, 0.4, 0.45, 0.1])
    learner = toys.plain_learner(engine)
    kept: list[dict[str, Tensor]] = []

    class Judge(Callback):
        def on_epoch_end(self, progress: Progress) -> None:
            progress.history[-1]["valid_loss"] = next(figures)
            kept.append({name: tensor.clone() for name, tensor in progress.model.state_dict().items()})

    history = learner.fit(0.01, 5, callbacks=[Judge(), EarlyStopping("valid_loss", patience=2), KeepBest("valid_loss")])
    assert [row["valid_loss"] for row in history] == [0.5, 0.3, 0.4, 0.45]
    assert same(weights(learner), kept[1])
    with pytest.raises(ConfigError, match=r"monitor='valid_los' is no figure of this fit; did you mean 'valid_loss'\?"):
        learner.fit(0.01, 1, callbacks=[EarlyStopping("valid_los", better="lower")])


def test_snapshots_of_cycles_are_loaded_and_averaged(engine: Engine, tmp_path: Path) -> None:
    learner = toys.plain_learner(engine)
    learner.snapshots.folder = tmp_path
    learner.fit(0.02, 2, cycle_len=1, cycle_mult=2, snapshot="sgdr")
    last = weights(learner)
    singles = []
    for cycle in (0, 1):
        learner.load_cycle("sgdr", cycle)
        singles.append(learner.predict_with_targets()[0])
    assert same(weights(learner), last) and not torch.equal(*singles)
    learner.load_cycle("sgdr", 0)
    own = weights(learner)
    averaged, _ = learner.predict_with_targets(snapshot="sgdr")
    torch.testing.assert_close(averaged, (singles[0] + singles[1]) / 2)
    assert same(weights(learner), own)
    with pytest.raises(ArtifactError, match=r"snapshot 'sgdr' .* has the cycles \[0, 1\]; got 7"):
        learner.load_cycle("sgdr", 7)
    with pytest.raises(ArtifactError, match=r"no snapshots named 'sgd'; did you mean 'sgdr'\?"):
        learner.predict_with_targets(snapshot="sgd")


def test_a_nan_ends_the_sweep_and_not_the_program(engine: Engine) -> None:
    learner = toys.plain_learner(engine)
    calls = iter(range(1000))
    learner.loss = lambda outputs, batch: toys.square_loss(outputs, batch) * (float("nan") if next(calls) > 20 else 1.0)
    curve = learner.find_lr(steps=100)
    assert len(curve.rates) == 21
    learner.loss = lambda outputs, batch: toys.square_loss(outputs, batch) * float("nan")
    with pytest.raises(ConfigError, match=r"find_lr: the loss is not finite after 0 steps .* give a lower start"):
        learner.find_lr()


def test_bf16_trains_and_its_outputs_are_float32_predictions(tmp_path: Path) -> None:
    learner = toys.photo_learner(Engine("cpu"))
    learner.training = replace(learner.training, precision="bf16")
    history = learner.fit(0.05, 20)
    assert history[-1]["train_loss"] < 0.5 * history[0]["train_loss"]
    assert all(parameter.dtype == torch.float32 for parameter in learner.model.parameters())
    with pytest.raises(ConfigError, match="precision 'fp16' needs an NVIDIA or AMD GPU; on cpu use 'bf16'"):
        learner.training = replace(learner.training, precision="fp16")


def test_fine_tune_trains_the_head_first_and_earlier_groups_more_slowly(engine: Engine) -> None:
    seen: list[tuple[tuple[bool, ...], tuple[float, ...]]] = []

    class Watch(Callback):
        def on_fit_start(self, progress: Progress) -> None:
            frozen = tuple(not any(p.requires_grad for p in group) for group in progress.groups.parameters)
            seen.append((frozen, tuple(sorted({group["base_lr"] for group in progress.optimizer.param_groups}))))

    learner = toys.photo_learner(engine)
    history = learner.fine_tune(1e-2, 2, callbacks=[Watch()])
    assert [frozen for frozen, _ in seen] == [(True, True, False), (False, False, False)]
    assert seen[0][1] == (1e-2,)
    assert seen[1][1] == pytest.approx((5e-5, 5e-4, 5e-3))
    assert [row["fit"] for row in history] == [0, 1, 1]


def test_a_schedule_of_ones_own_choice_fits(engine: Engine) -> None:
    history = toys.plain_learner(engine).fit_schedule(0.05, Triangular(2, cycle_len=2))
    assert len(history) == 4 and history[-1]["rmse"] < history[0]["rmse"]


def test_a_learner_without_data_says_so(engine: Engine) -> None:
    learner = Learner(torch.nn.Linear(1, 1), None, loss=toys.square_loss)
    with pytest.raises(NotFittedError, match=r"has no data; set learner\.data"):
        learner.fit(0.1, 1)


@pytest.mark.parametrize(
    ("action", "message"),
    [
        (lambda learner: learner.fit(0.1, 0), "cycles must be a whole number|epochs must be a whole number of at least 1; got 0"),
        (lambda learner: learner.fit(0.1, 1, cycle_mult=2), "cycle_mult=2 lengthens cycles, so it needs a cycle_len"),
        (lambda learner: learner.fit("fast", 1), "lr must be a number, or one number per group; got 'fast'"),
        (lambda learner: learner.fit(float("nan"), 1), "each lr must be a finite number"),
        (lambda learner: learner.freeze_to(4), r"freeze_to\(4\): the model has 3 groups, so give -3 to 3"),
        (lambda learner: (learner.freeze_to(3), learner.fit(0.1, 1)), "every group is frozen.*unfreeze"),
        (lambda learner: learner.find_lr(start=1, end=0.1), "find_lr needs 0 < start < end; got start=1, end=0.1"),
        (lambda learner: learner.find_lr(steps=3), "at least 10 steps to see a slope; got 3"),
        (lambda learner: Learner(learner.model, learner.data, metrics=["acuracy"]), "no metric 'acuracy'; did you mean 'accuracy'"),
        (lambda learner: Learner(learner.model, learner.data, clip=0), "clip must be a number above 0, or None; got 0"),
        (lambda learner: Learner(learner.model, learner.data, accumulate=0), "accumulate must be a whole number of at least 1; got 0"),
        (lambda learner: Learner(learner.model, learner.data).fit(0.1, 1), "give loss=, a function"),
        (lambda learner: Engine("cdua"), "device 'cdua' is unknown; use 'auto', 'cpu'"),
        (lambda learner: Engine("cuda"), "device 'cuda' needs a GPU that torch supports, but torch finds none"),
        (lambda learner: Engine("cpu").at("fp8"), "precision must be 'fp32', 'bf16' or 'fp16'; got 'fp8'"),
        (lambda learner: Engine("cpu", sync_batch_norm=True), "sync_batch_norm needs GPUs"),
        (lambda learner: EarlyStopping(patience=0), "patience must be at least 1 epoch; got 0"),
        (lambda learner: KeepBest(better="lowest"), "better must be 'lower' or 'higher'; got 'lowest'"),
    ],
)  # fmt: skip
def test_a_careless_call_is_answered_with_what_to_do(
    action: Callable[[Learner], object], message: str, engine: Engine
) -> None:
    if "cuda" in message and torch.cuda.is_available():
        message = "never raised here"
    with pytest.raises(ConfigError, match=message):
        action(toys.photo_learner(engine))


def test_a_fit_at_a_constant_rate_may_be_given_more_epochs(engine: Engine, tmp_path: Path) -> None:
    toys.plain_learner(engine).fit(0.01, 2, checkpoint=tmp_path / "checkpoint")
    longer = toys.plain_learner(engine)
    longer.fit(0.01, 4, checkpoint=tmp_path / "checkpoint", resume=True)
    whole = toys.plain_learner(engine)
    whole.fit(0.01, 4)
    assert [epoch["train_loss"] for epoch in longer.history] == [epoch["train_loss"] for epoch in whole.history]
    assert all(map(torch.equal, longer.model.state_dict().values(), whole.model.state_dict().values()))
    with pytest.raises(ArtifactError, match="belongs to another fit: schedule.*epochs was 4, is 3"):
        toys.plain_learner(engine).fit(0.01, 3, checkpoint=tmp_path / "checkpoint", resume=True)
    toys.plain_learner(engine).fit_one_cycle(0.01, 2, checkpoint=tmp_path / "cycle")
    with pytest.raises(ArtifactError, match="belongs to another fit: schedule.*epochs was 2, is 4"):
        toys.plain_learner(engine).fit_one_cycle(0.01, 4, checkpoint=tmp_path / "cycle", resume=True)


def test_a_checkpoint_of_another_fit_is_refused(engine: Engine, tmp_path: Path) -> None:
    toys.plain_learner(engine).fit(0.01, 2, checkpoint=tmp_path / "checkpoint")
    with pytest.raises(ArtifactError, match="belongs to another fit: .*rates was.*resume=False"):
        toys.plain_learner(engine).fit(0.02, 2, checkpoint=tmp_path / "checkpoint", resume=True)


def test_a_finished_fit_resumed_does_nothing_more(engine: Engine, tmp_path: Path) -> None:
    first, second = toys.plain_learner(engine), toys.plain_learner(engine)
    first.fit(0.01, 2, checkpoint=tmp_path / "checkpoint")
    history = second.fit(0.01, 2, checkpoint=tmp_path / "checkpoint", resume=True)
    assert same(weights(first), weights(second)) and len(history) == 2


def test_a_user_s_own_module_loads_only_into_its_own_make(engine: Engine, tmp_path: Path) -> None:
    import headstart

    learner = toys.plain_learner(engine)
    learner.save(tmp_path / "saved")
    with pytest.raises(ArtifactError, match=r"a model of your own .* make the model, then Learner\(model, data\).load"):
        headstart.load(tmp_path / "saved")
    with pytest.raises(ArtifactError, match="do not fit the model"):
        toys.photo_learner(engine).load(tmp_path / "saved")


def test_the_summary_tells_groups_and_what_trains(engine: Engine) -> None:
    from rich.console import Console

    learner = toys.photo_learner(engine)
    learner.freeze()
    console = Console(width=100)
    with console.capture() as captured:
        console.print(learner.summary())
    text = captured.get()
    assert "late" in text and "frozen" in text and "296" in text and "yes" in text


def test_only_the_engine_knows_other_processes_and_nothing_is_pickled() -> None:
    source = Path(toys.__file__).parents[1] / "src" / "headstart"
    for path in source.rglob("*.py"):
        text = path.read_text()
        assert "torch.distributed" not in text or path.name == "engine.py", path
        assert "import pickle" not in text, path
        # What others wrote: read with weights_only, which takes tensors and refuses whatever would run code.
        assert text.count("torch.load(") == text.count("weights_only=True)"), path
        assert "torch.load(" not in text or path.name == "backbone_weights.py", path


def test_importing_headstart_costs_nothing() -> None:
    code = "import sys, headstart; sys.exit(any(name in sys.modules for name in ('torch', 'polars', 'numpy')))"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_callbacks_forget_an_earlier_fit(engine: Engine) -> None:
    """One `KeepBest` for all folds of a cross-validation must not carry weights from fold to fold."""
    best, patient = KeepBest("train_loss"), EarlyStopping("train_loss", patience=1)
    first, second = toys.plain_learner(engine), toys.plain_learner(engine)
    first.fit(0.05, 5, callbacks=[best, patient])
    second.fit(1e-7, 1, callbacks=[best, patient])
    assert not same(weights(first), weights(second))
    assert best.epoch == 1 and patient.best > first.history[-1]["train_loss"]


def test_a_broken_off_fit_is_taken_up_in_the_same_session(engine: Engine, tmp_path: Path) -> None:
    whole, learner = toys.plain_learner(engine), toys.plain_learner(engine)
    whole.fit(0.01, 3)

    class Interrupt(Callback):
        on = True

        def on_epoch_end(self, progress: Progress) -> None:
            if self.on and progress.epoch == 3:
                raise KeyboardInterrupt

    interrupt = Interrupt()
    with pytest.raises(KeyboardInterrupt):
        learner.fit(0.01, 3, callbacks=[interrupt], checkpoint=tmp_path / "checkpoint")
    assert [row["epoch"] for row in learner.history] == [0, 1, 2]
    interrupt.on = False
    learner.fit(0.01, 3, callbacks=[interrupt], checkpoint=tmp_path / "checkpoint", resume=True)
    assert same(weights(whole), weights(learner))
    assert [row["epoch"] for row in learner.history] == [0, 1, 2] and learner.fits == 1


def test_a_checkpoint_of_another_model_or_order_is_refused_before_it_changes_anything(
    engine: Engine, tmp_path: Path
) -> None:
    toys.plain_learner(engine).fit(0.01, 1, checkpoint=tmp_path / "checkpoint")
    other = toys.plain_learner(engine)
    other.model = torch.nn.Sequential(torch.nn.Linear(5, 1))
    with pytest.raises(ArtifactError, match="belongs to another fit: weights"):
        other.fit(0.01, 1, checkpoint=tmp_path / "checkpoint", resume=True)
    turned = toys.plain_learner(engine)
    turned.data.train.seed = 9
    with pytest.raises(ArtifactError, match=r"belongs to another fit: data\.seed was 0, is 9"):
        turned.fit(0.01, 1, checkpoint=tmp_path / "checkpoint", resume=True)
    (tmp_path / "empty").mkdir()
    turned.fit(0.01, 1, checkpoint=tmp_path / "empty", resume=True)


def test_snapshots_of_an_earlier_fit_are_not_averaged_in(engine: Engine, tmp_path: Path) -> None:
    learner = toys.plain_learner(engine)
    learner.snapshots.folder = tmp_path
    learner.fit(0.01, 4, snapshot="cycles")
    learner.fit(0.01, 2, snapshot="cycles")
    assert learner.snapshots.cycles("cycles") == [0, 1]
    with pytest.raises(
        ConfigError, match="snapshot must be a plain name, without a folder, which folder= sets; got 'a/b'"
    ):
        learner.fit(0.01, 1, snapshot="a/b")


def test_a_diverged_fit_says_so(engine: Engine) -> None:
    learner = toys.plain_learner(engine)
    learner.training = replace(learner.training, optimizer=SGD())
    with pytest.warns(HeadstartWarning, match="the training loss is not finite: lower lr"):
        learner.fit(1e30, 2)


def test_the_saved_figures_are_those_of_the_saved_weights(engine: Engine, tmp_path: Path) -> None:
    learner = toys.plain_learner(engine)
    learner.fit(0.01, 3)
    learner.fit(0.3, 3, callbacks=[KeepBest("rmse", better="higher")])  # the worst, so that it is not the last
    judged = learner.validate()
    assert learner.figures["rmse"] == pytest.approx(judged["rmse"])
    assert learner.figures["rmse"] != learner.history[-1]["rmse"]
    learner.save(tmp_path / "model")
    assert json.loads((tmp_path / "model" / "learner.json").read_text())["metrics"]["rmse"] == learner.figures["rmse"]


def test_a_model_that_caches_on_its_first_call_trains_after_validation(engine: Engine) -> None:
    class Caching(torch.nn.Linear):
        table: Tensor | None = None

        def forward(self, rows: Tensor) -> Tensor:
            if self.table is None:
                self.table = torch.ones(1, 5)
            return super().forward(rows * self.table)

    learner = toys.plain_learner(engine)
    learner.model = Caching(5, 1)
    learner.validate()
    learner.fit(0.01, 1)


@pytest.mark.parametrize(
    ("action", "message"),
    [
        (lambda learner: Learner(learner.model, learner.data, loss=torch.nn.MSELoss()), r"loss is called as loss\(outputs, batch\); for MSELoss"),
        (lambda learner: Learner(learner.model, learner.data, loss=torch.nn.functional.mse_loss), r"loss is called as loss\(outputs, batch\)"),
        (lambda learner: learner.fit(0.1, 1, callbacks=KeepBest()), r"callbacks must be a list of callbacks such as \[KeepBest\(\)\]"),
        (lambda learner: learner.fit(0.1, 1, callbacks=[KeepBest]), "callbacks must be a list of callbacks"),
        (lambda learner: learner.fit(0.1, 1, callbacks=[KeepBest("mine")]), "monitor='mine': .* give better='lower' or better='higher'"),
        (lambda learner: learner.freeze(), r"Sequential is one group, so there is nothing to freeze .* give it a method groups\(\)"),
        (lambda learner: Learner(learner.model, learner.data, accumulate="2"), "accumulate must be a whole number"),
    ],
)  # fmt: skip
def test_a_user_s_own_parts_are_checked(action: Callable[[Learner], object], message: str, engine: Engine) -> None:
    with pytest.raises(ConfigError, match=message):
        action(toys.plain_learner(engine))


def test_an_empty_history_cannot_be_plotted(engine: Engine) -> None:
    with pytest.raises(NotFittedError, match="no epochs to plot yet: call fit"):
        toys.plain_learner(engine).history.plot()


def test_the_direction_of_a_figure_is_the_metric_s_own(engine: Engine) -> None:
    """Not guessed from its name: an ``error_score`` of a user's may be better where it is higher."""
    learner = toys.plain_learner(engine)
    mine = Metric("error_score", lambda prediction, target: float(prediction.mean()), better="higher")
    learner.metrics = (mine, *learner.metrics)
    assert learner.first_figure() == "error_score"
    assert learner.better() == {
        "error_score": "higher", "rmse": "lower", "valid_loss": "lower", "train_loss": "lower"
    }  # fmt: skip
    history = learner.fit(0.05, 4, keep="best")
    best = max(range(4), key=lambda epoch: history[epoch]["error_score"])
    assert [epoch["kept"] for epoch in history] == [float(epoch == best) for epoch in range(4)]


def test_the_weights_inside_an_epoch_have_no_figures(engine: Engine) -> None:
    class Stop(Callback):
        def on_step_end(self, progress: Progress) -> None:
            progress.stop = progress.epoch == 1 and progress.step == 2

    learner = toys.plain_learner(engine)
    learner.fit(0.05, 3, callbacks=[Stop()])
    assert len(learner.history) == 1 and learner.figures == {}


def test_loaded_weights_bring_their_figures(engine: Engine, tmp_path: Path) -> None:
    learner, other = toys.plain_learner(engine), toys.plain_learner(engine)
    learner.fit(0.05, 2)
    learner.save(tmp_path / "model")
    other.fit(0.01, 1)
    other.load(tmp_path / "model")
    assert (
        other.figures
        == learner.figures
        == {"valid_loss": learner.figures["valid_loss"], "rmse": learner.figures["rmse"]}
    )


def test_other_data_s_checkpoint_is_refused(engine: Engine, tmp_path: Path) -> None:
    learner = toys.plain_learner(engine)
    learner.fit(0.01, 1, checkpoint=tmp_path / "checkpoint")
    other = toys.plain_learner(engine)
    other.data.train.target[0] += 1  # one number in one row
    with pytest.raises(ArtifactError, match=r"belongs to another fit: data\.digest"):
        other.fit(0.01, 1, checkpoint=tmp_path / "checkpoint", resume=True)
    lossy = toys.plain_learner(engine)
    lossy.loss = lambda outputs, batch: (outputs - batch.target).abs().mean()
    with pytest.raises(ArtifactError, match="belongs to another fit: loss"):
        lossy.fit(0.01, 1, checkpoint=tmp_path / "checkpoint", resume=True)


def test_each_fit_has_an_order_of_its_own_which_a_resume_keeps(engine: Engine, tmp_path: Path) -> None:
    """Three fits of one epoch once saw the same batches three times."""

    def orders(learner: Learner, fits: int, epochs: int = 1) -> list[list[int]]:
        seen: list[list[int]] = []

        class Look(Callback):
            def on_batch(self, progress: Progress, batch: Batch) -> Batch:
                assert batch.index is not None
                if progress.step == 0:
                    seen.append([])
                seen[-1] += batch.index.tolist()
                return batch

        for _ in range(fits):
            learner.fit(0.01, epochs, callbacks=[Look()])
        return seen

    three, whole = orders(toys.plain_learner(engine), 3), orders(toys.plain_learner(engine), 1, 3)
    assert len({tuple(order) for order in three}) == 3 and all(sorted(order) == list(range(37)) for order in three)
    assert three == whole  # one after the other or in one: the epochs' orders are the same


@pytest.mark.parametrize("clip", [None, 0.5])
def test_a_member_of_an_ensemble_trains_as_it_would_alone(engine: Engine, clip: float | None) -> None:
    """With SGD each once trained at the rate divided by the number of members, and was clipped by the norm of all."""
    inputs = torch.randn(24, 4, generator=torch.Generator().manual_seed(0))
    data = tensor_data((inputs, inputs.sum(1, keepdim=True)), batch_size=8, engine=engine)

    def trained(model: torch.nn.Module) -> torch.nn.Module:
        learner = Learner(
            model, data, loss=toys.square_loss, optimizer=SGD(), weight_decay=0.0, clip=clip, progress="none"
        )
        learner.fit(0.05, 2)
        return model

    alone = [trained(toys.seeded(lambda: torch.nn.Linear(4, 1), seed)) for seed in (0, 1)]
    together = trained(Ensemble([toys.seeded(lambda: torch.nn.Linear(4, 1), seed) for seed in (0, 1)]))
    for one, member in zip(alone, together.members, strict=True):
        torch.testing.assert_close(member.weight, one.weight)
        torch.testing.assert_close(member.bias, one.bias)


def test_of_equally_good_epochs_the_last_is_kept(engine: Engine) -> None:
    figures = iter([0.5, 0.9, 0.9, 0.7])

    class Tie(Callback):
        def on_epoch_end(self, progress: Progress) -> None:
            progress.history[-1]["share"] = next(figures)

    learner = toys.plain_learner(engine)
    history = learner.fit(0.01, 4, callbacks=[Tie(), KeepBest("share", better="higher")])
    assert [epoch["kept"] for epoch in history] == [0, 0, 1, 0]
