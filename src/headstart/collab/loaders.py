"""`RatingLoader`: batches of pairs for training, with ids replaced by the unknown's and items drawn at random."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

from headstart.core.batch import Batch
from headstart.core.engine import Engine, generator_on, seed_of
from headstart.core.values import Json
from headstart.training.loaders import TensorLoader, share_of_rows

__all__ = ["RatingLoader"]


class RatingLoader(TensorLoader):
    """Batches of pairs in a new order each epoch, some ids replaced by 0, random items beside the chosen ones.

    The rows are put in order once per epoch and batches are slices, which costs least where batches are small.

    Args:
        inputs: ids of users and of items, int64 ``(rows,)`` each.
        target: float32 ``(rows, 1)``, or None.
        batch_size: rows per step, over all processes.
        seed: seed of the order, of the replaced ids and of the drawn items.
        engine: device and processes.
        unknown: probability with which an id is replaced by 0, for users and items independently.
        negatives: number of items drawn uniformly for each row; a batch's items are then ``(batch, 1 + negatives)``,
            the chosen one first. A drawn item may be one that the user has chosen too, which is rare with many items.
        item_count: number of item ids, 0 included.
    """

    def __init__(
        self,
        inputs: tuple[Tensor, Tensor],
        target: Tensor | None,
        *,
        batch_size: int,
        seed: int,
        engine: Engine,
        unknown: float = 0.0,
        negatives: int = 0,
        item_count: int = 1,
    ) -> None:
        super().__init__(inputs, target, batch_size=batch_size, shuffle=True, seed=seed, engine=engine)
        self.unknown, self.negatives, self.item_count = unknown, negatives, item_count

    def fingerprint(self) -> Json:
        """Return what the batches depend on."""
        return {**super().fingerprint(), "unknown": self.unknown, "negatives": self.negatives}

    def batches(self, epoch: int, start_step: int = 0) -> Iterator[Batch]:
        """Yield this process's share of each batch; over all processes each row comes once per epoch."""
        generator = torch.Generator().manual_seed(seed_of(self.seed, epoch))
        order = torch.randperm(self.rows, generator=generator)
        ids = [self._partly_unknown(tensor[order.to(tensor.device)], generator) for tensor in self.inputs]
        target = None if self.target is None else self.target[order.to(self.target.device)]
        drawing = generator_on(ids[1].device)
        for step in range(start_step, self.steps(epoch)):
            start, end = self._starts[step], self._starts[step + 1]
            if self.engine.world_size > 1:
                start, end = share_of_rows(start, end, self.engine.rank, self.engine.world_size)
            users, items = ids[0][start:end], ids[1][start:end]
            if self.negatives:
                drawing.manual_seed(seed_of(self.seed, epoch, step, self.engine.rank))
                drawn = torch.randint(
                    1, max(2, self.item_count), (len(items), self.negatives), generator=drawing, device=items.device
                )
                items = torch.cat([items[:, None], drawn], 1)  # (batch, 1 + negatives)
            yield Batch(inputs=(users, items), target=None if target is None else target[start:end], rows=end - start)

    def _partly_unknown(self, ids: Tensor, generator: torch.Generator) -> Tensor:
        if not self.unknown:
            return ids
        return ids * (torch.rand(self.rows, generator=generator) >= self.unknown).to(ids.device)
