"""`Corpus`: texts as one flat array of token ids; and how many texts become one, in parallel and in bounded memory."""

from __future__ import annotations

import contextlib
import itertools
import os
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray
from rich.console import Console

from headstart.core.errors import ConfigError, DataError
from headstart.text.processes import tokenize_in_processes
from headstart.text.tokens import BOS, EOS, SPECIALS, Encoded, Tokenizer
from headstart.text.vocabulary import UNKNOWN_ID, Vocabulary

__all__ = ["Corpus", "Texts", "count_tokens", "encode_texts", "pieces"]

Texts: TypeAlias = Iterable[Sequence[str]]
"""Texts in pieces, each small enough to be held in memory."""

CHARACTERS_AT_ONCE = 2_000_000
"""Of one piece of work: some hundred thousand tokens."""

TOKENS_IN_MEMORY = 1 << 27
"""More than this (512 MB of ids) are kept in a file that is mapped into memory."""

TEXTS_AT_ONCE = 10_000
"""That are turned round together."""

CHARACTERS_PER_PROCESS = 30_000_000
"""Of work before another process is worth its start: about five seconds of it."""

Ids: TypeAlias = NDArray[np.int32]


@dataclass(frozen=True)
class Corpus:
    """Texts as ids, one after the other; each stands between ``<bos>`` and ``<eos>``.

    Attributes:
        tokens: int32 ``(tokens,)``, in memory or mapped from a file.
        starts: int64 ``(texts + 1,)``: where each text begins, and the end.
        bos: the id of ``<bos>``.
    """

    tokens: Ids
    starts: NDArray[np.int64]
    bos: int = SPECIALS.index(BOS)

    def __len__(self) -> int:
        """How many texts."""
        return len(self.starts) - 1

    def text(self, number: int) -> Ids:
        """The ids of one text."""
        return self.tokens[self.starts[number] : self.starts[number + 1]]

    @property
    def lengths(self) -> NDArray[np.int64]:
        """Tokens of each text, ``<bos>`` and ``<eos>`` included."""
        return np.diff(self.starts)

    def reverse(self) -> Corpus:
        """The same texts, each read from its end, between the same ``<bos>`` and ``<eos>``; in place."""
        for first in range(0, len(self), TEXTS_AT_ONCE):
            starts = self.starts[first : first + TEXTS_AT_ONCE + 1]
            piece = self.tokens[starts[0] : starts[-1]]
            lengths = np.diff(starts)
            own = np.repeat(starts[:-1] + starts[1:] - 1 - 2 * starts[0], lengths) - np.arange(len(piece))
            ends = starts[1:] - 1 - starts[0]
            begins = starts[:-1] - starts[0]
            own[begins], own[ends] = begins, ends
            piece[:] = piece[own]
        return self

    def unknown(self) -> float:
        """Which share of the words is not in the vocabulary; ``<bos>`` and ``<eos>`` do not count."""
        found = sum(int((piece == UNKNOWN_ID).sum()) for piece in pieces(self.tokens))
        words = len(self.tokens) - 2 * len(self)
        return found / words if words else 0.0


@dataclass(frozen=True)
class Counted:
    """Texts in numbers of their own, before the vocabulary is known.

    Attributes:
        types: the different tokens.
        counts: int64 ``(types,)``.
        tokens: int32 ``(tokens,)``: each token's place in ``types``; changed when they become a corpus.
        lengths: int64 ``(texts,)``.
    """

    types: list[str]
    counts: NDArray[np.int64]
    tokens: Ids
    lengths: NDArray[np.int64]

    def corpus(self, vocabulary: Vocabulary) -> Corpus:
        """The same texts in the ids of a vocabulary."""
        ids = vocabulary.encode(self.types)
        for piece in pieces(self.tokens):
            piece[:] = ids[piece]
        starts = np.concatenate([[0], np.cumsum(self.lengths)])
        return Corpus(self.tokens, starts, vocabulary.id_of(BOS))


def count_tokens(
    texts: Texts, tokenizer: Tokenizer, *, workers: int | None = None, characters: int | None = None, show: bool = True
) -> Counted:
    """Cuts texts into tokens and counts them: everything that a vocabulary is made from, in one pass.

    Args:
        texts: pieces of texts; of a corpus larger than memory no more than a few are held at a time.
        tokenizer: of words or subwords.
        workers: processes; None: one, and one more for every five seconds of work, up to the processors there are.
        characters: of all texts, if that is known: what ``workers=None`` goes by.
        show: report on a terminal, if it takes more than a second.
    """
    numbers: dict[str, int] = {}
    counts = np.zeros(1024, dtype=np.int64)
    lengths: list[NDArray[np.int64]] = []
    spool = _Spool()
    special = np.array([numbers.setdefault(token, len(numbers)) for token in (BOS, EOS)], dtype=np.int32)
    for encoded in _encoded(texts, tokenizer, _checked_workers(workers, characters), show=show):
        own = np.fromiter((numbers.setdefault(token, len(numbers)) for token in encoded.types), dtype=np.int32)
        if len(numbers) > len(counts):
            counts = np.concatenate([counts, np.zeros(max(len(numbers), len(counts)), dtype=np.int64)])
        marked = _marked(own[encoded.ids] if len(own) else encoded.ids, encoded.lengths, special)
        counts[: len(numbers)] += np.bincount(marked, minlength=len(numbers))
        lengths.append(encoded.lengths + 2)
        spool.add(marked)
    return Counted(list(numbers), counts[: len(numbers)], spool.array(), _joined(lengths))


def encode_texts(
    texts: Texts,
    tokenizer: Tokenizer,
    vocabulary: Vocabulary,
    *,
    workers: int | None = None,
    characters: int | None = None,
    show: bool = True,
) -> Corpus:
    """Texts in the ids of a vocabulary that is known already; arguments as for `count_tokens`."""
    spool = _Spool()
    lengths: list[NDArray[np.int64]] = []
    special = vocabulary.encode((BOS, EOS))
    for encoded in _encoded(texts, tokenizer, _checked_workers(workers, characters), show=show):
        ids = vocabulary.encode(encoded.types)
        spool.add(_marked(ids[encoded.ids] if len(ids) else encoded.ids, encoded.lengths, special))
        lengths.append(encoded.lengths + 2)
    return Corpus(spool.array(), np.concatenate([[0], np.cumsum(_joined(lengths))]), vocabulary.id_of(BOS))


def _encoded(texts: Texts, tokenizer: Tokenizer, workers: int, *, show: bool) -> Iterator[Encoded]:
    """Each piece of work, cut into tokens, in the order of the texts."""
    work = _work(texts)
    found = map(tokenizer.encode, work) if workers == 1 else tokenize_in_processes(work, tokenizer.to_json(), workers)
    return _reported(found) if show and sys.stderr.isatty() else iter(found)


def _work(texts: Texts) -> Iterator[list[str]]:
    """The texts in pieces of about one size."""
    held: list[str] = []
    characters = 0
    for text in itertools.chain.from_iterable(texts):
        if not isinstance(text, str):
            raise DataError(f"a text must be text; got {text!r}: leave rows without text out")
        held.append(text)
        characters += len(text)
        if characters >= CHARACTERS_AT_ONCE:
            yield held
            held, characters = [], 0
    if held:
        yield held


def _reported(found: Iterable[Encoded]) -> Iterator[Encoded]:
    console = Console(stderr=True)
    started, texts, tokens = time.perf_counter(), 0, 0
    with contextlib.ExitStack() as stack:
        status = None
        for encoded in found:
            yield encoded
            texts, tokens = texts + len(encoded.lengths), tokens + len(encoded.ids)
            if status is None and time.perf_counter() - started > 1:
                status = stack.enter_context(console.status("cutting texts into tokens"))
            if status is not None:
                status.update(f"cutting texts into tokens: {texts:,} texts, {tokens:,} tokens")


def _marked(ids: Ids, lengths: NDArray[np.int64], special: Ids) -> Ids:
    """The ids with the beginning and the end of each text marked."""
    marked = np.empty(len(ids) + 2 * len(lengths), dtype=np.int32)
    ends = np.cumsum(lengths + 2)
    begins = ends - lengths - 2
    inside = np.ones(len(marked), dtype=bool)
    inside[begins] = inside[ends - 1] = False
    marked[begins], marked[ends - 1] = special
    marked[inside] = ids
    return marked


class _Spool:
    """Collects arrays in memory, and beyond `TOKENS_IN_MEMORY` in a file without a name, which ends with its user."""

    def __init__(self) -> None:
        self._parts: list[Ids] = []
        self._size = 0
        self._file: Any = None

    def add(self, part: Ids) -> None:
        self._parts.append(part)
        self._size += len(part)
        if self._file is None and self._size > TOKENS_IN_MEMORY:
            self._file = tempfile.NamedTemporaryFile(prefix="headstart-corpus-", delete=False)  # noqa: SIM115
        if self._file is not None:
            try:
                for held in self._parts:
                    held.tofile(self._file)
                self._file.flush()
            except OSError as error:
                self._remove()
                raise DataError(
                    f"the texts' {self._size:,} tokens do not fit on the disk under {tempfile.gettempdir()}: {error};"
                    " set TMPDIR to a folder with more room"
                ) from error
            self._parts = []

    def array(self) -> Ids:
        if self._file is None:
            return _joined(self._parts)
        self._file.close()
        mapped: Ids = np.memmap(self._file.name, dtype=np.int32, mode="r+")
        if os.name == "posix":
            self._remove()  # the mapping keeps what it needs, and nothing is left behind
        return mapped

    def _remove(self) -> None:
        Path(self._file.name).unlink(missing_ok=True)


def _joined(parts: Sequence[NDArray[Any]]) -> NDArray[Any]:
    if not parts:
        return np.zeros(0, dtype=np.int64)
    return parts[0] if len(parts) == 1 else np.concatenate(parts)


def pieces(tokens: Ids, size: int = 1 << 22) -> Iterator[Ids]:
    """Views of an array that may be larger than memory."""
    for start in range(0, len(tokens), size):
        yield tokens[start : start + size]


def _checked_workers(workers: int | None, characters: int | None) -> int:
    if workers is None:
        usable = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
        return max(1, min(usable, (characters or 0) // CHARACTERS_PER_PROCESS))
    if not isinstance(workers, int) or isinstance(workers, bool) or workers < 1:
        raise ConfigError(f"workers must be a whole number of at least 1 process; got {workers!r}")
    return workers
