"""Exceptions and warnings.

    HeadstartError
    ├── DataError        (also a ValueError)  the data do not meet the requirements
    ├── ConfigError      (also a ValueError)  an argument, an option or a combination of them is invalid
    ├── ArtifactError                         a saved folder cannot be read or written
    └── NotFittedError                        the operation needs a trained model

    HeadstartWarning     (a UserWarning)      something to know; the operation continues

A message states what is wrong, what arrived, what was expected and what to do, and names the column, file or argument.
The command line prints an error as one line on stderr and exits with code 2.
"""

from __future__ import annotations

import difflib
import sys
import warnings
from collections.abc import Iterable

__all__ = [
    "ArtifactError",
    "ConfigError",
    "DataError",
    "HeadstartError",
    "HeadstartWarning",
    "NotFittedError",
    "did_you_mean",
    "first_line",
    "warn",
]


class HeadstartError(Exception):
    """Base class of all exceptions that headstart raises deliberately."""


class DataError(HeadstartError, ValueError):
    """The data do not meet the requirements: a missing column, a wrong type, no rows."""


class ConfigError(HeadstartError, ValueError):
    """An argument or option is out of range, unknown, or incompatible with another."""


class ArtifactError(HeadstartError):
    """A saved model or checkpoint is missing, damaged, too new, or cannot be written."""


class NotFittedError(HeadstartError):
    """The operation needs something that exists only after training."""


class HeadstartWarning(UserWarning):
    """Something that the user should know; the operation continues."""


def did_you_mean(name: object, known: Iterable[object]) -> str:
    """Return the end of a message about an unknown name: the closest known name, or else the list of known names.

    Args:
        name: the unknown name; a number, such as a column of a pandas table, is compared as text.
        known: the valid names.

    Returns:
        A sentence such as ``did you mean 'Sales'?`` or ``there are: 'Date', 'Store'``.
    """
    names = [str(candidate) for candidate in known]
    by_lower_case = {candidate.lower(): candidate for candidate in names}
    closest = difflib.get_close_matches(str(name).lower(), by_lower_case, n=1, cutoff=0.6)
    if closest:
        return f"did you mean {by_lower_case[closest[0]]!r}?"
    if not names:
        return "there are none"
    shown = ", ".join(repr(candidate) for candidate in names[:20])
    return f"there are: {shown}{', ...' if len(names) > 20 else ''}"


def first_line(error: BaseException) -> str:
    """Return the first line of another library's message, or the error's type if it has none."""
    lines = str(error).strip().splitlines()
    return lines[0] if lines else type(error).__name__


def warn(message: str) -> None:
    """Warn by `HeadstartWarning`, at the line of the user's code that called headstart.

    Args:
        message: what the user should know, and what to do.
    """
    level, frame = 2, sys._getframe(1)
    while frame.f_back is not None and frame.f_globals.get("__name__", "").partition(".")[0] == "headstart":
        level, frame = level + 1, frame.f_back
    warnings.warn(message, HeadstartWarning, stacklevel=level)
