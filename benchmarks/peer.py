"""The peer's environment, ``.venv-bench`` beside the project's own: made on first use, kept until its pins change."""

from __future__ import annotations

import hashlib
import subprocess
import sys
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path

from benchmarks.workers import ROOT

__all__ = ["PeerError", "peer_python"]

PINS = Path(__file__).with_name("peers.txt")
FOLDER = ROOT / ".venv-bench"
ALONE = "fastai"
"""Installed without its dependencies: it pins an older torch."""
MOST_SECONDS = 1800


class PeerError(RuntimeError):
    """The peer's environment cannot be made; the message says why."""


def peer_python(say: Callable[[str], None]) -> Path:
    """The peer's interpreter. The first time its environment is made, with pip.

    Args:
        say: told what takes so long.

    Raises:
        PeerError: no network, no such version, no space.
    """
    python = FOLDER / ("Scripts/python.exe" if sys.platform == "win32" else "bin/python")
    torch = f"torch=={version('torch').partition('+')[0]}"  # the same torch on both sides
    pins = PINS.read_text()
    stamp, wanted = FOLDER / ".made-of", hashlib.sha256(f"{sys.version} {torch} {pins}".encode()).hexdigest()
    if stamp.is_file() and stamp.read_text() == wanted:
        return python
    say(f"making {FOLDER.name} for fastai v2, once; it takes some minutes")
    lines = [line.strip() for line in pins.splitlines() if line.strip() and not line.startswith("#")]
    alone = [line for line in lines if line.partition("==")[0] == ALONE]
    _run(sys.executable, "-m", "venv", "--clear", str(FOLDER))
    install = (str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check")
    _run(*install, torch, *(line for line in lines if line not in alone))
    _run(*install, "--no-deps", *alone)
    stamp.write_text(wanted)
    return python


def _run(*command: str) -> None:
    try:
        subprocess.run(command, check=True, capture_output=True, text=True, timeout=MOST_SECONDS)
    except subprocess.CalledProcessError as error:
        said = [line for line in error.stderr.splitlines() if line.startswith("ERROR")] or error.stderr.splitlines()
        raise PeerError(f"fastai cannot be installed: {said[-1] if said else error}") from None
    except (OSError, subprocess.TimeoutExpired) as error:
        raise PeerError(f"fastai cannot be installed: {error}") from None
