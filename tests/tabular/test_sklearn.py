"""The estimators pass scikit-learn's own checks, and work where estimators do."""

from __future__ import annotations

import inspect
import io
import typing
import warnings
from typing import Any

import joblib
import numpy as np
import pandas as pd
import polars as pl
import pytest
from sklearn.base import clone
from sklearn.compose import TransformedTargetRegressor
from sklearn.exceptions import NotFittedError
from sklearn.inspection import permutation_importance
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils import estimator_checks
from sklearn.utils.estimator_checks import parametrize_with_checks

from headstart import ConfigError, DataError, TabularClassifier, TabularLearner, TabularRegressor
from headstart.core.values import options_of
from headstart.tabular.data import TabularSettings
from headstart.tabular.design import TabularDesign, TabularTraining
from headstart.tabular.sklearn import ClassifierParameters, RegressorParameters
from headstart.training.settings import Plan

SMALL: Any = {"hidden": (16,), "members": 1, "epochs": 10, "lr": 0.03, "dropout": 0.0, "device": "cpu"}


def expected_failed_checks(estimator: Any) -> dict[str, str]:
    return {
        "check_sample_weight_equivalence_on_dense_data": (
            "a weight of 2 is not the row twice: rows come in batches, which weighting leaves and repeating changes,"
            " and means and deviations of the columns count rows alike"
        ),
    }


@pytest.mark.filterwarnings("ignore::headstart.HeadstartWarning")
@parametrize_with_checks(
    [TabularClassifier(**SMALL), TabularRegressor(**SMALL)],
    expected_failed_checks=expected_failed_checks,
    xfail_strict=True,
)
def test_scikit_learn_s_own_checks(estimator: Any, check: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """120 checks, some 20 seconds in all, since each trains a few models: nothing else says so much about them.

    One asks that a row alone and among others agree to 1e-7; in float32 they agree to 1e-6, which is asked for instead.
    """
    if check.func.__name__ == "check_methods_subset_invariance":
        monkeypatch.setattr(
            estimator_checks, "assert_allclose", lambda a, b, **_: np.testing.assert_allclose(a, b, rtol=0, atol=1e-6)
        )
    check(estimator)


def make_table(rows: int = 240) -> tuple[pd.DataFrame, np.ndarray, np.ndarray]:
    random = np.random.default_rng(0)
    shop, heat = random.integers(0, 4, rows), random.normal(15, 6, rows)
    sales = 100 + 60 * shop + 4 * heat + random.normal(0, 5, rows)
    frame = pd.DataFrame(
        {
            "shop": [f"shop {number}" for number in shop],
            "heat": np.where(random.random(rows) < 0.1, np.nan, heat),
            "day": pd.date_range("2020-01-01", periods=rows),
        }
    )
    return frame, sales, np.where(sales > np.median(sales), "busy", "quiet")


FRAME, SALES, BUSY = make_table()


def test_frames_keep_their_types_and_both_libraries_agree() -> None:
    before = FRAME.copy()
    model = TabularClassifier(**SMALL).fit(FRAME, BUSY)
    pd.testing.assert_frame_equal(FRAME, before)
    assert model.score(FRAME, BUSY) > 0.85
    assert list(model.feature_names_in_) == ["shop", "heat", "day"] and model.n_features_in_ == 3
    assert list(model.classes_) == ["busy", "quiet"]
    codec = model.learner_.codec
    assert codec.categorical[0].name == "shop" and codec.dates[0].name == "day"
    from_polars = TabularClassifier(**SMALL).fit(pl.DataFrame(FRAME), BUSY)
    np.testing.assert_array_equal(from_polars.predict_proba(pl.DataFrame(FRAME)), model.predict_proba(FRAME))
    assert from_polars.n_features_in_ == 3
    probabilities = model.predict_proba(FRAME)
    np.testing.assert_allclose(probabilities.sum(1), 1)
    np.testing.assert_array_equal(model.classes_[probabilities.argmax(1)], model.predict(FRAME))
    assert model.learner_.embeddings("shop").frame().height == 5
    with pytest.raises(ValueError, match="feature names should match those that were passed during fit"):
        model.predict(FRAME[["heat", "shop", "day"]])


def test_one_row_gets_the_answer_it_gets_among_others() -> None:
    model = TabularRegressor(**SMALL).fit(FRAME, SALES)
    alone = [model.predict(FRAME[place : place + 1])[0] for place in range(20)]
    np.testing.assert_allclose(alone, model.predict(FRAME)[:20], rtol=1e-6)


def test_pipelines_cross_validation_and_grid_search() -> None:
    numbers = np.column_stack([pd.factorize(FRAME["shop"])[0], FRAME["heat"].fillna(15)])
    scores = cross_val_score(make_pipeline(StandardScaler(), TabularRegressor(**SMALL)), numbers, SALES, cv=3)
    assert scores.min() > 0.7
    search = GridSearchCV(TabularRegressor(**SMALL), {"epochs": [1, 12], "categorical": [(), ("shop",)]}, cv=2)
    search.fit(FRAME, SALES)
    assert search.best_params_["epochs"] == 12 and search.best_score_ > 0.7
    in_logs = TransformedTargetRegressor(TabularRegressor(**SMALL), func=np.log, inverse_func=np.exp).fit(FRAME, SALES)
    assert in_logs.score(FRAME, SALES) > 0.7
    again = TabularRegressor(**SMALL, log_target=True).fit(FRAME, SALES)
    assert again.learner_.codec.target.log and again.score(FRAME, SALES) > 0.7
    found = permutation_importance(again, FRAME, SALES, n_repeats=2, random_state=0).importances_mean
    assert found.argmax() == 0


def test_an_estimator_survives_joblib_and_a_clone_is_bare() -> None:
    model = TabularClassifier(**SMALL).fit(FRAME, BUSY)
    file = io.BytesIO()
    joblib.dump(model, file)
    again = joblib.load(io.BytesIO(file.getvalue()))
    np.testing.assert_array_equal(again.predict_proba(FRAME), model.predict_proba(FRAME))
    assert again.learner_.history == model.learner_.history
    assert (
        b"TabularModel" in file.getvalue() and b"torch" not in file.getvalue()
    )  # JSON and safetensors, no torch objects
    with pytest.raises(NotFittedError, match="not fitted yet"):
        clone(model).predict(FRAME)


def test_weights_seeds_and_several_targets() -> None:
    weights = [np.where(name == BUSY, 1.0, 0.01) for name in ("busy", "quiet")]
    quiet = [
        TabularClassifier(**SMALL).fit(FRAME, BUSY, weight).predict_proba(FRAME)[:, 1].mean() for weight in weights
    ]
    assert quiet[0] < 0.5 < quiet[1] and quiet[1] - quiet[0] > 0.03
    same, other = (TabularRegressor(**SMALL, random_state=seed).fit(FRAME, SALES).predict(FRAME) for seed in (0, 1))
    np.testing.assert_array_equal(TabularRegressor(**SMALL).fit(FRAME, SALES).predict(FRAME), same)
    assert not np.array_equal(same, other)
    both = TabularRegressor(**SMALL).fit(FRAME, np.column_stack([SALES, -SALES])).predict(FRAME)
    assert both.shape == (240, 2) and np.corrcoef(both.T)[0, 1] < -0.9
    by_number = TabularRegressor(**SMALL, categorical=[0]).fit(np.arange(240)[:, None] % 3, SALES)
    assert by_number.learner_.codec.categorical[0].name == "x0"


def test_parameters_are_the_fields_of_the_values_with_their_defaults_and_documentation() -> None:
    for estimator, keywords in ((TabularClassifier, ClassifierParameters), (TabularRegressor, RegressorParameters)):
        parameters = estimator().get_params()
        assert set(parameters) == set(typing.get_type_hints(keywords))
        documented = inspect.getdoc(estimator)
        for value in (TabularDesign, TabularTraining, TabularSettings):
            for option in options_of(value):
                if option.name in parameters:
                    assert parameters[option.name] == option.default
                    assert f"{option.name}: {option.help}" in documented
        assert {option.name for option in options_of(TabularDesign)} < set(parameters)
    model = TabularRegressor(
        hidden=(8,), clip=0.5, embedding_sizes={"shop": 3}, exclude=["day"], epochs=1, device="cpu"
    )
    learner = model.fit(FRAME, SALES).learner_
    assert learner.design == TabularDesign(hidden=(8,), embedding_sizes={"shop": 3}) and learner.training.clip == 0.5
    assert learner.codec.columns == ("shop", "heat") and learner.codec.left_out["day"] == "excluded"


def test_all_rows_train_by_the_plan_of_the_library(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[tuple[int, Any, Plan]] = []

    def fit_one_cycle(learner: TabularLearner, lr: Any = None, epochs: Any = None) -> None:
        assert (lr, epochs) == (None, None)
        seen.append((learner.data.train.rows, learner.data.valid, learner.plan()))

    monkeypatch.setattr(TabularLearner, "fit_one_cycle", fit_one_cycle)
    TabularRegressor().fit(FRAME, SALES)
    TabularClassifier(members=4).fit(FRAME, BUSY)
    plan = Plan(lr=0.003, epochs=200, schedule="constant", patience=10)
    assert seen == [(240, None, plan), (240, None, plan)]


@pytest.mark.parametrize(
    ("action", "kind", "message"),
    [
        (lambda: TabularClassifier().fit(FRAME, None), DataError, "requires y to be passed, but the target y is None"),
        (lambda: TabularClassifier().fit(FRAME[:1], BUSY[:1]), DataError, "X has 1 rows; at least 2 are needed"),
        (lambda: TabularClassifier().fit(FRAME, BUSY[:9]), DataError, "X has 240 rows and y has 9"),
        (lambda: TabularClassifier().fit(FRAME, ["busy"] * 240), DataError, r"y has one class \('busy'\); two or more"),
        (lambda: TabularClassifier().fit(FRAME, SALES), ValueError, "Unknown label type"),
        (lambda: TabularRegressor().fit(FRAME, SALES, -SALES), ValueError, "Negative values in data passed to `sample_weight`"),
        (lambda: TabularRegressor(categorical="shop").fit(FRAME, SALES), ConfigError, "categorical must be a list of columns; got 'shop'"),
        (lambda: TabularRegressor(categorical=["shops"]).fit(FRAME, SALES), DataError, r"there is no column 'shops'; did you mean 'shop'\?"),
        (lambda: TabularRegressor(weight_decya=1.0), TypeError, r"TabularRegressor has no parameter 'weight_decya'; did you mean 'weight_decay'\?"),
        (lambda: TabularClassifier(log_target=True), TypeError, "TabularClassifier has no parameter 'log_target'"),
        (lambda: TabularRegressor(clip=0, epochs=1).fit(FRAME, SALES), ConfigError, "clip must be a number above 0, or None; got 0"),
        (lambda: TabularRegressor(log_target=True).fit(FRAME, SALES - 200), DataError, "values of 0 or less, which have no logarithm"),
        (lambda: TabularRegressor(hidden=200, epochs=1).fit(FRAME, SALES), ConfigError, "hidden must be"),
        (lambda: TabularRegressor().fit(FRAME.rename(columns={"day": "__weight__"}), SALES), DataError, "column '__weight__' has the name under which"),
    ],
)  # fmt: skip
def test_careless_calls_are_told(action: Any, kind: type[Exception], message: str) -> None:
    with pytest.raises(kind, match=message):
        action()


def test_class_weights_count_rare_classes_more() -> None:
    random = np.random.default_rng(0)
    X = pd.DataFrame({"a": random.normal(size=300)})
    y = np.where(X["a"] + random.normal(size=300) > 1.5, "rare", "often")
    shares = {
        name: (TabularClassifier(**SMALL, class_weight=weight).fit(X, y).predict(X) == "rare").mean()
        for name, weight in (("none", None), ("balanced", "balanced"), ("given", {"rare": 6.0}))
    }
    assert shares["none"] < (y == "rare").mean() < min(shares["balanced"], shares["given"])
    with pytest.raises(
        ConfigError, match=r"class_weight: there is no class 'seldom' in y, whose classes are \['often', "
    ):
        TabularClassifier(class_weight={"seldom": 2.0}).fit(X, y)


def test_declared_categories_and_forms_of_dates_are_kept() -> None:
    random = np.random.default_rng(0)
    size = random.integers(0, 3, 200) * 5
    days = [f"{1 + n % 12}/{1 + n % 28}/2015" for n in range(200)]
    X = pd.DataFrame(
        {"size": pd.Categorical(size), "day": days, "x": random.normal(size=200)}, index=np.arange(200) // 2
    )
    model = TabularRegressor(**SMALL).fit(X, X["x"] + (size == 5))
    codec = model.learner_.codec
    assert {column.name: column.vocab.values for column in codec.categorical}["size"] == (0, 5, 10)
    assert [date.form.format for date in codec.dates] == ["%m/%d/%Y"]
    few = X[:4]  # by themselves, day or month might come first
    assert np.array_equal(model.predict(few), model.predict(X)[:4])


def test_rows_of_an_array_with_texts_are_predicted_alike_if_all_their_texts_are_numbers() -> None:
    random = np.random.default_rng(0)
    codes = random.choice(["01", "1", "a"], 400)
    X = np.empty((400, 2), dtype=object)
    X[:, 0], X[:, 1] = codes, random.normal(size=400)
    estimator = TabularRegressor(hidden=[16], epochs=20).fit(X, (codes == "01") * 10.0)
    rows = np.array([["01", 0.0], ["1", 0.0], ["a", 0.0]], dtype=object)
    together = estimator.predict(rows)
    assert together[0] > 5 > together[1]
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # scikit-learn's of names that an array does not have
        np.testing.assert_allclose(estimator.predict(rows[:2]), together[:2], rtol=1e-5)
