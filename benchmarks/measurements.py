"""The measurements: who takes turns with whom, and the goals."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from benchmarks.figures import Figure, not_measured
from benchmarks.peer import PeerError, peer_python
from benchmarks.protocol import Task, median
from benchmarks.tables import big_flights, flights_task, rossmann_task
from benchmarks.workers import Worker, WorkerError, take_turns

__all__ = ["MEASUREMENTS", "Setting"]


@dataclass(frozen=True)
class Setting:
    """What all measurements share.

    Attributes:
        folder: for the tables.
        quick: fewer rows and rounds: to see that everything runs, not for figures to be quoted.
        say: told what takes so long.
    """

    folder: Path
    quick: bool
    say: Callable[[str], None]

    @cached_property
    def peer(self) -> Path | PeerError:
        """The peer's interpreter, or why there is none."""
        try:
            return peer_python(self.say)
        except PeerError as error:
            return error

    def rounds(self, usual: int) -> int:
        """How often each side measures."""
        return 2 if self.quick else usual


@dataclass(frozen=True)
class Training:
    """Rows per second while training, headstart's against fastai's and the bare loop's.

    Attributes:
        label: table, hidden layers and batch size, in words.
        make: writes the table.
        rows: of an epoch.
        batch_size: rows per step.
        over_peer: headstart's rows per second over fastai's must reach this.
        over_bare: and over the bare loop's this.
    """

    label: str
    make: Callable[[Path, int, int], Task]
    rows: int
    batch_size: int
    over_peer: float
    over_bare: float

    def __call__(self, setting: Setting) -> list[Figure]:
        """Measures; see `benchmarks.train_headstart`, `benchmarks.train_bare` and `benchmarks.peer_fastai`."""
        rows = 20_480 if setting.quick else self.rows
        task = self.make(setting.folder, rows, self.batch_size)
        with ExitStack() as stack:
            ours = stack.enter_context(Worker("benchmarks.train_headstart", task.to_json()))
            bare = stack.enter_context(Worker("benchmarks.train_bare", task.to_json()))
            peer = _start_peer(stack, setting, "train", task)
            _check_same_model(task, ours, bare, peer)
            workers = [ours, bare, *([peer] if isinstance(peer, Worker) else [])]
            seconds = [_seconds(answers) for answers in take_turns(workers, setting.rounds(9))]
        figures = []
        if isinstance(peer, Worker):
            figures.append(self._figure("fastai v2", rows, seconds[0], seconds[2], self.over_peer))
        else:
            figures.append(not_measured(f"train {self.label}", "x", self.over_peer, peer))
        return [*figures, self._figure("bare loop", rows, seconds[0], seconds[1], self.over_bare)]

    def _figure(self, name: str, rows: int, ours: list[float], theirs: list[float], goal: float) -> Figure:
        return Figure(
            what=f"train {self.label}",
            value=_ratio(theirs, ours),
            unit="x",
            goal=goal,
            ours=f"{rows / median(ours):,.0f} rows/s",
            beside=f"{name} {rows / median(theirs):,.0f} rows/s",
            raw={"headstart": ours, name: theirs},
        )


def encode(setting: Setting) -> list[Figure]:
    """Rows per second of `TableCodec.encode`; see `benchmarks.encode`."""
    with Worker("benchmarks.encode") as ours:
        seconds = _seconds(take_turns([ours], setting.rounds(15))[0])
        rows = ours.about["rows"]
    return [
        Figure(
            what="encode flights, 7 + 5 columns",
            value=rows / median(seconds),
            unit="rows/s",
            goal=2_000_000,
            ours=f"{1000 * median(seconds):.0f} ms for {rows:,} rows",
            raw={"headstart": seconds},
        )
    ]


def predict(setting: Setting) -> list[Figure]:
    """Time of one ``learner.predict(row)``; see `benchmarks.predict_headstart` and `benchmarks.peer_fastai`."""
    task = flights_task(setting.folder, 20_480, 128)
    what = "predict one row"
    with ExitStack() as stack:
        ours = stack.enter_context(Worker("benchmarks.predict_headstart", task.to_json()))
        peer = _start_peer(stack, setting, "predict", task)
        workers = [ours, *([peer] if isinstance(peer, Worker) else [])]
        answers = take_turns(workers, setting.rounds(9))
    seconds, wall = [_seconds(side) for side in answers], _seconds(answers[0], "wall_seconds")
    figures = [Figure(what, 1000 * median(wall), "ms", 1.0, at_least=False, raw={"headstart": wall})]
    if not isinstance(peer, Worker):
        return [*figures, not_measured(what, "x", 15.0, peer)]
    own, beside = (f"{1000 * median(side):.3g} ms" for side in seconds)
    raw = {"headstart": seconds[0], "fastai v2": seconds[1]}
    ratio = _ratio(seconds[1], seconds[0])
    return [*figures, Figure(what, ratio, "x", 15.0, ours=own, beside=f"fastai v2 {beside}", raw=raw)]


def memory(setting: Setting) -> list[Figure]:
    """Memory of training over the size of the encoded tensors; see `benchmarks.memory`."""
    what = "memory, 3 million rows: "
    if not Path("/proc/self/clear_refs").exists():
        return [not_measured(what + "training", "x", 3.0, "it needs Linux's /proc")]
    task = big_flights(setting.folder, 3_000_000, 4096 if setting.quick else 512)
    with Worker("benchmarks.memory", task.to_json()) as worker:
        found = worker.measure()
    encoded = found["encoded"]

    def figure(name: str, key: str, goal: float | None) -> Figure:
        return Figure(
            what + name, found[key] / encoded, "x", goal, at_least=False, ours=f"{found[key] / 1e6:,.0f} MB",
            beside=f"encoded tensors {encoded / 1e6:,.0f} MB", raw={name: [value] for name, value in found.items()},
        )  # fmt: skip

    return [
        figure("training", "training", 3.0),
        figure("training at once", "at_once", None),
        figure("with encoding and table", "with_encoding", None),
    ]


MEASUREMENTS: dict[str, Callable[[Setting], list[Figure]]] = {
    "train-128": Training("flights [200, 100], batch 128", flights_task, 81_920, 128, 3.5, 0.9),
    "train-512": Training("flights [200, 100], batch 512", flights_task, 81_920, 512, 2.3, 0.9),
    "train-wide": Training("rossmann-100 [1000, 500], batch 128", rossmann_task, 40_960, 128, 1.5, 0.95),
    "encode": encode,
    "predict": predict,
    "memory": memory,
}


def _start_peer(stack: ExitStack, setting: Setting, what: str, task: Task) -> Worker | str:
    """The peer's process, once it has shown that it can measure, or why there is none."""
    if isinstance(setting.peer, PeerError):
        return str(setting.peer)
    try:
        peer = stack.enter_context(Worker("benchmarks.peer_fastai", what, task.to_json(), python=setting.peer))
        peer.measure()
    except WorkerError as error:
        return f"fastai's side stopped: {error}"
    return peer


def _check_same_model(task: Task, ours: Worker, bare: Worker, peer: Worker | str) -> None:
    """That all sides train the same layers; fastai has no bias where batch norm follows."""
    count = ours.about["parameters"]
    expected = {"the bare loop": (bare.about["parameters"], count)}
    if isinstance(peer, Worker):
        expected["fastai"] = (peer.about["parameters"], count - sum(task.hidden))
    for name, (found, wanted) in expected.items():
        if found != wanted:
            raise WorkerError(f"{name} has {found:,} parameters where {wanted:,} were expected: not the same model")


def _seconds(answers: list[dict[str, Any]], name: str = "seconds") -> list[float]:
    return [float(answer[name]) for answer in answers]


def _ratio(theirs: list[float], ours: list[float]) -> float:
    """The median over the rounds: what was measured side by side is divided, and only then is the middle taken."""
    return median([their / our for their, our in zip(theirs, ours, strict=True)])
