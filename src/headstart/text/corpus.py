"""`Corpus`: texts as one flat array of token ids, made in parallel and in bounded memory."""

from __future__ import annotations

import contextlib
import itertools
import os
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray
from rich.console import Console

from headstart.core.errors import ConfigError, DataError
from headstart.core.values import to_json
from headstart.text.processes import tokenize_in_processes
from headstart.text.tokenizing import AnyTokenizer
from headstart.text.tokens import BOS, EOS, SPECIALS, Tokenized
from headstart.text.vocabulary import UNKNOWN_ID, Vocabulary

__all__ = ["Corpus", "Texts", "count_tokens", "encode_texts", "pieces"]

Texts: TypeAlias = Iterable[Sequence[str]]
"""Texts in pieces, each of which fits into memory."""

CHARACTERS_AT_ONCE = 2_000_000
"""Characters in one unit of work: some hundred thousand tokens."""

TOKENS_IN_MEMORY = 1 << 27
"""Largest number of tokens in memory (512 MB of ids); more are kept in a file that is mapped into memory."""

TEXTS_AT_ONCE = 10_000
"""Texts that are reversed together."""

CHARACTERS_PER_PROCESS = 30_000_000
"""Characters for which one more process is started: about five seconds of work."""

Ids: TypeAlias = NDArray[np.int32]


@dataclass(frozen=True)
class Corpus:
    """Texts as ids, one after the other, each between ``<bos>`` and ``<eos>``.

    Attributes:
        tokens: int32 ``(tokens,)``, in memory or mapped from a file.
        starts: int64 ``(texts + 1,)``: index of the first token of each text, and the number of tokens.
        bos: id of ``<bos>``.
    """

    tokens: Ids
    starts: NDArray[np.int64]
    bos: int = SPECIALS.index(BOS)

    def __len__(self) -> int:
        """Return the number of texts."""
        return len(self.starts) - 1

    def text(self, number: int) -> Ids:
        """Return the ids of one text, int32 ``(tokens,)``."""
        return self.tokens[self.starts[number] : self.starts[number + 1]]

    @property
    def lengths(self) -> NDArray[np.int64]:
        """Number of tokens of each text, ``<bos>`` and ``<eos>`` included, int64 ``(texts,)``."""
        return np.diff(self.starts)

    def reverse(self) -> Corpus:
        """Reverse each text in place, between its ``<bos>`` and ``<eos>``; return the corpus."""
        for first in range(0, len(self), TEXTS_AT_ONCE):
            starts = self.starts[first : first + TEXTS_AT_ONCE + 1]
            piece = self.tokens[starts[0] : starts[-1]]
            lengths = np.diff(starts)
            order = np.repeat(starts[:-1] + starts[1:] - 1 - 2 * starts[0], lengths) - np.arange(len(piece))
            ends = starts[1:] - 1 - starts[0]
            begins = starts[:-1] - starts[0]
            order[begins], order[ends] = begins, ends
            piece[:] = piece[order]
        return self

    @cached_property
    def unknown(self) -> float:
        """Share of the words that are not in the vocabulary, 0 to 1; ``<bos>`` and ``<eos>`` do not count."""
        unknown = sum(int((piece == UNKNOWN_ID).sum()) for piece in pieces(self.tokens))
        words = len(self.tokens) - 2 * len(self)
        return unknown / words if words else 0.0


@dataclass(frozen=True)
class Counted:
    """Texts as indices of their distinct tokens, before the vocabulary is known.

    Attributes:
        types: the distinct tokens.
        counts: int64 ``(types,)``: occurrences of each.
        tokens: int32 ``(tokens,)``: each token's index in ``types``; `corpus` overwrites it.
        lengths: int64 ``(texts,)``: number of tokens of each text.
    """

    types: list[str]
    counts: NDArray[np.int64]
    tokens: Ids
    lengths: NDArray[np.int64]

    def tokenized(self) -> Tokenized:
        """Return the texts without ``<bos>`` and ``<eos>``; to be called before `corpus`."""
        ends = np.cumsum(self.lengths)
        inside = np.ones(len(self.tokens), dtype=bool)
        inside[ends - 1] = inside[ends - self.lengths] = False
        return Tokenized(self.types, np.asarray(self.tokens)[inside], self.lengths - 2)

    def corpus(self, vocabulary: Vocabulary) -> Corpus:
        """Return the texts as ids of a vocabulary; uses the same memory, so it can be called once."""
        ids = vocabulary.encode(self.types)
        for piece in pieces(self.tokens):
            piece[:] = ids[piece]
        starts = np.concatenate([[0], np.cumsum(self.lengths)])
        return Corpus(self.tokens, starts, vocabulary.id_of(BOS))


def count_tokens(
    texts: Texts,
    tokenizer: AnyTokenizer,
    *,
    workers: int | None = None,
    characters: int | None = None,
    show: bool = True,
) -> Counted:
    """Tokenize texts and count the tokens, in one pass.

    Args:
        texts: pieces of texts; only a few are held in memory at a time.
        tokenizer: of words or subwords.
        workers: number of processes; None: one, and one more for every five seconds of work, up to the number of
            processors.
        characters: number of characters of all texts, from which ``workers=None`` estimates the work; None: unknown,
            so that one process is used.
        show: whether to report progress on a terminal, after one second.

    Raises:
        DataError: a text is not a string, or the disk is full.
        ConfigError: ``workers`` is not a whole number of at least 1.
    """
    numbers: dict[str, int] = {}
    counts = np.zeros(1024, dtype=np.int64)
    lengths: list[NDArray[np.int64]] = []
    spool = _Spool()
    special = np.array([numbers.setdefault(token, len(numbers)) for token in (BOS, EOS)], dtype=np.int32)
    for part in _tokenized(texts, tokenizer, _checked_workers(workers, characters), show=show):
        indices = np.fromiter((numbers.setdefault(token, len(numbers)) for token in part.types), dtype=np.int32)
        if len(numbers) > len(counts):
            counts = np.concatenate([counts, np.zeros(max(len(numbers), len(counts)), dtype=np.int64)])
        marked = _marked(indices[part.ids] if len(indices) else part.ids, part.lengths, special)
        counts[: len(numbers)] += np.bincount(marked, minlength=len(numbers))
        lengths.append(part.lengths + 2)
        spool.add(marked)
    return Counted(list(numbers), counts[: len(numbers)], spool.array(), _joined(lengths))


def encode_texts(
    texts: Texts,
    tokenizer: AnyTokenizer,
    vocabulary: Vocabulary,
    *,
    workers: int | None = None,
    characters: int | None = None,
    show: bool = True,
    also: Callable[[Tokenized], object] | None = None,
) -> Corpus:
    """Tokenize texts and encode them by a known vocabulary, in one pass; other arguments as for `count_tokens`.

    Args:
        texts: pieces of texts.
        tokenizer: of words or subwords.
        vocabulary: the known tokens.
        workers: number of processes.
        characters: number of characters of all texts.
        show: whether to report progress.
        also: called with each piece of the texts before its tokens are encoded.
    """
    spool = _Spool()
    lengths: list[NDArray[np.int64]] = []
    special = vocabulary.encode((BOS, EOS))
    for part in _tokenized(texts, tokenizer, _checked_workers(workers, characters), show=show):
        if also is not None:
            also(part)
        ids = vocabulary.encode(part.types)
        spool.add(_marked(ids[part.ids] if len(ids) else part.ids, part.lengths, special))
        lengths.append(part.lengths + 2)
    return Corpus(spool.array(), np.concatenate([[0], np.cumsum(_joined(lengths))]), vocabulary.id_of(BOS))


def _tokenized(texts: Texts, tokenizer: AnyTokenizer, workers: int, *, show: bool) -> Iterator[Tokenized]:
    """Each unit of work, tokenized, in the order of the texts."""
    work = _work(texts)
    parts: Iterable[Tokenized] = map(tokenizer.encode, work)
    if workers > 1:
        parts = tokenize_in_processes(work, to_json(tokenizer, kind=AnyTokenizer), workers)
    return _reported(parts) if show and sys.stderr.isatty() else iter(parts)


def _work(texts: Texts) -> Iterator[list[str]]:
    """Return the texts in units of work of about equal size."""
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


def _reported(parts: Iterable[Tokenized]) -> Iterator[Tokenized]:
    """Return the same parts, with a line on the terminal from the first second on."""
    console = Console(stderr=True)
    started, texts, tokens = time.perf_counter(), 0, 0
    with contextlib.ExitStack() as stack:
        status = None
        for part in parts:
            yield part
            texts, tokens = texts + len(part.lengths), tokens + len(part.ids)
            if status is None and time.perf_counter() - started > 1:
                status = stack.enter_context(console.status("tokenizing"))
            if status is not None:
                status.update(f"tokenizing: {texts:,} texts, {tokens:,} tokens")


def _marked(ids: Ids, lengths: NDArray[np.int64], special: Ids) -> Ids:
    """Return the ids with the special ones for begin and end put around each text."""
    marked = np.empty(len(ids) + 2 * len(lengths), dtype=np.int32)
    ends = np.cumsum(lengths + 2)
    begins = ends - lengths - 2
    inside = np.ones(len(marked), dtype=bool)
    inside[begins] = inside[ends - 1] = False
    marked[begins], marked[ends - 1] = special
    marked[inside] = ids
    return marked


class _Spool:
    """Collects arrays in memory, and beyond `TOKENS_IN_MEMORY` in an unnamed file that vanishes with its user."""

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
            self._remove()  # the mapping keeps the data alive, and no file is left behind
        return mapped

    def _remove(self) -> None:
        Path(self._file.name).unlink(missing_ok=True)


def _joined(parts: Sequence[NDArray[Any]]) -> NDArray[Any]:
    if not parts:
        return np.zeros(0, dtype=np.int64)
    return parts[0] if len(parts) == 1 else np.concatenate(parts)


def pieces(tokens: Ids, size: int = 1 << 22) -> Iterator[Ids]:
    """Yield consecutive views of an array that may be larger than memory."""
    for start in range(0, len(tokens), size):
        yield tokens[start : start + size]


def _checked_workers(workers: int | None, characters: int | None) -> int:
    if workers is None:
        usable = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
        return max(1, min(usable, (characters or 0) // CHARACTERS_PER_PROCESS))
    if not isinstance(workers, int) or isinstance(workers, bool) or workers < 1:
        raise ConfigError(f"workers must be a whole number of at least 1 process; got {workers!r}")
    return workers
