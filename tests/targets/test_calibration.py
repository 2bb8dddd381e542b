"""Temperature scaling: known temperatures come back, few rows change little, and learners keep theirs."""

from __future__ import annotations

import math
from pathlib import Path

import polars as pl
import pytest
import torch

from headstart import TabularData, TabularLearner, load, splits
from headstart.frames.categories import Categories
from headstart.targets.calibration import fitted_temperature
from headstart.targets.target import Label, Labels, Number


def label(classes: int = 3) -> Label:
    return Label("kind", Categories.fit(pl.Series("kind", [f"c{number}" for number in range(classes)])))


def drawn(logits: torch.Tensor, seed: int) -> torch.Tensor:
    return torch.multinomial(logits.softmax(1), 1, generator=torch.Generator().manual_seed(seed)).squeeze(1)


@pytest.mark.parametrize("temperature", [0.5, 1.0, 3.0])
def test_a_known_temperature_comes_back(temperature: float) -> None:
    logits = torch.randn(20_000, 3, generator=torch.Generator().manual_seed(0)) * 2
    found = label().temperature(logits * temperature, drawn(logits, seed=1))
    assert found == pytest.approx(temperature, rel=0.03)


def test_a_known_temperature_of_several_labels_comes_back() -> None:
    logits = torch.randn(20_000, 2, generator=torch.Generator().manual_seed(0)) * 2
    truth = torch.bernoulli(logits.sigmoid(), generator=torch.Generator().manual_seed(1))
    target = Labels("kinds", label(2).categories)
    assert target.temperature(logits * 2.5, truth) == pytest.approx(2.5, rel=0.03)


@pytest.mark.parametrize(("rows", "share"), [(1, 1 / 5), (4, 1 / 2), (1000, 250 / 251)])
def test_few_rows_change_little(rows: int, share: float) -> None:
    """Of a loss that is lowest at log 1 and as curved as the prior of four rows, the prior keeps 4 / (rows + 4)."""
    found = fitted_temperature(lambda value: torch.tensor((math.log(value) - 1.0) ** 2 / 2, dtype=torch.float64), rows)
    assert math.log(found) == pytest.approx(share, abs=1e-4)


def test_no_mistake_on_few_rows_is_no_certainty() -> None:
    logits = torch.tensor([[2.0, -2.0], [-2.0, 2.0]]).repeat(10, 1)
    classes = torch.tensor([0, 1]).repeat(10)
    assert label(2).temperature(logits, classes) > 0.8
    assert label(2).temperature(logits.repeat(1000, 1), classes.repeat(1000)) < 0.6


def test_the_search_finds_the_minimum() -> None:
    loss = fitted_temperature(lambda value: torch.tensor((math.log(value) - 0.7) ** 2, dtype=torch.float64), 10**9)
    assert loss == pytest.approx(math.exp(0.7), rel=1e-4)


def test_numbers_have_none() -> None:
    assert Number(("x",), False, (0.0,), (1.0,)).temperature(torch.zeros(2, 1), torch.ones(2, 1)) == 1.0


def overfitted(folder: Path) -> tuple[TabularLearner, pl.DataFrame]:
    """Return a learner that knows its 200 noisy rows by heart, and other rows."""
    random = torch.Generator().manual_seed(0)
    numbers = torch.randn(1200, 6, generator=random)
    noisy = torch.bernoulli((2 * numbers[:, 0]).sigmoid(), generator=random)
    table = pl.DataFrame({f"x{i}": numbers[:, i].numpy() for i in range(6)}).with_columns(
        y=pl.Series(["yes" if value else "no" for value in noisy.tolist()])
    )
    data = TabularData.from_table(table[:600], "y", split=splits.by_random(2 / 3), batch_size=20)
    learner = TabularLearner(data, progress="none", folder=folder)
    learner.fit_one_cycle(0.02, 20, keep="last")
    return learner, table[600:]


def test_a_learner_is_calibrated_on_its_validation_rows_and_loads_so(tmp_path: Path) -> None:
    learner, rows = overfitted(tmp_path)
    assert learner.temperature > 1.5 and learner.history[-1]["temperature"] == learner.temperature
    assert learner.validate() == learner.figures
    assert learner.figures["log_loss"] < learner.figures["valid_loss"]  # the loss is that of the outputs themselves
    figures = learner.evaluate(rows)
    assert figures["log_loss"] < 0.8 * figures["valid_loss"]
    again = load(learner.save(tmp_path / "saved"))
    assert again.temperature == learner.temperature and again.evaluate(rows) == figures
    one, table = again.predict(rows.row(0, named=True)), again.predict(rows[:1])
    assert one["probability_yes"] == pytest.approx(table["probability_yes"][0], abs=1e-6)
    other = TabularLearner(learner.codec, progress="none")
    other.load(tmp_path / "saved")
    assert other.evaluate(rows) == figures


def test_without_validation_rows_there_is_no_temperature() -> None:
    table = pl.DataFrame({"x": [0.0, 1.0, 2.0, 3.0] * 10, "y": ["a", "b"] * 20})
    learner = TabularLearner(TabularData.from_table(table, "y", split=splits.train_on_all), progress="none")
    learner.fit_one_cycle(0.01, 1)
    assert learner.temperature == 1.0 and "temperature" not in learner.history[0]


def test_classes_are_compared_by_log_loss_unless_metrics_are_given() -> None:
    table = pl.DataFrame({"x": [0.0, 1.0, 2.0, 3.0] * 10, "y": ["a", "b"] * 20})
    data = TabularData.from_table(table, "y")
    assert TabularLearner(data).first_figure() == "log_loss"
    assert TabularLearner(data, metrics=["accuracy"]).first_figure() == "accuracy"


def test_a_loaded_classifier_is_compared_by_its_own_metrics(tmp_path: Path) -> None:
    table = pl.DataFrame({"x": [0.0, 1.0, 2.0, 3.0] * 10, "y": ["a", "b"] * 20})
    learner = TabularLearner(TabularData.from_table(table, "y"), metrics=["accuracy"], progress="none")
    learner.fit_one_cycle(0.01, 1)
    again = load(learner.save(tmp_path / "model"))
    again.data = learner.data
    again.progress = "none"
    assert again.first_figure() == "accuracy"
    assert again.fit_one_cycle(0.01, 2, keep="best").kept() in (1, 2)
    again.metrics = TabularLearner(learner.codec).metrics
    assert again.first_figure() == "log_loss"
