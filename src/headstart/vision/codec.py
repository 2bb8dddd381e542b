"""`ImageCodec`: how pictures and labels become tensors, and outputs become labels. Made from training rows alone."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import torch
from torch import Tensor

from headstart.core import values
from headstart.targets.fit import fit_target
from headstart.targets.target import ClassTarget
from headstart.vision.augment import Augment
from headstart.vision.decoding import Sizing, decode, fitted

__all__ = ["ImageCodec"]


@dataclass(frozen=True)
class ImageCodec:
    """What a saved model must know of its pictures.

    Attributes:
        target: one class per picture, or several.
        path: the column of paths in tables.
        sizing: what is made of each picture.
        augment: how training changed them; test-time augmentation goes by it as well. None: not at all.
    """

    target: ClassTarget
    path: str
    sizing: Sizing
    augment: Augment | None = None

    @classmethod
    def fit(
        cls, train_rows: pl.DataFrame, path: str, label: str, sizing: Sizing, augment: Augment | None = None
    ) -> ImageCodec:
        """Learns the classes from training rows; a column of lists is several classes per picture.

        Raises:
            DataError: one class, a missing label, or what is no class.
        """
        return cls(fit_target(train_rows, [label], kind="label"), path, sizing, augment)

    def encode_one(self, picture: Any) -> Tensor:
        """One picture's pixels, uint8 ``(1, 3, size, size)``.

        Args:
            picture: a path, what is in a file, or a pillow picture.

        Raises:
            DataError: it is missing, damaged, too large, or no image.
        """
        given = isinstance(picture, str | Path | bytes)
        pixels = decode(picture, self.sizing) if given else fitted(picture, self.sizing)
        return torch.from_numpy(np.array(pixels))[None].permute(0, 3, 1, 2)

    def encode(self, frame: pl.DataFrame) -> Tensor:
        """The pictures of a table's paths, uint8 ``(rows, 3, size, size)``; for large ones there are loaders."""
        return torch.cat([self.encode_one(path) for path in frame[self.path]])

    def decode(self, prediction: Tensor) -> pl.DataFrame:
        """Predictions as columns: ``prediction`` and ``probability_<class>`` for each class."""
        return pl.DataFrame(self.target.decode(prediction))

    def to_json(self) -> dict[str, Any]:
        """What `from_json` takes."""
        return {
            "target": values.to_json(self.target, kind=ClassTarget),
            "path": self.path,
            "sizing": self.sizing.to_json(),
            "augment": None if self.augment is None else self.augment.to_json(),
        }

    @classmethod
    def from_json(cls, record: Mapping[str, Any]) -> ImageCodec:
        """What `to_json` gave."""
        target = values.from_json(ClassTarget, record["target"])
        augment = record["augment"]
        return cls(target, record["path"], Sizing(**record["sizing"]), None if augment is None else Augment(**augment))
