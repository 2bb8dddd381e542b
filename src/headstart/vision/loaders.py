"""Loaders of pictures, and of their activations: batches in core's order, their inputs fetched by row."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from headstart.core.batch import Batch
from headstart.core.engine import Engine, seed_of
from headstart.training.loaders import TensorLoader
from headstart.vision.augment import Augment, draw
from headstart.vision.images import PictureSource

__all__ = ["ActivationLoader", "PictureLoader"]

Rows = NDArray[np.int64]

TakeActivations = Callable[[Rows, Rows], Tensor]
"""Activations of rows, each of the copy whose number stands beside it."""


class _RowLoader:
    """Order, shares and targets are those of a `TensorLoader` of row numbers; a subclass gives the inputs.

    Args:
        rows: the numbers of the table's rows, in their order.
        target: ``(rows, ...)`` or None.
        batch_size: rows per step over all processes.
        shuffle: a new order every epoch.
        seed: of the order.
        engine: where the batches go.
    """

    def __init__(
        self, rows: Rows, target: Tensor | None, *, batch_size: int, shuffle: bool, seed: int, engine: Engine
    ) -> None:
        at_home = engine if engine.device.type == "cpu" else Engine("cpu", keep_memory=False)
        numbers = torch.from_numpy(rows)
        self._order = TensorLoader(
            [numbers], target, batch_size=batch_size, shuffle=shuffle, seed=seed, engine=at_home
        )  # its tensors stay on the processor: files and memory maps are asked by number
        self.rows, self.batch_size, self.seed, self.engine = len(rows), batch_size, seed, engine
        self.shuffle, self.table_rows = shuffle, rows

    @property
    def target(self) -> Tensor | None:
        """The rows' targets, in their order."""
        return self._order.target

    def steps(self, epoch: int) -> int:
        """The number of batches."""
        return self._order.steps(epoch)

    def batches(self, epoch: int, start_step: int = 0) -> Iterator[Batch]:
        """This process's share of each batch; every row comes once per epoch over all processes."""
        self._begin(epoch, start_step)
        for batch in self._order.batches(epoch, start_step):
            assert batch.index is not None
            yield replace(batch, inputs=(self._inputs(batch.inputs[0].numpy(), batch.index, epoch),))

    def _begin(self, epoch: int, start_step: int) -> None:
        """Before the first batch of an epoch."""

    def _inputs(self, rows: Rows, index: Tensor, epoch: int) -> Tensor:
        raise NotImplementedError


class PictureLoader(_RowLoader):
    """Batches of pictures, decoded ahead, changed on the device.

    Args:
        source: the pictures, at one size.
        rows: as for all loaders, and the same for what follows.
        target: of each row.
        batch_size: rows per step.
        shuffle: a new order every epoch.
        seed: of the order and of the draws.
        engine: where the batches go.
        augment: how pictures are changed; None: not at all.
    """

    def __init__(
        self,
        source: PictureSource,
        rows: Rows,
        target: Tensor | None,
        *,
        batch_size: int,
        shuffle: bool,
        seed: int = 0,
        engine: Engine,
        augment: Augment | None = None,
    ) -> None:
        super().__init__(rows, target, batch_size=batch_size, shuffle=shuffle, seed=seed, engine=engine)
        self.source, self.augment = source, augment
        self._drawn = (-1, torch.empty(0))

    def _begin(self, epoch: int, start_step: int) -> None:
        if self.augment is not None:
            self._drawn = (epoch, draw(self.rows, self.seed, 0xA06, epoch))
        coming = [batch.inputs[0].numpy() for batch in self._order.batches(epoch, start_step)]
        if coming:
            self.source.start(np.concatenate(coming))

    def _inputs(self, rows: Rows, index: Tensor, epoch: int) -> Tensor:
        pixels = self.source.take(rows).to(self.engine.device, non_blocking=True)
        if self.augment is None or not len(rows):
            return pixels
        if self._drawn[0] != epoch:  # two epochs' batches taken in turns
            self._drawn = (epoch, draw(self.rows, self.seed, 0xA06, epoch))
        return self.augment(pixels, self._drawn[1][index])


class ActivationLoader(_RowLoader):
    """Batches of precomputed activations; of several copies of a row each epoch sees one, drawn anew.

    Args:
        take: gives activations, ``(rows, channels)``, of rows and copies.
        rows: as for all loaders, and the same for what follows.
        target: of each row.
        copies: how many there are of each row.
        batch_size: rows per step.
        shuffle: a new order every epoch.
        seed: of the order and of the choice of copies.
        engine: where the batches go.
    """

    def __init__(
        self,
        take: TakeActivations,
        rows: Rows,
        target: Tensor | None,
        *,
        copies: int = 1,
        batch_size: int,
        shuffle: bool,
        seed: int = 0,
        engine: Engine,
    ) -> None:
        super().__init__(rows, target, batch_size=batch_size, shuffle=shuffle, seed=seed, engine=engine)
        self.take, self.copies = take, copies

    def _inputs(self, rows: Rows, index: Tensor, epoch: int) -> Tensor:
        copies = np.zeros(len(rows), dtype=np.int64)
        if self.copies > 1:
            generator = torch.Generator().manual_seed(seed_of(self.seed, 0xC09, epoch))
            copies = torch.randint(self.copies, (self.rows,), generator=generator)[index].numpy()
        return self.take(rows, copies).to(self.engine.device, non_blocking=True)
