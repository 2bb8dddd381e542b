"""`TabularClassifier` and `TabularRegressor`: models of tables as scikit-learn's estimators.

They go where an estimator goes: pipelines, cross-validation, grid search. Arrays, pandas and polars frames come in;
frames keep their columns' types, so that text and dates need no encoder before them. All rows given to ``fit`` train.
"""

from __future__ import annotations

import inspect
from collections.abc import Mapping, Sequence
from inspect import Parameter, Signature
from typing import Any, ClassVar, TypeAlias, TypedDict, TypeVar, Unpack

import numpy as np
import polars as pl
from numpy.typing import NDArray

from headstart.core.engine import Engine, Precision
from headstart.core.errors import ConfigError, DataError, did_you_mean
from headstart.core.values import Option, options_of
from headstart.frames.door import read_table, with_new_columns
from headstart.frames.readings import Reading
from headstart.frames.rows import series_of
from headstart.frames.splits import train_on_all
from headstart.tabular.data import TabularData, TabularSettings, table_loader
from headstart.tabular.design import NumericEmbedding, TabularDesign, TabularTraining
from headstart.tabular.learner import TabularLearner
from headstart.targets.row_weights import ClassWeight

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

OF_THE_DATA = ("batch_size", "categorical", "continuous", "dates", "exclude")
"""Fields of `TabularSettings` that both estimators take."""

OF_THE_TRAINING = ("weight_decay", "clip", "accumulate", "precision")
"""Fields of `TabularTraining` that both take, beside all fields of `TabularDesign`."""

DOCUMENTED = {
    "epochs": "length of the one cycle; None: as `TabularLearner` suggests for the number of rows.",
    "lr": "top learning rate; None: as `TabularLearner` suggests for the network.",
    "random_state": "seed of the weights, of dropout and of the order of rows, as everywhere in scikit-learn.",
    "device": '``"auto"``, ``"cpu"``, ``"cuda"`` or ``"mps"``.',
}
"""The estimators' own parameters, beside those fields."""


class TabularParameters(TypedDict, total=False):
    """The parameters of both estimators: fields of `TabularDesign`, `TabularTraining` and `TabularSettings`, and more.

    Columns of arrays are given by number.
    """

    epochs: int | None
    lr: float | None
    hidden: Sequence[int]
    members: int
    numeric_embedding: NumericEmbedding | None
    batch_norm: bool
    norm_first: bool
    straight: bool
    input_scale: bool
    dropout: float | Sequence[float]
    category_dropout: float
    embedding_dropout: float
    embedding_sizes: Mapping[str, int] | None
    ensemble: int
    weight_decay: float
    clip: float | None
    accumulate: int
    precision: Precision
    batch_size: int | None
    categorical: Sequence[str | int]
    continuous: Sequence[str | int]
    dates: Sequence[str | int]
    exclude: Sequence[str | int]
    random_state: Any
    device: str


class ClassifierParameters(TabularParameters, total=False):
    """The parameters of `TabularClassifier`."""

    class_weight: ClassWeight | None


class RegressorParameters(TabularParameters, total=False):
    """The parameters of `TabularRegressor`."""

    log_target: bool
    y_range: tuple[float, float] | None


def _options(*of_the_data: str) -> tuple[Option, ...]:
    """Return an estimator's parameters, each documented and defaulted where it is defined."""
    chosen = [option for option in options_of(TabularTraining) if option.name in OF_THE_TRAINING]
    chosen += [option for option in options_of(TabularSettings) if option.name in (*OF_THE_DATA, *of_the_data)]
    defaults = {"epochs": None, "lr": None, "random_state": 0, "device": "auto"}
    own = [Option(name, Any, default, DOCUMENTED[name]) for name, default in defaults.items()]
    return (*own[:2], *options_of(TabularDesign), *chosen, *own[2:])


Estimator = TypeVar("Estimator", bound="type[_TabularEstimator]")


def _described(estimator: Estimator) -> Estimator:
    """Complete a class's signature, which scikit-learn reads, and its documentation by its options."""
    parameters = [Parameter("self", Parameter.POSITIONAL_OR_KEYWORD)]
    parameters += [Parameter(o.name, Parameter.KEYWORD_ONLY, default=o.default) for o in estimator._options]
    estimator.__init__.__signature__ = Signature(parameters)  # type: ignore[attr-defined]  # inspect reads it
    lines = [f"    {option.name}: {option.help}" for option in estimator._options]
    estimator.__doc__ = "\n".join([inspect.cleandoc(estimator.__doc__ or ""), "", "Args:", *lines])
    return estimator


class _TabularEstimator(BaseEstimator):  # type: ignore[misc]  # scikit-learn has no types
    """Base of both. Parameters are kept as they come and checked by ``fit``, as scikit-learn asks."""

    _kind: ClassVar[Any] = "number"
    _options: ClassVar[tuple[Option, ...]] = ()

    def _set(self, given: Mapping[str, Any]) -> None:
        for name in given:
            if name not in {option.name for option in self._options}:
                known = [option.name for option in self._options]
                raise TypeError(f"{type(self).__name__} has no parameter {name!r}; {did_you_mean(name, known)}")
        for option in self._options:
            setattr(self, option.name, given.get(option.name, option.default))

    def _given(self, *names: str) -> dict[str, Any]:
        return {name: getattr(self, name) for name in names}

    def _fit(self, X: Any, target: dict[str, NDArray[Any]], sample_weight: Any, **options: Any) -> None:
        """Train on checked rows.

        Args:
            X: an array or a frame.
            target: the columns to predict, by name, each ``(rows,)``.
            sample_weight: weight of each row, ``(rows,)``, or None.
            options: further fields of `TabularSettings`.
        """
        frame = _as_frame(X)
        clash = next((name for name in (*target, WEIGHT) if name in frame.columns), None)
        if clash is not None:
            raise DataError(f"column {clash!r} has the name under which the estimator keeps its own: rename it")
        names = frame.columns
        further = [pl.Series(name, values) for name, values in target.items()]
        if sample_weight is not None:
            weights = _check_sample_weight(sample_weight, X, dtype=np.float64, ensure_non_negative=True)
            further.append(pl.Series(WEIGHT, weights))
        table = with_new_columns(X if _is_frame(X) else frame, further)  # of X's library, which may declare categories
        seed = int(check_random_state(self.random_state).randint(np.iinfo(np.int32).max))
        columns: Any = {name: _named(name, getattr(self, name), names) for name in OF_THE_DATA if name != "batch_size"}
        data = TabularData.from_table(
            table, list(target) if len(target) > 1 else next(iter(target)), split=train_on_all,
            engine=Engine(self.device), **columns, batch_size=self.batch_size, seed=seed,
            weight=None if sample_weight is None else WEIGHT, target_kind=None if len(target) > 1 else self._kind,
            **options,
        )  # fmt: skip
        network = [option.name for option in options_of(TabularDesign)]
        learner = TabularLearner(data, **self._given(*network, *OF_THE_TRAINING), seed=seed, progress="none")
        learner.fit_one_cycle(self.lr, self.epochs)
        learner.data = None
        self.learner_ = learner

    def _predict(self, X: Any) -> NDArray[Any]:
        """Return predictions, float64 ``(rows, ...)``."""
        check_is_fitted(self)
        learner = self.learner_
        X = _with_texts(X, getattr(self, "feature_names_in_", ()))
        if _is_frame(X):
            validate_data(self, X, reset=False, skip_check_array=True)
        else:
            X = validate_data(self, X, reset=False, ensure_all_finite="allow-nan")
        loader = table_loader(learner.codec, _as_frame(X, learner.codec.readings), learner.engine, with_target=False)
        prediction: NDArray[Any] = learner.predict_batches(loader).cpu().double().numpy()
        return prediction

    def __sklearn_tags__(self) -> Any:
        """Return what scikit-learn should know: missing values and categories are welcome."""
        tags = super().__sklearn_tags__()
        tags.input_tags.allow_nan = True
        tags.input_tags.categorical = True
        return tags


@_described
class TabularClassifier(ClassifierMixin, _TabularEstimator):  # type: ignore[misc]  # scikit-learn has no types
    """A `TabularLearner` of classes as an estimator of scikit-learn.

    Attributes:
        classes_: the classes, sorted, ``(classes,)``.
        learner_: the trained `TabularLearner`: embeddings, ``save``.
        n_features_in_: number of columns.
        feature_names_in_: names of the columns, of frames.
    """

    _kind = "label"
    _options = _options("class_weight")

    def __init__(self, **parameters: Unpack[ClassifierParameters]) -> None:
        self._set(parameters)

    def fit(self, X: Any, y: Any, sample_weight: Any = None) -> TabularClassifier:
        """Train on all rows.

        Args:
            X: an array ``(rows, columns)`` or a frame.
            y: the class of each row, ``(rows,)``.
            sample_weight: weight of each row in the loss, ``(rows,)``, 0 or more.

        Raises:
            ValueError: as scikit-learn raises it for unfit arrays, and `TabularData.from_table` for unfit tables.
        """
        X, y = _checked(self, X, y)
        check_classification_targets(y)
        self.classes_, indices = np.unique(y, return_inverse=True)
        if len(self.classes_) < 2:
            raise DataError(f"y has one class ({self.classes_.tolist()[0]!r}); two or more classes are needed")
        weights = _class_weight(self.class_weight, self.classes_)
        self._fit(X, {TARGET: indices.astype(np.int64)}, sample_weight, class_weight=weights)
        return self

    def predict_proba(self, X: Any) -> Floats:
        """Return probabilities, float64 ``(rows, classes)``, in the order of ``classes_``."""
        prediction = self._predict(X)
        probabilities: Floats = prediction / prediction.sum(1, keepdims=True)
        return probabilities

    def predict(self, X: Any) -> NDArray[Any]:
        """Return the most probable class of each row, ``(rows,)``."""
        probabilities = self.predict_proba(X)
        classes: NDArray[Any] = self.classes_[probabilities.argmax(1)]
        return classes


@_described
class TabularRegressor(RegressorMixin, _TabularEstimator):  # type: ignore[misc]  # scikit-learn has no types
    """A `TabularLearner` of numbers as an estimator of scikit-learn.

    Attributes:
        learner_: the trained `TabularLearner`: embeddings, ``save``.
        n_features_in_: number of columns.
        feature_names_in_: names of the columns, of frames.
    """

    _options = _options("log_target", "y_range")

    def __init__(self, **parameters: Unpack[RegressorParameters]) -> None:
        self._set(parameters)

    def fit(self, X: Any, y: Any, sample_weight: Any = None) -> TabularRegressor:
        """Train on all rows.

        Args:
            X: an array ``(rows, columns)`` or a frame.
            y: numbers, ``(rows,)``, or ``(rows, targets)`` for several at once.
            sample_weight: weight of each row in the loss, ``(rows,)``, 0 or more.

        Raises:
            ValueError: as scikit-learn raises it for unfit arrays, and `TabularData.from_table` for unfit tables.
        """
        X, y = _checked(self, X, y)
        values = y.astype(np.float64).reshape(len(y), -1)
        target = {f"{TARGET}{index}": values[:, index] for index in range(values.shape[1])}
        self._fit(X, target, sample_weight, **self._given("log_target", "y_range"))
        return self

    def predict(self, X: Any) -> Floats:
        """Return float64 ``(rows,)``, or ``(rows, targets)``."""
        return self._predict(X)

    def __sklearn_tags__(self) -> Any:
        """Return what scikit-learn should know: several targets at once are welcome."""
        tags = super().__sklearn_tags__()
        tags.target_tags.multi_output = True
        return tags


def _class_weight(class_weight: Any, classes: NDArray[Any]) -> Any:
    """Return the weight of each class by its index, which is what is learnt; 1 where none is given.

    Raises:
        ConfigError: there is no such class.
    """
    if not isinstance(class_weight, Mapping):
        return class_weight
    names = classes.tolist()
    unknown = [name for name in class_weight if name not in names]
    if unknown:
        raise ConfigError(f"class_weight: there is no class {unknown[0]!r} in y, whose classes are {names}")
    return {str(index): class_weight.get(name, 1.0) for index, name in enumerate(names)}


def _checked(estimator: _TabularEstimator, X: Any, y: Any) -> tuple[Any, NDArray[Any]]:
    """Return X and y of ``fit`` as scikit-learn checks them; a frame's columns keep their types."""
    several = isinstance(estimator, TabularRegressor)
    X = _with_texts(X)
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


def _with_texts(X: Any, fitted: Sequence[str] = ()) -> Any:
    """Return an array of objects with texts among them, as a ColumnTransformer makes, as a frame of its columns.

    Args:
        X: whatever came in; all else is returned as it is.
        fitted: names of the columns of the frame that was fitted; if they are those of such an array, this one becomes
            a frame even if each of its texts is a number.
    """
    if not (isinstance(X, np.ndarray) and X.dtype == object and X.ndim == 2):
        return X
    names = [f"x{index}" for index in range(X.shape[1])]
    if list(fitted) != names:
        try:
            X.astype(np.float64)
        except ValueError:  # a text that is no number
            pass
        except TypeError:  # neither: scikit-learn says so
            return X
        else:
            return X
    return pl.DataFrame([series_of(name, X[:, index].tolist()) for index, name in enumerate(names)])


def _as_frame(X: Any, readings: Mapping[str, Reading] | None = None) -> pl.DataFrame:
    if isinstance(X, np.ndarray):
        return pl.DataFrame({f"x{index}": X[:, index] for index in range(X.shape[1])})
    return read_table(X, "X", readings=readings)


def _named(parameter: str, columns: Sequence[str | int], names: Sequence[str]) -> list[str]:
    """Return columns by name; those of arrays may be given by number."""
    if isinstance(columns, str) or not isinstance(columns, Sequence):
        raise ConfigError(f"{parameter} must be a list of columns; got {columns!r}")
    return [column if isinstance(column, str) else names[column] for column in columns]
