"""Start scripts of tests in processes of their own, several of them by torchrun."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import headstart


def run_script(script: Path, *arguments: object, processes: int = 0) -> None:
    """Run a script that can import headstart and the tests' modules.

    Args:
        script: the file.
        arguments: its arguments.
        processes: number of processes that torchrun starts; 0: one, without torchrun.
    """
    launcher = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", str(processes)] if processes else []
    environment = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join(str(path.parent) for path in (Path(headstart.__file__).parent, Path(__file__))),
        "OMP_NUM_THREADS": "1",
    }
    done = subprocess.run(
        [sys.executable, *launcher, str(script), *map(str, arguments)], env=environment, capture_output=True, text=True,
        check=False, timeout=120,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]
