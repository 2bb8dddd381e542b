"""The command in the test's own process: one of its own takes seconds to import torch."""

from __future__ import annotations

import contextlib
import io
import sys
import warnings
from typing import NamedTuple

import pytest

from headstart.command.main import main


class Done(NamedTuple):
    """What a command ended with: exit code, standard output and standard error."""

    returncode: int
    stdout: str
    stderr: str


def run(*arguments: object) -> Done:
    """Run ``headstart`` with arguments."""
    out, err = io.StringIO(), io.StringIO()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", ["headstart", *map(str, arguments)])
        patch.setattr(warnings, "showwarning", warnings.showwarning)  # main replaces it
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err), pytest.raises(SystemExit) as ended:
            main()
    return Done(int(ended.value.code or 0), out.getvalue(), err.getvalue())
