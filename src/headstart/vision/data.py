"""`ImageData`: from folders, tables or arrays to training and validation batches of images."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, TypeAlias, Unpack

import numpy as np
import polars as pl
from numpy.typing import NDArray

from headstart.core.engine import Engine
from headstart.core.errors import ConfigError, DataError
from headstart.core.values import Range
from headstart.frames.assemble import DataOptions, DataSettings, Parts, assemble, check_settled, parts_of, share
from headstart.frames.codec import Encoded
from headstart.frames.csv import later_options
from headstart.frames.door import Table, usable_rows
from headstart.frames.folders import SPLIT, LabelFolder, opened_folder
from headstart.frames.splits import Split, Splitter, by_column, by_groups, by_random, check_one_source
from headstart.targets.fit import (
    OF_THE_TARGET,
    KindOption,
    TargetOptions,
    TargetSettings,
    check_labels,
    label_or_target,
)
from headstart.targets.row_weights import ClassWeight, row_weights
from headstart.training.loaders import Data
from headstart.vision.augment import AUGMENTATIONS, Augment, AugmentName
from headstart.vision.codec import ImageCodec
from headstart.vision.decoding import LARGEST_SIZE, Resize, Sizing
from headstart.vision.duplicates import duplicates, near_duplicates
from headstart.vision.folders import absolute_paths, folder_table, labelled_table, root_of
from headstart.vision.images import FileImages, Images, array_images
from headstart.vision.loaders import ActivationLoader, ImageLoader
from headstart.vision.store import cache_folder
from headstart.vision.workers import checked_workers

if TYPE_CHECKING:
    from headstart.checks.check import Looked

__all__ = ["ImageData", "ImageDataOptions", "ImageSettings", "OnError"]

Numbers: TypeAlias = NDArray[np.int64]
"""Numbers of images, int64 ``(rows,)``: what a part consists of until its images are decoded, ahead of training."""

ROW = "__row__"
"""Column with the numbers of images, among the rows that are looked at."""

EVALUATION_BATCH = 64
"""Images per batch when nothing is learnt."""


OnError: TypeAlias = Literal["raise", "skip"]
"""What happens to an image that cannot be decoded: it is an error, or it is left out and listed."""

DEFAULT_SIZE = 224
"""Size of the images until a learner's backbone sets its own."""


@dataclass(frozen=True, kw_only=True)
class ImageSettings(TargetSettings, DataSettings):
    """How images become batches.

    Attributes:
        where: SQL condition on the rows of both parts; others are left out. A folder's columns are ``path`` and
            ``label``. Example: ``label <> 'unknown'``.
        batch_size: training images per step, over all processes.
        seed: seed of the order of the training rows, of the augmentation, and of the usual split.
        size: side of the images in pixels; None: the one that the backbone was trained at.
        resize: how an image becomes a square: ``"crop"``: its middle; ``"squish"``: all of it, squeezed; ``"pad"``: all
            of it, with grey bars.
        augment: how training images are changed: ``"side_on"`` or ``"top_down"``; in Python also an `Augment`. None:
            not at all.
        group: keep all images of a person or scene in one part of the split: of a table the column that names them; of
            a folder a regular expression, whose first group is looked for in the path. Example: ``(person_[0-9]+)``.
        folder: of a table: folder that the paths are relative to; None: the table's own folder, or the working
            directory.
        separator: of a table: character between several labels in one text, such as ``|``.
        suffix: of a table: ending that the paths lack, such as ``.jpg`` where the table has ``0a1b`` or 17; None: the
            one that the first file has.
        class_weight: weight of each class in the training loss: ``"balanced"``, so that each class counts the same; or
            a number per class; None: each image counts the same.
        on_error: what to do with files that cannot be decoded: ``"raise"`` an error, or ``"skip"`` and list them.
        workers: processes that decode images; 0: this one alone; None: one less than there are processors, at most 8.
        cache: folder for resized copies and activations; None: ``HEADSTART_CACHE``, else the usual cache.
    """

    batch_size: Annotated[int | None, Range(low=1)] = 64
    size: Annotated[int | None, Range(low=1, high=LARGEST_SIZE)] = None
    resize: Resize = "crop"
    augment: Augment | AugmentName | None = None
    group: str | None = None
    folder: str | Path | None = None
    separator: str | None = None
    suffix: str | None = None
    class_weight: ClassWeight | None = None
    on_error: OnError = "raise"
    workers: Annotated[int | None, Range(low=0)] = None
    cache: str | Path | None = None

    @property
    def sizing(self) -> Sizing:
        """Return the sizing of new images; without a size the usual one, until a backbone sets its own."""
        return Sizing(DEFAULT_SIZE if self.size is None else self.size, self.resize)

    @property
    def changes(self) -> Augment | None:
        """Return the augmentation itself, where it is given by name."""
        return AUGMENTATIONS[self.augment]() if isinstance(self.augment, str) else self.augment


class ImageDataOptions(DataOptions, TargetOptions, total=False):
    """Keyword arguments of `ImageData`'s constructors: the fields of `ImageSettings`, codec and engine.

    Attributes:
        codec: codec of earlier data, to go on training their learner with new images; None: learnt from the training
            rows. It has decided ``size``, ``resize`` and ``augment``.
        engine: device and processes; None: the usual device.
    """

    size: int | None
    resize: Resize
    augment: Augment | AugmentName | None
    group: str | None
    folder: str | Path | None
    separator: str | None
    suffix: str | None
    class_weight: ClassWeight | None
    on_error: OnError
    workers: int | None
    cache: str | Path | None
    codec: ImageCodec | None
    engine: Engine | None


@dataclass(frozen=True, kw_only=True, repr=False)
class ImageData(Data):
    """Training and validation images, and what is known of them.

    Attributes:
        codec: how images and labels became tensors.
        images: the images of all rows.
        frame: all rows: paths, labels, and the table's other columns.
        split: numbers of the training and of the validation rows; rows that were skipped are in neither.
        settings: how the data were made.
        skipped: files left out by ``on_error="skip"``: ``path`` and ``reason``.
        duplicates: images with the same content: ``path``, ``same_as``, ``across`` (one trains, the other validates)
            and ``labels_differ``.
        notes: what a user should know: duplicates, files that were left out.
    """

    train: ImageLoader | ActivationLoader
    valid: ImageLoader | ActivationLoader | None
    codec: ImageCodec
    images: Images
    frame: pl.DataFrame
    split: Split
    settings: ImageSettings
    skipped: pl.DataFrame
    duplicates: pl.DataFrame

    @classmethod
    def from_folder(
        cls,
        folder: str | Path,
        /,
        *,
        split: Splitter | None = None,
        valid: str | None = None,
        label_folder: LabelFolder | None = None,
        **options: Unpack[ImageDataOptions],
    ) -> ImageData:
        """Make data of a folder of images for each class; folders of a split above or below them are understood.

        Args:
            folder: holds a folder per class; or ``train`` (``training``) and ``valid`` (``validation``, ``val``,
                ``dev``, ``test`` ...) with those inside; or each class's folder holds these. Also a zip archive of one.
            split: from `headstart.splits`; the table that it gets has the columns ``path`` (relative to the folder),
                ``label`` and, with ``group=``, ``group``. None: the folders' own, else a random fifth validates; with
                ``group=`` a fifth of the groups. ``splits.train_on_all``: none.
            valid: first folder inside it whose images validate; None: by the names above.
            label_folder: which folder's name is the label: ``"first"``, below those of a split; or ``"last"``, which
                holds the image. None: the first; where each holds folders of the same names, you are asked.
            options: see `ImageSettings` and `ImageDataOptions`.

        Raises:
            DataError: no images, one class, a layout that can be read in two ways, files that cannot be read.
            ConfigError: an option is unknown or out of its range, or options do not go together.
        """
        settings, codec, engine = _settings("ImageData.from_folder", options)
        if settings.folder is not None or settings.separator is not None:
            raise ConfigError("folder= and separator= are for tables; a folder's labels are the folders in it")
        if any(getattr(settings, name) for name in OF_THE_TARGET):
            raise ConfigError("a folder's labels are the folders in it, which are classes: for numbers give a table")
        if valid is not None and (split is not None or settings.group is not None):
            raise ConfigError("give validation images by valid=, or by split= or group=, not by both")
        root = opened_folder(folder, cache_folder(settings.cache))
        frame, notes = folder_table(root, settings.group, valid=valid, label_folder=label_folder)
        frame = usable_rows(frame, settings.where, "table", ["path", "label"])
        if settings.group is not None:
            split = _split_by_group("group", split, settings)
        elif split is None and SPLIT in frame.columns:
            split = by_column(SPLIT)
        data = cls._of_images(
            frame, _files(absolute_paths(frame["path"], root), settings), "path", ["label"], "label", split, settings,
            codec, engine,
        )  # fmt: skip
        return replace(data, notes=(*notes, *data.notes))

    @classmethod
    def from_table(
        cls,
        table: Table,
        path: str = "path",
        label: str = "label",
        *,
        target: str | Sequence[str] | None = None,
        split: Splitter | None = None,
        valid: Table | None = None,
        **options: Unpack[ImageDataOptions],
    ) -> ImageData:
        """Make data of a table of paths and labels.

        Args:
            table: a pandas, polars or pyarrow table, or a path to CSV or Parquet; it is not changed.
            path: column of paths to the images.
            label: column of labels, also of whole numbers: a class per image; lists are any number of classes.
            target: column to predict instead of ``label``, taken as tables take theirs: text, booleans, lists and whole
                numbers with two values are classes, other numbers are numbers; or several columns of numbers.
            split: from `headstart.splits`; None: a random fifth validates; with ``group=`` a fifth of the groups.
                ``splits.train_on_all``: none.
            valid: a table of validation rows, instead of a split.
            options: see `ImageSettings` and `ImageDataOptions`.

        Raises:
            DataError: a column is missing, one class, files that cannot be read.
            ConfigError: an option is unknown or out of its range, or options do not go together.
        """
        settings, codec, engine = _settings("ImageData.from_table", options)
        if codec is not None:  # tables are read as the earlier rows were, except as far as is given here
            given = {name: getattr(settings, name) for name in ("separator", "suffix", "csv")}
            settings = replace(
                settings, **{name: getattr(codec, name) for name, value in given.items() if value is None}
            )
        targets, kind = label_or_target(label, target)

        def read(source: Table, name: str) -> pl.DataFrame:
            return labelled_table(
                source, name, settings.where, path, targets, settings.separator, csv=settings.csv,
                readings=None if codec is None else codec.readings,
            )  # fmt: skip

        frame = read(table, "table")
        paths = absolute_paths(frame[path], root_of(table, settings.folder), settings.suffix or "")
        if settings.group is not None and valid is None:
            split = _split_by_group(settings.group, split, settings)
        if valid is not None:
            check_one_source(split, valid)
            if settings.group is not None:
                raise ConfigError("group= splits the rows, and valid= gives validation rows: give one of them")
            split = _rows_from(len(frame))
            valid_frame = read(valid, "valid")
            paths += absolute_paths(valid_frame[path], root_of(valid, settings.folder), settings.suffix or "")
            both = (frame.select(path, *targets), valid_frame.select(path, *targets))
            frame = pl.concat(both, how="vertical_relaxed")
        return cls._of_images(frame, _files(paths, settings), path, targets, kind, split, settings, codec, engine)

    @classmethod
    def from_arrays(
        cls,
        images: Any,
        labels: Sequence[Any] | Any,
        *,
        valid: tuple[Any, Any] | None = None,
        split: Splitter | None = None,
        **options: Unpack[ImageDataOptions],
    ) -> ImageData:
        """Make data of an array of images.

        Args:
            images: ``(rows, height, width)`` or ``(rows, height, width, channels)``; uint8, uint16, booleans, or
                fractions from 0 to 1.
            labels: one per image: text, whole numbers or booleans; or a list of them per image. With
                ``target_kind="number"`` numbers, ``(rows,)`` or ``(rows, numbers)``.
            valid: images and labels of the validation rows, instead of a split; of the same height and width.
            split: from `headstart.splits`; the table that it gets has the columns ``image`` (numbers) and ``label``.
                None: a random fifth validates. ``splits.train_on_all``: none.
            options: see `ImageSettings` and `ImageDataOptions`; those of files and tables have no effect.

        Raises:
            DataError: another shape or type, values out of their range, one class, not one label per image.
            ConfigError: an option is unknown or out of its range, or options do not go together.
        """
        settings, codec, engine = _settings("ImageData.from_arrays", options)
        if settings.where is not None or settings.group is not None:
            raise ConfigError("where= and group= are for folders and tables; choose the array's rows yourself")
        rows = len(images)
        if valid is not None:
            check_one_source(split, valid)
            if np.shape(images)[1:] != np.shape(valid[0])[1:]:
                raise DataError(
                    f"training images are {np.shape(images)[1:]} each, validation images {np.shape(valid[0])[1:]}:"
                    " make them alike"
                )
            images = np.concatenate([np.asarray(images), np.asarray(valid[0])])
            labels = [*_plain(labels), *_plain(valid[1])]
            split = _rows_from(rows)
        arrays, column = array_images(images), pl.Series("label", _plain(labels))
        check_labels(column, settings.target_kind)
        if len(column) != len(arrays.names):
            raise DataError(f"there are {len(arrays.names)} images and {len(column)} labels: one for each is needed")
        frame, columns = pl.DataFrame({"image": np.arange(len(column)), "label": column}), ["label"]
        if settings.target_kind == "number" and isinstance(column.dtype, pl.List):  # a row of numbers per image
            columns = [f"label_{number}" for number in range(len(column[0]))]
            frame = frame.with_columns(pl.col("label").list.to_struct(fields=columns)).unnest("label")
        return cls._of_images(frame, arrays, "image", columns, "label", split, settings, codec, engine)

    @classmethod
    def _of_images(
        cls,
        frame: pl.DataFrame,
        images: Images,
        path: str,
        targets: Sequence[str],
        kind: KindOption | None,
        split: Splitter | None,
        settings: ImageSettings,
        codec: ImageCodec | None,
        engine: Engine,
    ) -> ImageData:
        """Split rows whose images are known, learn the codec from the training rows, and make the loaders."""
        if codec is not None and codec.target.columns != tuple(targets):
            known = ", ".join(map(repr, codec.target.columns))
            raise ConfigError(f"label is part of the codec, which was given, and there it is {known}")
        bad = _unusable(images, settings)
        good = np.setdiff1d(np.arange(len(frame)), np.array(sorted(bad), dtype=np.int64))
        if not len(good):
            raise DataError(f"none of the {len(frame)} images can be decoded; the first: {next(iter(bad.values()))}")

        def fit(train: Numbers) -> tuple[ImageCodec, Encoded[Numbers]]:
            learnt_codec = ImageCodec.fit(
                frame[train], path, targets, settings.sizing, settings.changes, settings=settings, kind=kind
            )
            fitted = replace(
                learnt_codec, separator=settings.separator, suffix=settings.suffix, csv=later_options(settings.csv)
            )
            learnt = share(fitted, ImageCodec, engine)
            return learnt, encode(learnt, train)

        def encode(known: ImageCodec, part: Numbers) -> Encoded[Numbers]:
            return Encoded(inputs=part, target=known.target.encode(frame[part]))

        numbers = parts_of(frame[good], split or by_random(seed=settings.seed)).map(lambda part: good[part])
        assembled = assemble(numbers, fit, encode, codec=codec)
        codec = assembled.codec
        rows = Split(numbers.train, good[:0] if numbers.valid is None else numbers.valid)
        repeated, notes = duplicates(images, _labels(frame, targets), rows)
        if bad:
            first = bad[min(bad)]
            left_out = f"{len(bad):,} of {len(frame):,} files cannot be decoded and were left out: {first}"
            notes = (*notes, f"{left_out}{'' if len(bad) == 1 else '; and others, see data.skipped'}")
        encoded = Parts(assembled.train, assembled.valid)
        train, valid = _loaders(codec, images, encoded, settings, engine)
        skipped = {"path": [images.names[row] for row in sorted(bad)], "reason": [bad[row] for row in sorted(bad)]}
        return cls(
            train=train, valid=valid, target=codec.target, engine=engine, notes=notes, codec=codec, images=images,
            frame=frame, split=rows, settings=settings, duplicates=repeated,
            skipped=pl.DataFrame(skipped, schema={"path": pl.String, "reason": pl.String}),
            rows=numbers.map(lambda part: frame[part]),
        )  # fmt: skip

    @property
    def cache(self) -> Path:
        """Folder of the resized copies and of the activations."""
        return cache_folder(self.settings.cache)

    def at_size(self, size: int) -> ImageData:
        """Return the same images at another size.

        Args:
            size: side in pixels.
        """
        data = self.at_size_of_backbone(size)
        return replace(data, settings=replace(self.settings, size=size))

    def at_size_of_backbone(self, size: int) -> ImageData:
        """Return the same images at a backbone's own size; the size still counts as not given."""
        codec = replace(self.codec, sizing=replace(self.codec.sizing, size=size))
        return self._with_image_loaders(codec)

    def as_images(self) -> ImageData:
        """Return the same data with batches of images, where they are of activations."""
        return self if isinstance(self.train, ImageLoader) else self._with_image_loaders(self.codec)

    def near_duplicates(self) -> pl.DataFrame:
        """Return images that look the same though their files differ: saved again, smaller, in another format.

        Thumbnails are compared, so mirror images and other crops are not recognised. All images are decoded for it, and
        each is compared with each: a second for some ten thousand.

        Returns:
            A table like ``duplicates``, of what that does not list.
        """
        labels = _labels(self.frame, self.codec.target.columns)
        return near_duplicates(self.images, self.images.at(self.codec.sizing), labels, self.split)

    def looked(self) -> Looked:
        """Return what `check` looks at; images are known by the activations of a pretrained backbone."""
        from headstart.checks.check import Looked
        from headstart.vision.checking import image_features, image_pairs

        assert self.rows is not None
        codec, used = self.codec, np.concatenate([self.split.train, self.split.valid])
        targets = codec.target.columns
        roles = dict.fromkeys(targets, ("target", codec.target.kind))
        names = pl.Series("path", [self.images.names[row] for row in used], dtype=pl.String)
        pairs = image_pairs(self.images, codec.sizing, _labels(self.frame, targets), self.split)
        places = pl.DataFrame({ROW: used}).hstack([names])
        counts = [len(self.split.train), len(self.split.valid)]
        first, rest = places[: counts[0]], places[counts[0] :]
        train = self.rows.train.drop("path", strict=False).hstack(first)
        valid = None if self.rows.valid is None else self.rows.valid.drop("path", strict=False).hstack(rest)
        return Looked(
            name="images", rows=Parts(train, valid), target=codec.target, roles=roles, shown=("path",), pairs=pairs,
            notes=self.notes,
            features=lambda frame: image_features(
                self.images, frame[ROW].to_numpy(), resize=codec.sizing.resize, cache=self.cache, engine=self.engine
            ),
        )  # fmt: skip

    def _with_image_loaders(self, codec: ImageCodec) -> ImageData:
        loaders = Parts(self.train, self.valid)
        encoded = loaders.map(lambda loader: Encoded(inputs=loader.row_numbers, target=loader.target))
        train, valid = _loaders(codec, self.images, encoded, self.settings, self.engine)
        return replace(self, codec=codec, train=train, valid=valid)


def _labels(frame: pl.DataFrame, targets: Sequence[str]) -> pl.Series:
    """Return what is predicted of each row, several columns as one."""
    return frame[targets[0]] if len(targets) == 1 else frame.select(pl.struct(targets).alias("label")).to_series()


def _settings(owner: str, options: Any) -> tuple[ImageSettings, ImageCodec | None, Engine]:
    """Return the settings, as a given codec has them; the codec; and the engine."""
    codec, engine = options.get("codec"), options.get("engine") or Engine()
    fields = {name: option for name, option in options.items() if name not in ("codec", "engine")}
    settings = ImageSettings.of(fields, owner)
    if codec is not None:
        kept = {"size": codec.sizing.size, "resize": codec.sizing.resize, "augment": codec.augment}
        for name, value in kept.items():
            given = settings.changes if name == "augment" else fields.get(name)
            if given not in (None, value):
                raise ConfigError(f"{name} is part of the codec, which was given: leave {name} out, or codec")
        check_settled(settings, OF_THE_TARGET)
        settings = replace(settings, **kept)
    return settings, codec, engine


def _files(paths: list[str], settings: ImageSettings) -> FileImages:
    return FileImages(paths, cache_folder(settings.cache), checked_workers(settings.workers))


def _loaders(
    codec: ImageCodec,
    images: Images,
    parts: Parts[Encoded[Numbers]],
    settings: ImageSettings,
    engine: Engine,
) -> tuple[ImageLoader, ImageLoader | None]:
    """Return the loaders of the training images and, where there are any, of the validation images."""
    source = images.at(codec.sizing)
    assert parts.train.target is not None
    rows = pl.DataFrame({"row": parts.train.inputs})
    weight = row_weights(rows, parts.train.target, None, settings.class_weight, codec.target)
    train = ImageLoader(
        source, parts.train.inputs, parts.train.target, batch_size=settings.batch_size or 64, shuffle=True,
        seed=settings.seed, engine=engine, augment=codec.augment, weight=weight,
    )  # fmt: skip
    if parts.valid is None:
        return train, None
    valid = ImageLoader(
        source, parts.valid.inputs, parts.valid.target, batch_size=EVALUATION_BATCH, shuffle=False, seed=settings.seed,
        engine=engine,
    )  # fmt: skip
    return train, valid


def _unusable(images: Images, settings: ImageSettings) -> dict[int, str]:
    """Return the rows to leave out, each with the reason.

    Raises:
        DataError: files cannot be opened, and ``on_error`` is not ``"skip"``.
    """
    bad = dict(images.unreadable)
    if settings.on_error == "raise":
        if bad:
            raise DataError(
                f"{len(bad):,} of {len(images.names):,} files cannot be read; the first: {next(iter(bad.values()))}"
                " (with on_error='skip' such files are left out and listed)"
            )
        return {}  # what cannot be decoded shows when it is, so that training need not wait for all
    rest = np.setdiff1d(np.arange(len(images.names)), np.array(sorted(bad), dtype=np.int64))
    source = images.at(settings.sizing)
    source.start(rest)
    return bad | source.failed(rest)


def _split_by_group(column: str, split: Splitter | None, settings: ImageSettings) -> Splitter:
    if split is not None:
        raise ConfigError("give split= or group=, not both; by_groups(column, fraction) is a split as well")
    return by_groups(column, seed=settings.seed)


def _rows_from(first_valid: int) -> Splitter:
    """Return the split of which the rows from this one on validate."""
    return lambda frame: Split(np.arange(first_valid), np.arange(first_valid, len(frame)))


def _plain(labels: Any) -> list[Any]:
    """Return labels as Python's own values."""
    if hasattr(labels, "tolist"):
        labels = labels.tolist()
    return [label.tolist() if hasattr(label, "tolist") else label for label in labels]
