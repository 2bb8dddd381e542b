"""Images whose target is a number, or several: how red an image is, and how bright."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from PIL import Image

import vision_toys as toys
from headstart import ConfigError, DataError, Engine, ImageData, load


@pytest.fixture(scope="module")
def table(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("numbers")
    random, rows = np.random.default_rng(0), []
    for number in range(60):
        red, green = (int(level) for level in random.integers(20, 230, 2))
        pixels = np.zeros((40, 40, 3), np.uint8) + np.array([red, green, 90], np.uint8)
        Image.fromarray(pixels + random.integers(0, 20, pixels.shape).astype(np.uint8)).save(folder / f"{number}.png")
        rows.append(
            {"path": f"{number}.png", "red": red / 10, "green": green, "is_red": int(red > green), "step": red // 80}
        )
    pl.DataFrame(rows).write_csv(folder / "photos.csv")
    return folder / "photos.csv"


def data(table: Path, **options: Any) -> ImageData:
    return ImageData.from_table(
        table, size=toys.SIZE, batch_size=16, workers=0, cache=toys.cache(), engine=Engine("cpu"), **options
    )


def test_the_rule_is_that_of_tables(table: Path) -> None:
    kinds = [
        data(table, **options).target.kind
        for options in (
            {"target": "red"}, {"target": "green"}, {"target": "is_red"}, {"label": "is_red"}, {"label": "step"},
            {"target": "step"}, {"label": "green", "target_kind": "number"}, {"target": ["red", "green"]}, {"target": "green", "target_kind": "count"},
        )
    ]  # fmt: skip
    assert kinds == ["number", "number", "label", "label", "label", "number", "number", "number", "count"]
    with pytest.raises(DataError, match="label 'red' must be classes .* give target='red'"):
        data(table, label="red")
    with pytest.raises(ConfigError, match="label_smoothing is for classes, but 'red' is a number"):
        toys.make_learner(data(table, target="red"), label_smoothing=0.1).fit(0.01, 1)
    with pytest.raises(ConfigError, match="a folder's labels are the folders in it, which are classes"):
        ImageData.from_folder(table.parent, target_kind="number")


def test_a_number_is_learnt_shown_and_comes_back(table: Path, tmp_path: Path) -> None:
    learner = toys.make_learner(data(table, target="red"), precompute=1)
    learner.fit_one_cycle(0.02, 60)
    assert learner.validate()["r2"] > 0.5
    found = learner.interpret()
    assert found.table.columns == ["path", "truth", "prediction", "loss"]
    assert found.table["loss"].to_list() == pytest.approx(
        (found.table["truth"] - found.table["prediction"]).abs().to_list(), rel=1e-4
    )
    assert found.plot_top_losses(2).axes and found.plot_residuals().axes
    assert found.residuals()["residual"].abs().mean() == pytest.approx(learner.validate()["mae"], rel=1e-4)
    for refused in (found.most_certain, found.confusion_matrix):
        with pytest.raises(ConfigError, match="number"):
            refused()
    explanation = learner.explain(table.parent / "0.png")
    one = learner.predict(table.parent / "0.png")
    assert explanation.label == "red" and f"{one['prediction']:g}" in repr(explanation) and explanation.plot().axes
    assert learner.show_batch(2).axes
    learner.save(tmp_path / "model")
    again = load(tmp_path / "model", device="cpu")
    assert again.predict(table.parent / "0.png") == one
    assert again.evaluate(table) == learner.evaluate(table)
    assert set(again.evaluate(table)) == {"valid_loss", "rmse", "mae", "r2"}


def test_several_numbers_of_tables_and_arrays(table: Path) -> None:
    learner = toys.make_learner(data(table, target=["red", "green"]), precompute=1)
    learner.fit_one_cycle(0.02, 2)
    assert set(learner.predict(table.parent / "0.png")) == {"prediction_red", "prediction_green"}
    assert set(learner.evaluate(table)) == {"valid_loss", "rmse", "mae", "r2"}
    assert learner.interpret().plot_top_losses(1, cam=True).axes
    pixels, _ = toys.arrays()
    numbers = np.random.default_rng(0).normal(size=(len(pixels), 2))
    options: dict[str, Any] = {
        "size": toys.SIZE,
        "batch_size": 8,
        "workers": 0,
        "cache": toys.cache(),
        "engine": Engine("cpu"),
    }
    assert ImageData.from_arrays(pixels, numbers, target_kind="number", **options).target.columns == (
        "label_0",
        "label_1",
    )
    assert ImageData.from_arrays(pixels, numbers[:, 0], target_kind="number", **options).target.kind == "number"
    with pytest.raises(DataError, match="got Float64; to predict numbers give target_kind='number'"):
        ImageData.from_arrays(pixels, numbers[:, 0], **options)
