"""`ImageData`: from folders, tables or arrays to training and validation batches of pictures."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal, TypeAlias

import numpy as np
import polars as pl

from headstart.core.engine import Engine
from headstart.core.errors import ConfigError, DataError
from headstart.frames.door import Table
from headstart.frames.splits import Split, Splitter, by_column, by_groups, by_random, split_rows
from headstart.training.loaders import Data
from headstart.vision.augment import Augment
from headstart.vision.codec import ImageCodec
from headstart.vision.decoding import Resize, Sizing
from headstart.vision.folders import SPLIT, absolute_paths, folder_table, home_of, labelled_table
from headstart.vision.images import FilePictures, Pictures, array_pictures
from headstart.vision.loaders import ActivationLoader, PictureLoader
from headstart.vision.repeats import alike, repeated
from headstart.vision.store import cache_folder
from headstart.vision.workers import checked_workers

__all__ = ["DEFAULT_SIZE", "ImageData", "OnError"]

OnError: TypeAlias = Literal["raise", "skip"]

DEFAULT_SIZE = 224
"""Side of the pictures until a learner's backbone says otherwise."""

EVALUATION_BATCH = 64


@dataclass(frozen=True, kw_only=True)
class ImageData(Data):
    """Training and validation pictures, and what is known of them.

    Attributes:
        codec: how pictures and labels became tensors.
        pictures: of all rows.
        frame: all rows: paths, labels, and what else the table had.
        sides: the numbers of the training and the validation rows; what was skipped is on neither.
        size: side of the pictures, as asked for; None: the backbone's own.
        batch_size: training rows per step.
        seed: of order and draws.
        cache: the folder of resized copies and activations.
        skipped: what ``on_error="skip"`` left out: ``path`` and ``reason``.
        duplicates: pictures with the same content: ``path``, ``same_as``, ``across`` (one trains, the other
            validates) and ``labels_differ``.
        notes: what a user should know: duplicates, what was left out.
    """

    train: PictureLoader | ActivationLoader
    valid: PictureLoader | ActivationLoader | None
    codec: ImageCodec
    pictures: Pictures
    frame: pl.DataFrame
    sides: Split
    size: int | None
    batch_size: int
    seed: int
    cache: Path
    skipped: pl.DataFrame
    duplicates: pl.DataFrame
    notes: tuple[str, ...] = ()

    @classmethod
    def from_folder(
        cls,
        folder: str | Path,
        *,
        split: Splitter | None = None,
        group: str | None = None,
        where: str | None = None,
        size: int | None = None,
        resize: Resize = "crop",
        augment: Augment | None = None,
        batch_size: int = 64,
        seed: int = 0,
        on_error: OnError = "raise",
        workers: int | None = None,
        cache: str | Path | None = None,
        codec: ImageCodec | None = None,
        engine: Engine | None = None,
    ) -> ImageData:
        """Pictures in a folder for each class; where these lie in ``train`` and ``valid``, that is the split.

        Args:
            folder: holds a folder per class, or ``train`` and ``valid`` (``val``, ``validation``) with those inside.
            split: from `headstart.frames.splits`; the table it sees has the columns ``path`` (relative to the folder),
                ``label`` and, with ``group``, ``group``. None: the folders', else a random fifth validates.
            group: a regular expression whose first group, found in the path, names the person or scene; a fifth of
                the groups validates, so that none is on both sides.
            where: a SQL condition on that table's rows; others are left out.
            size: side of the pictures in pixels; None: the one that the backbone was trained at.
            resize: ``"crop"``: the middle square; ``"squish"``: all of it, pressed; ``"pad"``: all of it, grey beside.
            augment: how training pictures are changed: `side_on`, `top_down` or your own; None: not at all.
            batch_size: training rows per step, over all processes.
            seed: of order, draws and default split.
            on_error: ``"raise"``: a file that cannot be decoded is an error; ``"skip"``: it is left out and listed.
            workers: processes that decode; 0: this one; None: one less than there are processors, at most 8.
            cache: folder for resized copies and activations; None: ``HEADSTART_CACHE``, else the usual place.
            codec: an earlier one, to go on training its model with new pictures.
            engine: device and processes.

        Raises:
            DataError: no pictures, one class, files that cannot be read.
            ConfigError: options that do not go together.
        """
        frame, notes = folder_table(Path(folder), group)
        if split is None and group is None and SPLIT in frame.columns:
            split = by_column(SPLIT)
        data = cls.from_table(
            frame, "path", "label", folder=folder, split=split, where=where, size=size, resize=resize,
            augment=augment, group="group" if group is not None else None, batch_size=batch_size, seed=seed,
            on_error=on_error, workers=workers, cache=cache, codec=codec, engine=engine,
        )  # fmt: skip
        return replace(data, notes=(*notes, *data.notes))

    @classmethod
    def from_table(
        cls,
        table: Table,
        path: str,
        label: str,
        *,
        folder: str | Path | None = None,
        separator: str | None = None,
        split: Splitter | None = None,
        valid: Table | None = None,
        group: str | None = None,
        where: str | None = None,
        size: int | None = None,
        resize: Resize = "crop",
        augment: Augment | None = None,
        batch_size: int = 64,
        seed: int = 0,
        on_error: OnError = "raise",
        workers: int | None = None,
        cache: str | Path | None = None,
        codec: ImageCodec | None = None,
        engine: Engine | None = None,
    ) -> ImageData:
        """Pictures whose paths and labels stand in a table.

        Args:
            table: a pandas, polars or pyarrow table, or a path to CSV or Parquet.
            path: the column of paths.
            label: the column of labels; a column of lists is any number of labels per picture.
            folder: what the paths are relative to; None: the table's own folder, or the working directory.
            separator: what stands between several labels in a text, such as ``"|"`` or a space.
            split: as for `from_folder`.
            valid: a table of validation rows, instead of a split.
            group: a column of persons or scenes, of which none shall be on both sides.
            where: a SQL condition on the rows.
            size: as for `from_folder`, and the same for all that follows.
            resize: how a picture becomes a square.
            augment: how training pictures are changed.
            batch_size: rows per step.
            seed: of order, draws and default split.
            on_error: ``"raise"`` or ``"skip"``.
            workers: processes that decode.
            cache: folder for resized copies and activations.
            codec: an earlier one.
            engine: device and processes.
        """
        frame = labelled_table(table, "table", where, path, label, separator)
        home = home_of(table, folder)
        if valid is not None:
            if split is not None or group is not None:
                raise ConfigError("give validation rows by split= (or group=) or by valid=, not by both")
            judged = labelled_table(valid, "valid", where, path, label, separator)
            rows = len(frame)
            frame = pl.concat([frame.select(path, label), judged.select(path, label)], how="vertical_relaxed")
            paths = absolute_paths(frame[path][:rows], home) + absolute_paths(
                frame[path][rows:], home_of(valid, folder)
            )
            split = _by_number(rows)
        else:
            paths = absolute_paths(frame[path], home)
        pictures = FilePictures(paths, cache_folder(cache), checked_workers(workers))
        return _assembled(
            frame, pictures, path, label, split=_splitter(split, group, seed), sizing=(size, resize), augment=augment,
            batch_size=batch_size, seed=seed, cache=cache_folder(cache), on_error=on_error, codec=codec, engine=engine,
        )  # fmt: skip

    @classmethod
    def from_arrays(
        cls,
        images: Any,
        labels: Sequence[Any] | Any,
        *,
        valid: tuple[Any, Any] | None = None,
        split: Splitter | None = None,
        size: int | None = None,
        resize: Resize = "crop",
        augment: Augment | None = None,
        batch_size: int = 64,
        seed: int = 0,
        cache: str | Path | None = None,
        codec: ImageCodec | None = None,
        engine: Engine | None = None,
    ) -> ImageData:
        """Pictures in an array.

        Args:
            images: ``(rows, height, width)`` or ``(rows, height, width, channels)``; uint8, uint16, booleans, or
                fractions from 0 to 1.
            labels: one per picture: text, whole numbers or booleans; or a list of them per picture.
            valid: images and labels to validate by, instead of a split; of the same height and width.
            split: as for `ImageData.from_folder`; its table has the columns ``image`` (numbers) and ``label``.
            size: as for `ImageData.from_folder`, and the same for all that follows.
            resize: how a picture becomes a square.
            augment: how training pictures are changed.
            batch_size: rows per step.
            seed: of order, draws and default split.
            cache: folder for activations.
            codec: an earlier one.
            engine: device and processes.
        """
        rows = len(images)
        if valid is not None:
            if split is not None:
                raise ConfigError("give validation rows by split= or by valid=, not by both")
            if np.shape(images)[1:] != np.shape(valid[0])[1:]:
                raise DataError(
                    f"training images are {np.shape(images)[1:]} each, validation images {np.shape(valid[0])[1:]}:"
                    " make them alike"
                )
            images = np.concatenate([np.asarray(images), np.asarray(valid[0])])
            labels = [*_plain(labels), *_plain(valid[1])]
            split = _by_number(rows)
        pictures, column = array_pictures(images), pl.Series("label", _plain(labels))
        if len(column) != len(pictures.names):
            raise DataError(f"there are {len(pictures.names)} images and {len(column)} labels: one for each is needed")
        frame = pl.DataFrame({"image": np.arange(len(column)), "label": column})
        return _assembled(
            frame, pictures, "image", "label", split=split or by_random(seed=seed), sizing=(size, resize),
            augment=augment, batch_size=batch_size, seed=seed, cache=cache_folder(cache), on_error="raise", codec=codec,
            engine=engine,
        )  # fmt: skip

    def at_size(self, size: int) -> ImageData:
        """The same pictures at another size: small ones first, then larger, is a quick way to a good model."""
        codec = replace(self.codec, sizing=replace(self.codec.sizing, size=size))
        train, valid = _loaders(
            codec, self.pictures, self.frame, self.sides, batch_size=self.batch_size, seed=self.seed, engine=self.engine
        )
        said = size if self.size is not None or size != self.codec.sizing.size else None
        return replace(self, codec=codec, size=said, train=train, valid=valid)

    def near_duplicates(self) -> pl.DataFrame:
        """Pictures that look the same though their files differ: saved again, smaller, in another format.

        Thumbnails are compared, so a mirror image or another cut is not found. All pictures are decoded for it, and
        each is compared with each: a second for some ten thousand.

        Returns:
            A table like ``duplicates``, of what that does not list.
        """
        labels = self.frame[self.codec.target.column]
        return alike(self.pictures, self.pictures.at(self.codec.sizing), labels, self.sides)


def _assembled(
    frame: pl.DataFrame,
    pictures: Pictures,
    path: str,
    label: str,
    *,
    split: Splitter,
    sizing: tuple[int | None, Resize],
    augment: Augment | None,
    batch_size: int,
    seed: int,
    cache: Path,
    on_error: OnError,
    codec: ImageCodec | None,
    engine: Engine | None,
) -> ImageData:
    engine = engine or Engine()
    size, resize = sizing
    if codec is not None:
        if augment is not None or (size not in (None, codec.sizing.size)) or codec.target.column != label:
            raise ConfigError("size, augment and label are part of the codec, which was given: leave them out")
        square = codec.sizing
    else:
        square = Sizing(DEFAULT_SIZE if size is None else size, resize)
    if augment is not None and not isinstance(augment, Augment):
        raise ConfigError(f"augment must be side_on(), top_down() or Augment(...); got {augment!r}")
    bad = _unusable(pictures, square, on_error)
    good = np.setdiff1d(np.arange(len(frame)), np.array(sorted(bad), dtype=np.int64))
    if not len(good):
        raise DataError(f"none of the {len(frame)} pictures can be decoded; the first: {next(iter(bad.values()))}")
    chosen = split_rows(frame[good], split)
    sides = Split(good[chosen.train], good[chosen.valid])
    if codec is None:
        codec = ImageCodec.fit(frame[sides.train], path, label, square, augment)
        codec = ImageCodec.from_json(engine.from_main(codec.to_json())) if engine.world_size > 1 else codec
    same, said = repeated(pictures, frame[label], sides)
    if bad:
        said = (*said, f"{len(bad):,} of {len(frame):,} files cannot be decoded and were left out: see data.skipped")
    train, valid = _loaders(codec, pictures, frame, sides, batch_size=batch_size, seed=seed, engine=engine)
    return ImageData(
        train=train,
        valid=valid,
        target=codec.target,
        engine=engine,
        codec=codec,
        pictures=pictures,
        frame=frame,
        sides=sides,
        size=codec.sizing.size if size is not None else None,
        batch_size=batch_size,
        seed=seed,
        cache=cache,
        skipped=pl.DataFrame(
            {"path": [pictures.names[row] for row in sorted(bad)], "reason": [bad[row] for row in sorted(bad)]},
            schema={"path": pl.String, "reason": pl.String},
        ),
        duplicates=same,
        notes=said,
    )


def _loaders(
    codec: ImageCodec,
    pictures: Pictures,
    frame: pl.DataFrame,
    sides: Split,
    *,
    batch_size: int,
    seed: int,
    engine: Engine,
) -> tuple[PictureLoader, PictureLoader]:
    """Of the training rows and of the validation rows."""
    source = pictures.at(codec.sizing)
    train = PictureLoader(
        source, sides.train, codec.target.encode(frame[sides.train]), batch_size=batch_size, shuffle=True, seed=seed,
        engine=engine, augment=codec.augment,
    )  # fmt: skip
    valid = PictureLoader(
        source, sides.valid, codec.target.encode(frame[sides.valid]), batch_size=EVALUATION_BATCH, shuffle=False,
        seed=seed, engine=engine,
    )  # fmt: skip
    return train, valid


def _unusable(pictures: Pictures, sizing: Sizing, on_error: OnError) -> dict[int, str]:
    """The rows to leave out, and why.

    Raises:
        DataError: files cannot be opened, and nothing was said about skipping them.
    """
    if on_error not in ("raise", "skip"):
        raise ConfigError(f"on_error must be 'raise' or 'skip'; got {on_error!r}")
    bad = dict(pictures.unreadable)
    if on_error == "raise":
        if bad:
            raise DataError(
                f"{len(bad):,} of {len(pictures.names):,} files cannot be read; the first: {next(iter(bad.values()))}"
                " (with on_error='skip' such files are left out and listed)"
            )
        return {}  # what cannot be decoded shows when it is, so that training need not wait for all
    rest = np.setdiff1d(np.arange(len(pictures.names)), np.array(sorted(bad), dtype=np.int64))
    source = pictures.at(sizing)
    source.start(rest)
    return bad | source.failed(rest)


def _splitter(split: Splitter | None, group: str | None, seed: int) -> Splitter:
    if group is not None:
        if split is not None:
            raise ConfigError("give split= or group=, not both; by_groups(column, fraction) is a split as well")
        return by_groups(group, seed=seed)
    return split or by_random(seed=seed)


def _by_number(first_valid: int) -> Splitter:
    """The rows from this one on validate."""
    return lambda frame: Split(np.arange(first_valid), np.arange(first_valid, len(frame)))


def _plain(labels: Any) -> list[Any]:
    """Labels as Python's own values."""
    if hasattr(labels, "tolist"):
        labels = labels.tolist()
    return [label.tolist() if hasattr(label, "tolist") else label for label in labels]
