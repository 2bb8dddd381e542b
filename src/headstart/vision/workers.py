"""`Decoding`: fill a store with the pixels of files, in worker processes, while others already use what is there."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import threading
from collections import deque
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from headstart.core.errors import ConfigError, DataError
from headstart.vision.decoding import Sizing, decode
from headstart.vision.store import RowStore

__all__ = ["Decoding", "checked_workers"]

Indices = NDArray[np.int64]

AT_ONCE = 8
"""Files that a worker gets at a time."""

MOST_WORKERS = 8

FEW = 16
"""Files that are decoded in this process: a worker takes longer to start."""


def checked_workers(workers: int | None) -> int:
    """Return the number of decoding processes: as given, or one less than there are processors, at most 8.

    Raises:
        ConfigError: not a whole number of 0 or more.
    """
    if workers is None:
        usable = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
        return max(0, min(MOST_WORKERS, usable - 1))
    if not isinstance(workers, int) or isinstance(workers, bool) or workers < 0:
        raise ConfigError(f"workers must be a whole number of 0 (decode in this process) or more; got {workers!r}")
    return workers


class Decoding:
    """Files, and the store that holds their pixels.

    The workers write into the store's file themselves, so that no pixels pass between processes. They are fresh
    interpreters, so a user's script needs no ``if __name__ == "__main__"`` for them.

    Args:
        store: uint8 rows ``(size, size, 3)``, one per file.
        paths: the files, in the store's order.
        sizing: size of the squares, and how images fill them.
        workers: number of processes; 0: decode in this one, when pixels are needed.

    Attributes:
        errors: reason for each row that cannot be decoded.
    """

    def __init__(self, store: RowStore, paths: Sequence[str], sizing: Sizing, workers: int) -> None:
        self.store, self.paths, self.sizing, self.workers = store, paths, sizing, workers
        self.errors: dict[int, str] = {}
        self._queue: deque[int] = deque()
        self._queued: set[int] = set()
        self._news = threading.Condition()
        self._threads: list[threading.Thread] = []

    def start(self, rows: Indices) -> None:
        """Let the workers begin with these rows, in this order; return at once."""
        missing = self.store.missing(rows)
        if not self.workers or len(missing) <= FEW:
            return
        with self._news:
            new = [int(row) for row in missing if row not in self._queued and row not in self.errors]
            self._queue.extend(new)
            self._queued.update(new)
            for _ in range(min(self.workers, -(-len(self._queue) // AT_ONCE)) - len(self._threads)):
                thread = threading.Thread(target=self._work, daemon=True)
                self._threads.append(thread)
                thread.start()

    def wait(self, rows: Indices) -> None:
        """Return once these rows are there; decode here what no worker has been given.

        Raises:
            DataError: one of them cannot be decoded.
        """
        for row in self.failed(rows):
            raise DataError(f"{self.errors[row]} (with on_error='skip' such files are left out and listed)")

    def failed(self, rows: Indices) -> list[int]:
        """Wait for these rows, and return those that cannot be decoded; ``errors`` has the reasons."""
        for row in self.store.missing(rows):
            with self._news:
                while int(row) in self._queued and not self.store.done[row]:
                    self._news.wait()
            if not self.store.done[row] and int(row) not in self.errors:
                try:
                    self.store.write(np.array([row]), decode(self.paths[row], self.sizing)[None])
                except DataError as error:
                    self.errors[int(row)] = str(error)
        return [int(row) for row in rows if int(row) in self.errors]

    def _work(self) -> None:
        """Serve one worker until the queue is empty."""
        in_hand: list[int] = []
        try:
            with _worker(self.store, self.sizing) as worker:
                assert worker.stdin is not None and worker.stdout is not None
                while in_hand := self._next():
                    self._exchange(in_hand, worker.stdin, worker.stdout)
        except (OSError, ValueError) as error:
            with self._news:
                for row in in_hand:
                    if not self.store.done[row]:
                        self.errors[row] = (
                            f"{self.paths[row]}: the process that decoded it ended ({error}), perhaps for want of"
                            " memory; try workers=0"
                        )
        finally:
            with self._news:  # whatever happened, nobody shall wait for rows that no worker has
                self._queued.difference_update(in_hand)
                if threading.current_thread() in self._threads:  # it did not reach the end of the queue
                    self._threads.remove(threading.current_thread())
                    if not self._threads:
                        self._queued.difference_update(self._queue)
                        self._queue.clear()
                self._news.notify_all()

    def _next(self) -> list[int]:
        with self._news:
            if not self._queue:  # under the lock, so that whoever adds to the queue knows that this thread has ended
                self._threads.remove(threading.current_thread())
            return [self._queue.popleft() for _ in range(min(AT_ONCE, len(self._queue)))]

    def _exchange(self, rows: list[int], requests: IO[str], replies: IO[str]) -> None:
        requests.write(json.dumps([[row, self.paths[row]] for row in rows]) + "\n")
        requests.flush()
        failed: list[Any] = json.loads(replies.readline())
        with self._news:
            self.errors.update({int(row): str(reason) for row, reason in failed})
            self._queued.difference_update(rows)
            self._news.notify_all()


def _worker(store: RowStore, sizing: Sizing) -> subprocess.Popen[str]:
    """Start a worker and send it its setting."""
    source = str(Path(__file__).parents[2])
    path = os.pathsep.join(part for part in (source, os.environ.get("PYTHONPATH")) if part)
    worker = subprocess.Popen(
        [sys.executable, "-m", "headstart.vision.decoding_worker"],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, encoding="utf-8",
        env={**os.environ, "PYTHONPATH": path, "OMP_NUM_THREADS": "1"},
    )  # fmt: skip
    assert worker.stdin is not None
    setting = {
        "values": str(store.folder / "values"), "done": str(store.folder / "done"), "rows": store.rows,
        "sizing": asdict(sizing), "lasting": store.lasting,
    }  # fmt: skip
    with contextlib.suppress(OSError):  # it has ended already: its first reply, or the lack of one, shows it
        worker.stdin.write(json.dumps(setting) + "\n")
        worker.stdin.flush()
    return worker
