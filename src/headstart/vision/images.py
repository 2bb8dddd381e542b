"""Where images come from: files on disk, or an array. Each source knows its images' contents and returns squares."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
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

__all__ = [
    "ArrayImages",
    "FileImages",
    "ImageSource",
    "Images",
    "array_images",
    "channels_last",
    "file_digest",
    "list_digest",
]

Rows = NDArray[np.int64]

DECODER = 1
"""To be raised when the same file would give other pixels: stores of an earlier one are not used any more."""

READERS = 8

CHANNELS = (1, 3, 4)
"""Numbers of channels: grey, colours, colours with opacity."""


class ImageSource(Protocol):
    """Images of one size, by their rows' numbers."""

    def start(self, rows: Rows) -> None:
        """Begin to prepare these rows in the background."""

    def take(self, rows: Rows) -> Tensor:
        """Return pixels, uint8 ``(rows, 3, size, size)``, laid out with the channels last."""

    def failed(self, rows: Rows) -> dict[int, str]:
        """Return those of the rows whose image cannot be decoded, each with the reason."""

    def digest(self, rows: Rows) -> str:
        """Return a digest of these rows' contents."""


class Images(Protocol):
    """Images of any size, by their rows' numbers.

    Attributes:
        digests: digest of each row's content.
        names: what messages and plots call each row.
        unreadable: rows whose file cannot be opened, each with the reason.
    """

    digests: NDArray[np.str_]
    names: list[str]
    unreadable: dict[int, str]

    def at(self, sizing: Sizing) -> ImageSource:
        """Return the same images at one size."""


class FileImages:
    """Image files. Their resized copies are kept in a store, keyed by the files' contents.

    Args:
        paths: the files, a row each.
        cache: folder of the stores.
        workers: number of processes that decode.
        digests: digests of the contents; None: computed here.
        lasting: whether later runs use the stores; False: they are deleted soon, so nothing waits for the disk.
    """

    def __init__(
        self,
        paths: Sequence[str],
        cache: Path,
        workers: int,
        digests: NDArray[np.str_] | None = None,
        *,
        lasting: bool = True,
    ) -> None:
        self.names, self.cache, self.workers, self.lasting = list(paths), cache, workers, lasting
        self.unreadable: dict[int, str] = {}
        if digests is None:
            digests, self.unreadable = _digests(self.names)
        self.digests = digests
        self._sources: dict[Sizing, _FileSource] = {}

    def at(self, sizing: Sizing) -> ImageSource:
        """Return the files' images at one size."""
        if sizing not in self._sources:
            self._sources[sizing] = _FileSource(self, sizing)
        return self._sources[sizing]


class _FileSource:
    """Files at one size. Rows of equal content share a row of the store."""

    def __init__(self, images: FileImages, sizing: Sizing) -> None:
        contents, first, self._stored = np.unique(images.digests, return_index=True, return_inverse=True)
        depends_on = {"images": list_digest(contents), "sizing": asdict(sizing), "decoder": DECODER}
        self._store = RowStore(
            images.cache, "pixels", depends_on, rows=len(contents), shape=(sizing.size, sizing.size, 3), dtype="uint8",
            lasting=images.lasting,
        )  # fmt: skip
        self._decoding = Decoding(self._store, [images.names[row] for row in first], sizing, images.workers)
        self._digests = images.digests

    def start(self, rows: Rows) -> None:
        self._decoding.start(self._stored[rows])

    def take(self, rows: Rows) -> Tensor:
        stored = self._stored[rows]
        self._decoding.wait(stored)
        return torch.from_numpy(self._store.values[stored]).permute(0, 3, 1, 2)  # (rows, 3, height, width)

    def failed(self, rows: Rows) -> dict[int, str]:
        stored = self._stored[rows]
        bad = set(self._decoding.failed(stored))
        return {
            int(row): self._decoding.errors[int(index)] for row, index in zip(rows, stored, strict=True) if index in bad
        }

    def digest(self, rows: Rows) -> str:
        return list_digest(self._digests[rows])


class ArrayImages:
    """Images in an array, resized when they are needed: nothing of them is kept on disk.

    Args:
        array: uint8 ``(rows, height, width, 3)``.
    """

    def __init__(self, array: NDArray[np.uint8]) -> None:
        self.array = array
        self.names = [f"image {row}" for row in range(len(array))]
        shape = str(array.shape[1:]).encode()
        self.digests: NDArray[np.str_] = np.array([hashlib.sha256(shape + row.tobytes()).hexdigest() for row in array])
        self.unreadable: dict[int, str] = {}

    def at(self, sizing: Sizing) -> ImageSource:
        """Return the images at one size."""
        return _ArraySource(self, sizing)


class _ArraySource:
    """An array's images at one size."""

    def __init__(self, images: ArrayImages, sizing: Sizing) -> None:
        self._array, self._digests, self._sizing = images.array, images.digests, sizing

    def start(self, rows: Rows) -> None:
        """Do nothing: they are in memory."""

    def take(self, rows: Rows) -> Tensor:
        from PIL import Image

        squares = np.empty((len(rows), self._sizing.size, self._sizing.size, 3), dtype=np.uint8)
        for index, row in enumerate(rows):
            squares[index] = fitted(Image.fromarray(self._array[row]), self._sizing)
        return torch.from_numpy(squares).permute(0, 3, 1, 2)

    def failed(self, rows: Rows) -> dict[int, str]:
        return {}

    def digest(self, rows: Rows) -> str:
        return list_digest(self._digests[rows])


def array_images(images: Any) -> ArrayImages:
    """Return the images of an array or tensor.

    Args:
        images: ``(rows, height, width)`` in grey, or with 1, 3 or 4 channels last; uint8, uint16 (scaled to 8 bits),
            booleans, or fractions from 0 to 1. A fourth channel is opacity, over white. Tensors may have the channels
            first, ``(rows, channels, height, width)``, as torchvision has them.

    Raises:
        DataError: another shape, another type, no images, or values outside their range.
    """
    if isinstance(images, Tensor):
        images = (channels_last(images) if images.ndim == 4 else images).cpu()
    array = np.asarray(images)
    if array.ndim not in (3, 4) or (array.ndim == 4 and array.shape[3] not in (1, 3, 4)):
        raise DataError(
            "images must be (rows, height, width), or (rows, height, width, channels) with 1, 3 or 4 channels;"
            f" got {array.shape}"
        )
    if 0 in array.shape:
        raise DataError(f"there are no images in an array of shape {array.shape}")
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
    return ArrayImages(np.ascontiguousarray(array))


def channels_last(images: Tensor) -> Tensor:
    """Return a tensor of images ``(..., channels, height, width)``, as torchvision has them, with the channels last.

    Args:
        images: one image of 3 axes, or several of 4; a tensor with its channels last already is returned as it is.
    """
    first_is_channels = images.ndim in (3, 4) and images.shape[-3] in CHANNELS and images.shape[-1] not in CHANNELS
    if images.ndim == 3 and first_is_channels:
        return images.permute(1, 2, 0)
    return images.permute(0, 2, 3, 1) if first_is_channels else images


def file_digest(path: str) -> str:
    """Return the SHA-256 of a file's content; its name and date make no difference.

    Raises:
        OSError: it cannot be read.
    """
    with Path(path).open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def list_digest(digests: NDArray[np.str_]) -> str:
    """Return the SHA-256 of a list of digests."""
    return hashlib.sha256("\n".join(digests.tolist()).encode()).hexdigest()


def _digests(paths: Sequence[str]) -> tuple[NDArray[np.str_], dict[int, str]]:
    """Return each file's digest, and the reason for those that cannot be read."""

    def digest(path: str) -> tuple[str, str | None]:
        try:
            return file_digest(path), None
        except OSError as error:
            return hashlib.sha256(f"unreadable: {path}".encode()).hexdigest(), f"{path}: {error.strerror}"

    if not len(paths):
        raise ConfigError("there are no images")
    with ThreadPoolExecutor(READERS) as pool:
        read = list(pool.map(digest, paths))
    return np.array([each for each, _ in read]), {row: why for row, (_, why) in enumerate(read) if why is not None}
