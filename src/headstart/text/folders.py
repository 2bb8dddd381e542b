"""Folders of text files: one file per text, with a folder per label or in any layout."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import polars as pl

from headstart.core.errors import ConfigError, DataError, HeadstartWarning
from headstart.frames.assemble import Parts, Rows, parts_of
from headstart.frames.door import Table, read_table, usable_rows
from headstart.frames.readings import Reading
from headstart.frames.splits import Splitter, check_one_source

__all__ = ["Files", "find_texts", "read_rows", "read_texts", "split_files"]

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


def find_texts(folder: str | Path, *, labelled: bool = False, exclude: Sequence[str] = ()) -> pl.DataFrame:
    """Return all ``.txt`` files under a folder, in the order of their paths.

    Args:
        folder: a folder with a folder per label, directly or inside folders such as ``train`` and ``test``; or a folder
            of any layout.
        labelled: whether the name of a file's folder is its label.
        exclude: names of folders to leave out (``unsup`` of IMDB, whose texts have no label).

    Returns:
        ``path``, ``label`` (name of the file's folder) and ``part`` (name of the first folder below ``folder``); both
        are empty for files directly in ``folder``.

    Raises:
        DataError: there is no such folder, or no text in it; or, with ``labelled``, no folder per label.
    """
    root = Path(folder)
    if not root.is_dir():
        raise DataError(f"there is no folder {root}")
    paths = sorted(path for path in root.rglob("*.txt") if path.is_file())
    inside = [path.relative_to(root).parts for path in paths]
    kept = [number for number, parts in enumerate(inside) if not set(parts[:-1]) & set(exclude)]
    if labelled:
        # IMDB's folder holds lists of its files beside the folders of texts: these are not texts.
        depth = max((len(inside[number]) for number in kept), default=0)
        kept = [number for number in kept if len(inside[number]) == depth]
        if depth == 1:
            raise DataError(f"the texts in {root} lie in no folder per label, such as {root / 'pos'}")
    if not kept:
        raise DataError(f"{root} holds no text files (*.txt)")
    return pl.DataFrame(
        {
            "path": [str(paths[number]) for number in kept],
            "label": [inside[number][-2] if len(inside[number]) > 1 else "" for number in kept],
            "part": [inside[number][0] if len(inside[number]) > 1 else "" for number in kept],
        }
    )


def read_texts(files: pl.DataFrame) -> pl.DataFrame:
    """Return the files of `find_texts` with their content in a column ``text``."""
    texts = [text for piece in Files(files["path"].to_list()) for text in piece]
    return files.with_columns(pl.Series("text", texts, pl.String))


def read_rows(
    source: Table,
    columns: Sequence[str],
    label: str | None = None,
    *,
    readings: Mapping[str, Reading] | None = None,
) -> pl.DataFrame:
    """Return a table's rows; or the text files of a folder, with the column names that a model expects.

    Args:
        source: a table, or a folder of ``.txt`` files, with a folder per label if ``label`` is given.
        columns: the model's columns of text.
        label: the column of labels; None: labels are not needed.
        readings: how a table's columns of text are read: the codec's.

    Raises:
        DataError: a folder, for a model that reads several columns.
    """
    if not (isinstance(source, str | Path) and Path(source).is_dir()):
        return read_table(source, "input", readings=readings)
    if len(columns) > 1:
        raise DataError(
            f"{source} is a folder, whose files are one text each, but the model reads {', '.join(map(repr, columns))}:"
            " give a table with these columns"
        )
    if label is None:
        return read_texts(find_texts(source)).rename({"text": columns[0]})
    files = read_texts(find_texts(source, labelled=True, exclude=("unsup",)))
    return files.rename({"text": columns[0], "label": label})


def split_files(
    files: pl.DataFrame, valid: str | None, split: Splitter | None, usual: Splitter, where: str | None
) -> Rows:
    """Return the files to train on and to validate with.

    Args:
        files: from `find_texts` or `read_texts`.
        valid: first folder whose texts validate.
        split: a splitter of the files, instead.
        usual: the split if neither is given, and no folder is named ``valid``, ``validation`` or ``test``.
        where: a SQL condition on the files; others are left out.

    Raises:
        ConfigError: both ``valid`` and ``split``, or there is no such folder.
        DataError: no files are left, or the split leaves no training files.
    """
    check_one_source(split, valid)
    files = usable_rows(files, where, "the folder", ())
    part = None if split is not None else _valid_part(files, valid)
    if part is not None:
        return Parts(files.filter(pl.col("part") != part), files.filter(pl.col("part") == part))
    return parts_of(files, split or usual).map(lambda numbers: files[numbers])


def _valid_part(files: pl.DataFrame, valid: str | None) -> str | None:
    """Return the first folder whose texts validate: as given, or by its usual names beside ``train``."""
    parts = set(files["part"].to_list())
    if valid is not None:
        if valid not in parts:
            raise ConfigError(f"valid={valid!r} is no folder there; there are: {', '.join(sorted(parts))}")
        if len(parts) == 1:
            raise DataError(f"all texts are in {valid!r}, so that none are left to train on")
        return valid
    if "train" not in parts:
        return None
    return next((name for name in ("valid", "validation", "test") if name in parts), None)


def _read(path: str, damaged: list[str]) -> str:
    try:
        content = Path(path).read_bytes()
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror or error}") from error
    try:
        return content.decode()
    except UnicodeDecodeError:
        damaged.append(path)
        return content.decode(errors="replace")
