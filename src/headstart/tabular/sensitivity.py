"""How predictions react to a column: its importance, and the prediction by its value.

Each result is an object with a ``frame()`` (polars) and a ``plot()``.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
import polars as pl
import torch
from numpy.typing import NDArray
from torch import Tensor

from headstart.core.errors import ConfigError, did_you_mean
from headstart.tabular.codec import TableCodec
from headstart.tabular.data import EVALUATION_BATCH
from headstart.tabular.interpretation import Framed
from headstart.targets.metrics import Better, Metric, MetricFunction, find_metrics
from headstart.training.display import track
from headstart.training.learner import Learner
from headstart.training.loaders import TensorLoader

if TYPE_CHECKING:
    from headstart.training.plots import Plot

__all__ = ["Dependence", "Importance", "feature_importance", "partial_dependence"]

LOSS = "valid_loss"
"""Name of the validation loss among the figures."""


@dataclass(frozen=True, repr=False)
class Importance(Framed):
    """How much worse a model predicts when one column's values are shuffled among the rows.

    Attributes:
        metric: name of the metric.
        baseline: its value with all columns in place.
        table: ``column``, ``importance`` (mean over the repeats), ``sd`` (over the repeats), most important first.
    """

    metric: str
    baseline: float
    table: pl.DataFrame

    def frame(self) -> pl.DataFrame:
        """Return a row per column, the most important first; below 0 the model is better without it, or by chance."""
        return self.table

    def plot(self) -> Plot:
        """Return bars, with the standard deviation over the repeats."""
        from headstart.tabular.plots import plot_importance  # matplotlib takes a moment to import

        return plot_importance(self.table, self.metric)


@dataclass(frozen=True, repr=False)
class Dependence(Framed):
    """The mean prediction over the rows if all of them had one value in a column, for several values.

    Attributes:
        unit: what is predicted.
        predictions: names of the columns of predictions.
        table: the column's values; for each column of predictions its mean, and the tenth and ninetieth percentile over
            the rows (``_low``, ``_high``); for categories ``share``, that of the validation rows, 0 to 1.
    """

    unit: str
    predictions: tuple[str, ...]
    table: pl.DataFrame

    def frame(self) -> pl.DataFrame:
        """Return a row per value."""
        return self.table

    def plot(self) -> Plot:
        """Return predictions by value."""
        from headstart.tabular.plots import plot_dependence  # matplotlib takes a moment to import

        return plot_dependence(self.table, self.predictions, self.unit)


def feature_importance(
    learner: Learner,
    codec: TableCodec,
    valid: TensorLoader,
    *,
    columns: Sequence[str] | None,
    metric: str | Metric | MetricFunction | None,
    better: Better | None,
    repeats: int,
    rows: int | None,
    seed: int,
) -> Importance:
    """Return how much worse a metric gets when a column is shuffled; see `TabularLearner.feature_importance`."""
    if not isinstance(repeats, int) or repeats < 1:
        raise ConfigError(f"repeats must be a whole number of at least 1; got {repeats!r}")
    names = codec.columns if columns is None else columns
    if isinstance(names, str):
        raise ConfigError(f"columns must be a list; got the text {names!r}: write [{names!r}]")
    inputs_of = {name: _inputs_of(codec, name) for name in names}
    measure = _metric(learner, metric, better)
    sign = -1.0 if measure is not None and measure.better == "higher" else 1.0
    chosen = _drawn(valid.rows, rows, seed).to(valid.inputs[0].device)
    inputs = [tensor.index_select(0, chosen) for tensor in valid.inputs]
    assert valid.target is not None
    target = valid.target.index_select(0, chosen)
    true = codec.target.original(target)

    def score(tensors: Sequence[Tensor]) -> float:
        loader = TensorLoader(tensors, target, batch_size=EVALUATION_BATCH, shuffle=False, engine=learner.engine)
        if measure is None:
            return learner.validate(loader)[LOSS]
        return measure(learner.predict_batches(loader), true)

    baseline = score(inputs)
    importances: list[tuple[str, float, float]] = []
    for column, indices in track(list(inputs_of.items()), "feature importance: column", learner.progress):
        losses = []
        for repeat in range(repeats):
            order = torch.randperm(len(target), generator=torch.Generator().manual_seed(seed + repeat)).to(
                target.device
            )
            shuffled = [tensor.clone() for tensor in inputs]
            for tensor, columns_of_it in zip(shuffled, indices, strict=True):
                tensor[:, columns_of_it] = tensor[order][:, columns_of_it]
            shuffled[1] = codec.with_target_features(shuffled[0], shuffled[1])
            losses.append(sign * (score(shuffled) - baseline))
        spread = float(np.std(losses, ddof=1)) if repeats > 1 else 0.0
        importances.append((column, float(np.mean(losses)), spread))
    schema = {"column": pl.String, "importance": pl.Float64, "sd": pl.Float64}
    table = pl.DataFrame(importances, schema=schema, orient="row")
    name = LOSS if measure is None else measure.name
    return Importance(name, baseline, table.sort("importance", descending=True, maintain_order=True))


def partial_dependence(
    learner: Learner, codec: TableCodec, valid: TensorLoader, column: str, *, values: int, rows: int | None, seed: int
) -> Dependence:
    """Return the mean prediction by a column's value; see `TabularLearner.partial_dependence`."""
    if not isinstance(values, int) or values < 1:
        raise ConfigError(f"values must be a whole number of at least 1; got {values!r}")
    if column in [date.name for date in codec.dates]:
        parts = [part for part in codec.inputs if part.startswith(f"{column}.")]
        raise ConfigError(f"{column!r} is a date, of which the model sees parts: give one of {', '.join(parts)}")
    categories, numbers = _inputs_of(codec, column)
    chosen = _drawn(valid.rows, rows, seed).to(valid.inputs[0].device)
    inputs = [tensor.index_select(0, chosen) for tensor in valid.inputs]
    grid, shown = _grid(codec, valid, categories, numbers, values)
    target = codec.target
    names: list[str] = []
    summaries: list[NDArray[np.float64]] = []
    for value in grid:
        moved = [tensor.clone() for tensor in inputs]
        for index in categories[:1]:
            moved[0][:, index] = value
        for index in numbers[:1]:
            moved[1][:, index] = _number_of(codec, categories[0], index, value) if categories else value
        for indicator in numbers[1:]:
            moved[1][:, indicator] = 0.0
        moved[1] = codec.with_target_features(moved[0], moved[1])
        loader = TensorLoader(moved, batch_size=EVALUATION_BATCH, shuffle=False, engine=learner.engine)
        prediction = learner.predict_batches(loader).cpu()
        outputs = prediction.reshape(len(prediction), -1).numpy()  # (rows, columns of predictions)
        names = names or list(target.decode(prediction[:1]))[-outputs.shape[1] :]  # without the class chosen before
        summaries.append(np.stack([outputs.mean(0), *np.percentile(outputs, [10, 90], axis=0)]))
    summary = np.stack(summaries)  # (values, mean and percentiles, columns of predictions)
    columns = [
        pl.Series(f"{name}{suffix}", summary[:, which, index])
        for index, name in enumerate(names)
        for which, suffix in enumerate(("", "_low", "_high"))
    ]
    unit = f"probability of {target.columns[0]}" if target.classes else " and ".join(target.columns)
    return Dependence(unit, tuple(names), pl.DataFrame([shown[0], *columns, *shown[1:]]))


def _inputs_of(codec: TableCodec, name: str) -> tuple[list[int], list[int]]:
    """Return the indices of a column, a date with all its parts, or one part, in the tensors of ids and of numbers."""
    is_date = any(date.name == name for date in codec.dates)
    parts = [part for part in codec.inputs if part == name or (is_date and part.startswith(f"{name}."))]
    if not parts:
        known = [*codec.columns, *codec.inputs]
        raise ConfigError(f"the model has no column {name!r}; {did_you_mean(name, dict.fromkeys(known))}")
    categories = [index for index, column in enumerate(codec.categorical) if column.name in parts]
    numbers = [index for index, column in enumerate(codec.continuous) if column.name in parts]
    return categories, [*numbers, *(index for column, index in codec.indicators.items() if column in parts)]


def _number_of(codec: TableCodec, category: int, number: int, identity: float) -> float:
    """Return a whole number that is a category, too, as the model sees it among the numbers: 0 for an unknown id."""
    (value,) = codec.categorical[category].vocab.decode(np.array([int(identity)]))
    if value is None:
        return 0.0
    return float(codec.continuous[number].standardised(np.array([float(value)]))[0][0])


def _metric(learner: Learner, metric: str | Metric | MetricFunction | None, better: Better | None) -> Metric | None:
    """Return the metric by which importance is measured, with its direction; None: the validation loss."""
    if metric == LOSS:
        return None
    if metric is None:
        return next((candidate for candidate in learner.metrics if candidate.better is not None), None)
    (candidate,) = find_metrics([metric], learner.target)
    if better is not None:
        candidate = replace(candidate, better=better)
    if candidate.better is None:
        raise ConfigError(
            f"metric {candidate.name!r} does not say whether higher or lower is better; give better='higher' or"
            " better='lower'"
        )
    return candidate


def _drawn(total: int, rows: int | None, seed: int) -> Tensor:
    """Return the indices of so many rows, ascending; of all for None."""
    if rows is not None and (not isinstance(rows, int) or rows < 1):
        raise ConfigError(f"rows must be a whole number of at least 1, or None for all; got {rows!r}")
    if rows is None or rows >= total:
        return torch.arange(total)
    return torch.randperm(total, generator=torch.Generator().manual_seed(seed))[:rows].sort().values


def _grid(
    codec: TableCodec, valid: TensorLoader, categories: list[int], numbers: list[int], values: int
) -> tuple[list[float], list[pl.Series]]:
    """Return the values to try, as the model sees them; and as columns, with the share of each category."""
    shares = np.linspace(0, 1, values)
    if categories:
        category = codec.categorical[categories[0]]
        ids = valid.inputs[0][:, categories[0]].long().cpu()
        counts = torch.bincount(ids, minlength=len(category.vocab)).numpy()
        if category.vocab.kind == "integer" and (ids > 0).any():
            tried = np.unique(np.quantile(ids[ids > 0].numpy(), shares, method="nearest"))
        else:
            tried = np.argsort(-counts, kind="stable")[: min(values, int((counts > 0).sum()))]
        names = category.vocab.decode(tried).alias(category.name)
        return tried.tolist(), [names, pl.Series("share", counts[tried] / len(ids))]
    column = codec.continuous[numbers[0]]
    seen = valid.inputs[1][:, numbers[0]]
    if len(numbers) > 1 and bool((valid.inputs[1][:, numbers[1]] == 0).any()):
        seen = seen[valid.inputs[1][:, numbers[1]] == 0]  # not the median that stands in for what is missing
    standard = np.unique(np.quantile(seen.cpu().numpy(), shares, method="nearest"))
    digits = 5 - math.floor(math.log10(column.sd))  # what float32 has not blurred
    in_unit = np.round(standard.astype(np.float64) * column.sd + column.mean, digits)
    return standard.tolist(), [pl.Series(column.name, in_unit)]
