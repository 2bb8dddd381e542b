"""What a named data set is."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from headstart.datasets.sources import Source

__all__ = ["Recipe"]


@dataclass(frozen=True)
class Recipe:
    """What a data set is and where it comes from.

    Args:
        name: how users call it.
        description: one line on what it holds.
        contents: the meaning, with its unit, of each column of the table, or of each file in the folder.
        sources: where it comes from, in the order in which they are tried.
        terms: licence or terms of use; says plainly when it is for research only.
        citation: as the authors ask for it.
        rows: of the table (of the main table in a folder); None if unknown.
        revision: to be raised when the code that prepares the table changes, so that old copies are not used any more.
    """

    name: str
    description: str
    contents: Mapping[str, str]
    sources: tuple[Source, ...]
    terms: str
    citation: str
    rows: int | None = None
    revision: int = 1

    @property
    def kind(self) -> str:
        """Where a user without ``HEADSTART_DATA`` gets it from: ``embedded``, ``wheel``, ``url``, or ``folder``."""
        return self.sources[-1].kind
