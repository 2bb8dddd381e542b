"""The bare tensor loop: what a good user of plain torch would write for one table, and nothing more.

It knows nothing of headstart. The tensors are encoded beforehand; an epoch is a random order, a batch one
`index_select` per tensor; the optimizer is torch's fused AdamW at a fixed rate, in one group. There is no schedule, no
record of the loss, no evaluation. One measurement is one epoch.
"""

from __future__ import annotations

import sys
import time
from typing import Any

import polars as pl
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from benchmarks.protocol import Task, read_task, serve


class Net(nn.Module):
    """Embeddings beside normalised numbers; linear, ReLU, batch norm for each hidden layer; linear."""

    def __init__(self, ids: list[int], sizes: list[int], numbers: int, hidden: tuple[int, ...]) -> None:
        super().__init__()
        self.embeddings = nn.ModuleList(nn.Embedding(count, size) for count, size in zip(ids, sizes, strict=True))
        self.normalise = nn.BatchNorm1d(numbers)
        widths = [sum(sizes) + numbers, *hidden]
        layers: list[nn.Module] = []
        for before, after in zip(widths, hidden, strict=False):
            layers += [nn.Linear(before, after), nn.ReLU(inplace=True), nn.BatchNorm1d(after)]
        self.layers = nn.Sequential(*layers, nn.Linear(widths[-1], 1))

    def forward(self, ids: Tensor, numbers: Tensor) -> Tensor:
        """Predictions, ``(rows, 1)``."""
        parts = [embed(ids[:, place]) for place, embed in enumerate(self.embeddings)]
        found: Tensor = self.layers(torch.cat([*parts, self.normalise(numbers)], 1))
        return found


def encode(task: Task) -> tuple[Tensor, Tensor, Tensor]:
    """Ids from 1, int32 ``(rows, categorical)``; standardised numbers and target, float32."""
    table = pl.read_parquet(task.train)
    ids = table.select(pl.col(task.categorical).rank("dense").cast(pl.Int32)).to_torch()
    columns = pl.col(*task.continuous, task.target).cast(pl.Float64)
    numbers = table.select(((columns - columns.mean()) / columns.std()).cast(pl.Float32)).to_torch()
    return ids.contiguous(), numbers[:, :-1].contiguous(), numbers[:, -1:].contiguous()


def train_epoch(
    net: Net, optimizer: torch.optim.Optimizer, ids: Tensor, numbers: Tensor, target: Tensor, batch_size: int
) -> None:
    order = torch.randperm(len(ids))
    for start in range(0, len(ids), batch_size):
        rows = order[start : start + batch_size]
        outputs = net(ids.index_select(0, rows), numbers.index_select(0, rows))
        loss = F.mse_loss(outputs, target.index_select(0, rows))
        loss.backward()  # type: ignore[no-untyped-call]  # torch leaves backward untyped
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)


def main() -> None:
    task = read_task(sys.argv[1])
    torch.manual_seed(0)
    ids, numbers, target = encode(task)
    counts = [int(most) + 1 for most in ids.amax(0)]
    net = Net(counts, list(task.embedding_sizes.values()), numbers.shape[1], task.hidden).train()
    optimizer = torch.optim.AdamW(net.parameters(), lr=task.learning_rate, weight_decay=0.01, fused=True)

    def measure() -> dict[str, Any]:
        start = time.process_time()
        train_epoch(net, optimizer, ids, numbers, target, task.batch_size)
        return {"seconds": time.process_time() - start}

    serve(measure, {"parameters": sum(parameter.numel() for parameter in net.parameters())})


if __name__ == "__main__":
    main()
