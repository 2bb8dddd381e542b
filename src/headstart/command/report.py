"""What the commands print of a training, an evaluation and a saved model. Importing this imports no torch."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import typer

from headstart.applications import APPLICATIONS
from headstart.core.record import finite

__all__ = ["described", "metrics_in", "print_history", "print_metrics", "report"]

MOST = 12
"""Entries of a list that are printed; of a longer one these, and their number."""

LONGEST = 400
"""Characters of a text that are printed; a learnt tokenizer is much longer."""


def report(
    learner: Any,
    out: Path,
    seconds: float,
    *,
    then: str,
    baselines: Mapping[str, Mapping[str, float]] | None = None,
    as_json: bool,
) -> None:
    """Print the metrics of the weights that were kept, as lines or as one JSON object with all epochs.

    Args:
        learner: trained; or a ranker, which is solved and has metrics alone.
        out: folder of the saved model.
        seconds: duration of reading, training and saving.
        then: the command that a user would type next, without ``headstart``.
        baselines: metrics of simple models on the same rows, by model.
        as_json: print one JSON object.
    """
    history: Any = learner.history if "train" in APPLICATIONS[learner.application].does else []
    metrics = metrics_in(learner.figures if history else learner.metrics)
    measured = type(history)(epoch for epoch in history if "valid_loss" in epoch) or history  # not the training anew
    kept = measured.kept() if measured else None
    if as_json:
        epochs = [finite(epoch) for epoch in history]
        record = {"metrics": metrics, "epochs": epochs, "kept": kept, "seconds": round(seconds, 3), "out": str(out)}
        record |= {"baselines": {name: finite(figures) for name, figures in baselines.items()}} if baselines else {}
        typer.echo(json.dumps(record))
        return
    print_metrics(metrics)
    for name, figures in (baselines or {}).items():
        shown = "  ".join(f"{metric} {value:.4g}" for metric, value in figures.items())
        typer.echo(f"on the same rows, {name}: {shown}", err=True)
    if kept is not None:
        chosen_by = learner.first_figure(validated="valid_loss" in measured[kept - 1])
        why = f"the best by {chosen_by}" if "kept" in measured[kept - 1] else "the last"
        networks = len({epoch["fit"] for epoch in measured if epoch.get("kept")})
        each = (
            f"kept an epoch of each of {networks} networks" if networks > 1 else f"kept epoch {kept} of {len(measured)}"
        )
        typer.echo(f"{each}, {why}", err=True)
    typer.echo(f"saved to {out} after {seconds:.0f} s; next: headstart {then}", err=True)


def metrics_in(figures: Mapping[str, float]) -> dict[str, float | None]:
    """Return the metrics among an epoch's figures; None for what is not finite."""
    from headstart.training.progress import FIGURES_BESIDE_METRICS

    return finite({name: value for name, value in figures.items() if name not in FIGURES_BESIDE_METRICS})


def print_metrics(metrics: Mapping[str, float | None], *, before: str = "") -> None:
    """Print a line for each metric, with some text before each."""
    for name, value in metrics.items():
        typer.echo(f"{before}{name:<18} {'not defined' if value is None else format(value, '.6g')}")


def print_history(history: Sequence[Mapping[str, float | None]]) -> None:
    """Print a table with a line per epoch; ``*`` marks the epoch whose weights were kept."""
    heads = list(dict.fromkeys(name for figures in history for name in figures))
    rows = [heads, *([_cell(name, figures.get(name)) for name in heads] for figures in history)]
    widths = [max(len(row[column]) for row in rows) for column in range(len(heads))]
    for row in rows:
        typer.echo("  ".join(cell.rjust(width) for cell, width in zip(row, widths, strict=True)).rstrip())


def described(record: Mapping[str, Any]) -> list[str]:
    """Return a line for each field of a value's JSON record; tensors and what is empty have none."""
    lines = []
    for name, content in record.items():
        text = "" if name == "type" else _words(content)
        if text:
            lines.append(f"{name.replace('_', ' '):<20} {text}")
    return lines


def _words(content: Any, *, inside: bool = False) -> str:
    """Return a part of a record in words, on one line."""
    if content is None or isinstance(content, bool):
        return {None: "-", True: "yes", False: "no"}[content]
    if isinstance(content, float):
        return format(content, "g")
    if isinstance(content, Mapping):
        return _mapping_in_words(content, inside=inside)
    if isinstance(content, list):
        parts = [part for part in (_words(part, inside=True) for part in content) if part]
        named = bool(content) and isinstance(content[0], Mapping)  # columns are named one by one, values counted
        if len(parts) > MOST and not named:
            return f"{', '.join(parts[:MOST])}, ... ({len(parts):,} in all)"
        return ", ".join(parts) or ("" if inside else "-")
    text = str(content)
    return text if len(text) <= LONGEST else f"{text[:40]}... ({len(text):,} characters)"


def _mapping_in_words(content: Mapping[str, Any], *, inside: bool) -> str:
    if set(content) == {"tensor"}:
        return ""
    if set(content) == {"values"}:
        return _counted(content["values"])
    if "name" in content:  # a column: its name, and what is known of it
        aside = [content["reason"]] if "reason" in content else list(_entries(content, ("name", "type")))
        return f"{content['name']} ({', '.join(aside)})" if aside else str(content["name"])
    if content and all(isinstance(part, str) for part in content.values()) and "type" not in content:
        return ", ".join(f"{name} ({part})" for name, part in content.items())
    kind = str(content.get("type", "")).lower()
    entries = ", ".join(_entries(content, ("type",)))
    if not kind:
        return f"({entries})" if inside else entries or "-"
    return f"{kind} ({entries})" if entries else kind


def _entries(content: Mapping[str, Any], leave_out: Iterable[str]) -> Iterable[str]:
    for name, part in content.items():
        text = "" if name in leave_out or part is None else _words(part, inside=True)
        if text:
            yield f"{name.replace('_', ' ')} {text}"


def _counted(values: Sequence[Any]) -> str:
    if len(values) <= MOST:
        return ", ".join(str(value) for value in values)
    return f"{len(values):,} values"


def _cell(name: str, value: float | None) -> str:
    if value is None:
        return ""
    if name == "kept":
        return "*" if value else ""
    if name in ("epoch", "fit"):
        return str(int(value) + 1)
    return f"{value:.0f}" if 9_999.5 <= abs(value) < 1e9 else f"{value:.4g}"
