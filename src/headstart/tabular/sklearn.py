"""`TabularClassifier` and `TabularRegressor`: models of tables as scikit-learn's estimators.

They go where an estimator goes: pipelines, cross-validation, grid search. Arrays, pandas and polars frames come in;
frames keep their columns' types, so that text and dates need no encoder before them. All rows given to ``fit`` train.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar, TypeAlias

import numpy as np
import polars as pl
from numpy.typing import NDArray
from safetensors.torch import load, save

from headstart.core.engine import Engine
from headstart.core.errors import ConfigError, DataError
from headstart.frames.door import read_table
from headstart.tabular.data import TabularData, suggested_epochs, suggested_lr, table_loader
from headstart.tabular.learner import TabularLearner

try:
    from sklearn.base import BaseEstimator, ClassifierMixin, RegressorMixin
    from sklearn.utils import check_random_state
    from sklearn.utils.multiclass import check_classification_targets
    from sklearn.utils.validation import (
        _check_sample_weight,
        check_array,
        check_is_fitted,
        column_or_1d,
        validate_data,
    )
except ImportError as error:
    raise ConfigError(
        "TabularClassifier and TabularRegressor need scikit-learn 1.6 or later: pip install 'headstart[sklearn]'"
    ) from error

__all__ = ["TabularClassifier", "TabularRegressor"]

Floats: TypeAlias = NDArray[np.floating[Any]]

TARGET, WEIGHT = "__target__", "__weight__"

OPTIONS = ("hidden", "members", "dropout", "weight_decay", "ensemble")
"""What goes on to `TabularLearner` where it is given."""


class _TabularEstimator(BaseEstimator):  # type: ignore[misc]  # scikit-learn has no types
    """What the two have in common. Arguments are kept as they come and checked by ``fit``, as scikit-learn asks."""

    _kind: ClassVar[Any] = "number"

    def __init__(
        self,
        *,
        epochs: int | None = None,
        lr: float | None = None,
        hidden: Sequence[int] | None = None,
        members: int | None = None,
        dropout: float | Sequence[float] | None = None,
        weight_decay: float | None = None,
        ensemble: int | None = None,
        batch_size: int | None = None,
        categorical: Sequence[str | int] = (),
        continuous: Sequence[str | int] = (),
        random_state: Any = 0,
        device: str = "auto",
    ) -> None:
        self.epochs, self.lr = epochs, lr
        self.hidden, self.members, self.dropout = hidden, members, dropout
        self.weight_decay, self.ensemble = weight_decay, ensemble
        self.batch_size, self.categorical, self.continuous = batch_size, categorical, continuous
        self.random_state, self.device = random_state, device

    def _fit(self, X: Any, target: dict[str, NDArray[Any]], sample_weight: Any, **options: Any) -> None:
        """Trains on checked rows; ``target`` holds the columns to predict."""
        frame = _as_frame(X)
        clash = next((name for name in (*target, WEIGHT) if name in frame.columns), None)
        if clash is not None:
            raise DataError(f"column {clash!r} has the name under which the estimator keeps its own: rename it")
        frame = frame.with_columns(pl.Series(name, values) for name, values in target.items())
        if sample_weight is not None:
            weights = _check_sample_weight(sample_weight, X, dtype=np.float64, ensure_non_negative=True)
            frame = frame.with_columns(pl.Series(WEIGHT, weights))
        seed = int(check_random_state(self.random_state).randint(np.iinfo(np.int32).max))
        names = frame.columns
        data = TabularData.from_table(
            frame, list(target) if len(target) > 1 else next(iter(target)), valid=frame[:1],
            categorical=_named(self.categorical, names), continuous=_named(self.continuous, names),
            weight=None if sample_weight is None else WEIGHT, batch_size=self.batch_size, seed=seed,
            engine=Engine(self.device), target_kind=None if len(target) > 1 else self._kind, **options,
        )  # fmt: skip
        data = replace(data, valid=None)  # one row had to stand there; all of them train
        asked = {name: getattr(self, name) for name in OPTIONS}
        given = {name: option for name, option in asked.items() if option is not None}
        learner = TabularLearner(data, **given, seed=seed, progress="none")
        epochs = suggested_epochs(data.train.steps(0)) if self.epochs is None else self.epochs
        learner.fit_one_cycle(suggested_lr() if self.lr is None else self.lr, epochs)
        learner.data = None
        self.learner_ = learner

    def _predict(self, X: Any) -> NDArray[Any]:
        check_is_fitted(self)
        learner = self.learner_
        if _is_frame(X):
            validate_data(self, X, reset=False, skip_check_array=True)
        else:
            X = validate_data(self, X, reset=False, ensure_all_finite="allow-nan")
        loader = table_loader(learner.codec, _as_frame(X), learner.engine, with_target=False)
        found: NDArray[Any] = learner.predict_batches(loader).cpu().double().numpy()
        return found

    def __getstate__(self) -> dict[str, Any]:
        """For joblib and copies: the model as the same JSON and safetensors that `TabularLearner.save` writes."""
        state = dict(super().__getstate__())
        if "learner_" in state:
            learner = state["learner_"]
            tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in learner.model.state_dict().items()}
            state["learner_"] = (json.dumps(learner.record()), save(tensors))
        return state

    def __setstate__(self, state: dict[str, Any]) -> None:
        """The same model again, on this machine's device."""
        if "learner_" in state:
            record, tensors = state["learner_"]
            engine = Engine(state["device"])
            origin = Path("a pickled estimator")
            learner = TabularLearner.from_record(json.loads(record), load(tensors), origin, engine)
            state = {**state, "learner_": learner}
        super().__setstate__(state)

    def __sklearn_tags__(self) -> Any:
        """What scikit-learn should know: gaps and categories are welcome."""
        tags = super().__sklearn_tags__()
        tags.input_tags.allow_nan = True
        tags.input_tags.categorical = True
        return tags


class TabularClassifier(ClassifierMixin, _TabularEstimator):  # type: ignore[misc]  # scikit-learn has no types
    """A `TabularLearner` of classes as an estimator.

    Args:
        epochs: of one cycle; None: by the number of rows.
        lr: top learning rate; None: the one that suits the default network.
        hidden: width of each hidden layer; None, here and below: `TabularLearner`'s own.
        members: of the network.
        dropout: after each hidden layer.
        weight_decay: of weights.
        ensemble: how many models to average.
        batch_size: rows per step.
        categorical: columns that are so whatever the rules say: names, or for arrays numbers.
        continuous: likewise.
        random_state: of weights, dropout and order.
        device: ``"auto"``, ``"cpu"``, ``"cuda"`` or ``"mps"``.

    Attributes:
        classes_: the classes, sorted, ``(classes,)``.
        learner_: the trained `TabularLearner`: embeddings, importances, ``save``.
        n_features_in_: number of columns.
        feature_names_in_: their names, of frames.
    """

    _kind = "label"

    def fit(self, X: Any, y: Any, sample_weight: Any = None) -> TabularClassifier:
        """Trains.

        Args:
            X: an array ``(rows, columns)`` or a frame.
            y: the class of each row, ``(rows,)``.
            sample_weight: weight of each row in the loss, ``(rows,)``, 0 or more.

        Raises:
            ValueError: what scikit-learn says of unfit arrays, and `TabularData.from_table` of unfit tables.
        """
        X, y = _checked(self, X, y)
        check_classification_targets(y)
        self.classes_, place = np.unique(y, return_inverse=True)
        if len(self.classes_) < 2:
            raise DataError(f"y has one class ({self.classes_.tolist()[0]!r}); two or more classes are needed")
        self._fit(X, {TARGET: place.astype(np.int64)}, sample_weight)
        return self

    def predict_proba(self, X: Any) -> Floats:
        """Probabilities, float64 ``(rows, classes)``, in the order of ``classes_``."""
        found = self._predict(X)
        probabilities: Floats = found / found.sum(1, keepdims=True)
        return probabilities

    def predict(self, X: Any) -> NDArray[Any]:
        """The likeliest class of each row, ``(rows,)``."""
        probabilities = self.predict_proba(X)
        found: NDArray[Any] = self.classes_[probabilities.argmax(1)]
        return found


class TabularRegressor(RegressorMixin, _TabularEstimator):  # type: ignore[misc]  # scikit-learn has no types
    """A `TabularLearner` of numbers as an estimator.

    Args:
        epochs: as for `TabularClassifier`.
        lr: likewise.
        hidden: likewise.
        members: likewise.
        dropout: likewise.
        weight_decay: likewise.
        ensemble: likewise.
        batch_size: likewise.
        categorical: likewise.
        continuous: likewise.
        log_target: predict the logarithm of a positive number.
        random_state: as for `TabularClassifier`.
        device: likewise.

    Attributes:
        learner_: the trained `TabularLearner`: embeddings, importances, ``save``.
        n_features_in_: number of columns.
        feature_names_in_: their names, of frames.
    """

    def __init__(
        self,
        *,
        epochs: int | None = None,
        lr: float | None = None,
        hidden: Sequence[int] | None = None,
        members: int | None = None,
        dropout: float | Sequence[float] | None = None,
        weight_decay: float | None = None,
        ensemble: int | None = None,
        batch_size: int | None = None,
        categorical: Sequence[str | int] = (),
        continuous: Sequence[str | int] = (),
        log_target: bool = False,
        random_state: Any = 0,
        device: str = "auto",
    ) -> None:
        super().__init__(
            epochs=epochs, lr=lr, hidden=hidden, members=members, dropout=dropout, weight_decay=weight_decay,
            ensemble=ensemble, batch_size=batch_size, categorical=categorical, continuous=continuous,
            random_state=random_state, device=device,
        )  # fmt: skip
        self.log_target = log_target

    def fit(self, X: Any, y: Any, sample_weight: Any = None) -> TabularRegressor:
        """Trains.

        Args:
            X: an array ``(rows, columns)`` or a frame.
            y: numbers, ``(rows,)``, or ``(rows, targets)`` for several at once.
            sample_weight: weight of each row in the loss, ``(rows,)``, 0 or more.

        Raises:
            ValueError: what scikit-learn says of unfit arrays, and `TabularData.from_table` of unfit tables.
        """
        X, y = _checked(self, X, y)
        values = y.astype(np.float64).reshape(len(y), -1)
        target = {f"{TARGET}{place}": values[:, place] for place in range(values.shape[1])}
        self._fit(X, target, sample_weight, log_target=self.log_target)
        return self

    def predict(self, X: Any) -> Floats:
        """Float64 ``(rows,)``, or ``(rows, targets)``."""
        return self._predict(X)

    def __sklearn_tags__(self) -> Any:
        """Several targets at once are welcome."""
        tags = super().__sklearn_tags__()
        tags.target_tags.multi_output = True
        return tags


def _checked(estimator: _TabularEstimator, X: Any, y: Any) -> tuple[Any, NDArray[Any]]:
    """X and y of ``fit``, as scikit-learn checks them; a frame's columns keep their types."""
    several = isinstance(estimator, TabularRegressor)
    if not _is_frame(X):
        checked: tuple[Any, NDArray[Any]] = validate_data(
            estimator, X, y, multi_output=several, y_numeric=several, ensure_all_finite="allow-nan",
            ensure_min_samples=2,
        )  # fmt: skip
        return checked
    if y is None:
        raise DataError(f"{type(estimator).__name__} requires y to be passed, but the target y is None")
    validate_data(estimator, X, skip_check_array=True)
    if len(X) < 2:
        raise DataError(f"X has {len(X)} rows; at least 2 are needed")
    y = check_array(y, ensure_2d=False, dtype="numeric", input_name="y") if several else column_or_1d(y, warn=True)
    if len(y) != len(X):
        raise DataError(f"X has {len(X)} rows and y has {len(y)}: they must be of one length")
    return X, y


def _is_frame(X: Any) -> bool:
    return hasattr(X, "__arrow_c_stream__")


def _as_frame(X: Any) -> pl.DataFrame:
    if isinstance(X, np.ndarray):
        return pl.DataFrame({f"x{place}": X[:, place] for place in range(X.shape[1])})
    return read_table(X, "X")


def _named(columns: Sequence[str | int], names: Sequence[str]) -> list[str]:
    """Columns by name; of arrays they may be given by number."""
    if isinstance(columns, str) or not isinstance(columns, Sequence):
        raise ConfigError(f"categorical and continuous must be lists of columns; got {columns!r}")
    return [column if isinstance(column, str) else names[column] for column in columns]
