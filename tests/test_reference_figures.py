"""The figures of small trainings are those of the committed reference: to the bit on its machine, close elsewhere."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import headstart

ROOT = Path(__file__).parents[1]


def test_the_figures_are_those_of_the_reference() -> None:
    """In a process of its own, whose linear algebra has one thread; all runs: scripts/reference_figures.py --check."""
    source = Path(headstart.__file__).parents[1]
    path = os.pathsep.join([str(source), str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])])
    done = subprocess.run(
        [sys.executable, "-m", "scripts.reference_figures", "--check", "--suite"],
        cwd=ROOT, env={**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": path}, capture_output=True, text=True,
        check=False,
    )  # fmt: skip
    print(done.stdout, done.stderr, sep="\n")
    assert done.returncode == 0, done.stdout + done.stderr[-4000:]
