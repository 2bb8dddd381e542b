"""Texts whose target is a number, several, or quantiles; and the rule by which a column is classes or numbers."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from command_line import run
from headstart import ConfigError, DataError, Engine, TextData, TextLearner, load

WORTH = {"great": 2, "good": 1, "dull": -1, "awful": -2, "film": 0, "plot": 0, "the": 0}
RANDOM = np.random.default_rng(0)
TEXTS = [" ".join(RANDOM.choice(list(WORTH), 8)) for _ in range(400)]
STARS = [max(-3, min(3, sum(WORTH[word] for word in text.split()))) for text in TEXTS]
TABLE = pl.DataFrame({
    "text": TEXTS, "stars": STARS, "rating": [5.0 + star / 2 for star in STARS],
    "positive": [int(star > 0) for star in STARS], "word": ["up" if star > 0 else "down" for star in STARS],
})  # fmt: skip


def data(**options: Any) -> TextData:
    if "codec" not in options:
        options["min_freq"] = 1
    return TextData.from_table(TABLE, "text", batch_size=32, engine=Engine("cpu"), **options)


def trained(epochs: int = 5, **options: Any) -> TextLearner:
    learner = TextLearner(data(**options), embedding_size=16, hidden=16, layers=1, dropout=0.1, progress="none")
    learner.fit_one_cycle(0.02, epochs)
    return learner


@pytest.mark.parametrize(("options", "kind"), [
    ({"target": "rating"}, "number"),
    ({"target": "stars"}, "number"),  # whole numbers with more than two values
    ({"target": "positive"}, "label"),  # with two
    ({"target": "word"}, "label"),
    ({"label": "stars"}, "label"),  # a label is a class
    ({"label": "rating", "target_kind": "number"}, "number"),
    ({"target": "stars", "target_kind": "label"}, "label"),
    ({"target": ["rating", "stars"]}, "number"),
    ({"target": "rating", "quantiles": (0.1, 0.9)}, "quantiles"),
    ({"target": "positive", "target_kind": "count"}, "count"),
], ids=range(10))  # fmt: skip
def test_what_a_column_is_taken_for(options: dict[str, Any], kind: str) -> None:
    assert data(**options).target.kind == kind


def test_a_rating_is_predicted_explained_and_comes_back(tmp_path: Path) -> None:
    learner = trained(10, target="rating")
    assert learner.validate()["r2"] > 0.4
    one = learner.predict("great good film")
    assert one["prediction"] > 5.5 > learner.predict("awful dull film")["prediction"] and list(one) == ["prediction"]
    explanation = learner.explain("great awful film")
    assert explanation.of == "rating" and explanation.contributions[0] > 0.2 and explanation.contributions[1] < -0.2
    assert explanation.probability == pytest.approx(learner.predict("great awful film")["prediction"], abs=1e-4)
    worst = learner.interpret(3)
    assert worst.columns == ["text", "rating", "prediction", "loss"]
    assert worst["loss"].to_list() == pytest.approx((worst["rating"] - worst["prediction"]).abs().to_list(), rel=1e-5)
    assert learner.residuals()["residual"].abs().mean() == pytest.approx(learner.validate()["mae"], rel=1e-5)
    assert learner.plot_residuals().axes
    with pytest.raises(ConfigError, match="'rating' is a number and has no confusion matrix.*plot_residuals"):
        learner.confusion_matrix()
    learner.save(tmp_path / "model")
    again = load(tmp_path / "model", device="cpu")
    assert again.predict("great good film") == one and again.evaluate(TABLE) == learner.evaluate(TABLE)


def test_several_numbers_and_quantiles() -> None:
    several = trained(2, target=["rating", "stars"]).predict(TABLE.head(4))
    assert several.columns == ["prediction_rating", "prediction_stars"] and len(several) == 4
    learner = trained(2, target="rating", quantiles=(0.1, 0.5, 0.9))
    levels = np.array(learner.predict(TABLE.head(50)).select("prediction_0.1", "prediction_0.5", "prediction_0.9"))
    assert (np.diff(levels, axis=1) >= 0).all()
    bounded = trained(1, target="stars", y_range=(-16, 16)).predict(TABLE)["prediction"]
    assert bounded.min() >= -16 and bounded.max() <= 16  # type: ignore[operator]


def test_what_does_not_go_together(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"'rating' must be classes .*; to predict it as a number give target='rating'"):
        data(label="rating")
    for options, said in (
        ({"target": "text"}, "column 'text' cannot be both text and label"),
        ({"target": []}, "target must be a column, or several different ones; got"),
        ({"target": "word", "log_target": True}, "are for numbers, but target 'word' is a class"),
        ({"target": "rating", "class_weight": "balanced"}, "'rating' is a number; leave class_weight out"),
        ({"target": "rating", "codec": data(target="stars").codec}, "predicts 'stars'; got 'text' and 'rating'"),
        (
            {"target": "stars", "target_kind": "label", "codec": data(target="stars").codec},
            "target_kind is part of the codec",
        ),
    ):
        with pytest.raises(ConfigError, match=said):
            data(**options)
    with pytest.raises(DataError, match="got Float64; to predict numbers give target_kind='number'"):
        TextData.from_texts(TEXTS, TABLE["rating"].to_list())
    numbers = TextData.from_texts(TEXTS, TABLE["rating"].to_list(), target_kind="number", min_freq=1)
    assert numbers.target.kind == "number"
    with pytest.raises(ConfigError, match="a folder's labels are the folders in it"):
        TextData.from_folder(tmp_path, target_kind="number")


def test_several_labels_in_one_text() -> None:
    table = TABLE.with_columns(tags=pl.when(pl.col("stars") > 0).then(pl.lit("up | film")).otherwise(pl.lit("film")))
    found = TextData.from_table(table, "text", "tags", separator="|", min_freq=1, batch_size=32, engine=Engine("cpu"))
    assert found.target.kind == "labels" and found.target.classes == ("film", "up")


def test_numbers_by_the_command(tmp_path: Path) -> None:
    TABLE.head(200).write_csv(tmp_path / "reviews.csv")
    code, out, err = run(
        "train", "text", tmp_path / "reviews.csv", "--target", "rating", "--min-freq", "1", "--epochs", "1", "--json",
        "--device", "cpu", "--out", tmp_path / "model",
    )  # fmt: skip
    assert code == 0, err
    assert set(json.loads(out.splitlines()[-1])["metrics"]) >= {"rmse", "mae", "r2"}
    _, out, _ = run("predict", tmp_path / "model", tmp_path / "reviews.csv", "--device", "cpu")
    assert out.splitlines()[0].endswith(",prediction")
    code, _, err = run("train", "text", tmp_path / "reviews.csv", "--label", "rating", "--out", tmp_path / "other")
    assert code == 2 and "give target='rating' (--target rating) instead of label" in err
