"""Loaders: batches in an order that depends only on the seed, the epoch, the rank and the number of processes."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol, runtime_checkable

import torch
from torch import Tensor

from headstart.core.batch import Batch
from headstart.core.engine import Engine, seed_of
from headstart.core.errors import ConfigError, DataError
from headstart.core.values import Json
from headstart.frames.assemble import Rows
from headstart.targets.target import Target

if TYPE_CHECKING:
    from headstart.checks.check import Looked
    from headstart.checks.report import CheckReport

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
    """Protocol of loaders. Their order is stateless, so that a fit can be resumed at any step."""

    def steps(self, epoch: int) -> int:
        """Return the number of batches in an epoch (numbered from 0), which is the same on all processes."""

    def batches(self, epoch: int, start_step: int = 0) -> Iterator[Batch]:
        """Yield this process's batches of an epoch, from the batch with the number ``start_step``."""


@runtime_checkable
class Fingerprinted(Protocol):
    """Protocol of loaders with a fingerprint, so that a checkpoint is not resumed with different batches.

    Attributes:
        rows: number of rows in an epoch; of tokens in streams of text.
    """

    rows: int

    def fingerprint(self) -> Json:
        """Return everything that the batches depend on: number of rows, batch size, seed and a digest of the data."""


def fingerprint_of(loader: Loader) -> Json | None:
    """Return the fingerprint of a loader, or None if it has none."""
    return loader.fingerprint() if isinstance(loader, Fingerprinted) else None


def digest_of(*tensors: Tensor | None) -> str:
    """Return the first 16 hexadecimal digits of the SHA-256 of the tensors' types, shapes and contents."""
    digest = hashlib.sha256()
    for tensor in tensors:
        if tensor is not None:
            digest.update(f"{tensor.dtype}{tuple(tensor.shape)}".encode())
            digest.update(tensor.detach().cpu().contiguous().view(torch.uint8).numpy().data if tensor.numel() else b"")
    return digest.hexdigest()[:16]


@dataclass(frozen=True, kw_only=True, repr=False)
class Data:
    """Training and validation batches of a learner. The applications' subclasses also have a codec.

    Attributes:
        train: batches of training rows, in a new order each epoch.
        valid: batches of validation rows, in row order; None if all rows train.
        target: encoding of targets and decoding of outputs; None: both are used unchanged.
        engine: device of the tensors.
        notes: what the user should know about the rows.
        rows: the rows themselves, to be looked at; None: they are not kept.
    """

    train: Loader
    valid: Loader | None
    target: Target | None = None
    engine: Engine = field(default_factory=Engine)
    notes: tuple[str, ...] = ()
    rows: Rows | None = field(default=None, compare=False)

    def __repr__(self) -> str:
        train, valid = _counted(self.train), "no" if self.valid is None else _counted(self.valid)
        predicted = "" if self.target is None else f", target {', '.join(self.target.columns)}"
        return f"{type(self).__name__}({train} training and {valid} validation rows{predicted})"

    def check(self, *, labels: bool = True, seed: int = 0) -> CheckReport:
        """Look at the rows before training: columns, duplicates, leaks, rare classes, wrong labels, drift, times.

        Args:
            labels: whether to look for labels that are probably wrong, by linear models of the other rows; that takes
                seconds, for images as long as precomputing.
            seed: seed of folds and samples.

        Raises:
            ConfigError: these data keep no rows to look at, as those of language models do not.
        """
        from headstart.checks.check import check

        return check(self.looked(), labels=labels, seed=seed)

    def looked(self) -> Looked:
        """Return what `check` looks at.

        Raises:
            ConfigError: these data keep no rows to look at.
        """
        raise ConfigError(f"{type(self).__name__} keeps no rows to look at; tables, ratings, labelled texts, images do")


class TensorLoader:
    """Batches of tensors on the device, selected by one `index_select` per tensor and batch.

    Args:
        inputs: arguments of the model, each ``(rows, ...)``.
        target: ``(rows, ...)``, or None.
        weight: float, ``(rows,)``: weight of each row in the loss; None: all equal.
        batch_size: rows per batch over all processes; with ``shuffle`` at least 2 per process, else at least 1.
        shuffle: whether the rows are in a new order each epoch, as in training, or in row order, as in evaluation.
        seed: random seed of the order.
        engine: device to which the tensors are moved, and rank whose share of each batch is returned. Tensors that do
            not fit on a GPU stay in pinned memory; the training loop moves each batch.

    Raises:
        ConfigError: ``batch_size`` is not an integer, or too small.
        DataError: there are no rows (with ``shuffle``: fewer than 2 per process), or tensors differ in length.
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
                f"batch_size must be at least 2 rows per process in training, because of batch norm; got {batch_size}"
                f" for {engine.world_size}"
            )
        if self.rows < least:
            raise DataError(
                f"training needs at least 2 rows per process, because of batch norm; got {self.rows}"
                f" for {engine.world_size}"
            )
        self.batch_size, self.shuffle, self.seed, self.engine = batch_size, shuffle, seed, engine
        self._storage = storage = _storage_device(tensors, engine.device)
        self._pinned = storage != engine.device

        def stored(tensor: Tensor) -> Tensor:
            tensor = tensor.contiguous().to(storage)
            return tensor.pin_memory() if self._pinned else tensor

        self.inputs = tuple(stored(tensor) for tensor in inputs)
        self.target = None if target is None else stored(target)
        self.weight = None if weight is None else stored(weight)
        self._starts = batch_starts(self.rows, batch_size, least)

    def steps(self, epoch: int) -> int:
        """Return the number of batches in an epoch."""
        return len(self._starts) - 1

    def fingerprint(self) -> Json:
        """Return everything that the batches depend on."""
        return {
            "rows": self.rows,
            "batch_size": self.batch_size,
            "seed": self.seed,
            "digest": digest_of(*self.inputs, self.target, self.weight),
        }

    def batches(self, epoch: int, start_step: int = 0) -> Iterator[Batch]:
        """Yield this process's share of each batch; over all processes, each row occurs once per epoch.

        If a batch has fewer rows than there are processes, as may happen in evaluation, some shares are empty.
        """
        order: Tensor | None = None
        if self.shuffle:
            generator = torch.Generator().manual_seed(seed_of(self.seed, epoch))
            order = torch.randperm(self.rows, generator=generator).to(self._storage)
        for step in range(start_step, self.steps(epoch)):
            start, end = self._starts[step], self._starts[step + 1]
            start, end = share_of_rows(start, end, self.engine.rank, self.engine.world_size)
            if order is None:
                rows = torch.arange(start, end, device=self._storage)
                inputs = tuple(tensor[start:end] for tensor in self.inputs)
                target, weight = (None if t is None else t[start:end] for t in (self.target, self.weight))
            else:
                rows = order[start:end]
                inputs = tuple(self._selected(tensor, rows) for tensor in self.inputs)
                target, weight = (None if t is None else self._selected(t, rows) for t in (self.target, self.weight))
            batch = Batch(inputs=inputs, target=target, weight=weight, rows=end - start, index=rows)
            yield batch  # in pinned memory if the tensors do not fit on the device: the training loop moves it

    def _selected(self, tensor: Tensor, rows: Tensor) -> Tensor:
        """Return a tensor's rows; from pinned memory into pinned memory, where torch would take any."""
        if not self._pinned:
            return tensor.index_select(0, rows)
        selected = torch.empty(len(rows), *tensor.shape[1:], dtype=tensor.dtype, pin_memory=True)
        return torch.index_select(tensor, 0, rows, out=selected)


def batch_starts(rows: int, batch_size: int, least: int) -> list[int]:
    """Return the start of each batch, and the end of the last: ``[0, batch_size, ..., rows]``.

    Args:
        rows: number of rows.
        batch_size: rows per batch.
        least: minimum size of the last batch; a smaller remainder joins the batch before it, because batch norm needs
            two rows on each process.
    """
    starts = list(range(0, rows, batch_size))
    if len(starts) > 1 and rows - starts[-1] < least:
        starts.pop()
    return [*starts, rows]


def share_of_rows(start: int, end: int, rank: int, world_size: int) -> tuple[int, int]:
    """Return one process's share of consecutive rows; the shares differ by at most one row.

    Args:
        start: number of the first row.
        end: number of the last row plus 1.
        rank: number of the process.
        world_size: number of processes.

    Returns:
        The number of the first row of the share, and of its last row plus 1.
    """
    size, extra = divmod(end - start, world_size)
    first = start + rank * size + min(rank, extra)
    return first, first + size + (1 if rank < extra else 0)


def tensor_data(
    train: Sequence[Tensor],
    valid: Sequence[Tensor] | None = None,
    *,
    batch_size: int = 64,
    seed: int = 0,
    target: Target | None = None,
    engine: Engine | None = None,
) -> Data:
    """Return `Data` of tensors, for a custom model.

    Args:
        train: inputs and, last, target of the training rows, each ``(rows, ...)``.
        valid: inputs and, last, target of the validation rows; None: there are none.
        batch_size: rows per batch over all processes.
        seed: random seed of the order of the training rows.
        target: converts outputs to predictions such as class probabilities; None: outputs are predictions.
        engine: device and processes; None: a default engine.

    Raises:
        ConfigError: there are fewer than two tensors, or ``batch_size`` is too small.
        DataError: there are no rows, or tensors differ in length.
    """
    engine = engine or Engine()

    def loader(tensors: Sequence[Tensor], *, shuffle: bool) -> TensorLoader:
        if len(tensors) < 2:
            raise ConfigError("train and valid must hold the inputs and, last, the target: at least two tensors")
        return TensorLoader(tensors[:-1], tensors[-1], batch_size=batch_size, shuffle=shuffle, seed=seed, engine=engine)

    return Data(
        train=loader(train, shuffle=True),
        valid=None if valid is None else loader(valid, shuffle=False),
        target=target,
        engine=engine,
    )


def _counted(loader: Loader) -> str:
    return f"{loader.rows:,}" if isinstance(loader, Fingerprinted) else "an unknown number of"


def _storage_device(tensors: Sequence[Tensor], device: torch.device) -> torch.device:
    """Return the device if the tensors fit into half of its free memory, or else the CPU."""
    if device.type == "cuda":
        free, _ = torch.cuda.mem_get_info(device)
        if sum(tensor.nbytes for tensor in tensors if tensor.device != device) > free // 2:
            return torch.device("cpu")
    return device
