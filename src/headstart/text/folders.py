"""Folders of text files: one file per text, with a folder per label or in any layout."""

from __future__ import annotations

import codecs
import warnings
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import polars as pl

from headstart.core.errors import DataError, HeadstartWarning
from headstart.datasets.get import usual_cache
from headstart.frames.assemble import Rows, parts_of
from headstart.frames.csv import CsvOptions
from headstart.frames.door import Table, read_table, usable_rows
from headstart.frames.folders import (
    SPLIT,
    LabelFolder,
    is_folder,
    labelled_files,
    opened_folder,
    parts_of_files,
    walk,
)
from headstart.frames.readings import Reading
from headstart.frames.splits import Splitter, by_column

__all__ = ["Files", "all_texts", "find_texts", "read_rows", "read_texts", "split_files"]

ENDINGS = frozenset({".txt"})

FILES_AT_ONCE = 2_000
"""Files per piece of a corpus that is read piece by piece."""


@dataclass(frozen=True)
class Files:
    """The texts of files, in pieces, read anew with each iteration, so that a corpus may be larger than memory.

    Attributes:
        paths: of the files.
    """

    paths: list[str]

    def __iter__(self) -> Iterator[list[str]]:
        """Yield the texts of some thousand files at a time; warn of files that are not UTF-8."""
        damaged: list[str] = []
        for start in range(0, len(self.paths), FILES_AT_ONCE):
            yield [_read(path, damaged) for path in self.paths[start : start + FILES_AT_ONCE]]
        if damaged:
            warnings.warn(
                f"{len(damaged)} of {len(self.paths)} files are not UTF-8 throughout ({damaged[0]} is the first): bytes"
                " that cannot be read count as one unknown character each; convert the files if there are many",
                HeadstartWarning,
                stacklevel=2,
            )


def find_texts(
    folder: str | Path,
    *,
    labelled: bool = False,
    valid: str | None = None,
    label_folder: LabelFolder | None = None,
    exclude: Sequence[str] = (),
    classes: Collection[Any] = (),
) -> tuple[pl.DataFrame, tuple[str, ...]]:
    """Return all text files (``.txt``) under a folder or in a zip archive of one, in the order of their paths.

    Args:
        folder: a folder with a folder per label, also inside the folders of a split; or a folder of any layout.
        labelled: whether the name of a folder is a file's label.
        valid: first folder whose texts validate; None: by the usual names.
        label_folder: see `headstart.frames.folders.labelled_files`, which reads the folder.
        exclude: names of folders to leave out (``unsup`` of IMDB, whose texts have no label).
        classes: those that a trained model knows.

    Returns:
        ``path``, ``label``, ``part`` (name of the first folder) and, where the folders make a split, ``split``; and
        notes.

    Raises:
        DataError: there is no such folder, or no text in it; or, with ``labelled``, no folder per label.
        ConfigError: there is no folder ``valid``.
    """
    root = opened_folder(folder, usual_cache() / "text")
    if labelled:
        files, notes = labelled_files(
            root, ENDINGS, "texts", valid=valid, label_folder=label_folder, exclude=exclude, classes=classes
        )
    else:
        files, notes = parts_of_files(root, ENDINGS, "texts", valid=valid, exclude=exclude)
    return files.with_columns(path=pl.Series([str(root / path) for path in files["path"]])), tuple(notes)


def all_texts(folder: str | Path) -> pl.DataFrame:
    """Return the ``path`` of each text file under a folder, whatever its parts, to be predicted.

    Raises:
        DataError: there is no such folder, or no text in it.
    """
    root = opened_folder(folder, usual_cache() / "text")
    paths = [str(root.joinpath(*parts)) for parts in walk(root, ENDINGS).files]
    if not paths:
        raise DataError(f"{folder} holds no texts; known endings are {', '.join(ENDINGS)}")
    return pl.DataFrame({"path": paths})


def read_texts(files: pl.DataFrame) -> pl.DataFrame:
    """Return the files of `find_texts` with their content in a column ``text``."""
    texts = [text for piece in Files(files["path"].to_list()) for text in piece]
    return files.with_columns(pl.Series("text", texts, pl.String))


def read_rows(
    source: Table,
    columns: Sequence[str],
    label: str | None = None,
    *,
    classes: Collection[Any] = (),
    readings: Mapping[str, Reading] | None = None,
    csv: CsvOptions | None = None,
) -> pl.DataFrame:
    """Return a table's rows; or the text files of a folder, with the column names that a model expects.

    Args:
        source: a table, or a folder of ``.txt`` files, with a folder per label if ``label`` is given.
        columns: the model's columns of text.
        label: the column of labels; None: labels are not needed.
        classes: those that the model knows.
        readings: how a table's columns of text are read: the codec's.
        csv: how CSV files are read.

    Raises:
        DataError: a folder, for a model that reads several columns.
    """
    if not is_folder(source):
        return read_table(source, "input", readings=readings, csv=csv)
    if len(columns) > 1:
        raise DataError(
            f"{source} is a folder, whose files are one text each, but the model reads {', '.join(map(repr, columns))}:"
            " give a table with these columns"
        )
    if label is None:
        return read_texts(all_texts(source)).rename({"text": columns[0]})
    files, _ = find_texts(source, labelled=True, exclude=("unsup",), classes=classes)
    files = read_texts(files)
    return files.rename({"text": columns[0], "label": label})


def split_files(files: pl.DataFrame, split: Splitter | None, usual: Splitter, where: str | None) -> Rows:
    """Return the files to train on and to validate with.

    Args:
        files: from `find_texts` or `read_texts`.
        split: a splitter of the files; None: the split that their folders make.
        usual: the split if there is none.
        where: a SQL condition on the files; others are left out.

    Raises:
        DataError: no files are left, or the split leaves no training files.
    """
    files = usable_rows(files, where, "the folder", ())
    chosen = split or (by_column(SPLIT) if SPLIT in files.columns else usual)
    return parts_of(files, chosen).map(lambda numbers: files[numbers])


def _read(path: str, damaged: list[str]) -> str:
    try:
        content = Path(path).read_bytes()
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror or error}") from error
    try:
        encoding = "utf-16" if content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)) else "utf-8-sig"
        return content.decode(encoding)
    except UnicodeDecodeError:
        damaged.append(path)
        return content.decode(errors="replace")
