"""headstart: give your model a head start.

Deep learning on tables, ratings, text and images: data in, a trained model that can be trusted out, in a few lines.
The public names below are imported on first use, so that importing the package takes almost no time.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from headstart.version import __version__

if TYPE_CHECKING:
    from headstart import datasets
    from headstart.applications import load
    from headstart.collab.data import RatingsData
    from headstart.collab.learner import CollabLearner
    from headstart.collab.rankers import EASE, IALS
    from headstart.core.batch import Batch
    from headstart.core.engine import Engine
    from headstart.core.errors import (
        ArtifactError,
        ConfigError,
        DataError,
        HeadstartError,
        HeadstartWarning,
        NotFittedError,
    )
    from headstart.frames import splits
    from headstart.frames.csv import CsvOptions
    from headstart.frames.files import Query
    from headstart.tabular import features
    from headstart.tabular.data import TabularData
    from headstart.tabular.learner import TabularLearner
    from headstart.tabular.sklearn import TabularClassifier, TabularRegressor
    from headstart.targets import metrics
    from headstart.text.data import TextData
    from headstart.text.language_model_data import LanguageModelData
    from headstart.text.language_model_learner import LanguageModelLearner
    from headstart.text.learner import TextLearner
    from headstart.training import optim, schedules
    from headstart.training.callbacks import Callback, EarlyStopping, KeepBest, TensorBoard
    from headstart.training.learner import Learner
    from headstart.training.loaders import Data, tensor_data
    from headstart.vision.data import ImageData
    from headstart.vision.learner import ImageLearner

__all__ = [
    "EASE",
    "IALS",
    "ArtifactError",
    "Batch",
    "Callback",
    "CollabLearner",
    "ConfigError",
    "CsvOptions",
    "Data",
    "DataError",
    "EarlyStopping",
    "Engine",
    "HeadstartError",
    "HeadstartWarning",
    "ImageData",
    "ImageLearner",
    "KeepBest",
    "LanguageModelData",
    "LanguageModelLearner",
    "Learner",
    "NotFittedError",
    "Query",
    "RatingsData",
    "TabularClassifier",
    "TabularData",
    "TabularLearner",
    "TabularRegressor",
    "TensorBoard",
    "TextData",
    "TextLearner",
    "__version__",
    "datasets",
    "features",
    "load",
    "metrics",
    "optim",
    "schedules",
    "splits",
    "tensor_data",
]

_MODULES = {
    "datasets": "headstart.datasets",
    "features": "headstart.tabular.features",
    "metrics": "headstart.targets.metrics",
    "optim": "headstart.training.optim",
    "schedules": "headstart.training.schedules",
    "splits": "headstart.frames.splits",
}
_HOMES = {
    "CollabLearner": "headstart.collab.learner",
    "EASE": "headstart.collab.rankers",
    "IALS": "headstart.collab.rankers",
    "Query": "headstart.frames.files",
    "RatingsData": "headstart.collab.data",
    "ArtifactError": "headstart.core.errors",
    "Callback": "headstart.training.callbacks",
    "ConfigError": "headstart.core.errors",
    "CsvOptions": "headstart.frames.csv",
    "DataError": "headstart.core.errors",
    "EarlyStopping": "headstart.training.callbacks",
    "Engine": "headstart.core.engine",
    "HeadstartError": "headstart.core.errors",
    "HeadstartWarning": "headstart.core.errors",
    "ImageData": "headstart.vision.data",
    "ImageLearner": "headstart.vision.learner",
    "KeepBest": "headstart.training.callbacks",
    "LanguageModelData": "headstart.text.language_model_data",
    "LanguageModelLearner": "headstart.text.language_model_learner",
    "Learner": "headstart.training.learner",
    "NotFittedError": "headstart.core.errors",
    "TabularData": "headstart.tabular.data",
    "TabularLearner": "headstart.tabular.learner",
    "TabularClassifier": "headstart.tabular.sklearn",
    "TabularRegressor": "headstart.tabular.sklearn",
    "TensorBoard": "headstart.training.callbacks",
    "TextData": "headstart.text.data",
    "TextLearner": "headstart.text.learner",
    "Batch": "headstart.core.batch",
    "Data": "headstart.training.loaders",
    "load": "headstart.applications",
    "tensor_data": "headstart.training.loaders",
}


def __getattr__(name: str) -> Any:
    if name in _MODULES:
        return import_module(_MODULES[name])
    if name not in _HOMES:
        raise AttributeError(f"module 'headstart' has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return __all__
