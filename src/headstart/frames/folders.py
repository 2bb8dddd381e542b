"""One walk through a folder of texts or images: its files, and the class and the part of the split of each.

These layouts are understood, each also inside one folder of its own and in a zip archive:

    pos/1.txt                       the class is the folder's name
    train/pos/1.txt, test/pos/2.txt the first folder is the part: train, training; valid, validation, val, dev, test ...
    pos/train/1.txt, pos/test/2.txt the second folder is the part

Hidden files and folders (``.ipynb_checkpoints``, ``._1.txt``, ``__MACOSX``, ``Thumbs.db``) are skipped and counted; a
linked folder is visited once, and never one that holds the folder itself.
"""

from __future__ import annotations

import hashlib
import os
import secrets
import shutil
import unicodedata
import zipfile
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any, Literal, TypeAlias

import polars as pl

from headstart.core.errors import ConfigError, DataError
from headstart.core.paths import expanded
from headstart.frames.files import is_table_name

__all__ = ["SPLIT", "LabelFolder", "Walk", "is_folder", "labelled_files", "opened_folder", "parts_of_files", "walk"]

LabelFolder: TypeAlias = Literal["first", "last"]
"""Which folder's name is the label: the first below the folder (below its parts), or the last, which holds the file."""

SPLIT = "split"
"""Column that says to which part of the split a file belongs: ``train`` or ``valid``."""

TRAIN_NAMES = ("train", "training")
VALID_NAMES = ("valid", "validation", "val", "dev", "devel", "development", "eval", "evaluation")
TEST_NAMES = ("test", "testing", "holdout")

HIDDEN_NAMES = frozenset(
    {"__macosx", "thumbs.db", "desktop.ini", "@eadir", "$recycle.bin", "system volume information"}
)
"""Names, in lower case, of what systems put into folders; names that begin with a full stop are hidden as well."""

Parts: TypeAlias = tuple[str, ...]


@dataclass(frozen=True)
class Walk:
    """The files of one kind below a folder.

    Attributes:
        files: path of each relative to the folder, as its parts, in the order of the paths.
        others: number of files of other kinds.
        hidden: hidden files and folders that were skipped; a folder counts once.
        links: links to folders that were not followed, since they lead to files that were visited already.
    """

    files: tuple[Parts, ...]
    others: int
    hidden: tuple[str, ...]
    links: tuple[str, ...]

    def notes(self, kind: str) -> list[str]:
        """Return what a user should know of what was left out.

        Args:
            kind: what the files are, such as ``images``.
        """
        notes = []
        if self.others:
            files = "1 file whose ending is" if self.others == 1 else f"{self.others:,} files whose endings are"
            notes.append(f"{files} not among those of {kind} {'was' if self.others == 1 else 'were'} left out")
        if self.hidden:
            notes.append(f"{len(self.hidden):,} hidden files and folders were skipped, such as {self.hidden[0]}")
        if self.links:
            notes.append(f"{len(self.links):,} links to folders visited already were not followed: {self.links[0]}")
        return notes


def is_folder(source: Any) -> bool:
    """Return whether a path is a folder, or a zip archive of one: an archive without any table in it."""
    if not isinstance(source, str | Path):
        return False
    path = expanded(source)
    if path.is_dir():
        return True
    if path.suffix.lower() != ".zip" or not zipfile.is_zipfile(path):
        return False
    with zipfile.ZipFile(path) as archive:
        names = [PurePosixPath(entry.filename).name for entry in archive.infolist() if not entry.is_dir()]
    return not any(is_table_name(name) and not _is_hidden(name) for name in names)


def opened_folder(source: str | Path, cache: Path) -> Path:
    """Return a folder as it is, and a zip archive as a folder into which it was unpacked, once.

    Args:
        source: a folder, or a zip archive; ``~`` is the user's own folder.
        cache: folder for unpacked archives.

    Raises:
        DataError: there is no such folder, or the archive is damaged, encrypted, or too large for the disk.
    """
    path = expanded(source)
    if path.is_dir():
        return path
    if not path.exists():
        raise DataError(f"there is no folder {path}")
    if path.suffix.lower() != ".zip":
        raise DataError(f"{path} is a file; expected a folder, or a zip archive of one")
    try:
        with zipfile.ZipFile(path) as archive:
            return _unpacked(archive, cache)
    except (zipfile.BadZipFile, NotImplementedError, RuntimeError, EOFError) as error:
        raise DataError(f"{path} cannot be unpacked ({error}): make the archive again, without a password") from error
    except OSError as error:
        raise DataError(f"{path} cannot be unpacked into {cache}: {error.strerror or error}") from error


def walk(folder: Path, endings: Collection[str]) -> Walk:
    """Return all files with certain endings below a folder.

    Args:
        folder: an existing folder.
        endings: of the names, in lower case, such as ``.txt``; capitals do not matter.

    Raises:
        DataError: there is no such folder, or one below it cannot be read.
    """
    if not folder.is_dir():
        raise DataError(f"there is no folder {folder}")
    files: list[Parts] = []
    hidden: list[str] = []
    skipped: list[str] = []
    others = 0
    visited: set[Path] = set()
    root = folder.resolve()
    waiting: list[tuple[Path, Parts]] = [(folder, ())]
    while waiting:  # linked folders come after all real ones, so that a file keeps its own path
        start, above = waiting.pop(0)
        real = start.resolve()
        if above and (real in visited or real == root or real in root.parents):
            skipped.append("/".join(above))
            continue
        for parent, folders, names in os.walk(start, onerror=_raise):
            here = (*above, *Path(parent).relative_to(start).parts)
            visited.add(Path(parent).resolve())
            shown = []
            for name in sorted(folders):
                if _is_hidden(name):
                    hidden.append("/".join((*here, name)))
                elif Path(parent, name).is_symlink():
                    waiting.append((Path(parent, name), (*here, name)))
                elif Path(parent, name).resolve() in visited:
                    skipped.append("/".join((*here, name)))
                else:
                    shown.append(name)
            folders[:] = shown
            for name in names:
                if _is_hidden(name):
                    hidden.append("/".join((*here, name)))
                elif Path(name).suffix.lower() in endings:
                    files.append((*here, name))
                else:
                    others += 1
    return Walk(tuple(sorted(files)), others, tuple(sorted(hidden)), tuple(skipped))


def labelled_files(
    folder: Path,
    endings: Collection[str],
    kind: str,
    *,
    valid: str | None = None,
    label_folder: LabelFolder | None = None,
    exclude: Collection[str] = (),
    classes: Collection[Any] = (),
) -> tuple[pl.DataFrame, list[str]]:
    """Return the files of a folder with a folder per class, and the split that the folders make.

    Args:
        folder: the folder.
        endings: endings of the files' names, in lower case.
        kind: what the files are, for messages: ``images``.
        valid: first folder whose files validate; None: by the usual names.
        label_folder: which folder's name is the label; None: the first, unless each first folder holds folders of the
            same names, which is an error that asks for an answer.
        exclude: names of folders to leave out.
        classes: those that a trained model knows: they decide where ``label_folder`` is None.

    Returns:
        ``path`` (relative to ``folder``), ``label``, ``part`` (name of the first folder), and, where the folders make
        a split, ``split``; and notes.

    Raises:
        DataError: no files, no folder for each class, or a layout that can be read in two ways.
        ConfigError: there is no first folder named ``valid``, or no such way to label.
    """
    if label_folder not in (None, "first", "last"):
        raise ConfigError(f"label_folder must be 'first' or 'last'; got {label_folder!r}")
    found = walk(folder, endings)
    files = _kept(folder, found, endings, kind, exclude)
    wrapper = _wrapper(files)
    inner = [parts[wrapper:] for parts in files]
    split = _split_of(inner, valid, kind)
    notes, rows, unused, unlabelled = [], [], [], []
    for parts, below in zip(files, inner, strict=True):
        side = split.side(below)
        rest = split.rest(below)
        if side == "unused":
            unused.append(parts)
        elif len(rest) < 2:
            unlabelled.append(parts)
        else:
            rows.append((parts, below[0], side, rest))
    if not rows:
        raise DataError(
            f"{folder} holds {len(files):,} {kind} but no folder for each class; put them into one, or give a table"
        )
    if label_folder is None and classes:
        known = set(map(str, classes))
        first, last = ({_label(rest, which) for *_, rest in rows} <= known for which in ("first", "last"))
        label_folder = "last" if last and not first else "first"
    if label_folder is None:
        _check_clear([rest for *_, rest in rows], folder, kind)
    table = pl.DataFrame(
        {
            "path": ["/".join(parts) for parts, *_ in rows],
            "label": [_label(rest, label_folder) for *_, rest in rows],
            "part": [top for _, top, *_ in rows],
        }
    )
    if split.names:
        table = table.with_columns(pl.Series(SPLIT, [side for _, _, side, _ in rows]))
        notes.append(split.note(kind))
    if unlabelled:
        example = "/".join(unlabelled[0])
        notes.append(f"{len(unlabelled):,} {kind} lie in no class's folder and were left out, such as {example}")
    if unused:
        example = "/".join(unused[0])
        notes.append(f"{len(unused):,} {kind} beside these parts were left out, such as {example}")
    return table, [*notes, *found.notes(kind)]


def parts_of_files(
    folder: Path, endings: Collection[str], kind: str, *, valid: str | None = None, exclude: Collection[str] = ()
) -> tuple[pl.DataFrame, list[str]]:
    """Return the files of a folder of any layout, and the split that its first folders make.

    Arguments, columns and errors are those of `labelled_files`; ``label`` is the name of the folder that holds the
    file, empty for files directly in ``folder``. First folders with other names train.
    """
    found = walk(folder, endings)
    files = _kept(folder, found, endings, kind, exclude)
    wrapper = _wrapper(files)
    inner = [parts[wrapper:] for parts in files]
    split = _split_of(inner, valid, kind, labelled=False)
    sides = [split.side(below) for below in inner]
    kept = [number for number, side in enumerate(sides) if side != "unused"]
    table = pl.DataFrame(
        {
            "path": ["/".join(files[number]) for number in kept],
            "label": [inner[number][-2] if len(inner[number]) > 1 else "" for number in kept],
            "part": [inner[number][0] if len(inner[number]) > 1 else "" for number in kept],
        }
    )
    notes = []
    if split.names:
        table = table.with_columns(pl.Series(SPLIT, [sides[number] for number in kept]))
        notes.append(split.note(kind))
    if len(kept) < len(files):
        notes.append(f"{len(files) - len(kept):,} {kind} of a further part were left out: they are for a test")
    return table, [*notes, *found.notes(kind)]


@dataclass(frozen=True)
class _FolderSplit:
    """Which folders train and which validate.

    Attributes:
        level: index of the folder that names the part.
        names: name of each part's folder, in lower case, and its side; empty: no split.
        rest_trains: whether folders of other names train; else they are left out.
    """

    level: int
    names: dict[str, str]
    rest_trains: bool = False

    def side(self, parts: Parts) -> str:
        """Return ``train``, ``valid`` or ``unused``."""
        if not self.names:
            return "train"
        name = parts[self.level].lower() if len(parts) > self.level + 1 else ""
        return self.names.get(name, "train" if self.rest_trains else "unused")

    def rest(self, parts: Parts) -> Parts:
        """Return the path without the part's folder."""
        return (*parts[: self.level], *parts[self.level + 1 :]) if self.names else parts

    def note(self, kind: str) -> str:
        """Return which folders train and which validate."""
        valid = [name for name, side in self.names.items() if side == "valid"]
        train = [name for name, side in self.names.items() if side == "train"]
        others = f"those in {train[0]!r} train" if train and not self.rest_trains else "all others train"
        return f"the {kind} in {valid[0]!r} validate; {others}"


def _label(parts: Parts, label_folder: LabelFolder | None) -> str:
    """Return a file's label; a Mac may write its letters decomposed."""
    return unicodedata.normalize("NFC", parts[-2] if label_folder == "last" else parts[0])


def _kept(folder: Path, found: Walk, endings: Collection[str], kind: str, exclude: Collection[str]) -> list[Parts]:
    files = [parts for parts in found.files if not set(parts[:-1]) & set(exclude)]
    if not files:
        raise DataError(f"{folder} holds no {kind}; known endings are {', '.join(sorted(endings))}")
    return files


def _wrapper(files: Sequence[Parts]) -> int:
    """Return the number of first folders that hold everything, as an archive often has one."""
    depth = 0
    while len({parts[depth] for parts in files}) == 1 and any(len(parts) > depth + 2 for parts in files):
        depth += 1
    return depth


def _split_of(files: Sequence[Parts], valid: str | None, kind: str, *, labelled: bool = True) -> _FolderSplit:
    """Return the split that the folders make."""
    tops = sorted({parts[0] for parts in files if len(parts) > 1})
    if valid is not None:
        if valid not in tops:
            raise ConfigError(f"valid={valid!r} is no folder there; there are: {', '.join(tops) or 'none'}")
        if len(tops) == 1 and all(len(parts) > 1 for parts in files):
            raise DataError(f"all {kind} are in {valid!r}, so that none are left to train on")
        return _FolderSplit(0, {valid.lower(): "valid"}, rest_trains=True)
    names = _usual(tops)
    if names and labelled:
        return _FolderSplit(0, names)
    if names:  # of a language model's folders only those of another part are left out
        others = dict.fromkeys((*VALID_NAMES, *TEST_NAMES), "unused")
        return _FolderSplit(0, {**others, **names}, rest_trains=True)
    if labelled and tops:
        inside = [_usual({parts[1] for parts in files if parts[0] == top and len(parts) > 2}) for top in tops]
        if inside[0] and all(names == inside[0] for names in inside):
            return _FolderSplit(1, inside[0])
    return _FolderSplit(0, {})


def _usual(folders: Collection[str]) -> dict[str, str]:
    """Return the sides of folders with the usual names of a split; empty unless some train and others validate."""
    lower = {name.lower() for name in folders}
    train = [name for name in TRAIN_NAMES if name in lower]
    valid = [name for name in (*VALID_NAMES, *TEST_NAMES) if name in lower]
    return {train[0]: "train", valid[0]: "valid"} if train and valid else {}


def _check_clear(files: Sequence[Parts], folder: Path, kind: str) -> None:
    """Raise `DataError` if each first folder holds folders of the same names, so that either may be the classes."""
    inside: dict[str, set[str]] = {}
    for parts in files:
        inside.setdefault(parts[0], set()).add(parts[1] if len(parts) > 2 else "")
    common = set.intersection(*inside.values())
    if len(inside) < 2 or len(common) < 2 or any("" in names for names in inside.values()):
        return
    outer, inner = ", ".join(sorted(inside)[:4]), ", ".join(sorted(common)[:4])
    raise DataError(
        f"{folder}: each of the folders {outer} holds folders named {inner}: which are the classes? The first:"
        f" label_folder='first' (--label-folder first). The last: label_folder='last' (--label-folder last), and"
        f" valid={sorted(inside)[-1]!r} if the {kind} of one folder shall validate"
    )


def _is_hidden(name: str) -> bool:
    return name.startswith(".") or name.lower() in HIDDEN_NAMES


def _raise(error: OSError) -> None:
    raise DataError(f"{error.filename} cannot be read: {error.strerror or error}") from error


def _unpacked(archive: zipfile.ZipFile, cache: Path) -> Path:
    """Return the folder into which an archive is unpacked, under a name made of its content."""
    entries = archive.infolist()
    content = "\n".join(f"{entry.filename} {entry.CRC} {entry.file_size}" for entry in entries)
    folder = cache / f"unpacked-{hashlib.sha256(content.encode()).hexdigest()[:24]}"
    if folder.is_dir():
        return folder
    cache.mkdir(parents=True, exist_ok=True)
    size, free = sum(entry.file_size for entry in entries), shutil.disk_usage(cache).free
    if size > free:
        raise DataError(
            f"the archive needs {size:,} bytes, but {cache} has {free:,}: set HEADSTART_CACHE to a larger disk"
        )
    partial = cache / f"{folder.name}.{secrets.token_hex(4)}"
    try:
        for entry, parts in _entries(entries):
            target = partial.joinpath(*parts)
            target.parent.mkdir(parents=True, exist_ok=True)
            with archive.open(entry) as packed, target.open("wb") as unpacked:
                shutil.copyfileobj(packed, unpacked)
        partial.mkdir(parents=True, exist_ok=True)
        partial.replace(folder)
    except FileExistsError:  # another process was as quick
        pass
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    return folder


def _entries(entries: Sequence[zipfile.ZipInfo]) -> Iterator[tuple[zipfile.ZipInfo, Parts]]:
    """Yield an archive's files, with their names as a Mac writes them: UTF-8 without saying so; never out of it."""
    for entry in entries:
        name = entry.filename
        if not entry.flag_bits & 0x800:
            try:
                name = name.encode("cp437").decode()
            except UnicodeError:
                name = entry.filename
        parts = tuple(part for part in PurePosixPath(name).parts if part not in ("/", "..", "."))
        if not entry.is_dir() and parts and parts[0].lower() != "__macosx":
            yield entry, parts
