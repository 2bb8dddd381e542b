"""Predictions for new pictures: one by the shortest way, or many, decoded in workers, a portion at a time."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import torch
from torch import Tensor

from headstart.core.engine import Engine
from headstart.core.errors import ConfigError, DataError
from headstart.frames.door import check_columns, read_table, to_source
from headstart.targets.target import Label, Labels
from headstart.training.evaluation import run_model
from headstart.vision.augment import Augment, draw, side_on
from headstart.vision.codec import ImageCodec
from headstart.vision.folders import absolute_paths, folder_table, home_of, image_files
from headstart.vision.images import FilePictures, PictureSource, array_pictures
from headstart.vision.loaders import PictureLoader
from headstart.vision.models.network import ImageModel
from headstart.vision.workers import checked_workers

__all__ = ["checked_views", "judged_loader", "predict_pictures", "predict_views"]

BATCH = 32

PORTION = 1024
"""Files whose pixels lie on the disk at a time, 150 MB at 224 pixels; they go when they are predicted."""


def predict_pictures(
    model: ImageModel,
    codec: ImageCodec,
    engine: Engine,
    pictures: Any,
    *,
    folder: str | Path | None,
    tta: int,
    seed: int,
    on_error: str,
    workers: int | None,
) -> Any:
    """What `ImageLearner.predict` says."""
    if on_error not in ("raise", "skip"):
        raise ConfigError(f"on_error must be 'raise' or 'skip'; got {on_error!r}")

    def views(source: PictureSource, rows: np.ndarray[Any, np.dtype[np.int64]]) -> Tensor:
        loader = PictureLoader(source, rows, None, batch_size=BATCH, shuffle=False, engine=engine)
        return predict_views(model, loader, codec.target, engine, codec.augment or side_on(), tta, seed)

    if isinstance(pictures, str | Path) and Path(pictures).is_dir():
        root = Path(pictures)
        paths, _ = image_files(root)
        if not paths:
            raise DataError(f"{root} holds no images")
        shown = pl.DataFrame({"path": [str(path.relative_to(root)) for path in paths]})
        return shown.hstack(_of_files(codec, [str(path) for path in paths], views, on_error, workers))
    if isinstance(pictures, str | Path) and Path(pictures).suffix.lower() not in (".csv", ".tsv", ".parquet", ".gz"):
        return _of_one(model, codec, engine, codec.encode_one(pictures), tta, seed)
    if isinstance(pictures, bytes) or hasattr(pictures, "convert"):  # what is in a file; a pillow picture
        return _of_one(model, codec, engine, codec.encode_one(pictures), tta, seed)
    if isinstance(pictures, list | tuple) and all(isinstance(path, str | Path) for path in pictures):
        names = [str(path) for path in pictures]
        return pl.DataFrame({"path": names}).hstack(_of_files(codec, names, views, on_error, workers))
    if isinstance(pictures, np.ndarray | Tensor | list | tuple):
        array = np.asarray(pictures.cpu() if isinstance(pictures, Tensor) else pictures)
        single = array.ndim == 2 or (array.ndim == 3 and array.shape[2] in (1, 3, 4))
        found = array_pictures(array[None] if single else array)
        if single:
            pixels = found.at(codec.sizing).take(np.zeros(1, dtype=np.int64))
            return _of_one(model, codec, engine, pixels, tta, seed)
        return codec.decode(views(found.at(codec.sizing), np.arange(len(found.names))))
    if isinstance(pictures, Mapping):
        raise ConfigError("predict takes one picture, a folder, a list of paths, an array or a table; got a dictionary")
    frame = read_table(pictures)
    check_columns(frame, [codec.path], "the table (paths)")
    home = home_of(pictures, folder)
    paths_of_table = absolute_paths(frame[codec.path], home)
    return to_source(_of_files(codec, paths_of_table, views, on_error, workers), pictures)


def predict_views(
    model: ImageModel,
    loader: PictureLoader,
    target: Label | Labels,
    engine: Engine,
    augment: Augment,
    tta: int,
    seed: int,
) -> Tensor:
    """The mean of the probabilities of several views of each picture, ``(rows, classes)``; the first is as it is."""
    sums: Tensor | None = None
    for view in range(tta):
        shown = loader if view == 0 else _Changed(loader, augment, draw(loader.rows, seed, 0x77A, view))
        found = target.prediction(run_model(model, shown, engine).outputs)
        sums = found if sums is None else sums + found
    assert sums is not None
    return sums / tta


@contextmanager
def judged_loader(
    codec: ImageCodec, engine: Engine, pictures: Any, folder: str | Path | None
) -> Iterator[PictureLoader]:
    """A loader of labelled pictures, in a folder per class or a table; their pixels go with it.

    Raises:
        DataError: no pictures, no labels, or a label that training did not have.
    """
    if isinstance(pictures, str | Path) and Path(pictures).is_dir():
        frame, _ = folder_table(Path(pictures))
        frame = frame.rename({"path": codec.path, "label": codec.target.column})
        home = Path(pictures)
    else:
        frame, home = read_table(pictures), home_of(pictures, folder)
    check_columns(frame, [codec.path, *codec.target.columns], "the table")
    target = codec.target.encode(frame)
    paths = absolute_paths(frame[codec.path], home)
    with tempfile.TemporaryDirectory(prefix="headstart-", ignore_cleanup_errors=True) as scratch:
        source = _scratch(paths, scratch, None).at(codec.sizing)
        yield PictureLoader(source, np.arange(len(paths)), target, batch_size=BATCH, shuffle=False, engine=engine)


def checked_views(tta: int) -> int:
    """How many views of each picture.

    Raises:
        ConfigError: not a whole number of at least 1.
    """
    if not isinstance(tta, int) or isinstance(tta, bool) or tta < 1:
        raise ConfigError(f"tta must be a whole number of views, at least 1; got {tta!r}")
    return tta


class _Changed:
    """A loader's pictures, each changed by its draw."""

    def __init__(self, loader: PictureLoader, augment: Augment, drawn: Tensor) -> None:
        self._loader, self._augment, self._drawn = loader, augment, drawn

    def steps(self, epoch: int) -> int:
        return self._loader.steps(epoch)

    def batches(self, epoch: int, start_step: int = 0) -> Iterator[Any]:
        for batch in self._loader.batches(epoch, start_step):
            assert batch.index is not None
            yield replace(batch, inputs=(self._augment(batch.inputs[0], self._drawn[batch.index]),))


def _of_one(
    model: ImageModel, codec: ImageCodec, engine: Engine, pixels: Tensor, tta: int, seed: int
) -> dict[str, Any]:
    """The shortest way: no loader, no store."""
    images = pixels.to(engine.device)
    model.eval()
    with torch.inference_mode(), engine.autocast():
        if tta > 1:
            drawn = draw(tta - 1, seed, 0x77A)
            changed = (codec.augment or side_on())(images.expand(tta - 1, -1, -1, -1), drawn)
            images = torch.cat([images.float() / 255.0, changed])
        prediction = codec.target.prediction(model(images)).mean(0, keepdim=True)
    return codec.target.decode_one(prediction)


def _of_files(codec: ImageCodec, paths: Sequence[str], views: Any, on_error: str, workers: int | None) -> pl.DataFrame:
    """Predictions for files, a row each."""
    parts: list[pl.DataFrame] = []
    for start in range(0, len(paths), PORTION):
        some = list(paths[start : start + PORTION])
        with tempfile.TemporaryDirectory(prefix="headstart-", ignore_cleanup_errors=True) as scratch:
            source = _scratch(some, scratch, workers).at(codec.sizing)
            rows = np.arange(len(some))
            bad: dict[int, str] = {}
            if on_error == "skip":
                source.start(rows)
                bad = source.failed(rows)
            good = np.setdiff1d(rows, np.array(sorted(bad), dtype=np.int64))
            if len(good):
                found = codec.decode(views(source, good))
            else:
                found = codec.decode(codec.target.prediction(torch.zeros(0, codec.target.outputs)))
            if on_error == "skip":
                places = np.full(len(some), -1, dtype=np.int64)
                places[good] = np.arange(len(good))
                gathered = pl.DataFrame({"row": places}).select(pl.col("row").replace(-1, None)).to_series()
                reasons = pl.Series("error", [bad.get(int(row)) for row in rows], dtype=pl.String)
                found = found.select(pl.all().gather(gathered)).with_columns(reasons)
            parts.append(found)
    if not parts:
        return codec.decode(codec.target.prediction(torch.zeros(0, codec.target.outputs)))
    return pl.concat(parts)


def _scratch(paths: Sequence[str], folder: str, workers: int | None) -> FilePictures:
    """Files whose pixels are kept for a moment only, so that nobody need know what is in them."""
    numbers = np.array([f"{number:09}" for number in range(len(paths))])
    return FilePictures(paths, Path(folder), checked_workers(workers), numbers)
