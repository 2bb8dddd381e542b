"""Display of a running fit: a bar and a live table in terminals and notebooks, plain lines elsewhere."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator, Sequence
from typing import Any, Literal, TextIO, TypeVar

from rich.console import Console, Group
from rich.live import Live
from rich.progress import BarColumn, TaskProgressColumn, TextColumn, TimeRemainingColumn
from rich.progress import Progress as RichProgress
from rich.table import Table

from headstart.core.errors import ConfigError
from headstart.training.callbacks import Callback
from headstart.training.history import History, format_figure
from headstart.training.progress import Progress

__all__ = ["Display", "Verbosity", "track"]

Verbosity = Literal["auto", "bar", "lines", "none"]

T = TypeVar("T")

SECONDS_BETWEEN_READS = 0.25
"""Minimum time between two updates of the bar, which read the loss and so wait for the device."""


class Display(Callback):
    """Show the epochs and steps of a fit.

    Args:
        verbosity: ``"bar"``, ``"lines"`` or ``"none"``; or ``"auto"``, a bar in terminals and notebooks and lines
            elsewhere.
        stream: output stream; None: standard error, so that standard output is left to the program.

    Raises:
        ConfigError: ``verbosity`` is none of these.
    """

    def __init__(self, verbosity: Verbosity = "auto", stream: TextIO | None = None) -> None:
        if verbosity not in ("auto", "bar", "lines", "none"):
            raise ConfigError(f"progress must be 'auto', 'bar', 'lines' or 'none'; got {verbosity!r}")
        self.verbosity, self.stream = verbosity, stream
        self._shown: _Bar | _Lines | _Notebook | None = None
        self._smooth: float | None = None
        self._read = 0.0

    def on_fit_start(self, progress: Progress) -> None:
        """Choose the kind of display and open it, on the main process only."""
        if not progress.engine.is_main or self.verbosity == "none":
            return
        stream = self.stream or sys.stderr
        lively = self.verbosity == "bar" or (self.verbosity == "auto" and stream.isatty())
        if self.verbosity == "auto" and self.stream is None and _in_notebook():
            self._shown = _Notebook()
        else:
            self._shown = _Bar(stream) if lively else _Lines(stream)

    def on_step_end(self, progress: Progress) -> None:
        """Update the bar, at most four times per second."""
        now = time.perf_counter()
        if self._shown is None or not self._shown.moves or now - self._read < SECONDS_BETWEEN_READS:
            return
        assert progress.loss is not None
        loss = float(progress.loss.detach())  # waits for the device
        self._smooth = loss if self._smooth is None else 0.8 * self._smooth + 0.2 * loss
        self._shown.step(progress, self._smooth)
        self._read = time.perf_counter()

    def on_epoch_end(self, progress: Progress) -> None:
        """Show the figures of the epoch."""
        if self._shown is not None:
            self._shown.epoch(progress)

    def on_fit_end(self, progress: Progress) -> None:
        """Close the display; the table remains visible."""
        if self._shown is not None:
            self._shown.close()
            self._shown = None


def track(parts: Sequence[T], what: str, verbosity: Verbosity = "auto", *, stream: TextIO | None = None) -> Iterator[T]:
    """Yield the items of a sequence, and show how many are done.

    Args:
        parts: the items.
        what: name of the task.
        verbosity: ``"bar"``, ``"lines"`` or ``"none"``; or ``"auto"``, a bar in terminals and lines elsewhere.
        stream: output stream; None: standard error.
    """
    stream = stream or sys.stderr
    if verbosity == "none":
        yield from parts
    elif verbosity == "bar" or (verbosity == "auto" and stream.isatty()):
        console = Console(file=stream, force_terminal=True, force_jupyter=False)
        with RichProgress(
            TextColumn(what), BarColumn(), TaskProgressColumn(), TimeRemainingColumn(), console=console
        ) as bar:
            yield from bar.track(parts)
    else:
        for number, part in enumerate(parts, start=1):
            yield part
            stream.write(f"{what} {number}/{len(parts)}\n")
            stream.flush()


class _Bar:
    """Table of the epochs with a bar below it, redrawn in place by rich."""

    moves = True

    def __init__(self, stream: TextIO) -> None:
        console = Console(file=stream, force_terminal=True, force_jupyter=False)
        self._bar = RichProgress(
            TextColumn("epoch {task.fields[epoch]}"), BarColumn(), TaskProgressColumn(), TimeRemainingColumn(),
            TextColumn("loss {task.fields[loss]}"), console=console,
        )  # fmt: skip
        self._task = self._bar.add_task("fit", total=None, epoch="1", loss="")
        self._live = Live(self._bar, console=console, refresh_per_second=4, transient=False)
        self._live.start()
        self._table: Table | None = None

    def step(self, progress: Progress, loss: float) -> None:
        done = progress.epoch * progress.steps + progress.step
        self._bar.update(
            self._task, completed=done, total=progress.epochs * progress.steps, loss=format_figure(loss),
            epoch=f"{min(progress.epoch + 1, progress.epochs)}/{progress.epochs}",
        )  # fmt: skip

    def epoch(self, progress: Progress) -> None:
        self._table = History(progress.history).table()
        self._live.update(Group(self._table, self._bar))

    def close(self) -> None:
        if self._table is not None:
            self._live.update(self._table)
        self._live.stop()


class _Lines:
    """One plain line per epoch, for files and pipes."""

    moves = False

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def step(self, progress: Progress, loss: float) -> None:
        """Do nothing: lines cannot be redrawn."""

    def epoch(self, progress: Progress) -> None:
        figures = progress.history[-1]
        shown = "  ".join(f"{name} {format_figure(value)}" for name, value in figures.items() if name != "epoch")
        self._stream.write(f"epoch {progress.epoch}/{progress.epochs}  {shown}\n")
        self._stream.flush()

    def close(self) -> None:
        """Do nothing: there is nothing to close."""


class _Notebook:
    """Table and bar as HTML, redrawn in the output of the notebook cell."""

    moves = True

    def __init__(self) -> None:
        from IPython.display import HTML, display

        self._html = HTML
        self._handle: Any = display(HTML("<p>…</p>"), display_id=True)

    def step(self, progress: Progress, loss: float) -> None:
        bar = f'<progress value="{progress.step}" max="{progress.steps}"></progress>'
        text = f"epoch {progress.epoch + 1}/{progress.epochs}, loss {format_figure(loss)}"
        self._handle.update(self._html(f"{History(progress.history)._repr_html_()}<p>{bar} {text}</p>"))

    def epoch(self, progress: Progress) -> None:
        self._handle.update(self._html(History(progress.history)._repr_html_()))

    def close(self) -> None:
        """Do nothing: the table remains visible."""


def _in_notebook() -> bool:
    """Return whether this process is a notebook kernel, where IPython is already imported and has such a shell."""
    ipython = sys.modules.get("IPython")
    shell = ipython.get_ipython() if ipython is not None else None
    return type(shell).__name__ == "ZMQInteractiveShell"
