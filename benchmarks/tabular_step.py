"""What a training step of the default network would gain from ``torch.compile``, and from updating touched rows only.

    OMP_NUM_THREADS=1 taskset -c 1 python -m benchmarks.tabular_step [--rounds 5]

Beside a bare step: the compiled model, and embeddings with sparse gradients, of which torch's `SparseAdam` (no weight
decay, not fused) updates the rows that a batch touched, the rest as before. The sides take turns, in CPU time of one
thread. Ids are drawn evenly, which touches most rows; real ones touch fewer.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import time
from collections.abc import Callable, Sequence

import torch
from rich.console import Console
from rich.table import Table
from torch import Tensor
from torch.nn import functional as F

from headstart.tabular.models.network import PackedEmbeddings, TabularModel, embedding_size
from headstart.tabular.models.numeric import bin_edges

SHAPES = {
    "Rossmann, protocol A": (
        [1116, 8, 4, 13, 5, 26, 27, 5, 4, 4, 8, 24, 13, 9, 9, 9, 8, 8, 8, 8, 8, 3, 3, 22],
        22,
        512,
    ),
    "flights": ([17, 105, 4044, 13, 32, 8], 8, 256),
    "100,000 customers": ([100_001, 5_000, 200], 8, 256),
}
"""Ids of each categorical column, numeric columns, rows of a batch."""

STEPS = 30

Step = Callable[[Tensor, Tensor, Tensor], None]


class TouchedEmbeddings(PackedEmbeddings):
    """`PackedEmbeddings` whose gradients hold the rows that a batch touched."""

    def forward(self, ids: Tensor) -> list[Tensor]:
        """As there."""
        rows = ids.index_select(1, self.order) + self.offsets
        parts = torch.split(rows, [len(columns) for columns in self.columns], 1)
        return [
            F.embedding(part, table, sparse=True).flatten(1) for part, table in zip(parts, self.tables, strict=True)
        ]


def make_model(cardinalities: Sequence[int], numbers: Tensor) -> TabularModel:
    bins = [bin_edges(column) for column in numbers.T]
    return TabularModel(cardinalities, numbers.shape[1], 1, hidden=(200, 100), bins=bins, dropout=0.1)


def make_step(model: Callable[[Tensor, Tensor], Tensor], *optimizers: torch.optim.Optimizer) -> Step:
    def step(ids: Tensor, numbers: Tensor, target: Tensor) -> None:
        F.mse_loss(model(ids, numbers), target).backward()  # type: ignore[no-untyped-call]  # torch leaves it untyped
        for optimizer in optimizers:
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)

    return step


def make_sides(cardinalities: Sequence[int], numbers: Tensor) -> dict[str, Step]:
    plain, compiled, touched = (make_model(cardinalities, numbers) for _ in range(3))
    assert touched.embeddings is not None
    touched.embeddings = TouchedEmbeddings(cardinalities, [embedding_size(count) for count in cardinalities])
    tables = list(touched.embeddings.parameters())
    others = [parameter for name, parameter in touched.named_parameters() if not name.startswith("embeddings")]
    return {
        "bare": make_step(plain, torch.optim.AdamW(plain.parameters(), fused=True)),
        "compiled": make_step(torch.compile(compiled), torch.optim.AdamW(compiled.parameters(), fused=True)),
        "touched rows": make_step(
            touched, torch.optim.SparseAdam(tables), torch.optim.AdamW(others, fused=True)
        ),
    }  # fmt: skip


def measure(shape: str, rounds: int) -> tuple[dict[str, list[float]], float]:
    """Milliseconds a step of each side by rounds, and the seconds of the compiled one's first step."""
    cardinalities, columns, rows = SHAPES[shape]
    torch.manual_seed(0)
    ids = torch.stack([torch.randint(0, count, (STEPS * rows,)) for count in cardinalities], 1)
    numbers, target = torch.randn(STEPS * rows, columns), torch.randn(STEPS * rows, 1)
    batches = [
        (ids[at : at + rows], numbers[at : at + rows], target[at : at + rows]) for at in range(0, len(ids), rows)
    ]
    torch._dynamo.reset()  # else it compiles for changing shapes from the second table on
    sides, firsts = make_sides(cardinalities, numbers), {}
    for name, step in sides.items():
        start = time.perf_counter()
        step(*batches[0])
        firsts[name] = time.perf_counter() - start
    found: dict[str, list[float]] = {name: [] for name in sides}
    for _ in range(rounds):
        for name, step in sides.items():
            started = time.process_time()
            for batch in batches:
                step(*batch)
            found[name].append((time.process_time() - started) / STEPS * 1e3)
    return found, firsts["compiled"]


def main(arguments: Sequence[str] | None = None) -> int:
    torch.set_num_threads(1)
    torch._inductor.config.fx_graph_cache = False  # a first run and a second one wait alike
    torch._functorch.config.enable_autograd_cache = False
    parser = argparse.ArgumentParser(prog="python -m benchmarks.tabular_step", description="A step of a table's model.")
    parser.add_argument("--rounds", type=int, default=5)
    asked = parser.parse_args(arguments)
    table = Table("table", "a bare step", "compiled", "compiling took", "touched rows only")
    for shape in SHAPES:
        found, waited = measure(shape, asked.rounds)
        gains = {
            name: statistics.median(own / other for own, other in zip(found["bare"], times, strict=True))
            for name, times in found.items()
        }
        own = statistics.median(found["bare"])
        told = (f"{own:.1f} ms", f"{gains['compiled']:.2f} x", f"{waited:.0f} s", f"{gains['touched rows']:.2f} x")
        table.add_row(shape, *told)
    Console(width=120).print(table)
    return 0


if __name__ == "__main__":
    sys.exit(main())
