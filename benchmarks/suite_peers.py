"""What users would pick instead, on one table of the suite; runs in an environment of its own, without headstart.

Called as ``python suite_peers.py MODEL TRAIN TEST TARGET SEED DRAWS``, with two Parquet files; prints a line of JSON:
``prediction`` (numbers, or the probability of each class, sorted by name), ``classes``, and ``cpu``, CPU seconds of the
fit, of the tuning too. Text and booleans enter as categories, text of which most rows have their own value not at all.
Dates, also those written as text, enter as what a user would make of them: days since 1970, year, month, day, day of
the week and of the year. What is tuned is then tuned on the latest training rows, otherwise on random ones.
"""

from __future__ import annotations

import importlib
import json
import sys
import time
import warnings
from typing import Any

import numpy as np
import pandas as pd

__all__ = ["MODELS"]

ISO_DATE = r"\d{4}-\d{2}-\d{2}"

MODELS = ("lightgbm", "lightgbm_tuned", "catboost", "histgb", "linear", "constant")


def main() -> None:
    warnings.filterwarnings("ignore")
    model, train_path, test_path, target, seed, draws = sys.argv[1:7]
    train, test = pd.read_parquet(train_path), pd.read_parquet(test_path)
    y = train.pop(target)
    test = test.drop(columns=target, errors="ignore")
    dates = dates_of(train)
    train, test = (with_dates(part, dates) for part in (train, test))
    texts = [str(name) for name in train if not pd.api.types.is_numeric_dtype(train[name]) or train[name].dtype == bool]
    own = [name for name in texts if train[name].nunique() > max(100, 0.5 * len(train))]
    train, test = train.drop(columns=own), test.drop(columns=own)
    texts = [name for name in texts if name not in own]
    classes = sorted(y.unique()) if not pd.api.types.is_numeric_dtype(y) or y.nunique() == 2 else []
    if classes:
        y = y.map({name: index for index, name in enumerate(classes)})
    started = time.process_time()
    if model == "lightgbm_tuned":
        time_column = dates[0] if dates else None
        prediction = tuned(
            train, y, test, texts, classes=bool(classes), seed=int(seed), draws=int(draws), time_column=time_column
        )
    else:
        prediction = fitted(model, train, y, test, texts, classes=bool(classes), seed=int(seed))
    cpu = time.process_time() - started
    record = {"prediction": prediction.tolist(), "classes": [str(name) for name in classes], "cpu": cpu}
    print(json.dumps(record))


def dates_of(table: Any) -> list[str]:
    """Return the columns of dates: those of that type, and text that is an ISO date in every row."""
    texts = [name for name in table if table[name].dtype == object or pd.api.types.is_string_dtype(table[name].dtype)]
    written = [name for name in texts if table[name].dropna().astype(str).str.fullmatch(ISO_DATE).all()]
    return [name for name in table if name in written or pd.api.types.is_datetime64_any_dtype(table[name])]


def with_dates(table: Any, names: list[str]) -> Any:
    """Return the table with numbers in place of dates; the column itself holds days since 1970."""
    parts: dict[str, Any] = {}
    for name in names:
        date = pd.to_datetime(table[name])
        parts[name] = (date - pd.Timestamp(0)) / pd.Timedelta(days=1)
        parts |= {f"{name}_{part}": getattr(date.dt, part) for part in ("year", "month", "day", "weekday", "dayofyear")}
    return table.drop(columns=names).join(pd.DataFrame(parts, index=table.index))


def fitted(
    model: str, train: Any, y: Any, test: Any, texts: list[str], *, classes: bool, seed: int, **options: Any
) -> Any:
    """Fit by the defaults of a model, and predict."""
    train, test = train.copy(), test.copy()
    if model.startswith("lightgbm"):
        import lightgbm

        as_categories(train, test, texts)
        kind = lightgbm.LGBMClassifier if classes else lightgbm.LGBMRegressor
        estimator = kind(n_jobs=1, verbose=-1, random_state=seed, **options)
    elif model == "catboost":
        catboost: Any = importlib.import_module("catboost")  # not in headstart's own environment
        for part in (train, test):
            part[texts] = part[texts].fillna("missing").astype(str)
        kind = catboost.CatBoostClassifier if classes else catboost.CatBoostRegressor
        estimator = kind(
            thread_count=1, verbose=0, random_seed=seed, cat_features=texts, allow_writing_files=False, **options
        )
    elif model == "histgb":
        from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor

        as_categories(train, test, texts, most=250)
        kind = HistGradientBoostingClassifier if classes else HistGradientBoostingRegressor
        estimator = kind(random_state=seed, categorical_features="from_dtype")
    elif model == "linear":
        from sklearn.compose import make_column_transformer
        from sklearn.impute import SimpleImputer
        from sklearn.linear_model import LogisticRegression, RidgeCV
        from sklearn.pipeline import make_pipeline
        from sklearn.preprocessing import OneHotEncoder, StandardScaler

        for part in (train, test):
            part[texts] = part[texts].fillna("missing").astype(str)
        numbers = [name for name in train if name not in texts]
        columns = make_column_transformer(
            (OneHotEncoder(handle_unknown="ignore", min_frequency=5), texts),
            (make_pipeline(SimpleImputer(strategy="median"), StandardScaler()), numbers),
        )
        last = LogisticRegression(max_iter=1000) if classes else RidgeCV(np.logspace(-2, 3, 6))
        estimator = make_pipeline(columns, last)
    else:
        from sklearn.dummy import DummyClassifier, DummyRegressor

        estimator = DummyClassifier() if classes else DummyRegressor()
    estimator.fit(train, y)
    return estimator.predict_proba(test) if classes else estimator.predict(test)


def tuned(
    train: Any, y: Any, test: Any, texts: list[str], *, classes: bool, seed: int, draws: int, time_column: str | None
) -> Any:
    """Fit LightGBM by the best of some draws, on a fifth of the training rows, with early stopping; then on all.

    The fifth is drawn, or where there is a date it is the latest one.
    """
    import lightgbm

    train, test = train.copy(), test.copy()
    as_categories(train, test, texts)
    random = np.random.default_rng(seed)
    order = random.permutation(len(train))
    if time_column is not None:
        order = np.argsort(-train[time_column].to_numpy(), kind="stable")
    held, rest = order[: len(train) // 5], order[len(train) // 5 :]
    best: tuple[float, dict[str, Any]] | None = None
    kind = lightgbm.LGBMClassifier if classes else lightgbm.LGBMRegressor
    for _ in range(draws):
        options: dict[str, Any] = {
            "num_leaves": int(random.choice([7, 15, 31, 63, 127])),
            "min_child_samples": int(random.choice([5, 20, 50, 100])),
            "colsample_bytree": float(random.choice([0.4, 0.6, 0.8, 1.0])),
            "subsample": float(random.choice([0.7, 0.9])), "subsample_freq": 1,
            "reg_lambda": float(10 ** random.uniform(-3, 1.5)),
            "learning_rate": float(random.choice([0.02, 0.05, 0.1])),
            "cat_smooth": float(random.choice([10, 50, 200])),
        }  # fmt: skip
        estimator = kind(n_jobs=1, verbose=-1, random_state=seed, n_estimators=2000, **options)
        stop = lightgbm.early_stopping(50, verbose=False)
        metric = "logloss" if classes and y.nunique() == 2 else "multi_logloss" if classes else "rmse"
        estimator.fit(
            train.iloc[rest], y.iloc[rest], eval_set=[(train.iloc[held], y.iloc[held])], eval_metric=metric,
            callbacks=[stop],
        )  # fmt: skip
        loss = min(estimator.best_score_["valid_0"].values())
        if best is None or loss < best[0]:
            best = (loss, {**options, "n_estimators": max(1, round(1.1 * estimator.best_iteration_))})
    assert best is not None
    return fitted("lightgbm", train, y, test, texts, classes=classes, seed=seed, **best[1])


def as_categories(train: Any, test: Any, texts: list[str], most: int | None = None) -> None:
    """Turn text into categories of the training rows; only the ``most`` frequent ones."""
    for name in texts:
        known = train[name].dropna().astype(str).value_counts().index[:most]
        kind = pd.CategoricalDtype(sorted(known))
        for part in (train, test):
            part[name] = part[name].astype(str).astype(kind)


if __name__ == "__main__":
    main()
