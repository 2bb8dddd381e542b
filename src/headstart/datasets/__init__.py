"""Named data sets: ``datasets.get("flights")`` returns the path of a table or folder that is ready to train on."""

from __future__ import annotations

from headstart.datasets.get import available, find, get, usual_cache
from headstart.datasets.recipes import Recipe

__all__ = ["Recipe", "available", "find", "get", "usual_cache"]
