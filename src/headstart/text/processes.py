"""Tokenizing in several processes, each an interpreter that runs this module and imports no torch.

`multiprocessing` would run the user's script again in each process. Here texts go in as JSON, and ids come out as
bytes.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import cycle
from pathlib import Path
from typing import IO, Any

import numpy as np

from headstart.core.errors import DataError
from headstart.text.tokenizing import tokenizer_from_record
from headstart.text.tokens import Tokenized

__all__ = ["tokenize_in_processes"]

AHEAD = 2
"""Units of work per process that are held in memory: one in progress, one waiting."""


def tokenize_in_processes(
    work: Iterable[Sequence[str]], tokenizer: dict[str, Any], workers: int
) -> Iterator[Tokenized]:
    """Tokenize units of work in parallel; yield the results in their order.

    Args:
        work: lists of texts, read no further ahead than the processes need.
        tokenizer: ``values.to_json(tokenizer, kind=AnyTokenizer)``.
        workers: number of processes.

    Raises:
        DataError: a process ended, for example for lack of memory.
    """
    processes = [_Process(tokenizer) for _ in range(workers)]
    pools = [ThreadPoolExecutor(1) for _ in processes]
    waiting: deque[Future[Tokenized]] = deque()
    try:
        for texts, (process, pool) in zip(work, cycle(list(zip(processes, pools, strict=True))), strict=False):
            waiting.append(pool.submit(process.encode, texts))
            if len(waiting) >= AHEAD * workers:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    finally:
        for process, pool in zip(processes, pools, strict=True):
            pool.shutdown(wait=True, cancel_futures=True)
            process.close()


class _Process:
    """An interpreter that tokenizes."""

    def __init__(self, tokenizer: dict[str, Any]) -> None:
        source = str(Path(__file__).resolve().parents[2])
        path = os.pathsep.join(part for part in (source, os.environ.get("PYTHONPATH", "")) if part)
        self._process = subprocess.Popen(
            [sys.executable, "-m", "headstart.text.processes"], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
            env={**os.environ, "PYTHONPATH": path, "OMP_NUM_THREADS": "1", "TOKENIZERS_PARALLELISM": "false"},
        )  # fmt: skip
        assert self._process.stdin is not None and self._process.stdout is not None
        self._to, self._from = self._process.stdin, self._process.stdout
        _send(self._to, json.dumps(tokenizer).encode())

    def encode(self, texts: Sequence[str]) -> Tokenized:
        try:
            _send(self._to, json.dumps(list(texts)).encode())
            types = json.loads(_receive(self._from))
            ids = np.frombuffer(_receive(self._from), dtype=np.int32)
            lengths = np.frombuffer(_receive(self._from), dtype=np.int64)
        except (OSError, EOFError) as error:
            raise DataError(
                f"a process that tokenized texts ended with code {self._process.poll()}; try workers=1"
            ) from error
        return Tokenized(types, ids, lengths)

    def close(self) -> None:
        self._to.close()
        self._process.wait(timeout=60)
        self._from.close()


def _send(pipe: IO[bytes], content: bytes) -> None:
    pipe.write(len(content).to_bytes(8, "little"))
    pipe.write(content)
    pipe.flush()


def _receive(pipe: IO[bytes]) -> bytes:
    size = pipe.read(8)
    content = pipe.read(int.from_bytes(size, "little")) if len(size) == 8 else b""
    if len(size) < 8 or len(content) < int.from_bytes(size, "little"):
        raise EOFError
    return content


def _serve() -> None:
    """Tokenize what comes in on standard input until it is closed."""
    tokenizer = tokenizer_from_record(json.loads(_receive(sys.stdin.buffer)))
    while True:
        try:
            texts = json.loads(_receive(sys.stdin.buffer))
        except EOFError:
            return
        part = tokenizer.encode(texts)
        _send(sys.stdout.buffer, json.dumps(part.types).encode())
        _send(sys.stdout.buffer, part.ids.tobytes())
        _send(sys.stdout.buffer, part.lengths.tobytes())


if __name__ == "__main__":
    _serve()
