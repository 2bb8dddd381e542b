"""`RowStore`: rows computed once and kept on disk, in any order, memory-mapped, shared between runs.

A store's folder is named by a digest of what its rows depend on. Beside the values lies a byte for each row, set once
the row is whole and on the disk, so that an interrupted computation goes on where it was, also after a power failure.
"""

from __future__ import annotations

import hashlib
import json
import os
import secrets
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from headstart.core.errors import DataError
from headstart.datasets.get import usual_cache
from headstart.vision.marks import mark

__all__ = ["RowStore", "cache_folder"]

Indices = NDArray[np.int64]


def cache_folder(cache: str | Path | None) -> Path:
    """Return the folder of the stores: ``cache``, or ``vision`` in the usual cache (``HEADSTART_CACHE``)."""
    return Path(cache).expanduser().absolute() if cache is not None else usual_cache() / "vision"


class RowStore:
    """Rows of one shape and type, in a file that is mapped into memory.

    Args:
        root: folder of all stores.
        kind: first word of the store's name.
        depends_on: all that the rows depend on, as JSON; another value is another store.
        rows: number of rows.
        shape: shape of a row.
        dtype: type of its numbers.
        lasting: whether rows are written through to the disk before they are marked; False: the store is for this run
            only.

    Raises:
        DataError: the folder cannot be written, or its disk has no room for all rows.
    """

    def __init__(
        self,
        root: Path,
        kind: str,
        depends_on: Mapping[str, Any],
        *,
        rows: int,
        shape: Sequence[int],
        dtype: str,
        lasting: bool = True,
    ) -> None:
        layout = {"rows": rows, "shape": list(shape), "dtype": dtype}
        text = json.dumps({**depends_on, **layout}, sort_keys=True)
        self.folder = root / f"{kind}-{hashlib.sha256(text.encode()).hexdigest()[:24]}"
        self.rows, self.shape, self.lasting = rows, tuple(shape), lasting
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            self.values: np.memmap[Any, np.dtype[Any]] = self._mapped("values", np.dtype(dtype), (rows, *shape))
            self.done: np.memmap[Any, np.dtype[np.uint8]] = self._mapped("done", np.dtype(np.uint8), (rows,))
            self._check_room()
            about = self.folder / "about.json"
            if not about.exists():
                about.write_text(json.dumps({**depends_on, **layout}, indent=1))
        except OSError as error:
            raise DataError(
                f"{self.folder} cannot be written ({error.strerror or error}): set HEADSTART_CACHE or cache= to a"
                " folder that can be, with room on its disk"
            ) from error

    @property
    def nbytes(self) -> int:
        """Bytes on the disk of the rows computed so far."""
        return int(np.count_nonzero(self.done)) * (self.values.nbytes // max(1, self.rows))

    def missing(self, rows: Indices) -> Indices:
        """Return those of the rows' numbers that are not computed yet, each once, in their order."""
        missing: Indices = rows[self.done[rows] == 0]
        _, first = np.unique(missing, return_index=True)
        return missing[np.sort(first)]

    def write(self, rows: Indices, values: NDArray[Any]) -> None:
        """Store rows: first the values, through to the disk, then the mark that they are there."""
        self.values[rows] = values
        mark(self.values, self.done, rows, lasting=self.lasting)

    def take(self, rows: Indices) -> NDArray[Any]:
        """Return a copy of rows, ``(rows, *shape)``.

        Raises:
            DataError: some of them are not computed yet, or not in this machine's folder.
        """
        there = self.done[rows] != 0
        if not there.all():
            raise DataError(
                f"{self.folder} lacks {len(np.unique(rows[~there])):,} of {len(np.unique(rows)):,} rows: they were not"
                " computed yet, or on another machine that has a folder of its own; compute them again"
            )
        return np.asarray(self.values[rows])

    def _check_room(self) -> None:
        """Raise `DataError` if the disk cannot hold all rows: a full disk under a mapped file kills the process."""
        needed, free = self.values.nbytes - self.nbytes, shutil.disk_usage(self.folder).free
        if needed > free:
            raise DataError(
                f"{self.folder} needs up to {needed / 1e9:.1f} GB, and its disk has {free / 1e9:.1f} GB left: free"
                " some, or set HEADSTART_CACHE or cache= to a folder on another disk"
            )

    def _mapped(self, name: str, dtype: np.dtype[Any], shape: tuple[int, ...]) -> np.memmap[Any, np.dtype[Any]]:
        path = self.folder / name
        size = int(np.prod(shape, dtype=np.int64)) * dtype.itemsize
        if not path.exists():
            new = path.with_name(f".{name}.{secrets.token_hex(4)}")
            with new.open("wb") as file:
                file.truncate(size)  # a hole: takes room as rows come
            try:
                os.link(new, path)  # unlike a renaming, it never replaces what another process has just created
            except FileExistsError:
                pass
            except OSError:  # a disk without links
                new.replace(path)
            new.unlink(missing_ok=True)
        if path.stat().st_size != size:
            raise OSError(f"{path} has {path.stat().st_size} bytes instead of {size}: delete its folder")
        return np.memmap(path, dtype=dtype, mode="r+", shape=shape)
