"""Loaders of images and of their activations: batches in the order of a `TensorLoader`, inputs fetched by row."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from headstart.core.batch import Batch, to_device
from headstart.core.engine import Engine, seed_of
from headstart.core.values import Json
from headstart.training.loaders import TensorLoader, digest_of
from headstart.vision.augment import Augment, draw
from headstart.vision.images import ImageSource

__all__ = ["ActivationLoader", "ActivationSource", "ImageLoader"]

Rows = NDArray[np.int64]


class ActivationSource(Protocol):
    """Precomputed activations of a table's rows and of changed copies of them."""

    def take(self, rows: Rows, copies: Rows) -> Tensor:
        """Return activations, float32 ``(rows, features)``, of rows and of the copies given by number."""

    def digest(self, rows: Rows) -> str:
        """Return a digest of what these rows' activations depend on."""

    def check(self) -> None:
        """Raise `ConfigError` if the backbone has other weights than those that computed them."""


class _RowLoader:
    """Order, shares and targets of a `TensorLoader` of row numbers; a subclass fetches the inputs.

    Args:
        rows: numbers of the rows, int64 ``(rows,)``, in their order.
        target: targets ``(rows, ...)``, or None.
        batch_size: rows per step over all processes.
        shuffle: a new order every epoch.
        seed: seed of the order.
        engine: device and processes.
        weight: each row's weight in the loss, float ``(rows,)``; None: all count the same.
    """

    def __init__(
        self,
        rows: Rows,
        target: Tensor | None,
        *,
        batch_size: int,
        shuffle: bool,
        seed: int,
        engine: Engine,
        weight: Tensor | None = None,
    ) -> None:
        on_processor = engine if engine.device.type == "cpu" else Engine("cpu", keep_memory=False)
        self._order = TensorLoader(
            [torch.from_numpy(rows)], target, weight, batch_size=batch_size, shuffle=shuffle, seed=seed,
            engine=on_processor,
        )  # fmt: skip  # its tensors stay on the processor, where files and memory maps are read by number
        self.rows, self.batch_size, self.seed, self.engine = len(rows), batch_size, seed, engine
        self.shuffle, self.row_numbers = shuffle, rows

    @property
    def target(self) -> Tensor | None:
        """The rows' targets, ``(rows, ...)``, in their order."""
        return self._order.target

    @property
    def weight(self) -> Tensor | None:
        """The rows' weights in the loss, ``(rows,)``, in their order; None: all count the same."""
        return self._order.weight

    def steps(self, epoch: int) -> int:
        """Return the number of batches."""
        return self._order.steps(epoch)

    def batches(self, epoch: int, start_step: int = 0) -> Iterator[Batch]:
        """Yield this process's share of each batch; every row comes once per epoch over all processes."""
        self._begin(epoch, start_step)
        for batch in self._order.batches(epoch, start_step):
            assert batch.index is not None
            yield replace(batch, inputs=(self._inputs(batch.inputs[0].numpy(), batch.index, epoch),))

    def _fingerprint(self, inputs: str) -> Json:
        digest = f"{inputs}-{digest_of(self.target, self.weight)}"
        return {"rows": self.rows, "batch_size": self.batch_size, "seed": self.seed, "digest": digest}

    def _begin(self, epoch: int, start_step: int) -> None:
        """Prepare for the batches of an epoch."""

    def _inputs(self, rows: Rows, index: Tensor, epoch: int) -> Tensor:
        raise NotImplementedError


class ImageLoader(_RowLoader):
    """Batches of images, decoded ahead, augmented on the device.

    Args:
        source: the images, at one size.
        rows: numbers of the rows, int64 ``(rows,)``, in their order.
        target: targets ``(rows, ...)``, or None.
        batch_size: rows per step over all processes.
        shuffle: a new order every epoch.
        seed: seed of the order and of the augmentation.
        engine: device and processes.
        augment: how images are changed; None: not at all.
        weight: each row's weight in the loss, float ``(rows,)``; None: all count the same.
    """

    def __init__(
        self,
        source: ImageSource,
        rows: Rows,
        target: Tensor | None,
        *,
        batch_size: int,
        shuffle: bool,
        seed: int = 0,
        engine: Engine,
        augment: Augment | None = None,
        weight: Tensor | None = None,
    ) -> None:
        super().__init__(rows, target, batch_size=batch_size, shuffle=shuffle, seed=seed, engine=engine, weight=weight)
        self.source, self.augment = source, augment
        self._drawn = (-1, torch.empty(0))

    def fingerprint(self) -> Json:
        """Return what the batches depend on; the augmentation is the codec's."""
        return {"inputs": "images", **self._fingerprint(self.source.digest(self.row_numbers))}

    def _begin(self, epoch: int, start_step: int) -> None:
        coming = [batch.inputs[0].numpy() for batch in self._order.batches(epoch, start_step)]
        if coming:
            self.source.start(np.concatenate(coming))

    def _inputs(self, rows: Rows, index: Tensor, epoch: int) -> Tensor:
        pixels = to_device(self.source.take(rows), self.engine.device)
        if self.augment is None or not len(rows):
            return pixels
        if self._drawn[0] != epoch:
            self._drawn = (epoch, draw(self.rows, self.seed, 0xA06, epoch))
        return self.augment(pixels, to_device(self._drawn[1][index], pixels.device))


class ActivationLoader(_RowLoader):
    """Batches of precomputed activations.

    Args:
        activations: those of all rows of the table.
        rows: numbers of the rows, int64 ``(rows,)``, in their order.
        target: targets ``(rows, ...)``, or None.
        copies: number of copies of each row, of which each epoch sees one, drawn anew.
        only: number of the one copy to give; None: drawn.
        batch_size: rows per step over all processes.
        shuffle: a new order every epoch.
        seed: seed of the order and of the choice of copies.
        engine: device and processes.
        weight: each row's weight in the loss, float ``(rows,)``; None: all count the same.
    """

    def __init__(
        self,
        activations: ActivationSource,
        rows: Rows,
        target: Tensor | None,
        *,
        copies: int = 1,
        only: int | None = None,
        batch_size: int,
        shuffle: bool,
        seed: int = 0,
        engine: Engine,
        weight: Tensor | None = None,
    ) -> None:
        super().__init__(rows, target, batch_size=batch_size, shuffle=shuffle, seed=seed, engine=engine, weight=weight)
        self.activations, self.copies, self.only = activations, copies, only
        self._chosen = (-1, np.zeros(0, dtype=np.int64))

    def fingerprint(self) -> Json:
        """Return what the batches depend on."""
        digest = self._fingerprint(self.activations.digest(self.row_numbers))
        return {"inputs": "activations", "copies": self.copies, **digest}

    def _begin(self, epoch: int, start_step: int) -> None:
        self.activations.check()

    def _inputs(self, rows: Rows, index: Tensor, epoch: int) -> Tensor:
        copies = np.full(len(rows), self.only or 0, dtype=np.int64)
        if self.only is None and self.copies > 1:
            copies = self._copy_of_each_row(epoch)[index.numpy()]
        return to_device(self.activations.take(rows, copies), self.engine.device)

    def _copy_of_each_row(self, epoch: int) -> Rows:
        """Return the copy that the epoch sees of each row, int64 ``(rows,)``, drawn once per epoch."""
        if self._chosen[0] != epoch:
            generator = torch.Generator().manual_seed(seed_of(self.seed, 0xC09, epoch))
            self._chosen = (epoch, torch.randint(self.copies, (self.rows,), generator=generator).numpy())
        return self._chosen[1]
