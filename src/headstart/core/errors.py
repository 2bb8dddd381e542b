"""What goes wrong, and how it is said.

    HeadstartError
    ├── DataError        (also a ValueError)  the data are not what the work needs
    ├── ConfigError      (also a ValueError)  an argument, an option or a combination of them
    ├── ArtifactError                         a saved folder that cannot be read, or not be written
    └── NotFittedError                        asked of something that has not been trained yet

    HeadstartWarning     (a UserWarning)      the work goes on, but you should know

A message says what was wrong, what arrived, what was expected and what to do, and it names the column, file or
argument. On the command line each of these is one line on stderr and exit code 2.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable

__all__ = [
    "ArtifactError",
    "ConfigError",
    "DataError",
    "HeadstartError",
    "HeadstartWarning",
    "NotFittedError",
    "did_you_mean",
]


class HeadstartError(Exception):
    """The root of all errors that headstart raises on purpose."""


class DataError(HeadstartError, ValueError):
    """The data are not what the work needs: a missing column, a wrong type, no rows."""


class ConfigError(HeadstartError, ValueError):
    """An argument or option is out of its range, unknown, or does not go with another."""


class ArtifactError(HeadstartError):
    """A saved model or checkpoint is missing, damaged, from a newer version, or cannot be written."""


class NotFittedError(HeadstartError):
    """A trained model was asked for something that only exists after training."""


class HeadstartWarning(UserWarning):
    """Something the user should know, though the work goes on."""


def did_you_mean(name: object, known: Iterable[object]) -> str:
    """Ends a message about an unknown name: the nearest known one, else the list of them.

    Args:
        name: what arrived; a number (a column of a pandas table) counts as its text.
        known: the names that would have been right.

    Returns:
        A sentence such as ``did you mean 'Sales'?`` or ``there are: 'Date', 'Store'``.
    """
    names = [str(candidate) for candidate in known]
    lower = {candidate.lower(): candidate for candidate in names}
    near = difflib.get_close_matches(str(name).lower(), lower, n=1, cutoff=0.6)
    if near:
        return f"did you mean {lower[near[0]]!r}?"
    if not names:
        return "there are none"
    shown = ", ".join(repr(candidate) for candidate in names[:20])
    return f"there are: {shown}{', ...' if len(names) > 20 else ''}"
