"""``headstart info``: what is in a saved folder, from its JSON and the header of its weights, without torch."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import typer

from headstart.command.options import AsJson, Folder
from headstart.command.report import described, print_history, print_metrics
from headstart.core.record import read_record, stored_shapes

__all__ = ["info"]

PARTS = {"codec": "data", "design": "network", "training": "training"}
"""The values that a learner is made of, and what their parts are called."""


def info(folder: Folder, as_json: AsJson = False) -> None:
    """Print what is in a saved folder: data, network, training, metrics and history."""
    record = read_record(folder, "learner")
    if as_json:
        typer.echo(json.dumps(record, ensure_ascii=False))
        return
    lines(record, folder)


def lines(record: dict[str, Any], folder: Path) -> None:
    """Print a learner's record.

    Args:
        record: what ``learner.json`` holds.
        folder: the artefact, whose weights are counted.
    """
    shapes = {name: shape for name, shape in stored_shapes(folder).items() if "model" in name.split(".")}
    typer.echo(f"application          {record.get('application')} (headstart {record.get('headstart')})")
    if shapes:
        numbers = sum(math.prod(shape) for shape in shapes.values())
        typer.echo(f"model                {record.get('model')}, {numbers:,} numbers in {len(shapes)} tensors")
    members = record.get("members", [])
    for number, member in enumerate([record, *members]):
        for part, title in PARTS.items():
            if isinstance(member.get(part), dict):
                typer.echo(f"\n{title} of member {number} of {len(members)}" if number else f"\n{title}")
                for line in described(member[part]):
                    typer.echo(f"  {line}")
    if record.get("metrics"):
        typer.echo("\nmetrics of the validation rows")
        print_metrics(record["metrics"], before="  ")
    if record.get("history"):
        typer.echo("\nhistory")
        print_history(record["history"])
