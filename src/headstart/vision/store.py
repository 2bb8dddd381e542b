"""`RowStore`: rows computed once and kept on disk, in any order, memory-mapped, shared, and taken up after a stop.

A store's folder is named by a digest of what its rows are made of. Beside the values lies a byte for each row, set once
the row is whole: whoever comes later, or meanwhile, computes what is missing.
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

__all__ = ["RowStore", "cache_folder"]

Places = NDArray[np.int64]


def cache_folder(cache: str | Path | None) -> Path:
    """Where stores lie: ``cache``, or the folder ``vision`` in the usual cache (``HEADSTART_CACHE``)."""
    return Path(cache).expanduser().absolute() if cache is not None else usual_cache() / "vision"


class RowStore:
    """Rows of one shape and type, in a file that is mapped into memory.

    Args:
        root: the folder of all stores.
        kind: what begins the store's name.
        made_of: all that the rows depend on, as JSON holds it; another value is another store.
        rows: how many.
        shape: of a row.
        dtype: of its numbers.

    Raises:
        DataError: the folder cannot be written.
    """

    def __init__(
        self, root: Path, kind: str, made_of: Mapping[str, Any], *, rows: int, shape: Sequence[int], dtype: str
    ) -> None:
        layout = {"rows": rows, "shape": list(shape), "dtype": dtype}
        text = json.dumps({**made_of, **layout}, sort_keys=True)
        self.folder = root / f"{kind}-{hashlib.sha256(text.encode()).hexdigest()[:24]}"
        self.rows, self.shape = rows, tuple(shape)
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            self.values: NDArray[Any] = self._mapped("values", np.dtype(dtype), (rows, *shape))
            self.done: NDArray[np.uint8] = self._mapped("done", np.dtype(np.uint8), (rows,))
            self._check_room()
            about = self.folder / "about.json"
            if not about.exists():
                about.write_text(json.dumps({**made_of, **layout}, indent=1))
        except OSError as error:
            raise DataError(
                f"{self.folder} cannot be written ({error.strerror or error}): set HEADSTART_CACHE or cache= to a"
                " folder that can be, with room on its disk"
            ) from error

    @property
    def nbytes(self) -> int:
        """Bytes that the rows computed so far take on the disk."""
        return int(np.count_nonzero(self.done)) * (self.values.nbytes // max(1, self.rows))

    def missing(self, places: Places) -> Places:
        """Those of the rows' numbers, each once and in their order, that are not there yet."""
        found: Places = places[self.done[places] == 0]
        _, first = np.unique(found, return_index=True)
        return found[np.sort(first)]

    def write(self, places: Places, values: NDArray[Any]) -> None:
        """Puts rows in their places: first the values, then the mark that they are there."""
        self.values[places] = values
        self.done[places] = 1

    def _check_room(self) -> None:
        """That the disk can hold all rows: a full disk under a mapped file ends the process without a word."""
        needed, free = self.values.nbytes - self.nbytes, shutil.disk_usage(self.folder).free
        if needed > free:
            raise DataError(
                f"{self.folder} needs up to {needed / 1e9:.1f} GB, and its disk has {free / 1e9:.1f} GB left: free"
                " some, or set HEADSTART_CACHE or cache= to a folder on another disk"
            )

    def _mapped(self, name: str, dtype: np.dtype[Any], shape: tuple[int, ...]) -> NDArray[Any]:
        path = self.folder / name
        size = int(np.prod(shape, dtype=np.int64)) * dtype.itemsize
        if not path.exists():
            new = path.with_name(f".{name}.{secrets.token_hex(4)}")
            with new.open("wb") as file:
                file.truncate(size)  # a hole: takes room as rows come
            try:
                os.link(new, path)  # unlike a renaming, it never replaces what another process has just made
            except FileExistsError:
                pass
            except OSError:  # a disk without links
                new.replace(path)
            new.unlink(missing_ok=True)
        if path.stat().st_size != size:
            raise OSError(f"{path} has {path.stat().st_size} bytes instead of {size}: delete its folder")
        return np.memmap(path, dtype=dtype, mode="r+", shape=shape)
