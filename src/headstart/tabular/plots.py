"""Plots of what a model of a table has learnt: embeddings, importances, partial dependence."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from headstart.training.plots import BLUE, GREY, ORANGE, Plot, label_points, short, tidy
from headstart.training.projection import principal_components

__all__ = ["plot_dependence", "plot_embeddings", "plot_importance"]

COLOURS = (BLUE, ORANGE, "#4a9d5f", "#8d5fb0", "#c2504f", "#4fa3b5")
MOST_BARS = 40


def plot_embeddings(column: str, values: Sequence[Any], vectors: NDArray[np.floating[Any]], *, ordered: bool) -> Plot:
    """Return a plot of a column's values as points, near each other if the model treats them alike.

    Args:
        column: the column's name.
        values: the values, ``(values,)``.
        vectors: their embeddings, float ``(values, size)``.
        ordered: whether the values are numbers, so that a line may join them in their order.
    """
    points, shares = principal_components(vectors)
    plot = Plot(figsize=(7.6, 6.2), layout="constrained")
    axis = plot.subplots()
    if ordered and len(values) <= 400 and _in_line(points):
        axis.plot(points[:, 0], points[:, 1], color=GREY, alpha=0.35, lw=1, zorder=1)
    size = 34 if len(values) <= 100 else 12
    axis.scatter(points[:, 0], points[:, 1], s=size, color=BLUE, edgecolors="white", linewidths=0.5, zorder=3)
    axis.margins(0.08)
    for name, share in (("x", shares[0]), ("y", shares[1])):
        getattr(axis, f"set_{name}label")(f"{share:.0%} of the variance", fontsize=8)
    axis.set_title(f"{column}: {len(values):,} values by their embeddings", loc="left", fontsize=11)
    tidy([axis])
    outermost = np.argsort(-np.hypot(*points.T), kind="stable")
    label_points(plot, axis, points[outermost], [short(str(values[index])) for index in outermost])
    return plot


def plot_importance(frame: pl.DataFrame, metric: str) -> Plot:
    """Return bars of how much worse a metric gets when each column is shuffled, the most important at the top.

    Args:
        frame: ``column``, ``importance``, ``sd``; the first 40 rows are shown.
        metric: the metric's name.
    """
    shown = frame.head(MOST_BARS)
    plot = Plot(figsize=(7.2, 1.1 + 0.27 * len(shown)), layout="constrained")
    axis = plot.subplots()
    axis.barh(
        range(len(shown)), shown["importance"], xerr=shown["sd"], color=BLUE,
        error_kw={"ecolor": "#333333", "elinewidth": 1, "capsize": 2},
    )  # fmt: skip
    axis.set_yticks(range(len(shown)), [short(name, 30) for name in shown["column"]])
    axis.invert_yaxis()
    axis.axvline(0, color="black", lw=0.7)
    axis.set(xlabel=f"how much worse {metric} gets when the column is shuffled")
    tidy([axis])
    axis.grid(visible=False, axis="y")
    return plot


def plot_dependence(frame: pl.DataFrame, predictions: Sequence[str], unit: str) -> Plot:
    """Return a plot of the mean prediction by a column's value, with the middle 80 % of the rows if there is only one.

    Args:
        frame: the column's values, then each column of predictions with its ``_low`` and ``_high``, then ``share`` for
            categories.
        predictions: names of the columns of predictions; the first six are drawn, of two classes the second.
        unit: what is predicted.
    """
    column = frame.columns[0]
    categories = "share" in frame.columns
    plot = Plot(
        figsize=(max(6.2, min(11.0, 1.6 + 0.34 * len(frame))) if categories else 6.2, 4.0), layout="constrained"
    )
    axis = plot.subplots()
    positions = np.arange(len(frame)) if categories else frame[column].to_numpy()
    shown = list(predictions[: len(COLOURS)])
    if len(predictions) == 2 and predictions[1].startswith("probability_"):  # the first one's is 1 less the second's
        shown, unit = [predictions[1]], f"probability of {short(predictions[1].removeprefix('probability_'))}"
    for name, colour in zip(shown, COLOURS, strict=False):
        mean, low, high = (frame[part].to_numpy() for part in (name, f"{name}_low", f"{name}_high"))
        label = short(name.removeprefix("probability_").removeprefix("prediction_"))
        if len(shown) == 1 and categories:
            axis.vlines(positions, low, high, color=GREY, alpha=0.5, lw=4, label="middle 80 % of the rows")
        elif len(shown) == 1:
            axis.fill_between(positions, low, high, color=GREY, alpha=0.2, lw=0, label="middle 80 % of the rows")
        label = "mean" if len(shown) == 1 else label
        axis.plot(positions, mean, "o" if categories else "o-", ms=4 if categories else 3, color=colour, label=label)
    if categories:
        names = [short(str(value)) for value in frame[column]]
        turned = len(names) > 10 or max(map(len, names)) > 6
        axis.set_xticks(positions, names, rotation=90 if turned else 0)
        axis.grid(visible=False, axis="x")
    axis.set(xlabel=column, ylabel=f"predicted {unit}")
    axis.legend(frameon=False, fontsize=8, loc="lower left", bbox_to_anchor=(0, 1), ncols=6)
    tidy([axis])
    return plot


def _in_line(points: NDArray[np.floating[Any]]) -> bool:
    """Return whether consecutive values lie near each other, as months and weeks do, and shops do not."""
    if len(points) < 3:
        return False
    steps = np.hypot(*np.diff(points, axis=0).T).mean()
    apart = points[:, None] - points[None]
    return bool(steps < 0.75 * np.hypot(apart[..., 0], apart[..., 1]).mean() * len(points) / (len(points) - 1))
