"""What simple models reach on the same validation rows, so that it shows whether a network is worth its while."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from importlib.util import find_spec
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from headstart.tabular.data import TabularData
from headstart.targets.metrics import Metric
from headstart.training.loaders import TensorLoader

__all__ = ["MOST_ROWS", "baselines"]

MOST_ROWS = 20_000
"""Training rows of the linear model and of gradient boosting; of more, so many are drawn."""

LEAST = 1e-7
"""Smallest probability whose logarithm is an output."""

Array = NDArray[Any]


def baselines(data: TabularData, metrics: tuple[Metric, ...], seed: int = 0) -> dict[str, dict[str, float]]:
    """Return the metrics of simple models on the validation rows, by model.

    The models are the mean, or the classes' shares; ridge or logistic regression, if scikit-learn is installed; and
    LightGBM by its defaults, if it is. They see the columns as the network does: ids as categories, and numbers.

    Args:
        data: training and validation rows of a number or of classes; of other targets there are no baselines.
        metrics: metrics to compute.
        seed: seed of the draw of rows.

    Returns:
        Empty without validation rows.
    """
    target, valid = data.codec.target, data.valid
    if valid is None or valid.target is None or target.kind not in ("number", "label") or target.outputs < 1:
        return {}
    if target.kind == "number" and target.outputs > 1:
        return {}
    true = target.original(valid.target)
    figures: dict[str, dict[str, float]] = {}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # about names of columns and iterations, of other libraries
        for name, outputs in _outputs(data, seed):
            prediction = target.prediction(outputs.to(true.device))
            figures[name] = {metric.name: metric(prediction, true) for metric in metrics}
    return figures


def _outputs(data: TabularData, seed: int) -> Iterator[tuple[str, Tensor]]:
    """Yield models by name, with their outputs for the validation rows as a network's, ``(rows, outputs)``."""
    classes = len(data.codec.target.classes)
    train, valid = data.train, data.valid
    assert valid is not None and train.target is not None
    if classes:
        shares = torch.bincount(train.target.cpu(), minlength=classes) / train.rows
        yield "class shares", shares.clamp_min(LEAST).log().repeat(valid.rows, 1)
    else:
        yield "mean", train.target.cpu().mean(0, keepdim=True).repeat(valid.rows, 1)
    rows = np.arange(train.rows)
    if train.rows > MOST_ROWS:
        rows = np.sort(np.random.default_rng(seed).choice(train.rows, MOST_ROWS, replace=False))
    target = train.target.cpu().numpy()[rows]
    weight = None if train.weight is None else train.weight.cpu().numpy()[rows]
    if classes and len(np.unique(target)) < 2:
        return  # there is nothing to tell apart
    seen, new = _arrays(train), _arrays(valid)
    seen = (seen[0][rows], seen[1][rows])
    if find_spec("sklearn") is not None:
        name = "logistic regression" if classes else "ridge regression"
        yield name, _as_outputs(_linear(seen, target, weight, new, classes), classes)
    if find_spec("lightgbm") is not None:
        yield "lightgbm", _as_outputs(_boosted(seen, target, weight, new, classes), classes)


def _arrays(loader: TensorLoader) -> tuple[Array, Array]:
    ids, numbers = (tensor.cpu().numpy() for tensor in loader.inputs)
    return ids, numbers


def _linear(
    seen: tuple[Array, Array], target: Array, weight: Array | None, new: tuple[Array, Array], classes: int
) -> tuple[Array, Array]:
    """Return predictions of ridge or logistic regression, and the classes that they are of."""
    from sklearn.compose import ColumnTransformer
    from sklearn.linear_model import LogisticRegression, Ridge
    from sklearn.preprocessing import OneHotEncoder

    categories = seen[0].shape[1]
    each = [("categories", OneHotEncoder(handle_unknown="ignore"), slice(0, categories))] if categories else []
    columns = ColumnTransformer(each, remainder="passthrough")
    joined = [np.column_stack([ids, numbers.clip(-5, 5)]) for ids, numbers in (seen, new)]
    model = LogisticRegression(max_iter=200) if classes else Ridge()
    model.fit(columns.fit_transform(joined[0]), target if classes else target[:, 0], sample_weight=weight)
    features = columns.transform(joined[1])
    if classes:
        return model.predict_proba(features), model.classes_
    return model.predict(features), np.empty(0)


def _boosted(
    seen: tuple[Array, Array], target: Array, weight: Array | None, new: tuple[Array, Array], classes: int
) -> tuple[Array, Array]:
    """Return predictions of LightGBM's defaults, and the classes that they are of."""
    import lightgbm

    joined = [np.column_stack([ids.astype(np.float64), numbers]) for ids, numbers in (seen, new)]
    model = (lightgbm.LGBMClassifier if classes else lightgbm.LGBMRegressor)(n_jobs=1, verbose=-1)
    model.fit(
        joined[0], target if classes else target[:, 0], sample_weight=weight,
        categorical_feature=list(range(seen[0].shape[1])),
    )  # fmt: skip
    if classes:
        return np.asarray(model.predict_proba(joined[1])), model.classes_
    return np.asarray(model.predict(joined[1])), np.empty(0)


def _as_outputs(predicted: tuple[Array, Array], classes: int) -> Tensor:
    """Return predictions as a network's outputs; a class that no drawn row has is as unlikely as can be."""
    values, of = predicted
    if not classes:
        return torch.from_numpy(values.astype(np.float32))[:, None]
    probabilities = np.full((len(values), classes), LEAST)
    probabilities[:, of.astype(int)] = np.maximum(values, LEAST)
    return torch.from_numpy(np.log(probabilities).astype(np.float32))
