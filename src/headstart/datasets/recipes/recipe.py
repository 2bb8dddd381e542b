"""`Recipe`: the description of a named data set."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from headstart.datasets.sources import Source

__all__ = ["Recipe"]


@dataclass(frozen=True)
class Recipe:
    """Description and sources of a data set.

    Args:
        name: name of the data set.
        description: summary in one line.
        contents: meaning and unit of each column of the table, or meaning of each file in the folder.
        sources: sources, in the order in which they are tried.
        terms: licence or terms of use; states if the data are for research only.
        citation: citation that the authors request.
        rows: number of rows of the table, or of the main table in a folder; None if unknown.
        revision: version of the code that prepares the table; increase it when that code changes, so that cached tables
            are prepared again.
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
        """Kind of the source for users without ``HEADSTART_DATA``: ``embedded``, ``wheel``, ``url`` or ``folder``."""
        return self.sources[-1].kind
