"""`ImageCodec`: how images and labels become tensors, and outputs become labels. Made from training rows alone."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import torch
from torch import Tensor

from headstart.core.errors import DataError, did_you_mean
from headstart.frames.codec import Encoded
from headstart.frames.csv import CsvOptions
from headstart.frames.door import check_columns
from headstart.frames.readings import ReadAsText, Reading
from headstart.targets.fit import KindOption, TargetSettings
from headstart.targets.target import AnyTarget
from headstart.vision.augment import Augment
from headstart.vision.decoding import Sizing, decode, fitted

__all__ = ["ImageCodec"]


@dataclass(frozen=True)
class ImageCodec:
    """What a saved model must know of its images.

    Attributes:
        target: one class per image, several, or numbers.
        path: column of paths in tables.
        sizing: size of the images, and how they fill it.
        augment: how training changes images; test-time augmentation goes by it as well. None: not at all.
        separator: what stands between several labels in one text; None: labels are classes, or lists of them.
        suffix: ending that a table's paths lack.
        csv: how the training rows' CSV file was read, as far as it was given, for later files.
    """

    target: AnyTarget
    path: str
    sizing: Sizing
    augment: Augment | None = None
    separator: str | None = field(default=None, compare=False)
    suffix: str | None = field(default=None, compare=False)
    csv: CsvOptions | None = field(default=None, compare=False)

    @classmethod
    def fit(
        cls,
        train_rows: pl.DataFrame,
        path: str,
        label: str | Sequence[str],
        sizing: Sizing,
        augment: Augment | None = None,
        *,
        settings: TargetSettings | None = None,
        kind: KindOption | None = "label",
    ) -> ImageCodec:
        """Learn the target from training rows.

        Args:
            train_rows: a row per image.
            path: column of paths.
            label: column to predict; lists are any number of classes per image; or columns of numbers.
            sizing: size of the images.
            augment: how training changes them.
            settings: what the target is; None: by ``kind``.
            kind: the kind of target unless the settings give one; None: by the column's values.

        Raises:
            DataError: one class, a missing label, or values that the target cannot hold.
        """
        columns = [label] if isinstance(label, str) else label
        target = (settings or TargetSettings()).fit_target(train_rows, columns, usual=kind)
        return cls(target, path, sizing, augment)

    @property
    def readings(self) -> dict[str, Reading]:
        """How each column of a table of text is read: paths as they are, and labels as the classes are."""
        return {**self.target.readings, self.path: ReadAsText()}

    def encode(self, rows: pl.DataFrame, *, with_target: bool = False) -> Encoded[tuple[Tensor]]:
        """Decode the images of a table into memory: uint8 ``(rows, 3, size, size)``.

        For more images than memory holds, `ImageData` decodes ahead of training, and keeps the pixels on disk.

        Raises:
            DataError: a column is missing, or an image is missing, damaged, too large, or no image.
        """
        check_columns(rows, [self.path, *(self.target.columns if with_target else ())], "the table")
        size = self.sizing.size
        pixels = torch.empty(len(rows), 3, size, size, dtype=torch.uint8)
        for index, path in enumerate(rows[self.path]):
            pixels[index] = self.encode_one(path)[0][0]
        return Encoded(inputs=(pixels,), target=self.target.encode(rows) if with_target else None)

    def encode_one(self, image: Any) -> tuple[Tensor]:
        """Decode one image: uint8 ``(1, 3, size, size)``.

        Args:
            image: a path, the content of a file, a pillow image, or a row with a path.

        Raises:
            DataError: it is missing, damaged, too large, or no image; the row has no path.
        """
        if isinstance(image, Mapping):
            if self.path not in image:
                raise DataError(f"the row has no {self.path!r}; {did_you_mean(self.path, image)}")
            image = image[self.path]
        is_file = isinstance(image, str | Path | bytes)
        pixels = decode(image, self.sizing) if is_file else fitted(image, self.sizing)
        return (torch.from_numpy(np.array(pixels))[None].permute(0, 3, 1, 2),)

    def decode(self, prediction: Tensor) -> pl.DataFrame:
        """Return predictions as columns: ``prediction``, and ``probability_<class>`` for each class.

        Args:
            prediction: probabilities, ``(rows, classes)``, or numbers.
        """
        return pl.DataFrame(self.target.decode(prediction))
