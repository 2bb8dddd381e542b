"""What a model has learnt and where it is wrong, on tables whose truth is known."""

from __future__ import annotations

import datetime
import io
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pytest
import torch
from sklearn import metrics as peer

from headstart import ConfigError, NotFittedError, TabularData, TabularLearner, load, splits
from headstart.targets.metrics import Metric, rmse
from headstart.training.display import track
from headstart.training.plots import Plot


def make_table(rows: int = 600) -> pl.DataFrame:
    """Sales by shop and heat; the noise column says nothing; the days lie apart."""
    random = np.random.default_rng(0)
    shop, heat, month = random.integers(0, 6, rows), random.normal(15, 6, rows), random.integers(1, 13, rows)
    sales = 100 * shop + 10 * heat + 20 * np.cos(month / 12 * 2 * np.pi) + random.normal(0, 5, rows) + 200
    return pl.DataFrame(
        {
            "shop": [f"shop {number}" for number in shop],
            "heat": [None if place % 20 == 0 else value for place, value in enumerate(heat)],
            "month": month,
            "noise": random.normal(0, 1, rows),
            "day": [
                datetime.date(2020, 1, 1) + datetime.timedelta(days=int(place))
                for place in random.integers(0, 700, rows)
            ],
            "sales": sales,
            "tags": [
                ["hot"] * bool(value > 15) + ["far"] * bool(number > 3)
                for value, number in zip(heat, shop, strict=True)
            ],
            "size": np.where(shop > 3, "large", np.where(shop > 1, "middle", "small")),
        }
    )


TABLE = make_table()
SPLIT = splits.by_last(0.3)


def train(target: Any, epochs: int = 25, *, ensemble: int = 1, exclude: Any = (), **options: Any) -> TabularLearner:
    exclude = [*exclude, *(name for name in ("sales", "tags", "size") if name not in target)]
    options = {"categorical": ["month"], "split": SPLIT} | options
    data = TabularData.from_table(options.pop("table", TABLE), target, exclude=exclude, **options)
    learner = TabularLearner(data, hidden=[32, 16], ensemble=ensemble, progress="none")
    learner.fit_one_cycle(0.02, epochs)
    return learner


@pytest.fixture(scope="module")
def numbers() -> TabularLearner:
    return train("sales")


@pytest.fixture(scope="module")
def classes() -> TabularLearner:
    return train("size", exclude=["day"])


@pytest.fixture(scope="module")
def labels() -> TabularLearner:
    return train("tags", exclude=["day"])


@pytest.fixture(scope="module")
def several() -> TabularLearner:
    learner = train(["sales", "noise"], 3, exclude=["day"], ensemble=2)
    assert learner.codec.target.columns == ("sales", "noise")
    return learner


def is_picture(plot: Plot) -> bool:
    picture = io.BytesIO()
    plot.savefig(picture, format="png", dpi=50)
    return picture.getvalue().startswith(b"\x89PNG")


def test_embeddings_are_the_model_s_by_the_user_s_own_values(numbers: TabularLearner) -> None:
    found = numbers.embeddings("shop")
    frame = found.frame()
    assert frame["shop"].to_list() == [None, *(f"shop {number}" for number in range(6))]
    np.testing.assert_array_equal(frame.drop("shop").to_numpy(), numbers.model.embedding(0).detach())
    assert frame.columns[1:] == [f"embedding_{place}" for place in range(1, frame.width)]
    assert is_picture(found.plot()) and "shop 3" in repr(found) and "shop 3" in found._repr_html_()
    named = [text.get_text() for text in found.plot().axes[0].texts]
    assert set(named) <= {f"shop {number}" for number in range(6)} and len(named) >= 4
    assert numbers.embeddings("day.month").frame()["day.month"].to_list() == [None, *range(1, 13)]


def test_an_ensemble_s_embeddings_stand_side_by_side(several: TabularLearner) -> None:
    frame = several.embeddings("shop").frame()
    members = [member.embedding(0).detach().numpy() for member in several.model.members]
    np.testing.assert_array_equal(frame.drop("shop").to_numpy(), np.concatenate(members, 1))


def test_what_matters_is_important_and_noise_is_not(numbers: TabularLearner, classes: TabularLearner) -> None:
    found = numbers.feature_importance(repeats=3)
    frame = found.frame()
    assert frame["column"][:2].to_list() == ["shop", "heat"] and set(frame["column"]) == set(numbers.codec.columns)
    assert found.metric == "rmse" and found.baseline == pytest.approx(numbers.validate()["rmse"])
    importance = dict(frame.select("column", "importance").iter_rows())
    assert importance["shop"] > 100 and abs(importance["noise"]) < 15 and (frame["sd"] >= 0).all()
    assert is_picture(found.plot())
    by_accuracy = classes.feature_importance()
    assert by_accuracy.metric == "accuracy" and by_accuracy.frame()["column"][0] == "shop"
    assert by_accuracy.frame()["importance"][0] > 0.3  # accuracy lost, although more of it is better


def test_importance_is_the_same_again_and_can_be_narrowed(numbers: TabularLearner) -> None:
    options: Any = {"repeats": 2, "metric": "valid_loss", "rows": 60}
    first = numbers.feature_importance(["heat", "day", "day.month"], **options)
    again = numbers.feature_importance(["heat", "day", "day.month"], **options)
    assert first.frame().equals(again.frame()) and first.metric == "valid_loss"
    assert sorted(first.frame()["column"]) == ["day", "day.month", "heat"]
    before = {name: tensor.clone() for name, tensor in numbers.model.state_dict().items()}
    numbers.feature_importance(["heat"], repeats=1)
    assert all(torch.equal(tensor, before[name]) for name, tensor in numbers.model.state_dict().items())
    assert numbers.feature_importance(["heat"], repeats=1).frame()["sd"].to_list() == [0.0]


def test_partial_dependence_is_the_mean_of_predictions_with_one_value(numbers: TabularLearner) -> None:
    found = numbers.partial_dependence("shop", rows=None)
    frame = found.frame()
    valid = numbers.data.valid_rows
    counts = dict(valid["shop"].value_counts().iter_rows())
    assert frame["share"].to_list() == pytest.approx(sorted((count / 180 for count in counts.values()), reverse=True))
    for shop, mean, low, high in frame.select("shop", "prediction", "prediction_low", "prediction_high").iter_rows():
        expected = numbers.predict(valid.with_columns(shop=pl.lit(shop)))["prediction"]
        assert mean == pytest.approx(expected.mean(), rel=1e-4)
        assert low <= mean <= high and low == pytest.approx(expected.quantile(0.1, "linear"), rel=1e-4)
    assert is_picture(found.plot())


def test_partial_dependence_of_numbers_goes_by_quantiles(numbers: TabularLearner) -> None:
    frame = numbers.partial_dependence("heat", values=7, rows=None).frame()
    valid = numbers.data.valid_rows
    trained = numbers.data.rows.train["heat"]
    known = valid["heat"].drop_nulls().clip(trained.min(), trained.max())  # as the model sees them
    assert len(frame) == 7 and frame.columns[0] == "heat"
    assert frame["heat"][0] == pytest.approx(known.min(), abs=1e-4) and frame["heat"][-1] == pytest.approx(
        known.max(), abs=1e-4
    )
    expected = numbers.predict(valid.with_columns(heat=frame["heat"][3]))["prediction"].mean()
    assert frame["prediction"][3] == pytest.approx(expected, rel=1e-3)
    assert frame["prediction"].is_sorted()
    months = numbers.partial_dependence("month", values=4).frame()["month"]
    assert months.is_sorted() and months[0] == 1 and months[-1] == 12
    assert is_picture(numbers.partial_dependence("day.day_of_year").plot())


def test_partial_dependence_of_classes_labels_and_several_numbers(
    classes: TabularLearner, labels: TabularLearner, several: TabularLearner
) -> None:
    frame = classes.partial_dependence("shop").frame()
    sums = frame["probability_large"] + frame["probability_middle"] + frame["probability_small"]
    np.testing.assert_allclose(sums, 1, atol=1e-5)
    assert "probability_hot" in labels.partial_dependence("heat").frame().columns
    assert {"prediction_sales", "prediction_noise_high"} < set(several.partial_dependence("shop").frame().columns)
    for learner in (classes, labels, several):
        assert is_picture(learner.partial_dependence("shop").plot())


def test_the_rows_with_the_largest_errors_come_first(numbers: TabularLearner) -> None:
    found = numbers.interpret()
    frame = found.frame()
    assert frame.columns[:3] == ["error", "sales", "prediction"] and set(numbers.data.valid_rows.columns) < set(
        frame.columns
    )
    np.testing.assert_allclose(frame["error"], (frame["prediction"] - frame["sales"]).abs(), atol=1e-3)
    assert frame["error"].is_sorted(descending=True) and found.largest_errors(3).equals(frame[:3])
    np.testing.assert_allclose(frame["prediction"], numbers.predict(frame)["prediction"], rtol=1e-5)
    assert is_picture(found.plot_residuals())
    whole = numbers.interpret(TABLE)
    assert len(whole.frame()) == 600 and whole.largest_errors(1)["error"][0] >= frame["error"][0] - 1e-3


def test_confusion_of_classes_and_labels(
    classes: TabularLearner, labels: TabularLearner, several: TabularLearner
) -> None:
    found = classes.interpret()
    frame = found.frame()
    expected = peer.confusion_matrix(frame["size"], frame["prediction"], labels=["large", "middle", "small"])
    np.testing.assert_array_equal(found.confusion_matrix().drop("class").to_numpy(), expected)
    assert frame["error"][-1] < 0.7 and is_picture(found.plot_confusion())
    counted = labels.interpret().confusion_matrix()
    assert counted["class"].to_list() == ["far", "hot"]
    assert counted.select(pl.sum_horizontal(pl.selectors.contains("_positive", "_negative")))[:, 0].to_list() == [
        180,
        180,
    ]
    assert is_picture(labels.interpret().plot_confusion())
    assert is_picture(several.interpret().plot_residuals("noise"))
    assert several.interpret().frame().columns[:5] == [
        "error",
        "sales",
        "noise",
        "prediction_sales",
        "prediction_noise",
    ]


def test_quantiles_and_counts_are_explained_as_numbers_are() -> None:
    spread = train("sales", 3, quantiles=[0.1, 0.5, 0.9])
    assert spread.partial_dependence("shop").predictions == ("prediction_0.1", "prediction_0.5", "prediction_0.9")
    counts = train(
        "sales", 3, table=TABLE.with_columns(pl.col("sales").round().clip(0).cast(pl.Int64)), target_kind="count"
    )
    assert counts.partial_dependence("shop").predictions == ("prediction",)
    for learner in (spread, counts):
        found = learner.interpret()
        assert found.frame()["error"].is_sorted(descending=True) and is_picture(found.plot_residuals())
        assert learner.feature_importance(["shop"], repeats=1).frame().height == 1


def test_the_direction_of_a_metric_is_the_metric_s_own_and_never_guessed_from_its_name() -> None:
    counts = train(
        "sales", 3, table=TABLE.with_columns(pl.col("sales").round().clip(0).cast(pl.Int64)), target_kind="count"
    )
    deviance = counts.feature_importance(["shop"], metric="poisson_deviance", repeats=1)
    assert deviance.metric == "poisson_deviance" and deviance.frame()["importance"][0] > 0

    def nearness(prediction: torch.Tensor, target: torch.Tensor) -> float:
        return -float((prediction - target).abs().mean())

    higher, lower = (
        counts.feature_importance(["shop"], metric=nearness, better=better, repeats=1).frame()["importance"][0]
        for better in ("higher", "lower")
    )
    assert higher > 0 and higher == -lower
    declared = counts.feature_importance(["shop"], metric=Metric("nearness", nearness, better="higher"), repeats=1)
    assert declared.frame()["importance"][0] == higher and declared.metric == "nearness"
    counts.metrics = (Metric("nearness", nearness), rmse)
    assert counts.feature_importance(["shop"], repeats=1).metric == "rmse"  # the first one with a direction
    counts.metrics = ()
    assert counts.feature_importance(["shop"], repeats=1).metric == "valid_loss"
    with pytest.raises(ConfigError, match="better must be 'higher', 'lower' or None; got 'more'"):
        counts.feature_importance(["shop"], metric=nearness, better="more")


def test_transform_gives_what_the_model_sees_as_named_columns(numbers: TabularLearner) -> None:
    found = numbers.transform(TABLE)
    size = numbers.model.embedding(0).shape[1]
    assert found.columns[:size] == [f"shop_{place}" for place in range(1, size + 1)] and len(found) == 600
    assert {"heat", "noise", "day.day_of_year", "heat_na"} < set(found.columns)
    assert set(found.dtypes) == {pl.Float32} and sum(found.null_count().row(0)) == 0
    trained = numbers.data.rows.train["noise"]
    np.testing.assert_allclose(found["noise"], TABLE["noise"].clip(trained.min(), trained.max()), atol=1e-5)
    np.testing.assert_array_equal(found["heat_na"], TABLE["heat"].is_null())
    table = numbers.embeddings("shop").frame().rename(lambda name: name.replace("embedding", "shop"))
    joined = TABLE.select("shop").join(table, on="shop", how="left", maintain_order="left").drop("shop")
    assert joined.equals(found.select(joined.columns))
    frame = TABLE.to_pandas().set_index(pd.Index(range(7, 607)))
    again = numbers.transform(frame)
    assert isinstance(again, pd.DataFrame) and list(again.index) == list(frame.index)


def test_what_a_loaded_model_can_and_cannot(numbers: TabularLearner, tmp_path: Any) -> None:
    numbers.save(tmp_path / "model")
    loaded = load(tmp_path / "model")
    assert loaded.embeddings("shop").frame().equals(numbers.embeddings("shop").frame())
    assert loaded.transform(TABLE).equals(numbers.transform(TABLE))
    assert loaded.interpret(TABLE).frame().equals(numbers.interpret(TABLE).frame())
    with pytest.raises(NotFittedError, match=r"this learner has no data; set learner.data"):
        loaded.feature_importance()


def test_progress_is_told_as_lines_or_as_a_bar() -> None:
    lines, bar = io.StringIO(), io.StringIO()
    assert list(track([3, 4], "parts", "lines", stream=lines)) == [3, 4]
    assert lines.getvalue() == "parts 1/2\nparts 2/2\n"
    assert list(track([3, 4], "parts", "bar", stream=bar)) == [3, 4] and "100%" in bar.getvalue()
    assert list(track([], "parts", "none")) == []


def own_metric(prediction: Any, target: Any) -> float:
    return 0.0


@pytest.mark.parametrize(
    ("action", "message"),
    [
        (lambda n, c: n.embeddings("shops"), r"'shops' is no categorical column of the model; did you mean 'shop'\?"),
        (lambda n, c: n.embeddings("heat"), "'heat' is no categorical column of the model"),
        (lambda n, c: n.feature_importance(["shops"]), r"the model has no column 'shops'; did you mean 'shop'\?"),
        (lambda n, c: n.feature_importance("shop"), r"columns must be a list; got the text 'shop': write \['shop'\]"),
        (lambda n, c: n.feature_importance(["sales"]), "the model has no column 'sales'"),
        (lambda n, c: n.feature_importance(repeats=0), "repeats must be a whole number of at least 1; got 0"),
        (lambda n, c: n.feature_importance(rows=0), "rows must be a whole number of at least 1, or None for all; got 0"),
        (lambda n, c: n.feature_importance(metric="rmsee"), r"there is no metric 'rmsee'; did you mean 'rmse'\?"),
        (lambda n, c: n.feature_importance(metric=own_metric), "metric 'own_metric' does not say whether higher or lower is better; give better='higher'"),
        (lambda n, c: n.partial_dependence("day"), r"'day' is a date, of which the model sees parts: give one of .*day.month"),
        (lambda n, c: n.partial_dependence("hat"), r"the model has no column 'hat'; did you mean 'heat'\?"),
        (lambda n, c: n.partial_dependence("heat", values=0), "values must be a whole number of at least 1; got 0"),
        (lambda n, c: n.interpret().plot_confusion(), r"'sales' is a number and has no confusion matrix; look at the residuals instead: plot_residuals\(\)"),
        (lambda n, c: n.interpret().plot_residuals("heat"), "'heat' is not predicted; there are: 'sales'"),
        (lambda n, c: c.interpret().plot_residuals(), r"'size' is a class and has no residuals; look at the confusion instead: plot_confusion\(\)"),
    ],
)  # fmt: skip
def test_what_cannot_be_answered_is_told(action: Any, message: str, numbers: Any, classes: Any) -> None:
    with pytest.raises(ConfigError, match=message):
        action(numbers, classes)
