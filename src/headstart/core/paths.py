"""Paths as users write them."""

from __future__ import annotations

from pathlib import Path

from headstart.core.errors import ConfigError

__all__ = ["expanded"]


def expanded(path: str | Path) -> Path:
    """Return a path with ``~`` and ``~name`` replaced by the home folder.

    Args:
        path: a path as the user wrote it.

    Raises:
        ConfigError: there is no such home folder, or the path is no text.
    """
    try:
        return Path(path).expanduser()
    except RuntimeError as error:
        raise ConfigError(f"{path}: {error}; write the folder out") from None
    except TypeError:
        raise ConfigError(f"expected a path; got {path!r}") from None
