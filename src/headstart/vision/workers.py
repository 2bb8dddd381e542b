"""`Decoding`: fills a store with the pixels of files, in worker processes, while others already use what is there."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import threading
from collections import deque
from collections.abc import Sequence
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from headstart.core.errors import ConfigError, DataError
from headstart.vision.decoding import Sizing, decode
from headstart.vision.store import RowStore

__all__ = ["Decoding", "checked_workers"]

Places = NDArray[np.int64]

AT_ONCE = 8
"""Files that a worker gets at a time."""

MOST_WORKERS = 8

FEW = 16
"""Files that are decoded at once in this process: a worker takes longer to start."""


def checked_workers(workers: int | None) -> int:
    """How many processes decode: as said, or one less than there are processors, at most 8.

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
    """Files and the store that holds their pixels.

    The workers write into the store's file themselves, so that no pixels pass between processes. They are started
    anew, as programs of their own: a user's script needs no ``if __name__ == "__main__"`` for them.

    Args:
        store: uint8 rows ``(size, size, 3)``, one per file.
        paths: the files, in the store's order.
        sizing: what is made of each.
        workers: processes; 0: decode here, when pixels are asked for.
    """

    def __init__(self, store: RowStore, paths: Sequence[str], sizing: Sizing, workers: int) -> None:
        self.store, self.paths, self.sizing, self.workers = store, paths, sizing, workers
        self.errors: dict[int, str] = {}
        self._queue: deque[int] = deque()
        self._queued: set[int] = set()
        self._news = threading.Condition()
        self._threads: list[threading.Thread] = []

    def start(self, places: Places) -> None:
        """Has the workers begin with these rows, in this order; returns at once."""
        missing = self.store.missing(places)
        if not self.workers or len(missing) <= FEW:
            return
        with self._news:
            new = [int(place) for place in missing if place not in self._queued and place not in self.errors]
            self._queue.extend(new)
            self._queued.update(new)
            for _ in range(min(self.workers, -(-len(self._queue) // AT_ONCE)) - len(self._threads)):
                thread = threading.Thread(target=self._work, daemon=True)
                self._threads.append(thread)
                thread.start()

    def wait(self, places: Places) -> None:
        """Returns once these rows are there; what no worker has been given is decoded here.

        Raises:
            DataError: one of them cannot be decoded.
        """
        for place in self.failed(places):
            raise DataError(f"{self.errors[place]} (with on_error='skip' such files are left out and listed)")

    def failed(self, places: Places) -> list[int]:
        """Waits likewise, and gives those of the rows that cannot be decoded; ``errors`` says why."""
        for place in self.store.missing(places):
            with self._news:
                while int(place) in self._queued and not self.store.done[place]:
                    self._news.wait()
            if not self.store.done[place] and int(place) not in self.errors:
                try:
                    self.store.write(np.array([place]), decode(self.paths[place], self.sizing)[None])
                except DataError as error:
                    self.errors[int(place)] = str(error)
        return [int(place) for place in places if int(place) in self.errors]

    def stop(self) -> None:
        """Lets the workers finish what they have in hand and go."""
        with self._news:
            self._queued.difference_update(self._queue)
            self._queue.clear()
            threads = list(self._threads)
        for thread in threads:
            thread.join()

    def _work(self) -> None:
        """One worker's life, seen from here: it ends with the queue."""
        in_hand: list[int] = []
        try:
            with _worker(self.store, self.sizing) as worker:
                assert worker.stdin is not None and worker.stdout is not None
                while in_hand := self._next():
                    self._tell(in_hand, worker.stdin, worker.stdout)
        except (OSError, ValueError) as error:
            with self._news:
                for place in in_hand:
                    if not self.store.done[place]:
                        self.errors[place] = (
                            f"{self.paths[place]}: the process that decoded it ended ({error}), perhaps for want of"
                            " memory; try workers=0"
                        )
                self._queued.difference_update(self._queue, in_hand)
                self._queue.clear()
                self._news.notify_all()
                if threading.current_thread() in self._threads:
                    self._threads.remove(threading.current_thread())

    def _next(self) -> list[int]:
        with self._news:
            if not self._queue:  # said under the lock, so that whoever adds to the queue knows that nobody is at it
                self._threads.remove(threading.current_thread())
            return [self._queue.popleft() for _ in range(min(AT_ONCE, len(self._queue)))]

    def _tell(self, in_hand: list[int], to: IO[str], answers: IO[str]) -> None:
        to.write(json.dumps([[place, self.paths[place]] for place in in_hand]) + "\n")
        to.flush()
        failed: list[Any] = json.loads(answers.readline())
        with self._news:
            self.errors.update({int(place): str(message) for place, message in failed})
            self._queued.difference_update(in_hand)
            self._news.notify_all()


def _worker(store: RowStore, sizing: Sizing) -> subprocess.Popen[str]:
    """A worker, told where to and how."""
    home = str(Path(__file__).parents[2])
    path = os.pathsep.join(part for part in (home, os.environ.get("PYTHONPATH")) if part)
    worker = subprocess.Popen(
        [sys.executable, "-m", "headstart.vision.decoding_worker"],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, encoding="utf-8",
        env={**os.environ, "PYTHONPATH": path, "OMP_NUM_THREADS": "1"},
    )  # fmt: skip
    assert worker.stdin is not None
    setting = {
        "values": str(store.folder / "values"), "done": str(store.folder / "done"), "rows": store.rows,
        "sizing": sizing.to_json(),
    }  # fmt: skip
    with contextlib.suppress(OSError):  # it is gone already: its first answer, or the want of one, says so
        worker.stdin.write(json.dumps(setting) + "\n")
        worker.stdin.flush()
    return worker
