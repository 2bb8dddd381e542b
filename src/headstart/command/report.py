"""What the commands print of a training or an evaluation."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import typer

__all__ = ["metrics_of", "print_metrics", "report"]


def report(
    history: Sequence[dict[str, float]],
    out: Path,
    seconds: float,
    *,
    as_json: bool,
    user: str | None = None,
    rows: str = "TABLE",
    then: str | None = None,
) -> None:
    """The last epoch's metrics, as lines or as one JSON object with all epochs.

    Args:
        history: the epochs' figures.
        out: where the model was saved.
        seconds: that it took.
        as_json: one JSON object.
        user: one to recommend to; None: not a recommender.
        rows: what the model predicts, in the command that is suggested next.
        then: the command to go on with; None: by the user.
    """
    from headstart.core.artefact import finite

    metrics = metrics_of(history[-1])
    if as_json:
        epochs = [finite(figures) for figures in history]
        typer.echo(json.dumps({"metrics": metrics, "epochs": epochs, "seconds": round(seconds, 3), "out": str(out)}))
    else:
        print_metrics(metrics)
        then = then or (f"predict {out} {rows}" if user is None else f"recommend {out} --user {user}")
        typer.echo(f"saved to {out} after {seconds:.0f} s; next: headstart {then}", err=True)


def metrics_of(figures: dict[str, float]) -> dict[str, float | None]:
    """The metrics among an epoch's figures; None for what is not finite."""
    from headstart.core.artefact import finite
    from headstart.training.progress import FIGURES_BESIDE_METRICS

    return finite({name: value for name, value in figures.items() if name not in FIGURES_BESIDE_METRICS})


def print_metrics(metrics: dict[str, float | None]) -> None:
    """A line for each."""
    for name, value in metrics.items():
        typer.echo(f"{name:<18} {'not defined' if value is None else format(value, '.6g')}")
