"""What every demo prints of its training, and at its end."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from rich.console import Console

__all__ = ["print_end", "print_kept"]


def print_kept(console: Console, learner: Any) -> None:
    """Print which epoch's weights a learner's last fit ended with."""
    epochs, kept = len(learner.history), learner.history.kept()
    console.print(f"Kept: epoch {kept} of {epochs}, the best by {learner.first_figure()}.", highlight=False)


def print_end(console: Console, folder: Path, saved: dict[str, str], own: str, commands: list[str]) -> None:
    """Print what a demo has saved, and what to type next.

    Args:
        console: where to print.
        folder: the demo's folder.
        saved: description of each file in it.
        own: what the commands need of the user's, such as ``"a table"``.
        commands: what to type next.
    """
    console.print("Saved:")
    for name, description in saved.items():
        console.print(f"  {folder / name}  ({description})", highlight=False, soft_wrap=True)
    console.print(f"Next, with {own} of your own:")
    for command in commands:
        console.print(f"  {command}", highlight=False, soft_wrap=True)
