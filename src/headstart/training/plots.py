"""Plots as matplotlib figures, which notebooks display and ``savefig`` saves."""

from __future__ import annotations

import io
from collections.abc import Sequence
from typing import Any

import numpy as np
import polars as pl
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.transforms import Bbox
from numpy.typing import NDArray

from headstart.training.progress import FIGURES_BESIDE_METRICS
from headstart.training.schedules import Schedule

__all__ = [
    "BLUE",
    "GREY",
    "ORANGE",
    "Plot",
    "label_points",
    "plot_confusion",
    "plot_history",
    "plot_label_counts",
    "plot_predictions",
    "plot_rates",
    "plot_residuals",
    "plot_schedule",
    "short",
    "tidy",
]

BLUE, ORANGE, GREY = "#2f6db5", "#e07b39", "#8a8f98"


class Plot(Figure):
    """A matplotlib figure without pyplot: it has no window and no global state, and need not be closed."""

    def _repr_png_(self) -> bytes:
        """Return the figure as PNG, for notebooks."""
        image = io.BytesIO()
        self.savefig(image, format="png", dpi=110)
        return image.getvalue()


def plot_history(history: Sequence[dict[str, float]]) -> Plot:
    """Plot the training and validation loss by epoch, and next to them up to three metrics.

    Args:
        history: one dictionary of figures per epoch; at least one.
    """
    metrics = [name for name in history[-1] if name not in (*FIGURES_BESIDE_METRICS, "valid_loss")]
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
    tidy(axes)
    for axis in axes:
        axis.xaxis.get_major_locator().set_params(integer=True)
    return plot


def plot_rates(rates: Sequence[float], losses: Sequence[float], suggestion: float) -> Plot:
    """Plot the loss against the learning rate, with the suggestion marked.

    Args:
        rates: learning rate of each step, in ascending order.
        losses: smoothed training loss of each step.
        suggestion: suggested learning rate.
    """
    plot = Plot(figsize=(6, 3.8), layout="constrained")
    axis = plot.subplots()
    axis.semilogx(rates, losses, color=BLUE)
    nearest = int(np.argmin(np.abs(np.array(rates) - suggestion)))
    axis.plot([suggestion], [losses[nearest]], "o", color=ORANGE, label=f"suggestion: {suggestion:.1e}")
    low, high = min(losses), max(losses[: max(10, len(losses) // 4)])
    margin = 0.1 * (high - low)
    axis.set(xlabel="learning rate", ylabel="training loss, smoothed", ylim=(low - margin, high + 3 * margin))
    axis.legend(frameon=False)
    tidy([axis])
    return plot


def plot_schedule(schedule: Schedule, points: int = 500) -> Plot:
    """Plot a schedule's factor on the learning rate over the epochs.

    Args:
        schedule: the schedule.
        points: number of points of the curve.
    """
    plot = Plot(figsize=(6, 3.2), layout="constrained")
    axis = plot.subplots()
    fractions = np.linspace(0, 1, points)
    axis.plot(fractions * schedule.epochs, [schedule.lr(float(fraction)) for fraction in fractions], color=BLUE)
    axis.set(xlabel="epoch", ylabel="factor on the learning rate")
    tidy([axis])
    return plot


def plot_predictions(prediction: NDArray[np.floating[Any]], target: NDArray[np.floating[Any]], unit: str) -> Plot:
    """Plot the density of predictions against targets; good predictions are close to the diagonal.

    Args:
        prediction: float, ``(rows,)``.
        target: float, ``(rows,)``.
        unit: name of the target, with its unit, for the axes.
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
    tidy([axis])
    return plot


MOST_WRITTEN = 15
"""Maximum number of classes for which the cells of a confusion matrix show their counts."""

MOST_NAMED = 40
"""Maximum number of classes of which each is labelled on the axes; of more, evenly spaced ones are."""


def plot_confusion(matrix: pl.DataFrame) -> Plot:
    """Plot a confusion matrix, with one row per true class, coloured by the fraction of that class's rows.

    Args:
        matrix: confusion matrix from `headstart.targets.confusion.confusion_matrix`.
    """
    counts = matrix.drop("class").to_numpy()
    names = [short(str(name)) for name in matrix["class"]]
    count = len(names)
    shares = counts / np.maximum(counts.sum(1, keepdims=True), 1)
    size = 2.4 + min(0.55 * count, 9.0)
    plot = Plot(figsize=(size + 0.9, size), layout="constrained")
    axis = plot.subplots()
    drawn = axis.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    if count <= MOST_WRITTEN:
        for true in range(count):
            for predicted in range(count):
                if counts[true, predicted]:
                    colour = "white" if shares[true, predicted] > 0.55 else "black"
                    text = f"{counts[true, predicted]:,}"
                    axis.text(predicted, true, text, ha="center", va="center", color=colour, fontsize=8)
    ticks = range(count) if count <= MOST_NAMED else range(0, count, -(-count // MOST_NAMED))
    shown = [names[tick] for tick in ticks]
    rotated = count > 6 or max(map(len, shown)) > 7
    axis.set_xticks(list(ticks), shown, rotation=90 if rotated else 0, fontsize=8)
    axis.set_yticks(list(ticks), shown, fontsize=8)
    axis.set(xlabel="predicted", ylabel="true")
    axis.spines[:].set_visible(False)
    axis.tick_params(length=0)
    plot.colorbar(drawn, ax=axis, label="share of the true class", shrink=0.8)
    return plot


def plot_label_counts(counts: pl.DataFrame) -> Plot:
    """Plot precision and recall of each class of a target with several labels per row.

    Args:
        counts: counts from `headstart.targets.confusion.label_counts`; if there are more than 40 classes, those with
            the most rows are shown.
    """
    rows = (pl.col("true_positive") + pl.col("false_negative")).alias("rows")
    shown = counts.with_columns(rows).sort("rows", descending=True, maintain_order=True).head(MOST_NAMED)
    plot = Plot(figsize=(6.4, 1.2 + 0.34 * len(shown)), layout="constrained")
    axis = plot.subplots()
    positions = np.arange(len(shown))
    axis.barh(positions - 0.18, shown["precision"].fill_null(0), 0.34, color=BLUE, label="precision")
    axis.barh(positions + 0.18, shown["recall"].fill_null(0), 0.34, color=ORANGE, label="recall")
    labels = [f"{short(str(name))} ({count:,})" for name, count in shown.select("class", "rows").iter_rows()]
    axis.set_yticks(positions, labels)
    axis.invert_yaxis()
    axis.set(xlim=(0, 1), xlabel="precision and recall; in brackets, number of rows with the class")
    tidy([axis])
    axis.grid(visible=False, axis="y")
    axis.legend(frameon=False, loc="lower left", bbox_to_anchor=(0, 1), ncols=2, fontsize=8)
    return plot


def plot_residuals(prediction: NDArray[np.floating[Any]], target: NDArray[np.floating[Any]], unit: str) -> Plot:
    """Plot errors against predictions, and the distribution of the errors.

    The density of the errors is shown with their median and quartiles in each tenth of the predictions. For a good
    model, the median is 0 everywhere and the quartiles are equally far apart.

    Args:
        prediction: float, ``(rows,)``.
        target: float, ``(rows,)``.
        unit: name of the target, with its unit, for the axes.
    """
    error = prediction - target
    plot = Plot(figsize=(9.6, 4.2), layout="constrained")
    left, right = plot.subplots(1, 2, width_ratios=[1.7, 1], sharey=True)
    low, high = _widened(*np.percentile(prediction, [0.2, 99.8]))
    lowest, highest = _widened(*np.percentile(error, [0.5, 99.5]))
    drawn = left.hexbin(
        prediction, error, gridsize=50, extent=(low, high, lowest, highest), bins="log", mincnt=1, cmap="Blues",
        linewidths=0.1,
    )  # fmt: skip
    edges = np.unique(np.quantile(prediction, np.linspace(0, 1, 11)))
    if len(edges) > 2:
        part_of_row = np.clip(np.searchsorted(edges, prediction, "right") - 1, 0, len(edges) - 2)
        tenths = [part for part in range(len(edges) - 1) if (part_of_row == part).any()]
        quarters = np.array([np.percentile(error[part_of_row == part], [25, 50, 75]) for part in tenths])
        middles = [np.median(prediction[part_of_row == part]) for part in tenths]
        left.plot(middles, quarters[:, 1], "o-", ms=3, color=ORANGE, lw=1.2, label="median")
        left.plot(middles, quarters[:, [0, 2]], color=ORANGE, lw=0.8, ls="--", label=["quartiles", None])
    left.axhline(0, color="black", lw=0.7)
    left.set(xlabel=f"predicted {unit}", ylabel="prediction minus target", xlim=(low, high), ylim=(lowest, highest))
    left.legend(frameon=False, fontsize=8, loc="upper left")
    plot.colorbar(drawn, ax=left, label="rows")
    right.hist(error, bins=60, range=(lowest, highest), color=BLUE, orientation="horizontal")
    right.axhline(0, color="black", lw=0.7)
    right.axhline(float(np.mean(error)), color=ORANGE, lw=1.2, label=f"mean {np.mean(error):.3g}")
    right.set(xlabel="rows")
    right.legend(frameon=False, fontsize=8)
    tidy([left, right])
    return plot


def _widened(low: float, high: float) -> tuple[float, float]:
    """Return the limits of an axis, which differ even if all values are equal."""
    return (low, high) if high > low else (low - 0.5, high + 0.5)


def label_points(plot: Plot, axis: Any, places: NDArray[np.floating[Any]], names: Sequence[str]) -> None:
    """Label points such that no label covers a point or another label; points without room get no label.

    Args:
        plot: the figure, whose layout is fixed by this call.
        axis: axes of the points.
        places: coordinates of the points, ``(points, 2)``; earlier points are labelled first.
        names: labels of all points, or of the first ones.
    """
    canvas = FigureCanvasAgg(plot)
    canvas.draw()  # type: ignore[no-untyped-call]  # fixes the layout, so that the boxes below are final
    plot.set_layout_engine("none")
    renderer = canvas.get_renderer()  # type: ignore[no-untyped-call]  # matplotlib's
    points = axis.transData.transform(places)
    occupied = [Bbox.from_extents(x - 4, y - 4, x + 4, y + 4) for x, y in points]
    frame = axis.get_window_extent(renderer)
    offsets = [
        (7, 0, "left", "center"),
        (-7, 0, "right", "center"),
        (0, 7, "center", "bottom"),
        (0, -7, "center", "top"),
    ]
    offsets += [(6, 6, "left", "bottom"), (-6, 6, "right", "bottom"), (6, -6, "left", "top"), (-6, -6, "right", "top")]
    offsets += [(0, 15, "center", "bottom"), (0, -15, "center", "top")]
    for position, name in zip(places, names, strict=False):
        for right, up, horizontal, vertical in offsets:
            text = axis.annotate(
                name, position, (right, up), textcoords="offset points", ha=horizontal, va=vertical, fontsize=7.5,
                color="#333333", zorder=4,
            )  # fmt: skip
            box = text.get_window_extent(renderer)
            if frame.containsx(box.x0) and frame.containsx(box.x1) and not box.count_overlaps(occupied):
                occupied.append(box.padded(1))
                break
            text.remove()


def short(name: str, longest: int = 22) -> str:
    """Shorten a name to at most ``longest`` characters, ending in an ellipsis."""
    return name if len(name) <= longest else name[: longest - 1] + "…"


def tidy(axes: Any) -> None:
    """Give axes the common style: no spines at the top and right, and a light grid."""
    for axis in axes:
        axis.spines[["top", "right"]].set_visible(False)
        axis.tick_params(labelsize=8)
        axis.grid(color=GREY, alpha=0.2, lw=0.6)
