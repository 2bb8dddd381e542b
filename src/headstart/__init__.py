"""headstart: give your model a head start.

Deep learning on tables, ratings, text and images: data in, a trained model that can be trusted out, in a few lines.
The public names below are resolved on first use, so that importing the package costs nothing.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from headstart.version import __version__

if TYPE_CHECKING:
    from headstart import datasets
    from headstart.collab.data import RatingsData
    from headstart.collab.learner import CollabLearner
    from headstart.collab.rankers import EASE, IALS
    from headstart.core import metrics, optim, schedules, splits
    from headstart.core.batch import Batch
    from headstart.core.callbacks import Callback, EarlyStopping, KeepBest, TensorBoard
    from headstart.core.data import Data, tensor_data
    from headstart.core.engine import Engine
    from headstart.core.errors import (
        ArtifactError,
        ConfigError,
        DataError,
        HeadstartError,
        HeadstartWarning,
        NotFittedError,
    )
    from headstart.core.learner import Learner
    from headstart.loading import load
    from headstart.tabular import features
    from headstart.tabular.data import TabularData
    from headstart.tabular.learner import TabularLearner
    from headstart.text.classifier import TextLearner
    from headstart.text.data import TextData
    from headstart.text.language_model import LanguageModelLearner
    from headstart.text.streams import LanguageModelData
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
    "RatingsData",
    "TabularData",
    "TabularLearner",
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
    "metrics": "headstart.core.metrics",
    "optim": "headstart.core.optim",
    "schedules": "headstart.core.schedules",
    "splits": "headstart.core.splits",
}
_HOMES = {
    "CollabLearner": "headstart.collab.learner",
    "EASE": "headstart.collab.rankers",
    "IALS": "headstart.collab.rankers",
    "RatingsData": "headstart.collab.data",
    "ArtifactError": "headstart.core.errors",
    "Callback": "headstart.core.callbacks",
    "ConfigError": "headstart.core.errors",
    "DataError": "headstart.core.errors",
    "EarlyStopping": "headstart.core.callbacks",
    "Engine": "headstart.core.engine",
    "HeadstartError": "headstart.core.errors",
    "HeadstartWarning": "headstart.core.errors",
    "ImageData": "headstart.vision.data",
    "ImageLearner": "headstart.vision.learner",
    "KeepBest": "headstart.core.callbacks",
    "LanguageModelData": "headstart.text.streams",
    "LanguageModelLearner": "headstart.text.language_model",
    "Learner": "headstart.core.learner",
    "NotFittedError": "headstart.core.errors",
    "TabularData": "headstart.tabular.data",
    "TabularLearner": "headstart.tabular.learner",
    "TensorBoard": "headstart.core.callbacks",
    "TextData": "headstart.text.data",
    "TextLearner": "headstart.text.classifier",
    "Batch": "headstart.core.batch",
    "Data": "headstart.core.data",
    "load": "headstart.loading",
    "tensor_data": "headstart.core.data",
}


def __getattr__(name: str) -> Any:
    if name in _MODULES:
        return import_module(_MODULES[name])
    if name not in _HOMES:
        raise AttributeError(f"module 'headstart' has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return __all__
