"""`Interpretation`: what a model of pictures gets wrong on the validation rows, and where it looks."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import polars as pl
import torch
from numpy.typing import NDArray
from torch import Tensor

from headstart.core.engine import Engine
from headstart.core.errors import ConfigError
from headstart.targets.confusion import most_confused
from headstart.training.plots import Plot, plot_confusion
from headstart.vision.data import ImageData
from headstart.vision.gallery import plot_pictures
from headstart.vision.gradcam import grad_cam
from headstart.vision.models.network import ImageModel

__all__ = ["Interpretation"]


@dataclass(frozen=True)
class Interpretation:
    """The validation rows with what the model says of them.

    Attributes:
        table: a row for each validation row, in their order: ``path``, ``truth``, ``prediction``, ``probability`` (of
            the prediction; for several labels of the least certain class), ``loss``.
        prediction: probabilities, ``(rows, classes)``.
        target: the classes' places ``(rows,)``, or 0 and 1, ``(rows, classes)``.
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
        """Made from predictions for the data's validation rows, in their order."""
        kind = data.codec.target
        prediction, target = prediction.cpu(), target.cpu()
        table = pl.DataFrame(
            {
                "path": [data.pictures.names[row] for row in data.sides.valid],
                "truth": [kind.class_text(row) for row in target],
                "prediction": [kind.class_text(row) for row in kind.chosen(prediction)],
                "probability": kind.certainty(prediction).numpy(),
                "loss": kind.row_errors(prediction, target).numpy(),
            }
        )
        return cls(table, prediction, target, model, data, engine)

    def top_losses(self, count: int = 9) -> pl.DataFrame:
        """The rows of ``table`` with the largest losses, the worst first."""
        return self.table[self._order("loss", count, descending=True)]

    def most_certain(self, count: int = 9, *, wrong: bool = False) -> pl.DataFrame:
        """The rows of which the model is most certain; with ``wrong`` of those where it errs."""
        return self.table[self._order("probability", count, descending=True, wrong=wrong)]

    def least_certain(self, count: int = 9) -> pl.DataFrame:
        """The rows of which the model is least certain: worth a look, and a label, first."""
        return self.table[self._order("probability", count, descending=False)]

    def confusion_matrix(self) -> pl.DataFrame:
        """How many rows of each class were taken for each class; for several labels each class judged alone."""
        return self.data.codec.target.confusion(self.prediction, self.target)

    def most_confused(self, least: int = 1) -> pl.DataFrame:
        """The pairs of classes that are taken for one another, most frequent first."""
        self._check_one_class()
        return most_confused(self.confusion_matrix(), least)

    def plot_top_losses(self, count: int = 9, *, cam: bool = True) -> Plot:
        """The pictures with the largest losses, each beside a map of where the model saw what it says (Grad-CAM)."""
        return self._plot(self._order("loss", count, descending=True), "largest losses", cam=cam)

    def plot_most_certain(self, count: int = 9, *, cam: bool = False, wrong: bool = False) -> Plot:
        """The pictures of which the model is most certain."""
        order = self._order("probability", count, descending=True, wrong=wrong)
        return self._plot(order, "most certain" + (", and wrong" if wrong else ""), cam=cam)

    def plot_least_certain(self, count: int = 9, *, cam: bool = False) -> Plot:
        """The pictures of which the model is least certain."""
        return self._plot(self._order("probability", count, descending=False), "least certain", cam=cam)

    def plot_confusion(self) -> Plot:
        """The confusion matrix."""
        self._check_one_class()
        return plot_confusion(self.confusion_matrix())

    def _order(self, column: str, count: int, *, descending: bool, wrong: bool = False) -> NDArray[np.int64]:
        if not isinstance(count, int) or count < 1:
            raise ConfigError(f"count must be a whole number of at least 1; got {count!r}")
        places = pl.DataFrame({"place": np.arange(len(self.table)), "by": self.table[column]})
        if wrong:
            places = places.filter(self.table["truth"] != self.table["prediction"])
        found: NDArray[np.int64] = places.sort("by", descending=descending, maintain_order=True)["place"].to_numpy()
        return found[:count]

    def _plot(self, places: NDArray[np.int64], heading: str, *, cam: bool) -> Plot:
        images = self.data.pictures.at(self.data.codec.sizing).take(self.data.sides.valid[places])
        images = images.to(self.engine.device)
        maps = None
        if cam and len(places):
            asked = self.prediction[torch.tensor(places)].argmax(1).to(self.engine.device)
            maps = grad_cam(self.model, images, asked)
        titles = [
            f"{Path(row['path']).name}\n{row['prediction']} {row['probability']:.0%}, loss {row['loss']:.2g}"
            f"\nis {row['truth']}"
            for row in self.table[places].iter_rows(named=True)
        ]
        return plot_pictures(images, titles, maps=maps, heading=heading)

    def _check_one_class(self) -> None:
        if self.data.codec.target.kind != "label":
            raise ConfigError(
                "with several labels per picture no class is taken for another; confusion_matrix() judges each alone"
            )
