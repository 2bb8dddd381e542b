"""The public names are a promise: to add or take one away is to change this list."""

from __future__ import annotations

import doctest

import headstart
import headstart.collab.model
import headstart.tabular.model
import headstart.text.model
import headstart.text.pooling
import headstart.vision.model

NAMES = [
    "ArtifactError",
    "Batch",
    "Callback",
    "CollabLearner",
    "ConfigError",
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


def test_the_public_names_are_these_and_each_is_there() -> None:
    assert sorted(headstart.__all__) == NAMES == sorted(dir(headstart))
    for name in NAMES:
        assert getattr(headstart, name) is not None
    assert issubclass(headstart.DataError, ValueError) and issubclass(headstart.ConfigError, ValueError)
    assert not issubclass(headstart.ArtifactError, ValueError)


def test_the_examples_in_the_docstrings_run() -> None:
    modules = (
        headstart.collab.model,
        headstart.tabular.model,
        headstart.text.model,
        headstart.text.pooling,
        headstart.vision.model,
    )
    for module in modules:
        found = doctest.testmod(module, extraglobs={"torch": module.torch})
        assert found.attempted >= 2 and found.failed == 0
