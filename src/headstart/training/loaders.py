"""Loaders: batches in an order that is a function of (seed, epoch, rank, number of processes), and of nothing else."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Protocol, runtime_checkable

import torch
from torch import Tensor

from headstart.core.batch import Batch
from headstart.core.engine import Engine, seed_of
from headstart.core.errors import ConfigError, DataError
from headstart.core.values import Json
from headstart.targets.target import Target

__all__ = [
    "Data",
    "Fingerprinted",
    "Loader",
    "TensorLoader",
    "digest_of",
    "fingerprint_of",
    "share_of_rows",
    "tensor_data",
]


class Loader(Protocol):
    """What the loop asks of a loader. Order is stateless, so a fit can be taken up at any step."""

    def steps(self, epoch: int) -> int:
        """The number of batches in an epoch, counted from 0; the same on every process."""

    def batches(self, epoch: int, start_step: int = 0) -> Iterator[Batch]:
        """This process's batches of an epoch, from ``start_step`` on."""


@runtime_checkable
class Fingerprinted(Protocol):
    """A loader that can say which batches it makes, so that a checkpoint is not resumed with others.

    Attributes:
        rows: number of rows (of tokens, in streams of text) in an epoch.
    """

    rows: int

    def fingerprint(self) -> Json:
        """Return what the batches depend on: rows, sizes, seed, and a digest of the data."""


def fingerprint_of(loader: Loader) -> Json | None:
    """Return a loader's fingerprint; None for a loader of a user's own that has none."""
    return loader.fingerprint() if isinstance(loader, Fingerprinted) else None


def digest_of(*tensors: Tensor | None) -> str:
    """Return a digest of what tensors hold: SHA-256 of their bytes, first 16 hexadecimal digits."""
    digest = hashlib.sha256()
    for tensor in tensors:
        if tensor is not None:
            digest.update(f"{tensor.dtype}{tuple(tensor.shape)}".encode())
            digest.update(tensor.detach().cpu().contiguous().view(torch.uint8).numpy().data if tensor.numel() else b"")
    return digest.hexdigest()[:16]


@dataclass(frozen=True, kw_only=True, repr=False)
class Data:
    """What a learner trains on and is validated with. Each application has its own, with its codec.

    Attributes:
        train: the training rows' batches, in a new order each epoch.
        valid: the validation rows' batches, in their own order; None if all rows train.
        target: how targets were encoded and outputs are read; None leaves both as they are.
        engine: where the tensors lie.
        notes: what a user should know of the rows.
    """

    train: Loader
    valid: Loader | None
    target: Target | None = None
    engine: Engine = field(default_factory=Engine)
    notes: tuple[str, ...] = ()

    def __repr__(self) -> str:
        train, valid = _counted(self.train), "no" if self.valid is None else _counted(self.valid)
        predicted = "" if self.target is None else f", target {', '.join(self.target.columns)}"
        return f"{type(self).__name__}({train} training and {valid} validation rows{predicted})"


class TensorLoader:
    """Batches out of tensors that lie on the device: one `index_select` per tensor and batch.

    Args:
        inputs: the model's arguments, each ``(rows, ...)``.
        target: ``(rows, ...)`` or None.
        weight: float, ``(rows,)`` or None: each row's weight in the loss.
        batch_size: rows per step over all processes; with ``shuffle`` at least 2 for each of them, else at least 1.
        shuffle: a new order every epoch (training), or the rows' own (evaluation).
        seed: of the order.
        engine: whose device the tensors are moved to, and whose rank takes its share of each batch. Tensors that do
            not fit on a GPU stay in pinned memory, and each batch is moved.

    Raises:
        ConfigError: ``batch_size`` is not a whole number, or too small.
        DataError: no rows (to be shuffled: fewer than 2 per process), or tensors of different lengths.
    """

    def __init__(
        self,
        inputs: Sequence[Tensor],
        target: Tensor | None = None,
        weight: Tensor | None = None,
        *,
        batch_size: int,
        shuffle: bool,
        seed: int = 0,
        engine: Engine,
    ) -> None:
        if not isinstance(batch_size, int) or isinstance(batch_size, bool) or batch_size < 1:
            raise ConfigError(f"batch_size must be a whole number of at least 1; got {batch_size!r}")
        tensors = [*inputs, *(tensor for tensor in (target, weight) if tensor is not None)]
        lengths = {len(tensor) for tensor in tensors}
        if len(lengths) != 1:
            raise DataError(f"inputs, target and weight must have the same number of rows; got {sorted(lengths)}")
        self.rows = lengths.pop()
        if self.rows == 0:
            raise DataError("there are no rows; check the table, the filter (where) and the split")
        least = 2 * engine.world_size if shuffle else 1
        if batch_size < least:
            raise ConfigError(
                f"batch_size must be at least 2 rows per process in training, for batch norm's sake; got {batch_size}"
                f" for {engine.world_size}"
            )
        if self.rows < least:
            raise DataError(
                f"training needs at least 2 rows per process, for batch norm's sake; got {self.rows}"
                f" for {engine.world_size}"
            )
        self.batch_size, self.shuffle, self.seed, self.engine = batch_size, shuffle, seed, engine
        home = _home(tensors, engine.device)

        def settle(tensor: Tensor) -> Tensor:
            tensor = tensor.contiguous().to(home)
            return tensor if home == engine.device else tensor.pin_memory()

        self.inputs = tuple(settle(tensor) for tensor in inputs)
        self.target = None if target is None else settle(target)
        self.weight = None if weight is None else settle(weight)
        self._home = home
        self._starts = batch_starts(self.rows, batch_size, least)

    def steps(self, epoch: int) -> int:
        """Return the number of batches."""
        return len(self._starts) - 1

    def fingerprint(self) -> Json:
        """Return what the batches depend on."""
        return {
            "rows": self.rows,
            "batch_size": self.batch_size,
            "seed": self.seed,
            "digest": digest_of(*self.inputs, self.target, self.weight),
        }

    def batches(self, epoch: int, start_step: int = 0) -> Iterator[Batch]:
        """This process's share of each batch; every row comes once per epoch over all processes.

        Evaluation with fewer rows in a batch than processes gives some of them an empty share.
        """
        order: Tensor | None = None
        if self.shuffle:
            generator = torch.Generator().manual_seed(seed_of(self.seed, epoch))
            order = torch.randperm(self.rows, generator=generator).to(self._home)
        for step in range(start_step, self.steps(epoch)):
            start, end = self._starts[step], self._starts[step + 1]
            start, end = share_of_rows(start, end, self.engine.rank, self.engine.world_size)
            if order is None:
                rows = torch.arange(start, end, device=self._home)
                inputs = tuple(tensor[start:end] for tensor in self.inputs)
                target, weight = (None if t is None else t[start:end] for t in (self.target, self.weight))
            else:
                rows = order[start:end]
                inputs = tuple(tensor.index_select(0, rows) for tensor in self.inputs)
                target, weight = (None if t is None else t.index_select(0, rows) for t in (self.target, self.weight))
            batch = Batch(inputs=inputs, target=target, weight=weight, rows=end - start, index=rows)
            yield batch  # of pinned memory, where it does not fit on the device: the loop moves it


def batch_starts(rows: int, batch_size: int, least: int) -> list[int]:
    """Where each batch begins, and the end: ``[0, batch_size, ..., rows]``.

    A remainder under ``least`` rows joins the batch before it: batch norm needs two rows on every process.
    """
    starts = list(range(0, rows, batch_size))
    if len(starts) > 1 and rows - starts[-1] < least:
        starts.pop()
    return [*starts, rows]


def share_of_rows(start: int, end: int, rank: int, world_size: int) -> tuple[int, int]:
    """The part of the rows ``start`` to ``end`` that falls to one process; the parts differ by one row at the most."""
    size, extra = divmod(end - start, world_size)
    own_start = start + rank * size + min(rank, extra)
    return own_start, own_start + size + (1 if rank < extra else 0)


def tensor_data(
    train: Sequence[Tensor],
    valid: Sequence[Tensor] | None = None,
    *,
    batch_size: int = 64,
    seed: int = 0,
    target: Target | None = None,
    engine: Engine | None = None,
) -> Data:
    """`Data` of a user's own tensors, for a user's own model.

    Args:
        train: the inputs and, last, the target, each ``(rows, ...)``.
        valid: the same of the validation rows.
        batch_size: rows per step over all processes.
        seed: of the order of the training rows.
        target: reads the outputs (probabilities, classes, units); None leaves them as they are.
        engine: where the tensors shall lie.
    """
    engine = engine or Engine()

    def loader(tensors: Sequence[Tensor], *, shuffle: bool) -> TensorLoader:
        if len(tensors) < 2:
            raise ConfigError("train and valid hold the inputs and, last, the target: at least two tensors")
        return TensorLoader(tensors[:-1], tensors[-1], batch_size=batch_size, shuffle=shuffle, seed=seed, engine=engine)

    return Data(
        train=loader(train, shuffle=True),
        valid=None if valid is None else loader(valid, shuffle=False),
        target=target,
        engine=engine,
    )


def _counted(loader: Loader) -> str:
    return f"{loader.rows:,}" if isinstance(loader, Fingerprinted) else "an unknown number of"


def _home(tensors: Sequence[Tensor], device: torch.device) -> torch.device:
    """The device if the tensors fit into half of its free memory, else the processor."""
    if device.type == "cuda":
        free, _ = torch.cuda.mem_get_info(device)
        if sum(tensor.nbytes for tensor in tensors if tensor.device != device) > free // 2:
            return torch.device("cpu")
    return device
