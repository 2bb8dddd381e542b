"""What images are like, for a look at them before training: a pretrained backbone's activations, and equal images."""

from __future__ import annotations

import warnings
from pathlib import Path

import numpy as np
import polars as pl
from numpy.typing import NDArray

from headstart.checks.duplicates import PAIRS
from headstart.checks.features import Features, dense_features
from headstart.core.engine import Engine, seeded
from headstart.core.errors import ConfigError, DataError, HeadstartWarning
from headstart.frames.splits import Split
from headstart.vision.activations import Activations
from headstart.vision.augment import side_on
from headstart.vision.backbone_weights import load_backbone
from headstart.vision.decoding import Resize, Sizing
from headstart.vision.duplicates import duplicates, near_duplicates
from headstart.vision.images import Images
from headstart.vision.models.backbone import DEFAULT, Backbone, native_size
from headstart.vision.models.network import Head, ImageModel, pooled_width

__all__ = ["image_features", "image_pairs"]


def image_features(
    images: Images, rows: NDArray[np.int64], *, resize: Resize, cache: Path, engine: Engine
) -> Features | None:
    """Return the activations of the usual backbone with its pretrained weights.

    Args:
        images: the set's images.
        rows: numbers of the images.
        resize: how an image becomes a square.
        cache: folder in which the activations are kept.
        engine: device and processes.

    Returns:
        The features; None, with a warning, if there are no pretrained weights.
    """
    size = native_size(DEFAULT)
    with seeded(0):
        backbone = Backbone(DEFAULT, size=size)
        model = ImageModel(backbone, Head(pooled_width(backbone.widths, [1] * len(backbone.widths)), 2))
    try:
        load_backbone(backbone, "pretrained")
    except (ConfigError, DataError) as error:
        warnings.warn(f"labels are not checked without a pretrained backbone: {error}", HeadstartWarning, stacklevel=2)
        return None
    model.to(engine.device)
    activations = Activations(
        model, images, Sizing(size, resize), cache=cache, augment=side_on(), seed=0, engine=engine, progress="none"
    )
    activations.compute(rows, 1)
    return dense_features(activations.take(rows, np.zeros(len(rows), dtype=np.int64)))


def image_pairs(images: Images, sizing: Sizing, labels: pl.Series, split: Split) -> pl.DataFrame:
    """Return images that are equal, or look alike, as a table; see `headstart.checks.duplicates.PAIRS`.

    Args:
        images: the set's images.
        sizing: size at which they are compared.
        labels: what is predicted of each image.
        split: numbers of the training and of the validation images.
    """
    equal, _ = duplicates(images, labels, split)
    near = near_duplicates(images, images.at(sizing), labels, split)
    used = np.concatenate([split.train, split.valid])
    number = {images.names[row]: index for index, row in enumerate(used)}
    tables = [
        table.select(
            row=pl.col("path").replace_strict(number, return_dtype=pl.Int64),
            same_as=pl.col("same_as").replace_strict(number, return_dtype=pl.Int64),
            kind=pl.lit(kind), across="across", labels_differ="labels_differ",
        )
        for table, kind in ((equal, "equal"), (near, "near"))
        if len(table)
    ]  # fmt: skip
    return pl.concat(tables) if tables else pl.DataFrame(schema=PAIRS)
