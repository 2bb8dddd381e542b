"""The suite's images: headstart's head, and logistic regression, on the same activations of EfficientNet-Lite0.

cifar-10-sample   its own folders: 3,000 images to train on, 1,000 to test, ten classes (HEADSTART_DATA)
dogs-vs-cats      its own folders: 1,520 to train on, 400 to test
fashion-mnist     draw s: the first 3,000 of numpy's default_rng(s).permutation(60,000) of the training images, of which
                  the first 2,000 train

headstart   the default learner on the training images alone, a fifth of which it holds out to stop and calibrate by
logistic_regression   scikit-learn's, on standardised activations of all training images, C by the log loss of three
                      folds of them

The activations are computed once and kept; CPU seconds are those of what comes after. Both sides see the same ones.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from benchmarks.suite_kind import Kind, Record, Setting, SuiteModel, SuiteSet, class_figures, cpu_of
from benchmarks.vision_quality import read_fashion
from headstart import Engine, ImageData, ImageLearner, datasets
from headstart.core.errors import ConfigError
from headstart.frames.splits import Split, Splitter, by_indices, by_random

__all__ = ["IMAGES"]

Rows = NDArray[np.int64]


def held_out_of(train: Rows, seed: int) -> Splitter:
    """Return a splitter that lets a fifth of some rows validate, and leaves the others of the table out."""

    def split(frame: pl.DataFrame) -> Split:
        inner = by_random(0.2, seed=seed)(frame[train])
        return Split(train[inner.train], train[inner.valid])

    return split


def folder_of(name: str) -> Path:
    """Return a set's folder."""
    if name != "cifar-10-sample":
        return datasets.get(name)
    data = os.environ.get("HEADSTART_DATA")
    if data is None:
        raise ConfigError(f"{name} is read from the folder that HEADSTART_DATA names: set it")
    return Path(data) / name


def images_of(name: str, seed: int, setting: Setting) -> Callable[[Splitter | None], ImageData]:
    """Return what makes a set's data by a split of all its images; None: its own, with the test rows validating."""
    engine, cache = Engine("cpu"), setting.cache
    if name != "fashion-mnist":
        folder = folder_of(name)
        return lambda split: ImageData.from_folder(folder, split=split, seed=seed, engine=engine, cache=cache)

    images, labels = read_fashion()
    rows = np.random.default_rng(seed).permutation(len(labels))[:3000]
    own = by_indices(np.arange(2000, 3000))
    return lambda split: ImageData.from_arrays(
        images[rows], labels[rows], split=split or own, seed=seed, engine=engine, cache=cache
    )


def headstart(name: str, seed: int, setting: Setting) -> Record:
    """Train the default head on the training images, and predict the test images."""
    make = images_of(name, seed, setting)
    outer = make(None)
    data = make(held_out_of(outer.split.train, seed))
    learner = ImageLearner(data, progress="none", seed=seed)
    learner.precompute()
    _, cpu = cpu_of(learner.fit_plan)
    learner.data = outer
    learner.precompute()
    prediction, target = learner.predict_with_targets()
    found = class_figures(prediction.double().numpy(), [str(n) for n in range(prediction.shape[1])], target.tolist())
    return {"cpu": cpu, "epochs": len(learner.history), "kept": learner.history.kept(), **found}


def logistic_regression(name: str, seed: int, setting: Setting) -> Record:
    """Fit logistic regression to the same activations of the training images, and predict the test images."""
    from sklearn.linear_model import LogisticRegressionCV
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    outer = images_of(name, seed, setting)(None)
    learner = ImageLearner(outer, progress="none")
    learner.precompute()
    activations = learner.activations
    assert activations is not None
    train, test = (
        activations.take(rows, np.zeros(len(rows), dtype=np.int64)).numpy()
        for rows in (outer.split.train, outer.split.valid)
    )
    labels = [str(label) for label in outer.frame["label"].to_list()]
    known, true = ([labels[row] for row in rows] for rows in (outer.split.train, outer.split.valid))
    model: Any = make_pipeline(
        StandardScaler(),
        LogisticRegressionCV(
            Cs=[0.0003, 0.001, 0.003, 0.01, 0.03], cv=3, scoring="neg_log_loss", max_iter=300, l1_ratios=(0,),
            use_legacy_attributes=False,
        ),
    )  # fmt: skip
    _, cpu = cpu_of(lambda: model.fit(train, known))
    return {"cpu": cpu, **class_figures(model.predict_proba(test), sorted(set(known)), true)}


IMAGES = Kind(
    title="Images",
    sets={
        "cifar-10-sample": SuiteSet(development=True, splits=1),
        "dogs-vs-cats": SuiteSet(development=True, splits=1),
        "fashion-mnist": SuiteSet(),
    },
    models={"headstart": SuiteModel(headstart), "logistic_regression": SuiteModel(logistic_regression)},
    figures=("accuracy", "log_loss", "calibration_error"),
    about="""
        The head was chosen on cifar-10-sample, with its test images in view, and inside the training images of
        dogs-vs-cats. Both sides see the same activations of EfficientNet-Lite0 at 224 pixels, three stages, no
        changed copies. headstart holds a fifth of the training images out; logistic regression is fitted to all,
        standardised, its C by the log loss of three folds. CPU seconds without the activations'.""",
)
