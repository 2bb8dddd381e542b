"""How predictions react to a column: its importance, and the prediction by its value.

Each answer is an object with a ``frame()`` (polars) and a ``plot()``.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl
import torch
from numpy.typing import NDArray
from torch import Tensor

from headstart.core.errors import ConfigError, did_you_mean
from headstart.tabular.codec import TableCodec
from headstart.tabular.data import EVALUATION_BATCH
from headstart.tabular.interpretation import Framed
from headstart.tabular.plots import plot_dependence, plot_importance
from headstart.targets.metrics import Metric, as_metric, find_metrics, metric_name
from headstart.training.display import Verbosity, track
from headstart.training.loaders import TensorLoader
from headstart.training.plots import Plot
from headstart.training.predictor import Predictor

__all__ = ["Dependence", "Importance", "feature_importance", "partial_dependence"]


@dataclass(frozen=True, repr=False)
class Importance(Framed):
    """How much worse a model predicts when one column's values are shuffled among the rows.

    Attributes:
        metric: what was measured.
        baseline: its value with all columns in place.
        table: ``column``, ``importance`` (mean over the repeats), ``sd`` (over the repeats), most important first.
    """

    metric: str
    baseline: float
    table: pl.DataFrame

    def frame(self) -> pl.DataFrame:
        """A row per column, the most important first; negative: better without, by chance or by overfitting."""
        return self.table

    def plot(self) -> Plot:
        """Bars, with the spread over the repeats."""
        return plot_importance(self.table, self.metric)


@dataclass(frozen=True, repr=False)
class Dependence(Framed):
    """The mean prediction over the rows if all of them had one value in a column.

    Attributes:
        unit: what is predicted.
        answers: the columns of predictions.
        table: the column's values; per answer its mean, and the tenth and ninetieth percentile over the rows
            (``_low``, ``_high``); for categories ``share``, of the validation rows.
    """

    unit: str
    answers: tuple[str, ...]
    table: pl.DataFrame

    def frame(self) -> pl.DataFrame:
        """A row per value."""
        return self.table

    def plot(self) -> Plot:
        """Predictions by value."""
        return plot_dependence(self.table, self.answers, self.unit)


def feature_importance(
    learner: Predictor,
    codec: TableCodec,
    valid: TensorLoader,
    *,
    columns: Sequence[str] | None,
    metric: str | Metric | None,
    repeats: int,
    rows: int | None,
    seed: int,
    progress: Verbosity,
) -> Importance:
    """How much worse the metric gets when a column is shuffled; see `TabularLearner.feature_importance`."""
    if not isinstance(repeats, int) or repeats < 1:
        raise ConfigError(f"repeats must be a whole number of at least 1; got {repeats!r}")
    names = codec.columns if columns is None else columns
    if isinstance(names, str):
        raise ConfigError(f"columns must be a list; got the text {names!r}: write [{names!r}]")
    places = {name: _places(codec, name) for name in names}
    name, judge, larger = _judged_by(learner, metric)
    chosen = _drawn(valid.rows, rows, seed).to(valid.inputs[0].device)
    inputs = [tensor.index_select(0, chosen) for tensor in valid.inputs]
    assert valid.target is not None
    target = valid.target.index_select(0, chosen)
    true = codec.target.original(target)

    def score(tensors: Sequence[Tensor]) -> float:
        loader = TensorLoader(tensors, target, batch_size=EVALUATION_BATCH, shuffle=False, engine=learner.engine)
        if judge is None:
            return learner.validate(loader)["valid_loss"]
        return judge(learner.predict_batches(loader), true)

    baseline = score(inputs)
    found: list[tuple[str, float, float]] = []
    for column, (categories, numbers) in track(list(places.items()), "feature importance: column", progress):
        drops = []
        for repeat in range(repeats):
            order = torch.randperm(len(target), generator=torch.Generator().manual_seed(seed + repeat)).to(
                target.device
            )
            moved = [tensor.clone() for tensor in inputs]
            for tensor, own in zip(moved, (categories, numbers), strict=True):
                tensor[:, own] = tensor[order][:, own]
            shuffled = score(moved)
            drops.append(baseline - shuffled if larger else shuffled - baseline)
        found.append((column, float(np.mean(drops)), float(np.std(drops, ddof=1)) if repeats > 1 else 0.0))
    table = pl.DataFrame(found, schema={"column": pl.String, "importance": pl.Float64, "sd": pl.Float64}, orient="row")
    return Importance(name, baseline, table.sort("importance", descending=True, maintain_order=True))


def partial_dependence(
    learner: Predictor, codec: TableCodec, valid: TensorLoader, column: str, *, values: int, rows: int | None, seed: int
) -> Dependence:
    """The mean prediction by a column's value; see `TabularLearner.partial_dependence`."""
    if not isinstance(values, int) or values < 1:
        raise ConfigError(f"values must be a whole number of at least 1; got {values!r}")
    if column in [date.name for date in codec.dates]:
        parts = [part for part in codec.inputs if part.startswith(f"{column}.")]
        raise ConfigError(f"{column!r} is a date, of which the model sees parts: give one of {', '.join(parts)}")
    categories, numbers = _places(codec, column)
    chosen = _drawn(valid.rows, rows, seed).to(valid.inputs[0].device)
    inputs = [tensor.index_select(0, chosen) for tensor in valid.inputs]
    grid, told = _grid(codec, valid, categories, numbers, values)
    target = codec.target
    answers: list[str] = []
    found: list[NDArray[np.float64]] = []
    for value in grid:
        moved = [tensor.clone() for tensor in inputs]
        for tensor, own in zip(moved, (categories, numbers), strict=True):
            for place in own[:1]:
                tensor[:, place] = value
            for indicator in own[1:]:
                tensor[:, indicator] = 0.0
        loader = TensorLoader(moved, batch_size=EVALUATION_BATCH, shuffle=False, engine=learner.engine)
        prediction = learner.predict_batches(loader).cpu()
        rows_of_answers = prediction.reshape(len(prediction), -1).numpy()
        answers = (
            answers or list(target.decode(prediction[:1]))[-rows_of_answers.shape[1] :]
        )  # without a summary before
        found.append(np.stack([rows_of_answers.mean(0), *np.percentile(rows_of_answers, [10, 90], axis=0)]))
    summary = np.stack(found)  # (values, mean and percentiles, answers)
    columns = [
        pl.Series(f"{answer}{suffix}", summary[:, which, place])
        for place, answer in enumerate(answers)
        for which, suffix in enumerate(("", "_low", "_high"))
    ]
    of_classes = bool(target.classes)
    unit = f"probability of {target.columns[0]}" if of_classes else " and ".join(target.columns)
    return Dependence(unit, tuple(answers), pl.DataFrame([told[0], *columns, *told[1:]]))


def _places(codec: TableCodec, name: str) -> tuple[list[int], list[int]]:
    """Where a column, a date with all its parts, or one part lies in the two tensors of inputs."""
    parts = [part for part in codec.inputs if part == name or (part.startswith(f"{name}.") and _is_date(codec, name))]
    if not parts:
        known = [*codec.columns, *codec.inputs]
        raise ConfigError(f"the model has no column {name!r}; {did_you_mean(name, dict.fromkeys(known))}")
    categories = [place for place, column in enumerate(codec.categorical) if column.name in parts]
    numbers = [place for place, column in enumerate(codec.continuous) if column.name in parts]
    with_gaps = [column.name for column in codec.continuous if column.had_gaps]
    numbers += [len(codec.continuous) + place for place, column in enumerate(with_gaps) if column in parts]
    return categories, numbers


def _is_date(codec: TableCodec, name: str) -> bool:
    return any(date.name == name for date in codec.dates)


def _judged_by(learner: Predictor, metric: str | Metric | None) -> tuple[str, Metric | None, bool]:
    """What importance is measured by: its name, the metric (None for the validation loss), whether more is better."""
    if metric == "valid_loss":
        return "valid_loss", None, False
    candidates = learner.metrics if metric is None else find_metrics([metric], learner.target)
    for candidate in map(as_metric, candidates):
        if candidate.better is not None:
            return candidate.name, candidate, candidate.better == "higher"
    if metric is None:
        return "valid_loss", None, False
    name = metric_name(candidates[0])
    raise ConfigError(
        f"metric {name!r} does not say whether higher or lower is better; give"
        f" metrics.Metric({name!r}, function, better='higher') or better='lower'"
    )


def _drawn(total: int, rows: int | None, seed: int) -> Tensor:
    """Numbers of so many rows, in order; all of them for None."""
    if rows is not None and (not isinstance(rows, int) or rows < 1):
        raise ConfigError(f"rows must be a whole number of at least 1, or None for all; got {rows!r}")
    if rows is None or rows >= total:
        return torch.arange(total)
    return torch.randperm(total, generator=torch.Generator().manual_seed(seed))[:rows].sort().values


def _grid(
    codec: TableCodec, valid: TensorLoader, categories: list[int], numbers: list[int], values: int
) -> tuple[list[float], list[pl.Series]]:
    """The values to try, as the model sees them; and as columns, with the share of each category."""
    shares = np.linspace(0, 1, values)
    if categories:
        category = codec.categorical[categories[0]]
        ids = valid.inputs[0][:, categories[0]].long().cpu()
        counts = torch.bincount(ids, minlength=len(category.vocab)).numpy()
        if category.vocab.kind == "integer" and (ids > 0).any():
            tried = np.unique(np.quantile(ids[ids > 0].numpy(), shares, method="nearest"))
        else:
            tried = np.argsort(-counts, kind="stable")[: min(values, int((counts > 0).sum()))]
        told = category.vocab.decode(tried).alias(category.name)
        return tried.tolist(), [told, pl.Series("share", counts[tried] / len(ids))]
    column = codec.continuous[numbers[0]]
    seen = valid.inputs[1][:, numbers[0]]
    if len(numbers) > 1 and bool((valid.inputs[1][:, numbers[1]] == 0).any()):
        seen = seen[valid.inputs[1][:, numbers[1]] == 0]  # not the median that stands in for what is missing
    standard = np.unique(np.quantile(seen.cpu().numpy(), shares, method="nearest"))
    digits = 5 - math.floor(math.log10(column.sd))  # what float32 has not blurred
    own = np.round(standard.astype(np.float64) * column.sd + column.mean, digits)
    return standard.tolist(), [pl.Series(column.name, own)]
