"""`Interpretation`: what a model of images gets wrong. `Explanation`: where it looks for one prediction."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import torch
from numpy.typing import NDArray
from torch import Tensor

from headstart.core.engine import Engine
from headstart.core.errors import ConfigError
from headstart.targets.classes import Label, Labels
from headstart.targets.confusion import most_confused
from headstart.training.plots import Plot, plot_confusion, plot_residuals
from headstart.vision.data import ImageData
from headstart.vision.gallery import plot_images
from headstart.vision.gradcam import grad_cam
from headstart.vision.models.network import ImageModel

__all__ = ["Explanation", "Interpretation"]


@dataclass(frozen=True, repr=False)
class Explanation:
    """Where in an image the model sees a class (Grad-CAM).

    Attributes:
        label: the class that is explained, or the column of numbers.
        prediction: what the model predicts for the image: ``prediction``, and ``probability_<class>`` for each class.
        image: the pixels that the model gets, uint8 ``(3, size, size)``.
        heat: how much each position is evidence for the class, float from 0 to 1, ``(size, size)``.
    """

    label: Any
    prediction: Mapping[str, Any]
    image: Tensor
    heat: Tensor

    def plot(self) -> Plot:
        """Plot the image beside the map laid over it."""
        return plot_images(self.image[None], [f"{self.label} {self._value()}"], maps=self.heat[None])

    def _value(self) -> str:
        """Return the class's probability, or the number that is predicted."""
        probability = self.prediction.get(f"probability_{self.label}")
        if probability is not None:
            return f"{probability:.0%}"
        return f"{self.prediction.get(f'prediction_{self.label}', self.prediction.get('prediction')):g}"

    def __repr__(self) -> str:
        return f"Explanation({self.label!r} {self._value()}, plot() shows where)"


@dataclass(frozen=True, repr=False)
class Interpretation:
    """The validation rows with the model's predictions.

    Attributes:
        table: a row for each validation row, in their order: ``path``, ``truth``, ``prediction``, ``probability`` (of
            the prediction; with several labels of the least certain class), ``loss``. Of numbers there is no
            probability, and ``loss`` is the absolute error; several have a column each.
        prediction: probabilities, ``(rows, classes)``.
        target: class indices ``(rows,)``, or 0 and 1, ``(rows, classes)``.
    """

    table: pl.DataFrame
    prediction: Tensor
    target: Tensor
    model: ImageModel
    data: ImageData
    engine: Engine

    @classmethod
    def of(
        cls, model: ImageModel, data: ImageData, engine: Engine, prediction: Tensor, target: Tensor
    ) -> Interpretation:
        """Put predictions for the data's validation rows, in their order, beside the rows."""
        kind = data.codec.target
        prediction, target = prediction.cpu(), target.cpu()
        paths = pl.Series("path", [data.images.names[row] for row in data.split.valid])
        loss = pl.Series("loss", kind.row_errors(prediction, target).numpy())
        if isinstance(kind, Label | Labels):
            known = [
                pl.Series("truth", [kind.text_of(row) for row in target]),
                pl.Series("prediction", [kind.text_of(row) for row in kind.chosen(prediction)]),
                pl.Series("probability", kind.certainty(prediction).numpy()),
            ]
        else:
            truth = data.frame[data.split.valid].select(kind.columns)
            known = [*(truth.rename({kind.columns[0]: "truth"}) if len(kind.columns) == 1 else truth)]
            known += kind.decode(prediction).values()
        table = pl.DataFrame([paths, *known, loss])
        return cls(table, prediction, target, model, data, engine)

    def frame(self) -> pl.DataFrame:
        """Return all rows, those with the largest loss first."""
        return self.table.sort("loss", descending=True, maintain_order=True)

    def __repr__(self) -> str:
        return repr(self.frame())

    def _repr_html_(self) -> str:
        return self.frame()._repr_html_()

    def top_losses(self, count: int = 9) -> pl.DataFrame:
        """Return the rows with the largest losses, the worst first."""
        return self.table[self._order("loss", count, descending=True)]

    def most_certain(self, count: int = 9, *, wrong: bool = False) -> pl.DataFrame:
        """Return the rows of which the model is most certain; with ``wrong`` those of its errors."""
        return self.table[self._order("probability", count, descending=True, wrong=wrong)]

    def least_certain(self, count: int = 9) -> pl.DataFrame:
        """Return the rows of which the model is least certain: the first to look at, and to label."""
        return self.table[self._order("probability", count, descending=False)]

    def confusion_matrix(self) -> pl.DataFrame:
        """Return how many rows of each class were predicted as each class; with several labels, hits and misses."""
        return self.data.codec.target.confusion(self.prediction, self.target)

    def most_confused(self, least: int = 1) -> pl.DataFrame:
        """Return the pairs of classes that are mistaken for one another, the most frequent first.

        Args:
            least: smallest number of rows.
        """
        self._check_one_class()
        return most_confused(self.confusion_matrix(), least)

    def plot_top_losses(self, count: int = 9, *, cam: bool = True) -> Plot:
        """Plot the images with the largest losses, each beside a map of where the model sees its prediction."""
        return self._plot(self._order("loss", count, descending=True), "largest losses", cam=cam)

    def plot_most_certain(self, count: int = 9, *, cam: bool = False, wrong: bool = False) -> Plot:
        """Plot the images of which the model is most certain; with ``wrong`` those of its errors."""
        order = self._order("probability", count, descending=True, wrong=wrong)
        return self._plot(order, "most certain" + (", and wrong" if wrong else ""), cam=cam)

    def plot_least_certain(self, count: int = 9, *, cam: bool = False) -> Plot:
        """Plot the images of which the model is least certain."""
        return self._plot(self._order("probability", count, descending=False), "least certain", cam=cam)

    def plot_confusion(self) -> Plot:
        """Plot the confusion matrix."""
        self._check_one_class()
        return plot_confusion(self.confusion_matrix())

    def residuals(self, column: str | None = None) -> pl.DataFrame:
        """Return ``prediction``, ``target`` and ``residual`` of a column of numbers, in the order of the rows.

        Args:
            column: which of several; None: the first.
        """
        return self.data.codec.target.residuals(self.prediction, self.target, column)

    def plot_residuals(self, column: str | None = None) -> Plot:
        """Plot residuals against predictions, and their distribution.

        Args:
            column: which of several targets; None: the first.
        """
        frame = self.residuals(column)
        unit = column or self.data.codec.target.columns[0]
        return plot_residuals(frame["prediction"].to_numpy(), frame["target"].to_numpy(), unit)

    def _order(self, column: str, count: int, *, descending: bool, wrong: bool = False) -> NDArray[np.int64]:
        if column not in self.table.columns:
            raise ConfigError("numbers have no probability; look at top_losses() or plot_residuals()")
        if not isinstance(count, int) or count < 1:
            raise ConfigError(f"count must be a whole number of at least 1; got {count!r}")
        ranked = pl.DataFrame({"row": np.arange(len(self.table)), "by": self.table[column]})
        if wrong:
            ranked = ranked.filter(self.table["truth"] != self.table["prediction"])
        rows: NDArray[np.int64] = ranked.sort("by", descending=descending, maintain_order=True)["row"].to_numpy()
        return rows[:count]

    def _plot(self, rows: NDArray[np.int64], heading: str, *, cam: bool) -> Plot:
        images = self.data.images.at(self.data.codec.sizing).take(self.data.split.valid[rows])
        images = images.to(self.engine.device)
        maps = None
        if cam and len(rows):
            shown = self.prediction[torch.tensor(rows)].reshape(len(rows), -1)  # (rows, outputs)
            outputs = shown.argmax(1) if self.data.codec.target.classes else torch.zeros(len(rows), dtype=torch.int64)
            maps = grad_cam(self.model, images, outputs.to(self.engine.device))
        titles = [_title(row) for row in self.table[rows].iter_rows(named=True)]
        return plot_images(images, titles, maps=maps, heading=heading)

    def _check_one_class(self) -> None:
        if self.data.codec.target.kind != "label":
            raise ConfigError(
                "with several labels per image no class is mistaken for another; confusion_matrix() counts the hits and"
                " misses of each"
            )


def _title(row: Mapping[str, Any]) -> str:
    """Return what stands above an image: prediction and truth of each column, and the loss."""
    said = [
        f"{cell:.0%}" if name == "probability" else f"{cell:.4g}" if isinstance(cell, float) else str(cell)
        for name, cell in row.items()
        if name.startswith(("prediction", "probability"))
    ]
    true = [
        f"{cell:.4g}" if isinstance(cell, float) else str(cell)
        for name, cell in row.items()
        if name not in ("path", "loss") and not name.startswith(("prediction", "probability"))
    ]
    return f"{Path(row['path']).name}\n{' '.join(said)}, loss {row['loss']:.2g}\nis {' '.join(true)}"
