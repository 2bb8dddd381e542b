"""What the runner and the measured processes say to each other. Only the standard library: the peer imports it too.

The runner starts one process per side and passes it a `Task` as JSON. The process prepares (imports, data, model), then
answers with one line of JSON about itself. From then on it measures once for each line that it reads, and answers with
one line of JSON. So the runner can let the sides take turns, A B A B, on the same core: whoever waits does not compute.

Seconds of work (training, encoding) are the process's own CPU time. Its one thread never waits for anything, so on an
idle machine that is the time on the wall; on a busy one it leaves out what the neighbours took. One call of
``predict`` is timed on the wall as well, since its user does wait.
"""

from __future__ import annotations

import contextlib
import ctypes
import json
import os
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

__all__ = ["Task", "keep_freed_memory", "median", "read_task", "serve", "time_calls"]


@dataclass(frozen=True)
class Task:
    """What is to be trained, the same for every side.

    Attributes:
        train: path of the training rows, Parquet, without gaps; a multiple of the batch size.
        valid: path of a few validation rows.
        categorical: columns with an embedding.
        continuous: columns of numbers.
        target: the column of numbers to predict.
        embedding_sizes: width of each categorical column's embedding.
        hidden: width of each hidden layer.
        batch_size: rows per step.
        learning_rate: the top rate.
    """

    train: str
    valid: str
    categorical: tuple[str, ...]
    continuous: tuple[str, ...]
    target: str
    embedding_sizes: dict[str, int]
    hidden: tuple[int, ...] = (200, 100)
    batch_size: int = 128
    learning_rate: float = 1e-3

    def to_json(self) -> str:
        """What `read_task` takes."""
        return json.dumps(asdict(self))


def read_task(text: str) -> Task:
    """The task that `Task.to_json` wrote."""
    record = json.loads(text)
    for name in ("categorical", "continuous", "hidden"):
        record[name] = tuple(record[name])
    return Task(**record)


def keep_freed_memory() -> None:
    """Set glibc's allocator as headstart does for training on a processor, so that a peer has the same advantage."""
    if sys.platform.startswith("linux"):
        with contextlib.suppress(OSError, AttributeError):  # another C library, without this setting
            mallopt = ctypes.CDLL(None).mallopt
            for name in (-1, -3):  # M_TRIM_THRESHOLD, M_MMAP_THRESHOLD
                mallopt(ctypes.c_int(name), ctypes.c_int(2**31 - 1))


def serve(measure: Callable[[], dict[str, Any]], about: dict[str, Any]) -> None:
    """Answers the runner until it closes the line.

    Args:
        measure: does the work once and gives what was measured.
        about: what the runner should know of this side before the first measurement.
    """
    answers = os.fdopen(os.dup(sys.stdout.fileno()), "w")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())  # what a library prints must not look like an answer
    answers.write(json.dumps(about) + "\n")
    answers.flush()
    for _ in sys.stdin:
        answers.write(json.dumps(measure()) + "\n")
        answers.flush()


def time_calls(call: Callable[[Any], object], arguments: Sequence[Any]) -> dict[str, Any]:
    """Calls with each argument: the medians of the process's CPU time (``seconds``) and of the wall's."""
    seconds, wall_seconds = [], []
    for argument in arguments:
        wall_start, start = time.perf_counter(), time.process_time()
        call(argument)
        seconds.append(time.process_time() - start)
        wall_seconds.append(time.perf_counter() - wall_start)
    return {"seconds": median(seconds), "wall_seconds": median(wall_seconds)}


def median(values: list[float]) -> float:
    """The middle value; the mean of the two middle ones if there is an even number."""
    ordered = sorted(values)
    middle = len(ordered) // 2
    return ordered[middle] if len(ordered) % 2 else (ordered[middle - 1] + ordered[middle]) / 2
