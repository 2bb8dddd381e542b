"""Where pictures come from: files on disk, or an array. Both know each picture's content and give squares of pixels."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from headstart.core.errors import ConfigError, DataError
from headstart.vision.decoding import Sizing, fitted
from headstart.vision.store import RowStore
from headstart.vision.workers import Decoding

__all__ = ["ArrayPictures", "FilePictures", "PictureSource", "Pictures", "array_pictures", "file_digest", "list_digest"]

DECODER = 1
"""To be raised when the same file would give other pixels: stores of an earlier one are not used any more."""

READERS = 8


class PictureSource(Protocol):
    """Pictures of one size, by their rows' numbers."""

    def start(self, rows: NDArray[np.int64]) -> None:
        """Begins to prepare these rows in the background."""

    def take(self, rows: NDArray[np.int64]) -> Tensor:
        """Pixels, uint8 ``(rows, 3, size, size)``, laid out with the channels last."""

    def failed(self, rows: NDArray[np.int64]) -> dict[int, str]:
        """Those of the rows whose picture cannot be had, and why."""


class Pictures(Protocol):
    """Pictures of any size, by their rows' numbers.

    Attributes:
        digests: of each row's content.
        names: what messages and plots call each.
        unreadable: rows whose file cannot be opened, and why.
    """

    digests: NDArray[np.str_]
    names: list[str]
    unreadable: dict[int, str]

    def at(self, sizing: Sizing) -> PictureSource:
        """The same pictures at one size."""


class FilePictures:
    """Image files. Their resized copies are kept in a store, keyed by what is in the files.

    Args:
        paths: of the files, a row each.
        cache: the folder of the stores.
        workers: processes that decode.
        digests: of their contents, where they are known already.
    """

    def __init__(
        self, paths: Sequence[str], cache: Path, workers: int, digests: NDArray[np.str_] | None = None
    ) -> None:
        self.names, self.cache, self.workers = list(paths), cache, workers
        self.unreadable: dict[int, str] = {}
        if digests is None:
            digests, self.unreadable = _digests(self.names)
        self.digests = digests
        self._sources: dict[Sizing, _FileSource] = {}

    def at(self, sizing: Sizing) -> PictureSource:
        """The files' pictures at one size."""
        if sizing not in self._sources:
            self._sources[sizing] = _FileSource(self, sizing)
        return self._sources[sizing]


class _FileSource:
    """Files at one size. Rows of equal content share a place in the store."""

    def __init__(self, pictures: FilePictures, sizing: Sizing) -> None:
        contents, first, self._places = np.unique(pictures.digests, return_index=True, return_inverse=True)
        made_of = {"pictures": list_digest(contents), "sizing": sizing.to_json(), "decoder": DECODER}
        self._store = RowStore(
            pictures.cache, "pixels", made_of, rows=len(contents), shape=(sizing.size, sizing.size, 3), dtype="uint8"
        )
        self._decoding = Decoding(self._store, [pictures.names[row] for row in first], sizing, pictures.workers)

    def start(self, rows: NDArray[np.int64]) -> None:
        self._decoding.start(self._places[rows])

    def take(self, rows: NDArray[np.int64]) -> Tensor:
        places = self._places[rows]
        self._decoding.wait(places)
        return torch.from_numpy(self._store.values[places]).permute(0, 3, 1, 2)  # (rows, 3, height, width)

    def failed(self, rows: NDArray[np.int64]) -> dict[int, str]:
        places = self._places[rows]
        bad = set(self._decoding.failed(places))
        return {
            int(row): self._decoding.errors[int(place)] for row, place in zip(rows, places, strict=True) if place in bad
        }


class ArrayPictures:
    """Pictures in an array, resized when they are asked for: nothing of them is kept on disk.

    Args:
        array: uint8 ``(rows, height, width, 3)``.
    """

    def __init__(self, array: NDArray[np.uint8]) -> None:
        self.array = array
        self.names = [f"image {row}" for row in range(len(array))]
        shape = str(array.shape[1:]).encode()
        self.digests: NDArray[np.str_] = np.array([hashlib.sha256(shape + row.tobytes()).hexdigest() for row in array])
        self.unreadable: dict[int, str] = {}

    def at(self, sizing: Sizing) -> PictureSource:
        """The pictures at one size."""
        return _ArraySource(self.array, sizing)


class _ArraySource:
    """An array's pictures at one size."""

    def __init__(self, array: NDArray[np.uint8], sizing: Sizing) -> None:
        self._array, self._sizing = array, sizing

    def start(self, rows: NDArray[np.int64]) -> None:
        """Nothing: they are there."""

    def take(self, rows: NDArray[np.int64]) -> Tensor:
        from PIL import Image

        squares = np.empty((len(rows), self._sizing.size, self._sizing.size, 3), dtype=np.uint8)
        for place, row in enumerate(rows):
            squares[place] = fitted(Image.fromarray(self._array[row]), self._sizing)
        return torch.from_numpy(squares).permute(0, 3, 1, 2)

    def failed(self, rows: NDArray[np.int64]) -> dict[int, str]:
        return {}


def array_pictures(images: Any) -> ArrayPictures:
    """Pictures out of an array or tensor.

    Args:
        images: ``(rows, height, width)`` in grey, or with 1, 3 or 4 channels last; uint8, uint16 (scaled to 8 bits),
            booleans, or fractions from 0 to 1. A fourth channel is opacity, and what is behind is white.

    Raises:
        DataError: another shape, another type, no pictures, or values outside their range.
    """
    array = np.asarray(images.cpu() if isinstance(images, Tensor) else images)
    if array.ndim not in (3, 4) or (array.ndim == 4 and array.shape[3] not in (1, 3, 4)):
        raise DataError(
            "images must be (rows, height, width), or (rows, height, width, channels) with 1, 3 or 4 channels;"
            f" got {array.shape}"
        )
    if 0 in array.shape:
        raise DataError(f"there are no pictures in an array of shape {array.shape}")
    if array.dtype == np.uint16:
        array = (array / 257).round().astype(np.uint8)
    elif array.dtype == np.bool_:
        array = array.astype(np.uint8) * 255
    elif array.dtype.kind == "f":
        low, high = float(array.min()), float(array.max())
        if not (low >= 0 and high <= 1):  # also for NaN
            raise DataError(f"images of fractions must lie from 0 to 1; got {low:g} to {high:g}")
        array = (array * 255).round().astype(np.uint8)
    elif array.dtype != np.uint8:
        raise DataError(f"images must be uint8, uint16, booleans or fractions from 0 to 1; got {array.dtype}")
    array = array[..., None] if array.ndim == 3 else array
    if array.shape[3] == 4:
        opacity = array[..., 3:] / 255.0
        array = (array[..., :3] * opacity + 255.0 * (1 - opacity)).round().astype(np.uint8)
    if array.shape[3] == 1:
        array = np.repeat(array, 3, axis=3)
    return ArrayPictures(np.ascontiguousarray(array))


def file_digest(path: str) -> str:
    """A digest of what is in a file; its name and date make no difference.

    Raises:
        OSError: it cannot be read.
    """
    with Path(path).open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _digests(paths: Sequence[str]) -> tuple[NDArray[np.str_], dict[int, str]]:
    """A digest for each file, and for those that cannot be read the reason."""

    def digest(path: str) -> tuple[str, str | None]:
        try:
            return file_digest(path), None
        except OSError as error:
            return hashlib.sha256(f"unreadable: {path}".encode()).hexdigest(), f"{path}: {error.strerror}"

    if not len(paths):
        raise ConfigError("there are no pictures")
    with ThreadPoolExecutor(READERS) as pool:
        found = list(pool.map(digest, paths))
    return np.array([one for one, _ in found]), {row: why for row, (_, why) in enumerate(found) if why is not None}


def list_digest(digests: NDArray[np.str_]) -> str:
    """A digest of a list of digests."""
    return hashlib.sha256("\n".join(digests.tolist()).encode()).hexdigest()
