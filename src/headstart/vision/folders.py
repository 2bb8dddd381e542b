"""Tables of paths and labels: made of a folder of images, or prepared from a user's table."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

import polars as pl

from headstart.core.errors import ConfigError, DataError
from headstart.core.paths import expanded
from headstart.frames.csv import CsvOptions
from headstart.frames.door import Table, read_table, usable_rows
from headstart.frames.folders import LabelFolder, labelled_files
from headstart.frames.labels import split_labels
from headstart.frames.readings import Reading
from headstart.vision.decoding import ENDINGS

__all__ = ["absolute_paths", "folder_table", "labelled_table", "root_of"]


def folder_table(
    folder: Path,
    group: str | None = None,
    *,
    valid: str | None = None,
    label_folder: LabelFolder | None = None,
    classes: Collection[Any] = (),
) -> tuple[pl.DataFrame, tuple[str, ...]]:
    """Return paths and labels of the images in a folder per class, with the split that the folders make.

    Args:
        folder: holds a folder per class, or the folders of a split with those inside.
        group: a regular expression, whose first group is looked for in the path relative to the folder.
        valid: first folder whose images validate; None: by the usual names.
        label_folder: see `headstart.frames.folders.labelled_files`, which reads the folder.
        classes: those that a trained model knows.

    Returns:
        A table with ``path`` (relative) and ``label``, and where there are any ``split`` and ``group``; and notes.

    Raises:
        DataError: no images, no folder per class, or a layout that can be read in two ways.
        ConfigError: ``group`` is no regular expression with a group, or does not match a path.
    """
    table, notes = labelled_files(folder, ENDINGS, "images", valid=valid, label_folder=label_folder, classes=classes)
    table = table.drop("part")
    if group is not None:
        table = table.with_columns(pl.Series("group", [_group(group, path) for path in table["path"]]))
    return table, tuple(notes)


def labelled_table(
    table: Table,
    name: str,
    where: str | None,
    path: str,
    targets: Sequence[str],
    separator: str | None,
    *,
    readings: Mapping[str, Reading] | None = None,
    csv: CsvOptions | None = None,
) -> pl.DataFrame:
    """Return a table with a path and what is predicted in each row; with ``separator`` a list of labels, out of a text.

    Args:
        table: any table, or a path.
        name: what messages call it.
        where: SQL condition on its rows.
        path: column of paths.
        targets: column of labels, or columns of numbers.
        separator: character between several labels; None: the column is left as it is.
        readings: how columns of text are read: a codec's; None: paths, and labels to be split, are text.
        csv: how CSV files are read.

    Raises:
        DataError: a column is missing, or labels to be split are no text.
    """
    text = [path] if separator is None else [path, targets[0]]
    frame = read_table(table, name, text=text, readings=readings, csv=csv)
    frame = usable_rows(frame, where, name, [path, *targets])
    return split_labels(frame, targets[0], separator, name)  # several are numbers, of which none is split


def root_of(table: Table, folder: str | Path | None) -> Path:
    """Return what a table's paths are relative to: the folder given, the table's own, or the working directory."""
    if folder is not None:
        return expanded(folder)
    return expanded(table).parent if isinstance(table, str | Path) else Path()


def absolute_paths(paths: pl.Series, root: Path, suffix: str = "") -> list[str]:
    """Return a column's paths below the folder that they are relative to.

    Args:
        paths: text; or whole numbers, which are files' names without their endings.
        root: the folder.
        suffix: ending that each path lacks, such as ``.jpg``.

    Raises:
        DataError: a row has no path, or the column holds something else.
    """
    if paths.null_count() or not (paths.dtype == pl.String or paths.dtype.is_integer()):
        what = f"{paths.null_count():,} rows have none" if paths.null_count() else f"it holds {paths.dtype}"
        raise DataError(f"column {paths.name!r} must hold a path in each row; {what}")
    names = paths.cast(pl.String) + suffix
    if len(names) and not suffix and not (root / names[0]).exists():  # a name such as 17 or 0a1b, of 17.png
        endings = sorted(ending for ending in ENDINGS if (root / f"{names[0]}{ending}").is_file())
        if len(endings) == 1:
            names += endings[0]
        elif paths.dtype.is_integer():
            raise DataError(
                f"there is no file {root / names[0]}; give the folder of the images (folder=), and the ending that the"
                f" names in column {paths.name!r} lack (suffix='.jpg')"
            )
    return [str(root / name) for name in names]


def _group(pattern: str, path: str) -> str:
    try:
        match = re.search(pattern, path)
        group = None if match is None else str(match[1])
    except (re.error, IndexError) as error:
        raise ConfigError(
            f"group must be a regular expression with a group in brackets, such as '(person_\\d+)'; got {pattern!r}"
            f" ({error})"
        ) from None
    if group is None:
        raise ConfigError(f"group: {pattern!r} does not match {path!r}; it must match each path")
    return group
