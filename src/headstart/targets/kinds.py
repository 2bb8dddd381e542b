"""`TargetKind`: the closed list of the kinds of targets, and their names in messages."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, TypeAlias

__all__ = ["TargetKind", "describe_kind"]

TargetKind: TypeAlias = Literal["number", "quantiles", "count", "label", "labels"]
"""Tag of each target class: `Number`, `Quantiles`, `Count`, `Label` (one class), `Labels` (any number of classes)."""

_PHRASES: dict[TargetKind, str] = {
    "number": "is a number",
    "quantiles": "is predicted by its quantiles",
    "count": "is a count",
    "label": "is a class",
    "labels": "holds several classes per row",
}


def describe_kind(kind: TargetKind, columns: Sequence[str]) -> str:
    """Return what a target is, for messages: ``'Sales' is a number``.

    Args:
        kind: the target's kind.
        columns: the columns of the target; only numbers have several.
    """
    names = ", ".join(repr(column) for column in columns)
    return f"{names} {_PHRASES[kind]}" if len(columns) == 1 else f"{names} are numbers"
