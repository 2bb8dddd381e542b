"""Predictions for new images: one by the shortest path, or many, decoded in workers, a portion at a time."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeAlias, get_args

import numpy as np
import polars as pl
import torch
from numpy.typing import NDArray
from torch import Tensor

from headstart.core.batch import Batch, to_device
from headstart.core.engine import Engine
from headstart.core.errors import ConfigError, DataError
from headstart.frames.door import check_columns, read_table, to_source, values_of
from headstart.frames.folders import is_folder, opened_folder, walk
from headstart.training.evaluation import prediction_of, run_model
from headstart.training.loaders import Loader
from headstart.vision.augment import Augment, draw, side_on
from headstart.vision.codec import ImageCodec
from headstart.vision.data import OnError
from headstart.vision.decoding import ENDINGS
from headstart.vision.folders import absolute_paths, folder_table, labelled_table, root_of
from headstart.vision.images import FileImages, ImageSource, array_images, channels_last
from headstart.vision.loaders import ImageLoader
from headstart.vision.models.network import ImageModel
from headstart.vision.store import cache_folder
from headstart.vision.workers import checked_workers

__all__ = ["Predictor", "checked_views", "labelled_loader", "one_image"]

BATCH = 32

PORTION = 1024
"""Files whose pixels lie on the disk at a time, 150 MB at 224 pixels; they are deleted once they are predicted."""

VIEWS = 0x77A
"""Tells the draws of test-time augmentation from those of training."""

Rows: TypeAlias = NDArray[np.int64]


@dataclass(frozen=True)
class Predictor:
    """A model, and how it predicts.

    Attributes:
        model: the whole model.
        codec: how images become tensors, and outputs labels.
        engine: device, precision and processes.
        tta: number of views of each image whose probabilities are averaged: the first as it is, the others changed, in
            the same way for all images, so that an image's prediction does not depend on the ones beside it.
        seed: seed of the changes.
        temperature: divisor of the outputs, by which probabilities are calibrated.
    """

    model: ImageModel
    codec: ImageCodec
    engine: Engine
    tta: int = 1
    seed: int = 0
    temperature: float = 1.0

    @property
    def augment(self) -> Augment:
        """Return how views are changed: as in training, or by `side_on`."""
        return self.codec.augment or side_on()

    def predict(
        self, images: Any, *, folder: str | Path | None = None, on_error: OnError = "raise", workers: int | None = None
    ) -> Any:
        """Predict one image or many: see `headstart.vision.learner.ImageLearner.predict`."""
        if on_error not in get_args(OnError):
            raise ConfigError(f"on_error must be 'raise' or 'skip'; got {on_error!r}")
        if is_folder(images):
            root = opened_folder(images, cache_folder(None))
            names = ["/".join(parts) for parts in walk(root, ENDINGS).files]
            if not names:
                raise DataError(f"{root} holds no images")
            files = self._files([str(root / name) for name in names], on_error, workers)
            return pl.DataFrame({"path": names}).hstack(files)
        listed = values_of(images)
        if listed and all(isinstance(path, str | Path) for path in listed):  # a column of paths
            images = listed
        single = one_image(self.codec, images)
        if single is not None:
            return self._one(single)
        if isinstance(images, list | tuple) and all(isinstance(path, str | Path) for path in images):
            paths_of_list = [str(path) for path in images]
            return pl.DataFrame({"path": paths_of_list}).hstack(self._files(paths_of_list, on_error, workers))
        if isinstance(images, np.ndarray | Tensor | list | tuple):
            arrays = array_images(images)
            return self.codec.decode(self.views(arrays.at(self.codec.sizing), np.arange(len(arrays.names))))
        if isinstance(images, Mapping):
            raise ConfigError(
                "predict takes one image, a folder, a list of paths, an array or a table; got a dictionary"
            )
        frame = read_table(images, readings=self.codec.readings, csv=self.codec.csv)
        check_columns(frame, [self.codec.path], "the table (paths)")
        paths_of_table = absolute_paths(frame[self.codec.path], root_of(images, folder), self.codec.suffix or "")
        return to_source(self._files(paths_of_table, on_error, workers), images)

    def views(self, source: ImageSource, rows: Rows) -> Tensor:
        """Return the mean probabilities over the views of a source's rows, ``(rows, classes)``."""
        return self.of_loader(ImageLoader(source, rows, None, batch_size=BATCH, shuffle=False, engine=self.engine))

    def of_loader(self, loader: ImageLoader) -> Tensor:
        """Return the mean probabilities over the views of a loader's rows, ``(rows, classes)``."""
        total: Tensor | None = None
        for view in range(self.tta):
            changed: Loader = loader
            if view:
                changed = _Changed(loader, self.augment, self._drawn(view))
            probabilities = self._prediction(run_model(self.model, changed, self.engine).outputs)
            total = probabilities if total is None else total + probabilities
        assert total is not None
        return total / self.tta

    def _drawn(self, view: int) -> Tensor:
        """Return a view's draw, ``(1, DRAWS)``."""
        return draw(1, self.seed, VIEWS, view)

    def _one(self, pixels: Tensor) -> dict[str, Any]:
        """Predict one image, ``(1, 3, size, size)``, without loader and store."""
        images = pixels.to(self.engine.device)
        self.model.eval()
        with torch.inference_mode(), self.engine.autocast():
            if self.tta > 1:
                drawn = torch.cat([self._drawn(view) for view in range(1, self.tta)])
                changed = self.augment(images.expand(self.tta - 1, -1, -1, -1), drawn.to(images.device))
                images = torch.cat([images.float() / 255.0, changed])  # (views, 3, size, size)
            prediction = self._prediction(self.model(images)).mean(0, keepdim=True)
        return self.codec.target.decode_one(prediction)

    def _prediction(self, outputs: Tensor) -> Tensor:
        return prediction_of(outputs, self.codec.target, self.temperature)

    def _files(self, paths: Sequence[str], on_error: OnError, workers: int | None) -> pl.DataFrame:
        """Predict files, a row each."""
        parts = [self._no_files()]
        for start in range(0, len(paths), PORTION):
            some = list(paths[start : start + PORTION])
            with tempfile.TemporaryDirectory(prefix="headstart-", ignore_cleanup_errors=True) as scratch:
                source = _scratch_images(some, scratch, workers).at(self.codec.sizing)
                parts.append(self._portion(source, len(some), skip=on_error == "skip"))
        return pl.concat(parts[1:] or parts)

    def _portion(self, source: ImageSource, count: int, *, skip: bool) -> pl.DataFrame:
        rows = np.arange(count)
        if not skip:
            return self.codec.decode(self.views(source, rows))
        source.start(rows)
        bad = source.failed(rows)
        good = np.setdiff1d(rows, np.array(sorted(bad), dtype=np.int64))
        predicted = self.codec.decode(self.views(source, good)) if len(good) else self._no_files()
        index = np.full(count, -1, dtype=np.int64)
        index[good] = np.arange(len(good))
        gathered = pl.DataFrame({"row": index}).select(pl.col("row").replace(-1, None)).to_series()
        reasons = pl.Series("error", [bad.get(int(row)) for row in rows], dtype=pl.String)
        return predicted.select(pl.all().gather(gathered)).with_columns(reasons)

    def _no_files(self) -> pl.DataFrame:
        return self.codec.decode(self.codec.target.prediction(torch.zeros(0, self.codec.target.outputs)))


def one_image(codec: ImageCodec, image: Any) -> Tensor | None:
    """Return one image's pixels, uint8 ``(1, 3, size, size)``; None if it is no single image.

    Args:
        codec: which has the size.
        image: a path, the content of a file, a pillow image, an array ``(height, width)`` or
            ``(height, width, channels)``, or a tensor, also ``(channels, height, width)``.

    Raises:
        DataError: it is missing, damaged, too large, or no image.
    """
    is_path = isinstance(image, str | Path) and Path(image).suffix.lower() not in (".csv", ".tsv", ".parquet", ".gz")
    if is_path or isinstance(image, bytes) or hasattr(image, "convert"):  # only pillow's images have convert()
        return codec.encode_one(image)[0]
    if isinstance(image, list | tuple) and all(isinstance(path, str | Path) for path in image):
        return None
    if isinstance(image, np.ndarray | Tensor | list | tuple):
        array = np.asarray(channels_last(image).cpu() if isinstance(image, Tensor) else image)
        if array.ndim == 2 or (array.ndim == 3 and array.shape[2] in (1, 3, 4)):
            return array_images(array[None]).at(codec.sizing).take(np.zeros(1, dtype=np.int64))
    return None


@contextmanager
def labelled_loader(
    codec: ImageCodec, engine: Engine, images: Any, folder: str | Path | None, where: str | None = None
) -> Iterator[ImageLoader]:
    """Yield a loader of labelled images, of a folder per class or of a table; their pixels are deleted afterwards.

    Raises:
        DataError: no images, no labels, or a label that training did not have.
    """
    if is_folder(images):
        root = opened_folder(images, cache_folder(None))
        frame, _ = folder_table(root, classes=codec.target.classes)
        images = frame.rename({"path": codec.path, "label": codec.target.columns[0]})
    else:
        root = root_of(images, folder)
    frame = labelled_table(
        images, "the table", where, codec.path, codec.target.columns, codec.separator, readings=codec.readings,
        csv=codec.csv,
    )  # fmt: skip
    target = codec.target.encode(frame)
    paths = absolute_paths(frame[codec.path], root, codec.suffix or "")
    with tempfile.TemporaryDirectory(prefix="headstart-", ignore_cleanup_errors=True) as scratch:
        source = _scratch_images(paths, scratch, None).at(codec.sizing)
        yield ImageLoader(source, np.arange(len(paths)), target, batch_size=BATCH, shuffle=False, engine=engine)


def checked_views(tta: int) -> int:
    """Return the number of views of each image.

    Raises:
        ConfigError: not a whole number of at least 1.
    """
    if not isinstance(tta, int) or isinstance(tta, bool) or tta < 1:
        raise ConfigError(f"tta must be a whole number of views, at least 1; got {tta!r}")
    return tta


class _Changed:
    """A loader's images, all changed by one draw, ``(1, DRAWS)``."""

    def __init__(self, loader: ImageLoader, augment: Augment, drawn: Tensor) -> None:
        self._loader, self._augment, self._drawn = loader, augment, drawn

    def steps(self, epoch: int) -> int:
        return self._loader.steps(epoch)

    def batches(self, epoch: int, start_step: int = 0) -> Iterator[Batch]:
        for batch in self._loader.batches(epoch, start_step):
            images = batch.inputs[0]
            drawn = to_device(self._drawn, images.device).expand(len(images), -1)
            changed = self._augment(images, drawn) if len(images) else images
            yield replace(batch, inputs=(changed,))


def _scratch_images(paths: Sequence[str], folder: str, workers: int | None) -> FileImages:
    """Return files whose pixels are kept only for a moment, so that their contents need not be read for a digest."""
    numbers = np.array([f"{number:09}" for number in range(len(paths))])
    return FileImages(paths, Path(folder), checked_workers(workers), numbers, lasting=False)
