"""What every demo says at its end."""

from __future__ import annotations

from pathlib import Path

from rich.console import Console

__all__ = ["print_end"]


def print_end(console: Console, folder: Path, saved: dict[str, str], own: str, commands: list[str]) -> None:
    """What a demo has left behind, and what to type next.

    Args:
        console: where to.
        folder: of the demo.
        saved: what each file in it is.
        own: what the commands need of the user's.
        commands: to type next.
    """
    console.print("Saved:")
    for name, what in saved.items():
        console.print(f"  {folder / name}  ({what})", highlight=False, soft_wrap=True)
    console.print(f"Next, with {own} of your own:")
    for command in commands:
        console.print(f"  {command}", highlight=False, soft_wrap=True)
