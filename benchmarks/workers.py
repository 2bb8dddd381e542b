"""Measured processes: one per side, with one thread, all pinned to the same core, taking turns."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

__all__ = ["ROOT", "Worker", "WorkerError", "take_turns"]

ROOT = Path(__file__).resolve().parents[1]

ONE_THREAD = {"OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1", "POLARS_MAX_THREADS": "1"}

CORE = 1
"""All sides run here where it exists; core 0 serves the machine's interrupts."""


class WorkerError(RuntimeError):
    """A measured process stopped; the message is the end of what it wrote to standard error."""


class Worker:
    """A process that measures when it is asked to (see `benchmarks.protocol`).

    Args:
        module: what to run, such as ``benchmarks.train_bare``.
        arguments: its arguments.
        python: whose interpreter; None: this one.
        environment: variables beside the usual ones.
    """

    def __init__(
        self,
        module: str,
        *arguments: str,
        python: Path | None = None,
        environment: Mapping[str, str] | None = None,
    ) -> None:
        self._errors = tempfile.TemporaryFile("w+")  # noqa: SIM115  # closed with the process
        self._process = subprocess.Popen(
            [*_pinned(), str(python or sys.executable), "-m", module, *arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._errors,
            text=True,
            cwd=ROOT,
            env={**os.environ, **ONE_THREAD, **(environment or {})},
        )
        self.about = self._answer()

    def measure(self) -> dict[str, Any]:
        """Has the process measure once.

        Raises:
            WorkerError: it stopped.
        """
        assert self._process.stdin is not None
        try:
            self._process.stdin.write("\n")
            self._process.stdin.flush()
        except BrokenPipeError:
            raise self._error() from None
        return self._answer()

    def close(self) -> None:
        """Lets the process end."""
        if self._process.stdin is not None:
            self._process.stdin.close()
        try:
            self._process.wait(timeout=30)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        if self._process.stdout is not None:
            self._process.stdout.close()
        self._errors.close()

    def __enter__(self) -> Worker:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    def _answer(self) -> dict[str, Any]:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise self._error()
        answer: dict[str, Any] = json.loads(line)
        return answer

    def _error(self) -> WorkerError:
        self._process.kill()
        self._process.wait()
        self._errors.seek(0)
        return WorkerError("\n".join(self._errors.read().strip().splitlines()[-15:]) or "the process said nothing")


def take_turns(workers: Sequence[Worker], rounds: int) -> list[list[dict[str, Any]]]:
    """Lets each worker measure in turn: once to warm up, which does not count, then ``rounds`` times.

    Returns:
        A list per worker with its answers, in the order of the rounds: equal places were measured side by side.
    """
    for worker in workers:
        worker.measure()
    found: list[list[dict[str, Any]]] = [[] for _ in workers]
    for _ in range(rounds):
        for answers, worker in zip(found, workers, strict=True):
            answers.append(worker.measure())
    return found


def _pinned() -> list[str]:
    """The beginning of a command that keeps it on one core; nothing where that is not possible."""
    taskset = shutil.which("taskset")
    if taskset is None or not hasattr(os, "sched_getaffinity"):
        return []
    allowed = os.sched_getaffinity(0)
    return [taskset, "-c", str(CORE if CORE in allowed else max(allowed))]
