"""Tables of paths and labels: made of a folder of images, or prepared from a user's table."""

from __future__ import annotations

import os
import re
from pathlib import Path

import polars as pl

from headstart.core.errors import ConfigError, DataError
from headstart.frames.door import Table, read_table, usable_rows
from headstart.vision.decoding import ENDINGS

__all__ = ["SPLIT", "absolute_paths", "folder_table", "image_files", "labelled_table", "root_of"]

SPLIT = "split"
"""Column that says to which part a folder's row belongs: ``train`` or ``valid``."""

VALID_NAMES = ("valid", "val", "validation")


def image_files(folder: Path) -> tuple[list[Path], int]:
    """Return all image files below a folder, sorted, and the number of other files; hidden ones count as neither.

    Raises:
        DataError: there is no such folder.
    """
    if not folder.is_dir():
        raise DataError(f"there is no folder {folder}")
    images: list[Path] = []
    others = 0
    for parent, folders, files in os.walk(folder, followlinks=True):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for name in sorted(files):
            if not name.startswith("."):
                if Path(name).suffix.lower() in ENDINGS:
                    images.append(Path(parent) / name)
                else:
                    others += 1
    return sorted(images), others


def folder_table(folder: Path, group: str | None = None) -> tuple[pl.DataFrame, tuple[str, ...]]:
    """Return paths and labels of the images in a folder per class, with the split that the folders make.

    Args:
        folder: holds a folder per class, or ``train`` and ``valid`` with those inside.
        group: a regular expression, whose first group is looked for in the path relative to the folder.

    Returns:
        A table with ``path`` (relative) and ``label``, and where there are any ``split`` and ``group``; and notes.

    Raises:
        DataError: no images, or no folder per class.
        ConfigError: ``group`` is no regular expression with a group, or does not match a path.
    """
    files, others = image_files(folder)
    if not files:
        raise DataError(f"{folder} holds no images; known endings are {', '.join(sorted(ENDINGS))}")
    parts = [path.relative_to(folder).parts for path in files]
    top = {part[0].lower() for part in parts if len(part) > 1}
    has_split = "train" in top and any(name in top for name in VALID_NAMES)
    depth = 1 if has_split else 0
    unused = [part for part in parts if has_split and part[0].lower() not in ("train", *VALID_NAMES)]
    parts = [part for part in parts if not (has_split and part[0].lower() not in ("train", *VALID_NAMES))]
    unlabelled = ["/".join(part) for part in parts if len(part) < depth + 2]
    parts = [part for part in parts if len(part) >= depth + 2]
    if not parts:
        raise DataError(
            f"{folder} holds {len(files)} images but no folder for each class; put them into one, or give a table of"
            " paths and labels"
        )
    table = pl.DataFrame({"path": ["/".join(part) for part in parts], "label": [part[depth] for part in parts]})
    if has_split:
        names = ["train" if part[0].lower() == "train" else "valid" for part in parts]
        table = table.with_columns(pl.Series(SPLIT, names))
    if group is not None:
        table = table.with_columns(pl.Series("group", [_group(group, path) for path in table["path"]]))
    notes = []
    if unlabelled:
        notes.append(f"{len(unlabelled):,} images lie in no class's folder and were left out, such as {unlabelled[0]}")
    if unused:
        notes.append(f"{len(unused):,} images beside train and valid were left out, such as {'/'.join(unused[0])}")
    if others:
        notes.append(f"{others:,} files whose endings are not those of images were left out")
    return table, tuple(notes)


def labelled_table(
    table: Table, name: str, where: str | None, path: str, label: str, separator: str | None
) -> pl.DataFrame:
    """Return a table with a path and a label in each row; with ``separator`` a list of labels, out of a text.

    Args:
        table: any table, or a path.
        name: what messages call it.
        where: SQL condition on its rows.
        path: column of paths.
        label: column of labels.
        separator: character between several labels; None: the column is left as it is.

    Raises:
        DataError: a column is missing, a row has no path, or labels to be split are no text.
    """
    text = [path] if separator is None else [path, label]
    frame = usable_rows(read_table(table, name, text=text), where, name, [path, label])
    if frame.schema[path] != pl.String or frame[path].null_count():
        raise DataError(f"{name}: column {path!r} must hold a path in each row; it holds {frame.schema[path]}")
    if separator is None:
        return frame
    if frame.schema[label] != pl.String:
        raise DataError(f"{name}: separator= is for labels in a text, but column {label!r} holds {frame.schema[label]}")
    parts = pl.col(label).fill_null("").str.split(separator)
    words = parts.list.eval(pl.element().str.strip_chars()).list.eval(pl.element().filter(pl.element() != ""))
    return frame.with_columns(words.alias(label))


def root_of(table: Table, folder: str | Path | None) -> Path:
    """Return what a table's paths are relative to: the folder given, the table's own, or the working directory."""
    if folder is not None:
        return Path(folder).expanduser()
    return Path(table).parent if isinstance(table, str | Path) else Path()


def absolute_paths(paths: pl.Series, root: Path) -> list[str]:
    """Return a column's paths below the folder that they are relative to."""
    return [str(root / path) for path in paths]


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
