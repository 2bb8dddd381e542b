"""Folders of text files: one file per text, with a folder per label or in any layout."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Sequence
from pathlib import Path

import polars as pl

from headstart.core.errors import ConfigError, DataError, HeadstartWarning
from headstart.frames.door import Table, read_table

__all__ = ["file_pieces", "find_texts", "read_texts", "rows_of", "split_by_part"]

FILES_AT_ONCE = 2_000


def find_texts(folder: str | Path, *, labelled: bool = False, exclude: Sequence[str] = ()) -> pl.DataFrame:
    """All ``.txt`` files under a folder, in the order of their paths.

    Args:
        folder: with a folder per label, in one or in folders such as ``train`` and ``test``; or of any layout.
        labelled: whether the folder that a file lies in is its label.
        exclude: names of folders to leave out (``unsup`` of IMDB, whose texts have no label).

    Returns:
        ``path``, ``label`` (the name of the file's own folder) and ``part`` (the first folder on the way, or empty).

    Raises:
        DataError: there is no such folder, or no text in it; or with ``labelled`` a file in no folder of its own.
    """
    root = Path(folder)
    if not root.is_dir():
        raise DataError(f"there is no folder {root}")
    paths = sorted(path for path in root.rglob("*.txt") if path.is_file())
    inside = [path.relative_to(root).parts for path in paths]
    kept = [number for number, parts in enumerate(inside) if not set(parts[:-1]) & set(exclude)]
    if labelled:
        # IMDB's own folder holds lists of its files beside the folders of texts: those are no texts.
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


def file_pieces(paths: Sequence[str]) -> Iterator[list[str]]:
    """The files' texts, some at a time, so that a corpus may be larger than memory."""
    damaged: list[str] = []
    for start in range(0, len(paths), FILES_AT_ONCE):
        yield [_read(path, damaged) for path in paths[start : start + FILES_AT_ONCE]]
    if damaged:
        warnings.warn(
            f"{len(damaged)} of {len(paths)} files are not UTF-8 throughout ({damaged[0]} is the first): the bytes that"
            " cannot be read count as one unknown character each; convert them if there are many",
            HeadstartWarning,
            stacklevel=2,
        )


def read_texts(files: pl.DataFrame) -> pl.DataFrame:
    """The files of `find_texts` with a column ``text``."""
    texts = [text for piece in file_pieces(files["path"].to_list()) for text in piece]
    return files.with_columns(pl.Series("text", texts, pl.String))


def rows_of(source: Table, columns: Sequence[str], label: str | None = None) -> pl.DataFrame:
    """A table's rows; or the text files of a folder, under the names of the columns that a model reads.

    Args:
        source: a table, or a folder of ``.txt`` files, with a folder per label if labels are asked for.
        columns: that hold the texts.
        label: the column of labels; None: none is needed.

    Raises:
        DataError: a folder for a model that reads several columns.
    """
    if not (isinstance(source, str | Path) and Path(source).is_dir()):
        return read_table(source, "input")
    if len(columns) > 1:
        raise DataError(
            f"{source} is a folder, whose files are one text each, but the model reads {', '.join(map(repr, columns))}:"
            " give a table with these columns"
        )
    if label is None:
        return read_texts(find_texts(source)).rename({"text": columns[0]})
    files = read_texts(find_texts(source, labelled=True, exclude=("unsup",)))
    return files.rename({"text": columns[0], "label": label})


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


def split_by_part(files: pl.DataFrame, valid: str | None) -> str | None:
    """Which first folder validates: the one asked for, else ``valid``, ``validation`` or ``test`` beside ``train``.

    Raises:
        ConfigError: there is no such folder.
    """
    parts = set(files["part"].to_list())
    if valid is not None:
        if valid not in parts:
            raise ConfigError(f"valid={valid!r} is no folder there; there are: {', '.join(sorted(parts))}")
        return valid
    if "train" not in parts:
        return None
    return next((name for name in ("valid", "validation", "test") if name in parts), None)
