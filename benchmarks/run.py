"""Measures headstart beside fastai v2 and a bare tensor loop, prints the table, and says which goals are missed.

    python -m benchmarks.run [--only NAME]... [--quick] [--json FILE] [--strict]

Every side is a process of its own with one thread, all pinned to the same core; they take turns (A B A B ...), and a
ratio is the median over the rounds. fastai v2 lives in ``.venv-bench``, which is made on first use; where that fails,
its lines say why and the others are measured all the same. A full run takes five to ten minutes.
"""

from __future__ import annotations

import argparse
import json
import platform
import sys
import tempfile
import time
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path

from rich.console import Console

from benchmarks.figures import Figure, missed, show, to_json
from benchmarks.measurements import MEASUREMENTS, Setting
from benchmarks.workers import WorkerError

__all__ = ["main"]

WIDTH = 160
"""Columns of the table in a file or a pipe."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the measurements asked for.

    Returns:
        The exit code: 1 if a side other than the peer's failed, or, with ``--strict``, if a goal is missed; else 0.
    """
    asked = _parser().parse_args(arguments)
    screen, notes = Console(), Console(stderr=True)
    if not screen.is_terminal:
        screen.width = WIDTH
    figures: list[Figure] = []
    failed = False
    with tempfile.TemporaryDirectory(prefix="headstart-bench-") as folder:
        setting = Setting(Path(folder), asked.quick, lambda text: notes.print(text, style="dim"))
        for name in asked.only or MEASUREMENTS:
            started = time.perf_counter()
            setting.say(f"measuring {name} ...")
            try:
                figures += MEASUREMENTS[name](setting)
            except WorkerError as error:
                failed = True
                notes.print(f"{name} failed:\n{error}", style="red", markup=False)
            setting.say(f"measuring {name}: {time.perf_counter() - started:.0f} s")
    how = "quick: fewer rows and rounds, not to be quoted" if asked.quick else "one thread, medians of paired CPU times"
    screen.print(show(figures, f"headstart {version('headstart')}, torch {version('torch')} ({how})"))
    if asked.json is not None:
        asked.json.write_text(json.dumps(_record(figures, quick=asked.quick), indent=2) + "\n")
    if missed(figures):
        screen.print(f"missed: {'; '.join(missed(figures))}", style="bold red", markup=False)
    return 1 if failed or (asked.strict and missed(figures)) else 0


def _record(figures: Sequence[Figure], *, quick: bool) -> dict[str, object]:
    return {
        "headstart": version("headstart"),
        "torch": version("torch"),
        "polars": version("polars"),
        "python": platform.python_version(),
        "machine": platform.machine(),
        "system": platform.system(),
        "quick": quick,
        "figures": to_json(figures),
    }


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.run", description="Measures headstart beside fastai v2 and a bare tensor loop."
    )
    parser.add_argument("--only", action="append", choices=list(MEASUREMENTS), help="one measurement; may be repeated")
    parser.add_argument("--quick", action="store_true", help="fewer rows and rounds, to see that everything runs")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures here as well")
    parser.add_argument("--strict", action="store_true", help="exit code 1 if a goal is missed")
    return parser


if __name__ == "__main__":
    sys.exit(main())
