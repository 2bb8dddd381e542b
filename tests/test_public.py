"""The public names are a promise: to add or take one away is to change this list."""

from __future__ import annotations

import doctest

import headstart
import headstart.collab.models.dot_product
import headstart.tabular.models.network
import headstart.text.models.awd_lstm
import headstart.text.models.classifier
import headstart.vision.models.network

NAMES = [
    "ArtifactError",
    "Batch",
    "Callback",
    "CollabLearner",
    "ConfigError",
    "CsvOptions",
    "Data",
    "DataError",
    "EASE",
    "EarlyStopping",
    "Engine",
    "HeadstartError",
    "HeadstartWarning",
    "IALS",
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


def test_the_public_names_are_these_and_each_is_there() -> None:
    assert sorted(headstart.__all__) == NAMES == sorted(dir(headstart))
    for name in NAMES:
        assert getattr(headstart, name) is not None
    assert issubclass(headstart.DataError, ValueError) and issubclass(headstart.ConfigError, ValueError)
    assert not issubclass(headstart.ArtifactError, ValueError)


def test_the_examples_in_the_docstrings_run() -> None:
    modules = (
        headstart.collab.models.dot_product,
        headstart.tabular.models.network,
        headstart.text.models.awd_lstm,
        headstart.text.models.classifier,
        headstart.vision.models.network,
    )
    for module in modules:
        found = doctest.testmod(module, extraglobs={"torch": module.torch})
        assert found.attempted >= 2 and found.failed == 0
