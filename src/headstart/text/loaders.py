"""Batches of text: streams for language models, and texts of similar length for classifiers."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from headstart.core.batch import Batch
from headstart.core.engine import Engine, seed_of
from headstart.core.errors import ConfigError, DataError
from headstart.core.values import Json
from headstart.text.corpus import Corpus
from headstart.text.tokens import PAD, SPECIALS
from headstart.training.loaders import digest_of, share_of_rows

__all__ = ["BucketLoader", "StreamLoader"]

PAD_ID = SPECIALS.index(PAD)

IGNORED = -100
"""Target at positions where nothing is to be predicted: torch's default ``ignore_index``."""

LEAST_WINDOW = 5
"""Tokens in the shortest window (Merity et al., 2018, section 5)."""

COLUMNS_AT_ONCE = 4096
"""Tokens of each stream that are gathered at a time."""

BUCKET = 50
"""Batches whose texts are sorted by length together: little padding, and still a mostly random order."""


class StreamLoader:
    """Windows along parallel streams of text: the texts, one after the other, cut into ``batch_size`` equal parts.

    The model carries its state from each window to the next. Every token is read once per epoch, and predicted once
    from those before it; except ``<bos>``, which does not depend on them, and padding at the end of the last stream.

    **Source:** lengths of windows as in Merity et al., "Regularizing and Optimizing LSTM Language Models" (2018),
    section 5: ``bptt`` on average, in one of twenty windows half of it, with a standard deviation of 5, at least 5; the
    learning rate is proportional to the length.

    Args:
        corpus: the texts.
        batch_size: number of streams over all processes.
        bptt: tokens per window.
        shuffle: True, for training: texts in a new order, and windows of varying length, in each epoch; False: texts in
            their order, and equal windows.
        seed: of order and lengths.
        engine: whose rank takes its share of the streams.

    Raises:
        ConfigError: a size is not a whole number, or too small.
        DataError: fewer tokens than one window.
    """

    def __init__(
        self, corpus: Corpus, *, batch_size: int, bptt: int, shuffle: bool, seed: int = 0, engine: Engine
    ) -> None:
        _check_size("batch_size", batch_size, engine.world_size)
        _check_size("bptt", bptt, 2)
        self.corpus, self.bptt, self.shuffle, self.seed, self.engine = corpus, bptt, shuffle, seed, engine
        predicted = len(corpus.tokens) - 1
        if predicted < 2 * engine.world_size or not len(corpus):
            raise DataError(f"a language model needs some text; there are {len(corpus.tokens)} tokens in all")
        # A small corpus has fewer streams, so that each is long enough for a window.
        self.batch_size = max(engine.world_size, min(batch_size, predicted // LEAST_WINDOW))
        self.columns = -(-predicted // self.batch_size)
        self.rows = predicted
        self._planned: tuple[int, list[tuple[int, int]]] | None = None

    def windows(self, epoch: int) -> list[tuple[int, int]]:
        """Return the first column of each window, and the one after its last."""
        if self._planned is None or self._planned[0] != epoch:
            self._planned = (epoch, self._plan(epoch))
        return self._planned[1]

    def steps(self, epoch: int) -> int:
        """Return the number of windows; with ``shuffle`` it varies from epoch to epoch."""
        return len(self.windows(epoch))

    def fingerprint(self) -> Json:
        """Return what the batches depend on."""
        return {
            "rows": self.rows,
            "batch_size": self.batch_size,
            "bptt": self.bptt,
            "seed": self.seed,
            "digest": digest_of(*_tensors(self.corpus)),
        }

    def batches(self, epoch: int, start_step: int = 0) -> Iterator[Batch]:
        """Yield this process's streams, window by window.

        Inputs are tokens, int32 ``(streams, time)``; fresh, bool ``(streams,)``, true in an epoch's first window; and
        the next tokens, int64 ``(streams, time)``. The latter are also the target; they are among the inputs since the
        model computes the loss, without holding all logits.
        """
        first, last = share_of_rows(0, self.batch_size, self.engine.rank, self.engine.world_size)
        read = _Reader(self.corpus, self._order(epoch))
        block, block_start = np.zeros((0, 0), dtype=np.int32), 0
        for start, end in self.windows(epoch)[start_step:]:
            if end + 1 > block_start + block.shape[1]:
                width = min(max(COLUMNS_AT_ONCE, end - start), self.columns - start) + 1
                positions = [stream * self.columns + start for stream in range(first, last)]
                block, block_start = read.block(positions, width, self.columns - start), start
            piece = block[:, start - block_start : end + 1 - block_start]
            tokens, target = np.where(piece < 0, PAD_ID, piece)[:, :-1], piece[:, 1:]
            target = np.where((target < 0) | (target == self.corpus.bos), IGNORED, target)
            tensors = torch.from_numpy(tokens.copy()), torch.from_numpy(target.astype(np.int64))
            fresh = torch.full((last - first,), start == 0)
            yield Batch(
                inputs=(tensors[0], fresh, tensors[1]), target=tensors[1], rows=int((target != IGNORED).sum()),
                rate=(end - start) / self.bptt if self.shuffle else 1.0,
            )  # fmt: skip

    def _plan(self, epoch: int) -> list[tuple[int, int]]:
        random = np.random.default_rng([self.seed, epoch])
        ends = [0]
        while ends[-1] < self.columns:
            length = self.bptt
            if self.shuffle:
                mean = self.bptt if random.random() < 0.95 else self.bptt / 2
                length = max(LEAST_WINDOW, round(random.normal(mean, 5)))
            rest = self.columns - ends[-1]
            ends.append(self.columns if rest < length + LEAST_WINDOW else ends[-1] + length)
        return list(pairwise(ends))

    def _order(self, epoch: int) -> NDArray[np.int64]:
        if not self.shuffle:
            return np.arange(len(self.corpus))
        return np.random.default_rng([self.seed, epoch, 1]).permutation(len(self.corpus))


class _Reader:
    """Texts, one after the other in a given order, that can be read from any position."""

    def __init__(self, corpus: Corpus, order: NDArray[np.int64]) -> None:
        self.corpus, self.order = corpus, order
        self.ends = np.cumsum(corpus.lengths[order])

    def block(self, positions: Sequence[int], width: int, most: int) -> NDArray[np.int32]:
        """Return ``width`` tokens from each position on, int32 ``(positions, width)``; -1 after the end.

        Args:
            positions: first token of each row.
            width: of the block.
            most: number of tokens that belong to a row; one more is the next to be predicted.
        """
        block = np.full((len(positions), width), -1, dtype=np.int32)
        for row, position in enumerate(positions):
            size = min(width, most + 1, int(self.ends[-1]) - position)
            if size > 1:  # a token with nothing after it predicts nothing
                block[row, :size] = self.read(position, size)
        return block

    def read(self, position: int, size: int) -> NDArray[np.int32]:
        first, last = np.searchsorted(self.ends, [position, position + size - 1], side="right")
        parts = np.concatenate([self.corpus.text(int(number)) for number in self.order[first : last + 1]])
        begin = position - (int(self.ends[first - 1]) if first else 0)
        return parts[begin : begin + size]


class BucketLoader:
    """Whole texts of similar length per batch, padded at the end to the longest of them.

    Args:
        corpus: the texts.
        target: ``(texts, ...)`` or None.
        weight: float ``(texts,)`` or None.
        linear: outputs of the codec's linear path, float32 ``(texts, outputs)``, or None.
        batch_size: texts per batch over all processes.
        most_tokens: largest number of tokens in a batch, padding included, which bounds memory for long texts; a batch
            has at least one text, in training two for each process.
        shuffle: True, for training: a new order in each epoch; False: by length, with ``index`` to restore the order.
        seed: of the order.
        engine: whose rank takes its share of each batch.

    Raises:
        ConfigError: ``batch_size`` is not a whole number, or too small.
        DataError: there are no texts, or in training fewer than two per process.
    """

    def __init__(
        self,
        corpus: Corpus,
        target: Tensor | None = None,
        weight: Tensor | None = None,
        *,
        linear: Tensor | None = None,
        batch_size: int,
        shuffle: bool,
        most_tokens: int = 1 << 19,
        seed: int = 0,
        engine: Engine,
    ) -> None:
        self.least = 2 * engine.world_size if shuffle else 1
        _check_size("batch_size", batch_size, self.least)
        self.rows = len(corpus)
        if self.rows == 0:
            raise DataError("there are no texts; check the table, the filter (where) and the split")
        if self.rows < self.least:
            raise DataError(f"training needs at least {self.least} texts, for batch norm's sake; got {self.rows}")
        self.corpus, self.target, self.weight, self.linear = corpus, target, weight, linear
        self.batch_size, self.most_tokens, self.shuffle = batch_size, most_tokens, shuffle
        self.seed, self.engine = seed, engine
        self._lengths = corpus.lengths
        self._planned: tuple[int, list[NDArray[np.int64]]] | None = None

    def steps(self, epoch: int) -> int:
        """Return the number of batches."""
        return len(self._plan(epoch))

    def fingerprint(self) -> Json:
        """Return what the batches depend on."""
        return {
            "rows": self.rows,
            "batch_size": self.batch_size,
            "most_tokens": self.most_tokens,
            "seed": self.seed,
            "digest": digest_of(*_tensors(self.corpus), self.target, self.weight, self.linear),
        }

    def batches(self, epoch: int, start_step: int = 0) -> Iterator[Batch]:
        """Yield this process's share of each batch.

        Inputs are tokens, int32 ``(batch, time)``; lengths, int64 ``(batch,)``; and, if there are any, the outputs of
        the linear path, float32 ``(batch, outputs)``.
        """
        for rows in self._plan(epoch)[start_step:]:
            start, end = share_of_rows(0, len(rows), self.engine.rank, self.engine.world_size)
            share = rows[start:end]
            index = torch.from_numpy(share.copy())
            inputs = padded(self.corpus, share)
            yield Batch(
                inputs=inputs if self.linear is None else (*inputs, self.linear[index]), rows=len(share), index=index,
                target=None if self.target is None else self.target[index],
                weight=None if self.weight is None else self.weight[index],
            )  # fmt: skip

    def _plan(self, epoch: int) -> list[NDArray[np.int64]]:
        epoch = epoch if self.shuffle else 0
        if self._planned is None or self._planned[0] != epoch:
            self._planned = (epoch, self._batches(epoch))
        return self._planned[1]

    def _batches(self, epoch: int) -> list[NDArray[np.int64]]:
        if not self.shuffle:
            return self._cut(np.argsort(-self._lengths, kind="stable"))
        random = np.random.default_rng(seed_of(self.seed, epoch))
        order = random.permutation(self.rows)
        size = BUCKET * self.batch_size
        batches: list[NDArray[np.int64]] = []
        starts = list(range(0, self.rows, size))
        if len(starts) > 1 and self.rows - starts[-1] < self.batch_size:
            starts.pop()  # a small remainder is sorted together with the bucket before it
        for start, end in pairwise([*starts, self.rows]):
            bucket = order[start:end]
            batches += self._cut(bucket[np.argsort(-self._lengths[bucket], kind="stable")])
        return [batches[index] for index in random.permutation(len(batches))]

    def _cut(self, ordered: NDArray[np.int64]) -> list[NDArray[np.int64]]:
        """Batches of texts that are sorted by falling length, so that each begins with its longest."""
        batches: list[NDArray[np.int64]] = []
        start = 0
        while start < len(ordered):
            fits = self.most_tokens // int(self._lengths[ordered[start]])
            end = start + max(self.least, min(self.batch_size, fits))
            if len(ordered) - end < self.least:  # too few for another batch
                end = len(ordered)
            batches.append(ordered[start:end])
            start = end
        return batches


def padded(corpus: Corpus, rows: NDArray[Any]) -> tuple[Tensor, Tensor]:
    """Return texts padded at the end: tokens, int32 ``(rows, longest)``, and lengths, int64 ``(rows,)``."""
    lengths = corpus.lengths[rows]
    time = np.arange(int(lengths.max(initial=1)))
    indices = np.minimum(corpus.starts[rows][:, None] + time, len(corpus.tokens) - 1)  # (rows, longest)
    tokens = np.where(time < lengths[:, None], corpus.tokens[indices], np.int32(PAD_ID))
    return torch.from_numpy(tokens), torch.from_numpy(lengths.astype(np.int64))


def _tensors(corpus: Corpus) -> tuple[Tensor, Tensor]:
    """Return the corpus for a digest, without a copy."""
    return torch.from_numpy(corpus.tokens), torch.from_numpy(corpus.starts)


def _check_size(name: str, size: Any, least: int) -> None:
    if not isinstance(size, int) or isinstance(size, bool) or size < least:
        raise ConfigError(f"{name} must be a whole number of at least {least}; got {size!r}")
