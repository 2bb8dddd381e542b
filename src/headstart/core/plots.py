"""Plots, as figures that know how to show themselves in a notebook and how to be saved as PNG."""

from __future__ import annotations

import io
from collections.abc import Sequence
from typing import Any

import numpy as np
import polars as pl
from matplotlib.figure import Figure
from numpy.typing import NDArray

from headstart.core.metrics import NO_METRICS
from headstart.core.schedules import Schedule

__all__ = ["Plot", "plot_confusion", "plot_history", "plot_predictions", "plot_rates", "plot_schedule"]

BLUE, ORANGE, GREY = "#2f6db5", "#e07b39", "#8a8f98"


class Plot(Figure):
    """A matplotlib figure outside pyplot: nothing to close, no window, no global state. Save it with ``savefig``."""

    def _repr_png_(self) -> bytes:
        """What a notebook shows."""
        picture = io.BytesIO()
        self.savefig(picture, format="png", dpi=110)
        return picture.getvalue()


def plot_history(history: Sequence[dict[str, float]]) -> Plot:
    """Training and validation loss by epoch, and beside it each metric.

    Args:
        history: a dictionary of figures per epoch.
    """
    metrics = [name for name in history[-1] if name not in (*NO_METRICS, "valid_loss")]
    shown = metrics[:3]
    plot = Plot(figsize=(5.0 + 3.2 * len(shown), 3.6), layout="constrained")
    axes = np.atleast_1d(plot.subplots(1, 1 + len(shown)))
    epochs = range(1, len(history) + 1)
    for name, label, colour in (("train_loss", "training", BLUE), ("valid_loss", "validation", ORANGE)):
        if name in history[-1]:
            axes[0].plot(
                epochs, [figures.get(name, np.nan) for figures in history], "o-", ms=3, color=colour, label=label
            )
    axes[0].set(title="loss", xlabel="epoch")
    axes[0].legend(frameon=False)
    for axis, name in zip(axes[1:], shown, strict=True):
        axis.plot(epochs, [figures.get(name, np.nan) for figures in history], "o-", ms=3, color=ORANGE)
        axis.set(title=name, xlabel="epoch")
    _tidy(axes)
    for axis in axes:
        axis.xaxis.get_major_locator().set_params(integer=True)
    return plot


def plot_rates(rates: Sequence[float], losses: Sequence[float], suggestion: float) -> Plot:
    """The loss against the learning rate, with the suggestion marked."""
    plot = Plot(figsize=(6, 3.8), layout="constrained")
    axis = plot.subplots()
    axis.semilogx(rates, losses, color=BLUE)
    at = int(np.argmin(np.abs(np.array(rates) - suggestion)))
    axis.plot([suggestion], [losses[at]], "o", color=ORANGE, label=f"suggestion: {suggestion:.1e}")
    low, high = min(losses), max(losses[: max(10, len(losses) // 4)])
    margin = 0.1 * (high - low)
    axis.set(xlabel="learning rate", ylabel="training loss, smoothed", ylim=(low - margin, high + 3 * margin))
    axis.legend(frameon=False)
    _tidy([axis])
    return plot


def plot_schedule(schedule: Schedule, points: int = 500) -> Plot:
    """A schedule's factor on the rate over the epochs, before anything is trained."""
    plot = Plot(figsize=(6, 3.2), layout="constrained")
    axis = plot.subplots()
    fractions = np.linspace(0, 1, points)
    axis.plot(fractions * schedule.epochs, [schedule.lr(float(fraction)) for fraction in fractions], color=BLUE)
    axis.set(xlabel="epoch", ylabel="factor on the learning rate")
    _tidy([axis])
    return plot


def plot_predictions(prediction: NDArray[np.floating[Any]], target: NDArray[np.floating[Any]], unit: str) -> Plot:
    """Predicted against true numbers, as a density: the closer to the line the better.

    Args:
        prediction: ``(rows,)``.
        target: ``(rows,)``.
        unit: what the axes are called.
    """
    plot = Plot(figsize=(5.2, 4.6), layout="constrained")
    axis = plot.subplots()
    low, high = np.percentile(np.concatenate([prediction, target]), [0.2, 99.8])
    drawn = axis.hexbin(
        target,
        prediction,
        gridsize=60,
        extent=(low, high, low, high),
        bins="log",
        mincnt=1,
        cmap="Blues",
        linewidths=0.1,
    )
    axis.plot([low, high], [low, high], color=ORANGE, lw=1, label="perfect")
    axis.set(xlabel=f"true {unit}", ylabel=f"predicted {unit}", xlim=(low, high), ylim=(low, high))
    axis.legend(frameon=False, loc="upper left")
    plot.colorbar(drawn, ax=axis, label="rows")
    _tidy([axis])
    return plot


MOST_WRITTEN = 15
"""Classes up to which a confusion matrix has its numbers written in."""

MOST_NAMED = 40
"""Classes up to which each is named on the axes; beyond, evenly spaced ones."""


def plot_confusion(matrix: pl.DataFrame) -> Plot:
    """A confusion matrix: a row per true class, shaded by the share of that class's rows.

    Args:
        matrix: from `headstart.core.interpretation.confusion_matrix`.
    """
    counts = matrix.drop("class").to_numpy()
    names = [_short(str(name)) for name in matrix["class"]]
    count = len(names)
    shares = counts / np.maximum(counts.sum(1, keepdims=True), 1)
    side = 2.4 + min(0.55 * count, 9.0)
    plot = Plot(figsize=(side + 0.9, side), layout="constrained")
    axis = plot.subplots()
    drawn = axis.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    if count <= MOST_WRITTEN:
        for true in range(count):
            for guessed in range(count):
                if counts[true, guessed]:
                    colour = "white" if shares[true, guessed] > 0.55 else "black"
                    written = f"{counts[true, guessed]:,}"
                    axis.text(guessed, true, written, ha="center", va="center", color=colour, fontsize=8)
    places = range(count) if count <= MOST_NAMED else range(0, count, -(-count // MOST_NAMED))
    shown = [names[place] for place in places]
    turned = count > 6 or max(map(len, shown)) > 7
    axis.set_xticks(list(places), shown, rotation=90 if turned else 0, fontsize=8)
    axis.set_yticks(list(places), shown, fontsize=8)
    axis.set(xlabel="predicted", ylabel="true")
    axis.spines[:].set_visible(False)
    axis.tick_params(length=0)
    plot.colorbar(drawn, ax=axis, label="share of the true class", shrink=0.8)
    return plot


def _short(name: str, longest: int = 22) -> str:
    return name if len(name) <= longest else name[: longest - 1] + "…"


def _tidy(axes: Any) -> None:
    for axis in axes:
        axis.spines[["top", "right"]].set_visible(False)
        axis.tick_params(labelsize=8)
        axis.grid(color=GREY, alpha=0.2, lw=0.6)
